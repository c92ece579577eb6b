// Live charts and numbers of one run. All parts of a page share one WebSocket per run; epochs are
// appended to the drawn figures in place, so that zoom, hover and scroll survive.

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
    if (this.over) this.renew(url);
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
    const fresh = message.reset ? message.epochs : message.epochs.filter(row => row.epoch > newest);
    this.rows = message.reset ? fresh : this.rows.concat(fresh);
    this.tell(fresh, Boolean(message.reset));
  }

  tell(rows, reset) {
    for (const listener of this.listeners) listener({ rows, reset, feed: this });
  }
}

function feedOf(run) {
  if (!feeds.has(run)) feeds.set(run, new Feed(run));
  return feeds.get(run);
}

// -- words and colours --------------------------------------------------------------------------

function theme(box) {
  const css = getComputedStyle(box);
  const value = name => css.getPropertyValue(name).trim();
  return {
    colors: value('--st-chart-categorical-colors').split(',').map(color => color.trim()),
    text: value('--st-text-color'),
    border: value('--st-border-color'),
    background: value('--st-background-color'),
    font: value('--st-font'),
  };
}

const number = (value, digits) => (value == null ? '–' : value.toFixed(digits));
const loss = value => number(value, 3);
const percent = value => (value == null ? '–' : `${(100 * value).toFixed(1)} %`);
const minus = text => text.replace('-', '\u2212');

function duration(seconds) {
  if (seconds == null || !isFinite(seconds)) return '';
  if (seconds < 1) return 'a moment';
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

const METRICS = {
  loss: { train: 'train_loss', val: 'val_loss', title: 'Loss (nats)', scale: 1, format: loss, hover: '%{y:.3f}' },
  accuracy: { train: 'train_accuracy', val: 'val_accuracy', title: 'Accuracy (%)', scale: 100, format: percent, hover: '%{y:.1f} %' },
};

const scaled = (metric, name) => row => (row[name] == null ? null : row[name] * metric.scale);

// A rate that stood still and then fell; schedules that change it every epoch have no drops to mark.
function rateDrops(rows) {
  const drops = [];
  for (let i = 2; i < rows.length; i++) {
    const [before, last, now] = [rows[i - 2].lr, rows[i - 1].lr, rows[i].lr];
    if (before === last && now < 0.9 * last && (i + 1 >= rows.length || rows[i + 1].lr === now)) drops.push(rows[i].epoch);
  }
  return drops;
}

// -- the chart ----------------------------------------------------------------------------------

let plotlyScript = null;
function plotly(url) {
  if (window.Plotly?.extendTraces) return Promise.resolve(window.Plotly);
  plotlyScript ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = url;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => { plotlyScript = null; reject(new Error('The chart library could not be loaded.')); };
    document.head.append(script);
  });
  return plotlyScript;
}

function layoutOf(chart) {
  const look = chart.theme;
  const axis = { gridcolor: look.border, linecolor: look.border, zeroline: false, ticks: '', automargin: false };
  const title = text => ({ text, font: { size: 12 }, standoff: 6 });
  return {
    height: chart.height, autosize: true, uirevision: 'keep',
    margin: chart.box.clientWidth < 420 ? { l: 44, r: 80, t: 14, b: 44 } : { l: 52, r: 96, t: 14, b: 44 },
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', showlegend: false,
    font: { family: look.font, size: 12, color: look.text },
    hovermode: 'x unified',
    hoverlabel: { bgcolor: look.background, bordercolor: look.border, font: { family: look.font, size: 12, color: look.text } },
    xaxis: { ...axis, title: title('Epoch'), tickformat: 'd', hoverformat: 'd', showgrid: false, unifiedhovertitle: { text: 'Epoch %{x}' } },
    yaxis: { ...axis, title: title(chart.metric.title), nticks: 6, rangemode: chart.kind === 'loss' ? 'tozero' : 'normal' },
  };
}

function tracesOf(chart) {
  const { colors, background } = chart.theme;
  const { metric } = chart;
  const line = (name, color, dash) => ({
    x: [], y: [], name, mode: 'lines', line: { color, width: 2, dash, shape: 'linear' }, connectgaps: false,
    hovertemplate: `${name} ${metric.hover}<extra></extra>`,
  });
  return [
    line('train', colors[0], 'solid'),
    line('validation', colors[1], 'dash'),
    { x: [], y: [], name: 'best', mode: 'markers', hovertemplate: 'best so far<extra></extra>',
      marker: { size: 9, color: background, line: { color: colors[1], width: 2 } } },
  ];
}

// Lines are named at their ends; two names that would overlap are pushed apart.
function endLabels(chart) {
  const last = chart.rows.at(-1);
  if (!last) return [];
  const { metric, theme: look } = chart;
  const ends = [
    { name: 'train', y: scaled(metric, metric.train)(last), raw: last[metric.train], color: look.colors[0] },
    { name: 'val', y: scaled(metric, metric.val)(last), raw: last[metric.val], color: look.colors[1] },
  ].filter(end => end.y != null).sort((a, b) => b.y - a.y);
  const pixels = y => chart.box._fullLayout.yaxis.l2p(y);
  const gap = ends.length === 2 ? pixels(ends[1].y) - pixels(ends[0].y) : Infinity;
  const push = Math.max(0, (16 - gap) / 2);
  return ends.map((end, i) => ({
    xref: 'paper', x: 1, xanchor: 'left', xshift: 6, yref: 'y', y: end.y, yanchor: 'middle', yshift: i ? -push : push,
    text: `${end.name} <b>${metric.format(end.raw)}</b>`, showarrow: false, align: 'left',
    font: { color: look.text, size: 12 },
  }));
}

function marks(chart) {
  const { rows, theme: look } = chart;
  const shapes = [];
  const notes = [];
  const vertical = (x, text) => {
    shapes.push({ type: 'line', xref: 'x', yref: 'paper', x0: x, x1: x, y0: 0, y1: 1, layer: 'below',
      line: { color: look.border, width: 1.5, dash: 'dot' } });
    notes.push({ xref: 'x', x, xanchor: 'left', xshift: 3, yref: 'paper', text,
      // Where the curves are not: loss falls away from the top, accuracy rises away from the bottom.
      y: chart.kind === 'loss' ? 1 : 0, yanchor: chart.kind === 'loss' ? 'top' : 'bottom', showarrow: false, font: { size: 11, color: look.text }, opacity: 0.7 });
  };
  for (const [i, epoch] of rateDrops(rows).entries()) vertical(epoch, i ? '' : 'rate drops');
  const onset = rows.at(-1)?.health?.onset;
  if (onset) vertical(onset, 'overfitting begins');
  return { shapes, notes: notes.filter(note => note.text) };
}

function waiting(chart) {
  return { xref: 'paper', yref: 'paper', x: 0.5, y: 0.5, showarrow: false, opacity: 0.6,
    text: 'The first epoch appears here when it is done.', font: { size: 12, color: chart.theme.text } };
}

function describe(chart) {
  const { metric, rows } = chart;
  const last = rows.at(-1);
  const name = chart.kind === 'loss' ? 'Loss' : 'Accuracy';
  if (!last) return `${name} by epoch. No epoch has finished yet.`;
  const best = rows.find(row => row.epoch === chart.best);
  const ending = best ? ` Best epoch so far: ${best.epoch}, validation ${metric.format(best[metric.val])}.` : '';
  return `${name} by epoch, ${rows.length} so far. Epoch ${last.epoch}: train ${metric.format(last[metric.train])}, ` +
    `validation ${metric.format(last[metric.val])}.${ending}`;
}

function bestOf(chart) {
  const best = chart.feed?.state?.best_epoch;
  const row = best == null ? null : chart.rows.find(item => item.epoch === best);
  return row ? { x: [row.epoch], y: [scaled(chart.metric, chart.metric.val)(row)], epoch: best } : { x: [], y: [], epoch: null };
}

// Plotly's calls are asynchronous and must not overlap on one figure.
function queue(chart, work) {
  chart.busy = chart.busy.then(() => (chart.gone ? undefined : work())).catch(error => { if (!chart.gone) console.error(error); });
}

function drawRows(chart, rows, reset) {
  const { box, metric, lib } = chart;
  const xs = rows.map(row => row.epoch);
  const train = rows.map(scaled(metric, metric.train));
  const val = rows.map(scaled(metric, metric.val));
  chart.rows = reset ? [...rows] : chart.rows.concat(rows);
  queue(chart, async () => {
    if (reset) await lib.restyle(box, { x: [xs, xs], y: [train, val] }, [0, 1]);
    else if (xs.length) await lib.extendTraces(box, { x: [xs, xs], y: [train, val] }, [0, 1]);
    await finish(chart);
  });
}

async function finish(chart) {
  const { box, lib } = chart;
  // The page may have been left while an earlier step was being drawn.
  if (!box._fullLayout) return;
  const mode = chart.rows.length < 3 ? 'lines+markers' : 'lines';
  if (mode !== chart.mode) { chart.mode = mode; await lib.restyle(box, { mode }, [0, 1]); }
  const best = bestOf(chart);
  if (best.epoch !== chart.best || best.y[0] !== chart.bestY) {
    chart.best = best.epoch; chart.bestY = best.y[0];
    await lib.restyle(box, { x: [best.x], y: [best.y] }, [2]);
  }
  const { shapes, notes } = marks(chart);
  const empty = chart.rows.length === 0;
  const few = chart.rows.length <= 10;
  if (chart.gone) return;
  await lib.relayout(box, {
    'xaxis.visible': !empty, 'yaxis.visible': !empty,
    shapes, annotations: empty ? [waiting(chart)] : [...endLabels(chart), ...notes],
    'xaxis.tickmode': few ? 'linear' : 'auto', 'xaxis.tick0': 0, 'xaxis.dtick': few ? 1 : undefined, 'xaxis.nticks': 8,
  });
  box.setAttribute('aria-label', describe(chart));
}

export function mountChart({ data, parentElement }) {
  const box = parentElement.querySelector('.sm-chart');
  const options = JSON.parse(data);
  let chart = mounted.get(parentElement);
  if (chart && chart.run !== options.run) { unmount(parentElement); chart = null; }
  if (chart) {
    chart.feed.renew(options.url);
    chart.theme = theme(box);
    queue(chart, async () => {
      const looks = tracesOf(chart);
      await chart.lib.restyle(box, { 'line.color': looks.slice(0, 2).map(trace => trace.line.color) }, [0, 1]);
      await chart.lib.restyle(box, { 'marker.color': looks[2].marker.color, 'marker.line.color': looks[2].marker.line.color }, [2]);
      const { height, font, hoverlabel } = layoutOf(chart);
      const axis = name => ({ [`${name}.gridcolor`]: chart.theme.border, [`${name}.linecolor`]: chart.theme.border });
      await chart.lib.relayout(box, { height, font, hoverlabel, ...axis('xaxis'), ...axis('yaxis') });
      await finish(chart);
    });
    return;
  }
  chart = {
    run: options.run, kind: options.kind, height: options.height, metric: METRICS[options.kind], box, rows: [], best: null,
    mode: 'lines', theme: theme(box), feed: feedOf(options.run), busy: Promise.resolve(), gone: false, lib: null,
  };
  mounted.set(parentElement, chart);
  box.style.minHeight = `${options.height}px`;
  const made = chart;
  queue(made, async () => {
    made.lib = await plotly(options.plotly);
    if (made.gone) return;
    await made.lib.newPlot(box, tracesOf(made), layoutOf(made), { displayModeBar: false, showTips: false, responsive: true, doubleClick: 'reset' });
    made.observer = new ResizeObserver(() => queue(made, () => finish(made)));
    made.observer.observe(box);
    made.listener = ({ rows, reset, feed }) => {
      box.classList.toggle('sm-stale', !feed.online);
      if (rows.length || reset) drawRows(made, rows, reset);
      else queue(made, () => finish(made));
    };
    made.feed.join(made.listener, options.url);
  });
}

// -- the numbers --------------------------------------------------------------------------------

const TILES = [
  { name: 'Train loss', of: row => row.train_loss, format: loss, color: 0 },
  { name: 'Validation loss', of: row => row.val_loss, format: loss, color: 1 },
  { name: 'Validation accuracy', of: row => row.val_accuracy, format: percent, color: 1, points: true },
  { name: 'Speed', of: row => row.clips_per_s, format: value => (value == null ? '–' : Math.round(value).toLocaleString('en')), unit: 'clips/s', color: 5 },
];

function change(tile, now, before) {
  if (now == null || before == null) return '';
  const difference = now - before;
  const arrow = difference > 0 ? '\u2191' : difference < 0 ? '\u2193' : '';
  const size = Math.abs(difference);
  const text = tile.points ? `${(100 * size).toFixed(1)} points` : tile.unit ? Math.round(size).toLocaleString('en') : size.toFixed(3);
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
    part.querySelector('.sm-value').textContent = tile.format(now);
    part.querySelector('.sm-unit').textContent = tile.unit && now != null ? tile.unit : '';
    part.querySelector('.sm-change').textContent = change(tile, now, before ? tile.of(before) : null);
    part.querySelector('.sm-spark').innerHTML = sparkline(recent(rows).map(tile.of), look.colors[tile.color], tile.color === 1);
  });
  drawProgress(view);
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
    if (progress.clips_per_s) parts.push(`${Math.round(progress.clips_per_s).toLocaleString('en')} clips/s`);
    const left = duration(progress.eta_s);
    if (left) parts.push(`${left} to go`);
  } else if (active) parts.push('Getting ready: reading the dataset and preparing features');
  else if (run.status === 'queued') parts.push('Waiting in the queue');
  if (offline) parts.push(offline);
  line.textContent = parts.join('  ·  ');
  const share = progress.steps ? progress.step / progress.steps : 0;
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
    '<div class="sm-bar" role="progressbar" aria-label="This epoch" aria-valuemin="0" aria-valuemax="100" hidden><div></div></div>';
  view = { run: options.run, box, feed: feedOf(options.run), observer: null };
  view.listener = () => drawNumbers(view);
  mounted.set(parentElement, view);
  view.feed.join(view.listener, options.url);
}

export function unmount(parentElement) {
  const view = mounted.get(parentElement);
  if (!view) return;
  mounted.delete(parentElement);
  view.gone = true;
  view.observer?.disconnect();
  if (view.listener) view.feed.leave(view.listener);
  view.lib?.purge(view.box);
}
