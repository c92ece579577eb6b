// What is live about a run: its feed, its numbers and its verdict. All parts of a page share one
// WebSocket per run. The charts that grow with it are in live_chart.js and live_recall.js.

const feeds = (globalThis.samplemindFeeds ??= new Map());
// Global, because an open page loads this file anew when the server was upgraded meanwhile.
const mounted = (globalThis.samplemindMounted ??= new WeakMap());

// -- one connection per run ---------------------------------------------------------------------

class Feed {
  constructor(run) {
    this.run = run;
    this.rows = [];
    this.state = null;
    this.online = true;
    this.over = '';
    this.listeners = new Set();
    this.socket = null;
    this.timer = 0;
  }

  join(listener, url) {
    this.listeners.add(listener);
    this.renew(url);
    this.url = url;
    if (!this.socket && !this.timer && !this.over) this.open();
    listener({ rows: this.rows, reset: true, feed: this });
  }

  // The page was drawn anew and brings a fresh ticket.
  renew(url) {
    const changed = url !== this.url;
    this.url = url;
    if (!changed || !this.over) return;
    this.over = '';
    this.open();
  }

  leave(listener) {
    this.listeners.delete(listener);
    if (this.listeners.size) return;
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    feeds.delete(this.run);
  }

  open() {
    this.timer = 0;
    const last = this.rows.at(-1);
    const position = last ? `&after=${last.epoch}&seen=${last.seconds}` : '';
    const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + this.url + position);
    this.socket = socket;
    socket.onmessage = event => this.receive(JSON.parse(event.data));
    socket.onclose = event => {
      if (this.socket !== socket) return;
      this.socket = null;
      // 4403: the ticket is no longer good, 4404: the run is gone. Trying again would not help.
      if (event.code === 4403 || event.code === 4404) { this.over = event.reason; this.tell([], false); return; }
      this.online = false;
      this.tell([], false);
      this.timer = setTimeout(() => this.open(), 1000 + 2000 * Math.random());
    };
  }

  receive(message) {
    this.online = true;
    if (message.run) this.state = message.run;
    const newest = this.rows.at(-1)?.epoch ?? 0;
    for (const row of message.epochs) {
      if (row.health?.val_map != null) Object.assign(row, { train_map: row.health.probe_map, val_map: row.health.val_map });
    }
    const fresh = message.reset ? message.epochs : message.epochs.filter(row => row.epoch > newest);
    this.rows = message.reset ? fresh : this.rows.concat(fresh);
    this.tell(fresh, Boolean(message.reset));
  }

  tell(rows, reset) {
    for (const listener of this.listeners) listener({ rows, reset, feed: this });
  }
}

export function feedOf(run) {
  if (!feeds.has(run)) feeds.set(run, new Feed(run));
  return feeds.get(run);
}

// -- words and colours --------------------------------------------------------------------------

export function theme(box) {
  const css = getComputedStyle(box);
  const value = name => css.getPropertyValue(name).trim();
  return {
    colors: value('--st-chart-categorical-colors').split(',').map(color => color.trim()),
    text: value('--st-text-color'),
    border: value('--st-border-color'),
    background: value('--st-background-color'),
    soft: value('--st-secondary-background-color'),
    primary: value('--st-primary-color'),
    font: value('--st-font'),
  };
}

const number = (value, digits) => (value == null ? '\u2013' : value.toFixed(digits));
export const loss = value => number(value, 3);
export const percent = value => (value == null ? '\u2013' : `${(100 * value).toFixed(1)} %`);
const whole = value => Math.round(value).toLocaleString('en');

function duration(seconds) {
  if (seconds == null || !isFinite(seconds)) return '';
  if (seconds < 1) return 'a moment';
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

function memory(bytes) {
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

export function plotly(url) {
  if (window.Plotly?.react) return Promise.resolve(window.Plotly);
  globalThis.samplemindPlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = url;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => { globalThis.samplemindPlotly = null; reject(new Error('The chart library could not be loaded.')); };
    document.head.append(script);
  });
  return globalThis.samplemindPlotly;
}

// -- figures that follow a feed -----------------------------------------------------------------

// Draw `build(view)` whenever what it says changes. Plotly's calls are asynchronous and must not overlap on
// one figure; what came meanwhile is drawn next. `uirevision` keeps zoom and hover over all of it.
export class LiveFigure {
  constructor(box, options, build) {
    Object.assign(this, { box, options, build, drawn: '', wanted: false, drawing: false, gone: false, made: false });
    this.feed = feedOf(options.run);
    this.ghosts = new Map();
    this.listener = () => this.draw();
    this.theme = theme(box);
    this.observer = new ResizeObserver(() => { if (this.made && !this.gone && box.clientWidth) this.draw(true); });
  }

  start() {
    this.observer.observe(this.box);
    this.feed.join(this.listener, this.options.url);
    this.follow();
  }

  // The page was drawn anew: other options, another look, perhaps a fresh ticket.
  update(options) {
    this.options = options;
    this.theme = theme(this.box);
    this.feed.renew(options.url);
    this.follow();
    this.draw(true);
  }

  // Earlier runs are followed as this one is, so that one that still trains grows beside it.
  follow() {
    const wanted = new Map((this.options.ghosts ?? []).map(ghost => [ghost.run, ghost]));
    for (const [run, feed] of this.ghosts) if (!wanted.has(run)) { this.ghosts.delete(run); feed.leave(this.listener); }
    for (const [run, ghost] of wanted) {
      if (this.ghosts.has(run)) continue;
      const feed = feedOf(run);
      this.ghosts.set(run, feed);
      feed.join(this.listener, ghost.url);
    }
  }

  draw(anyway = false) {
    this.box.classList.toggle('sm-stale', !this.feed.online);
    if (anyway) this.drawn = '';
    this.wanted = true;
    if (!this.drawing) this.work().catch(error => { if (!this.gone) console.error(error); });
  }

  async work() {
    this.drawing = true;
    try {
      const library = await plotly(this.options.plotly);
      while (this.wanted && !this.gone) {
        this.wanted = false;
        const figure = this.build(this);
        if (figure.mark === this.drawn) continue;
        this.drawn = figure.mark;
        this.box.style.minHeight = `${figure.layout.height}px`;
        await library.react(this.box, figure.data, figure.layout, { displayModeBar: false, showTips: false, doubleClick: 'reset' });
        this.made = true;
        figure.after?.();
        this.box.setAttribute('aria-label', figure.alt);
      }
    } finally {
      this.drawing = false;
      if (this.gone && this.made) window.Plotly.purge(this.box);
    }
  }

  end() {
    this.gone = true;
    this.observer.disconnect();
    this.feed.leave(this.listener);
    for (const feed of this.ghosts.values()) feed.leave(this.listener);
    if (this.made && !this.drawing) window.Plotly.purge(this.box);
  }
}

export function mountFigure({ data, parentElement }, build) {
  const box = parentElement.querySelector('.sm-chart');
  const options = JSON.parse(data);
  let figure = mounted.get(parentElement);
  if (figure && (figure.options.run !== options.run || figure.box !== box)) { unmount(parentElement); figure = null; }
  if (figure) { if (figure.data !== data) figure.update(options); else { figure.theme = theme(box); figure.draw(true); } figure.data = data; return; }
  figure = new LiveFigure(box, options, build);
  figure.data = data;
  mounted.set(parentElement, figure);
  box.style.minHeight = `${options.height}px`;
  figure.start();
}

// -- the numbers --------------------------------------------------------------------------------

const TILES = [
  { name: 'Train loss', of: row => row.train_loss, format: loss, color: 0 },
  { name: 'Validation loss', of: row => row.val_loss, format: loss, color: 1 },
  { name: 'Validation accuracy', several: 'Validation mAP', of: row => row.val_map ?? row.val_accuracy, format: percent, color: 1, points: true },
  { name: 'Speed', of: row => row.clips_per_s, format: value => (value == null ? '\u2013' : whole(value)), unit: 'clips/s', color: 5 },
];

function change(tile, now, before) {
  if (now == null || before == null) return '';
  const difference = now - before;
  const arrow = difference > 0 ? '\u2191' : difference < 0 ? '\u2193' : '';
  const size = Math.abs(difference);
  const text = tile.points ? `${(100 * size).toFixed(1)} points` : tile.unit ? whole(size) : size.toFixed(3);
  return `${arrow} ${text} this epoch`.trim();
}

function sparkline(values, color, dashed) {
  const points = values.map((value, i) => [i, value]).filter(point => point[1] != null);
  if (points.length < 2) return '';
  const low = Math.min(...points.map(point => point[1]));
  const high = Math.max(...points.map(point => point[1]));
  const step = 100 / (values.length - 1);
  const path = points.map(([i, value]) => `${(i * step).toFixed(2)},${(26 - 22 * ((value - low) / (high - low || 1))).toFixed(2)}`).join(' ');
  return `<svg viewBox="0 0 100 28" preserveAspectRatio="none" aria-hidden="true"><polyline points="${path}" fill="none" ` +
    `stroke="${color}" stroke-width="1.75" vector-effect="non-scaling-stroke" ${dashed ? 'stroke-dasharray="3 3"' : ''}/></svg>`;
}

function recent(rows) {
  return rows.slice(-60);
}

function drawNumbers(view) {
  const { box, feed } = view;
  const look = theme(box);
  const rows = feed.rows;
  const last = rows.at(-1);
  const before = rows.at(-2);
  TILES.forEach((tile, i) => {
    const part = box.querySelector(`[data-tile="${i}"]`);
    const now = last ? tile.of(last) : null;
    part.querySelector('.sm-name').textContent = (last?.val_map != null && tile.several) || tile.name;
    part.querySelector('.sm-value').textContent = tile.format(now);
    part.querySelector('.sm-unit').textContent = tile.unit && now != null ? tile.unit : '';
    part.querySelector('.sm-change').textContent = change(tile, now, before ? tile.of(before) : null);
    part.querySelector('.sm-spark').innerHTML = sparkline(recent(rows).map(tile.of), look.colors[tile.color], tile.color === 1);
  });
  drawProgress(view);
}

// Where it trains and what of that it takes.
function machine(run, progress) {
  const parts = [];
  if (run.device) parts.push(run.device);
  if (progress.memory_bytes) parts.push(`${memory(progress.memory_bytes)} of memory`);
  if (progress.gpu_memory_bytes) parts.push(`${memory(progress.gpu_memory_bytes)} on the GPU`);
  if (progress.gpu_use != null) parts.push(`GPU ${Math.round(100 * progress.gpu_use)} % busy`);
  return parts;
}

function drawProgress({ box, feed }) {
  const run = feed.state;
  const line = box.querySelector('.sm-progress');
  const bar = box.querySelector('.sm-bar');
  const offline = feed.over || (feed.online ? '' : 'Reconnecting…');
  const progress = run?.progress ?? {};
  const active = run && (run.status === 'running' || run.status === 'stopping');
  bar.hidden = !active;
  if (!run) { line.textContent = offline; return; }
  const parts = [];
  if (active && progress.stage) {
    parts.push(progress.stage);
    if (progress.steps) parts.push(`${progress.step.toLocaleString('en')} of ${progress.steps.toLocaleString('en')}`);
  } else if (active && progress.epoch) {
    parts.push(`Epoch ${progress.epoch} of ${progress.epochs ?? '?'}`);
    if (progress.steps) parts.push(`step ${progress.step} of ${progress.steps}`);
    if (progress.clips_per_s) parts.push(`${whole(progress.clips_per_s)} clips/s`);
    const left = duration(progress.eta_s);
    if (left) parts.push(`${left} to go`);
    parts.push(...machine(run, progress));
  } else if (active) parts.push('Getting ready: reading the dataset and preparing features');
  else if (run.status === 'queued') parts.push('Waiting in the queue');
  if (offline) parts.push(offline);
  line.textContent = parts.join('  ·  ');
  // Of the stage, or of the whole run: beside the time to go, a bar that filled once an epoch would say something else.
  const part = progress.steps ? Math.min(1, progress.step / progress.steps) : 0;
  const share = progress.stage || !progress.epochs ? part : Math.max(0, (progress.epoch ?? 1) - 1 + part) / progress.epochs;
  const fill = bar.firstElementChild;
  fill.style.width = `${Math.round(1000 * Math.min(1, share)) / 10}%`;
  bar.setAttribute('aria-valuenow', String(Math.round(100 * share)));
}

export function mountNumbers({ data, parentElement }) {
  const box = parentElement.querySelector('.sm-numbers');
  const options = JSON.parse(data);
  let view = mounted.get(parentElement);
  if (view && view.run !== options.run) { unmount(parentElement); view = null; }
  if (view) { view.feed.renew(options.url); drawNumbers(view); return; }
  box.innerHTML = '<div class="sm-tiles">' + TILES.map((tile, i) =>
    `<div class="sm-tile" data-tile="${i}"><div class="sm-name">${tile.name}</div>` +
    '<div><span class="sm-value">–</span> <span class="sm-unit"></span></div><div class="sm-change"></div><div class="sm-spark"></div></div>').join('') +
    '</div><div class="sm-progress" role="status"></div>' +
    '<div class="sm-bar" role="progressbar" aria-label="How far it is" aria-valuemin="0" aria-valuemax="100" hidden><div></div></div>';
  view = { run: options.run, box, feed: feedOf(options.run), observer: null };
  view.listener = () => drawNumbers(view);
  mounted.set(parentElement, view);
  view.feed.join(view.listener, options.url);
}

// -- the verdict --------------------------------------------------------------------------------

const LOOKS = {
  healthy: ['check_circle', 'green'], converged: ['check_circle', 'green'],
  too_early: ['hourglass_empty', 'gray'],
  diverging: ['error', 'red'], unstable: ['error', 'red'],
};

// Told to the page once: what it shows besides (buttons, remedies) follows a change of these only.
function signal(feed) {
  const run = feed.state;
  return run ? `${run.status}|${run.paused ? 1 : 0}|${feed.rows.at(-1)?.health?.verdict ?? ''}` : '';
}

function drawVerdict(view) {
  const { box, feed } = view;
  const health = feed.rows.at(-1)?.health;
  const name = health?.verdict ?? '';
  box.hidden = !name;
  if (name) {
    const [icon, color] = LOOKS[name] ?? ['warning', 'orange'];
    const badge = box.querySelector('.sm-badge');
    badge.dataset.verdict = name;
    badge.style.color = `var(--st-${color}-text-color)`;
    badge.style.background = `var(--st-${color}-background-color)`;
    badge.querySelector('.sm-icon').textContent = icon;
    badge.querySelector('.sm-title').textContent = health.title || name.replaceAll('_', ' ');
    const sure = typeof health.confidence === 'number' ? ` How sure: ${Math.round(100 * health.confidence)} %.` : '';
    box.querySelector('.sm-reason').textContent = (health.reason ?? '') + sure;
  }
  const now = signal(feed);
  if (!now || now === view.told) return;
  // A page that is drawn knows what it was drawn from; only what differs is worth a rerun.
  const first = view.told == null;
  view.told = now;
  if (!first || now !== view.seen) view.tell('changed', now);
}

export function mountVerdict({ data, parentElement, setTriggerValue }) {
  const box = parentElement.querySelector('.sm-verdict');
  const options = JSON.parse(data);
  let view = mounted.get(parentElement);
  if (view && (view.run !== options.run || view.box !== box)) { unmount(parentElement); view = null; }
  if (view) { view.seen = options.seen; view.tell = setTriggerValue; view.feed.renew(options.url); drawVerdict(view); return; }
  box.innerHTML = '<span class="sm-badge"><span class="sm-icon" aria-hidden="true"></span><span class="sm-title"></span></span> <span class="sm-reason"></span>';
  view = { run: options.run, box, feed: feedOf(options.run), seen: options.seen, told: null, tell: setTriggerValue };
  view.listener = () => drawVerdict(view);
  mounted.set(parentElement, view);
  view.feed.join(view.listener, options.url);
}

export function unmount(parentElement) {
  const view = mounted.get(parentElement);
  if (!view) return;
  mounted.delete(parentElement);
  if (view.end) { view.end(); return; }
  if (view.listener) view.feed.leave(view.listener);
}
