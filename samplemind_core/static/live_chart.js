// Curves that grow while a run trains: loss, accuracy, learning rate; earlier runs as pale lines behind them.

const METRICS = {
  loss: { train: 'train_loss', val: 'val_loss', title: 'Loss (nats)', name: 'Loss', scale: 1, hover: '%{y:.3f}' },
  accuracy: { train: 'train_accuracy', val: 'val_accuracy', title: 'Accuracy (%)', name: 'Accuracy', scale: 100, hover: '%{y:.1f} %' },
  // Where samples have several labels; read from what the verdict rests on.
  map: { train: 'train_map', val: 'val_map', title: 'Mean average precision (%)', name: 'Mean average precision', scale: 100, hover: '%{y:.1f} %' },
  lr: { train: 'lr', val: null, title: 'Learning rate', name: 'Learning rate', scale: 1, hover: '%{y:.3g}' },
};
const GHOST_OPACITY = 0.4;

const formatted = (live, kind, value) =>
  value == null ? '\u2013' : kind === 'accuracy' || kind === 'map' ? live.percent(value) : kind === 'loss' ? live.loss(value) : Number(value.toPrecision(3)).toString();

function values(rows, column, metric, log) {
  return rows.map(row => {
    const value = row[column];
    return value == null || (log && value <= 0) ? null : value * metric.scale;
  });
}

// A mean that forgets, started without bias (as Adam's moments are); the raw line stays behind it.
function smoothed(raw, weight) {
  let sum = 0;
  let norm = 0;
  return raw.map(value => {
    if (value == null) return null;
    sum = weight * sum + (1 - weight) * value;
    norm = weight * norm + (1 - weight);
    return sum / norm;
  });
}

// A rate that stood still and then fell; schedules that change it every epoch have no drops to mark.
function rateDrops(rows) {
  const drops = [];
  for (let i = 2; i < rows.length; i++) {
    const [before, last, now] = [rows[i - 2].lr, rows[i - 1].lr, rows[i].lr];
    if (before === last && now < 0.9 * last && (i + 1 >= rows.length || rows[i + 1].lr === now)) drops.push(rows[i].epoch);
  }
  return drops;
}

// What happened, by epoch: [epoch, words].
function happenings(figure, rows) {
  const found = [];
  const state = figure.feed.state ?? {};
  if (rows.some(row => row.epoch === state.best_epoch)) found.push([state.best_epoch, `best: epoch ${state.best_epoch}`]);
  rateDrops(rows).forEach((epoch, i) => found.push([epoch, i ? '' : 'rate drops']));
  for (const epoch of figure.options.extended ?? []) if (rows.some(row => row.epoch > epoch)) found.push([epoch + 0.5, 'extended']);
  const onset = rows.at(-1)?.health?.onset;
  if (onset) found.push([onset, 'overfitting begins']);
  if (state.status === 'finished' && state.end_reason?.startsWith('Stopped early')) found.push([rows.at(-1).epoch, 'stopped early']);
  return found.sort((a, b) => a[0] - b[0]);
}

// The first and the last epoch of all that is drawn.
function span(figure, rows) {
  const all = [rows, ...[...figure.ghosts.values()].map(feed => feed.rows)].filter(some => some.length);
  return all.length ? [Math.min(...all.map(some => some[0].epoch)), Math.max(...all.map(some => some.at(-1).epoch))] : [1, 1];
}

function marks(figure, rows) {
  const { theme: look, options } = figure;
  if (options.kind === 'lr') return { shapes: [], notes: [] };
  const shapes = [];
  const notes = [];
  // Where the curves are not: loss falls away from the top, accuracy rises away from the bottom.
  const top = options.kind === 'loss';
  const [first, last] = span(figure, rows);
  for (const [epoch, text] of happenings(figure, rows)) {
    shapes.push({ type: 'line', xref: 'x', yref: 'paper', x0: epoch, x1: epoch, y0: 0, y1: 1, layer: 'below',
      line: { color: text.startsWith('best') ? figure.theme.colors[1] : look.text, width: 1, dash: 'dot' }, opacity: 0.5 });
    if (!text) continue;
    const late = epoch > (first + last) / 2;
    const below = 14 * notes.length;
    notes.push({ xref: 'x', x: epoch, xanchor: late ? 'right' : 'left', xshift: late ? -3 : 3, yref: 'paper', text, y: top ? 1 : 0,
      yanchor: top ? 'top' : 'bottom', yshift: top ? -below : below, showarrow: false, font: { size: 11, color: look.text }, opacity: 0.75 });
  }
  return { shapes, notes };
}

// What the y axis will show, in px from the top: where somebody zoomed, what it shows; otherwise what is drawn,
// with the margin that Plotly leaves. Asked of the axis itself, it would be that of the figure before.
function vertical(figure, data, log, height) {
  const axis = figure.box._fullLayout?.yaxis;
  if (axis?.autorange === false && axis.l2p && axis.type === (log ? 'log' : 'linear')) return y => axis.l2p(y);
  const shown = data.flatMap(trace => trace.y).filter(y => y != null).map(y => (log ? Math.log10(y) : y));
  const low = Math.min(...shown, ...(figure.options.kind === 'loss' && !log ? [0] : []));
  const per = height / (1.1 * (Math.max(...shown) - low) || 1);
  return y => -y * per;
}

// Lines are named at their ends; two names that would overlap are pushed apart.
function endLabels(live, figure, rows, pixels) {
  const { options, theme: look } = figure;
  const metric = METRICS[options.kind];
  const last = rows.at(-1);
  const log = options.log || options.kind === 'lr';
  const place = value => (log ? Math.log10(value * metric.scale) : value * metric.scale);
  const ends = [['train', metric.train], ['val', metric.val]]
    .filter(([, column]) => column && last[column] != null && (!log || last[column] > 0))
    .map(([name, column]) => ({ name: options.kind === 'lr' ? '' : name, raw: last[column], y: place(last[column]) }))
    .sort((a, b) => b.y - a.y);
  const gap = ends.length === 2 ? pixels(ends[1].y) - pixels(ends[0].y) : Infinity;
  const push = Math.max(0, (16 - gap) / 2);
  return ends.map((end, i) => ({
    xref: 'paper', x: 1, xanchor: 'left', xshift: 6, yref: 'y', y: end.y, yanchor: 'middle', yshift: i ? -push : push,
    text: `${end.name} <b>${formatted(live, options.kind, end.raw)}</b>`.trim(), showarrow: false, align: 'left',
    font: { color: look.text, size: 12 },
  }));
}

function line(rows, column, metric, log, name, look, extra = {}) {
  const mode = rows.length < 3 ? 'lines+markers' : 'lines';
  return { x: rows.map(row => row.epoch), y: values(rows, column, metric, log), name, mode, connectgaps: false,
    line: { width: 2, ...look }, marker: { size: 6 }, hovertemplate: `${name} ${metric.hover}<extra></extra>`, ...extra };
}

function ghosts(figure, metric, log) {
  const { colors } = figure.theme;
  return (figure.options.ghosts ?? []).flatMap((ghost, i) => {
    const rows = figure.ghosts.get(ghost.run)?.rows ?? [];
    if (!rows.length) return [];
    const color = colors[(4 + i) % colors.length];
    const pale = { opacity: GHOST_OPACITY, meta: 'ghost' };
    const name = ghost.name.replaceAll('<', '&lt;');
    const parts = metric.val ? [[metric.val, 'dash', `${name}: validation`], [metric.train, 'solid', `${name}: train`]] : [[metric.train, 'solid', name]];
    return parts.map(([column, dash, words]) => line(rows, column, metric, log, words, { color, dash, width: 1.5 }, pale));
  });
}

// Pale lines are named where they end, inside the plot: the margin belongs to this run.
function ghostNames(figure, metric, log) {
  return (figure.options.ghosts ?? []).flatMap((ghost, i) => {
    const last = figure.ghosts.get(ghost.run)?.rows.at(-1);
    const value = last?.[metric.val ?? metric.train];
    if (value == null || (log && value <= 0)) return [];
    return [{ xref: 'x', x: last.epoch, xanchor: 'right', yref: 'y', y: log ? Math.log10(value * metric.scale) : value * metric.scale,
      yanchor: 'bottom', text: ghost.name.replaceAll('<', '&lt;').slice(0, 24), showarrow: false, opacity: 0.7,
      font: { size: 10, color: figure.theme.colors[(4 + i) % figure.theme.colors.length] } }];
  });
}

function curves(figure, rows, metric, log) {
  const { colors, background, text } = figure.theme;
  const weight = figure.options.smoothing ?? 0;
  const behind = weight ? { opacity: 0.35 } : {};
  if (!metric.val) return [line(rows, metric.train, metric, log, 'learning rate', { color: text, dash: 'solid' })];
  const raw = [
    line(rows, metric.train, metric, log, 'train', { color: colors[0], dash: 'solid' }, behind),
    line(rows, metric.val, metric, log, 'validation', { color: colors[1], dash: 'dash' }, behind),
  ];
  const best = rows.filter(row => row.epoch === figure.feed.state?.best_epoch);
  const ring = { ...line(best, metric.val, metric, log, 'best so far', {}), mode: 'markers', hoverinfo: 'skip', hovertemplate: undefined,
    marker: { size: 9, color: background, line: { color: colors[1], width: 2 } } };
  const smooth = weight ? raw.map(trace => ({ ...trace, opacity: 1, y: smoothed(trace.y, weight), name: `${trace.name}, smoothed`, hoverinfo: 'skip', hovertemplate: undefined })) : [];
  return [...raw, ...smooth, ring];
}

function layoutOf(figure, rows, metric, log) {
  const { theme: look, box, options } = figure;
  const axis = { gridcolor: look.border, linecolor: look.border, zeroline: false, ticks: '', automargin: false };
  const title = text => ({ text, font: { size: 12 }, standoff: 6 });
  const [first, last] = span(figure, rows);
  const few = last - first < 10;
  const empty = !rows.length;
  const pad = 0.02 * Math.max(1, last - first);
  const wide = options.kind === 'lr' ? 24 : log ? 12 : 0;
  return {
    height: options.height, autosize: true, uirevision: 'keep',
    margin: box.clientWidth < 420 ? { l: 44 + wide, r: 80, t: 14, b: 44 } : { l: 52 + wide, r: 96, t: 14, b: 44 },
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', showlegend: false,
    font: { family: look.font, size: 12, color: look.text },
    hovermode: 'x unified',
    hoverlabel: { bgcolor: look.background, bordercolor: look.border, font: { family: look.font, size: 12, color: look.text } },
    xaxis: { ...axis, title: title('Epoch'), visible: !empty, tickformat: 'd', hoverformat: 'd', showgrid: false,
      unifiedhovertitle: { text: 'Epoch %{x}' }, tickmode: few ? 'linear' : 'auto', tick0: 0, dtick: few ? 1 : undefined, nticks: 8,
      // The words beside a mark must not widen the axis.
      ...(last > first ? { autorangeoptions: { clipmin: first - pad, clipmax: last + pad } } : {}) },
    // A range that somebody zoomed into means another one on the other scale.
    yaxis: { ...axis, title: title(metric.title), visible: !empty, nticks: options.kind === 'lr' ? 4 : 6, type: log ? 'log' : 'linear', uirevision: log ? 'log' : 'linear',
      ...(log ? { minor: { showgrid: false } } : { rangemode: options.kind === 'loss' ? 'tozero' : 'normal' }) },
  };
}

// A logarithmic axis has numbers at 1, 2 and 5 times the powers of ten, or at these alone where the curves span much.
function logTicks(traces) {
  const values = traces.flatMap(trace => trace.y).filter(value => value != null);
  if (!values.length) return {};
  const [least, most] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))];
  const [lowest, highest] = [Math.floor(least), Math.ceil(most)];
  const steps = most - least > 2 ? [1] : [1, 2, 5];
  const powers = Array.from({ length: highest - lowest + 1 }, (_, i) => lowest + i);
  const ticks = powers.flatMap(power => steps.map(step => [Number(`${step}e${power}`), power < -4 ? `${step}e\u2212${-power}` : null]));
  return { tickmode: 'array', tickvals: ticks.map(([value]) => value), ticktext: ticks.map(([value, text]) => text ?? String(value)) };
}

function describe(live, figure, rows, metric) {
  const { kind } = figure.options;
  const last = rows.at(-1);
  if (!last) return `${metric.name} by epoch. No epoch has finished yet.`;
  if (kind === 'lr') return `Learning rate by epoch, ${rows.length} so far; now ${formatted(live, kind, last.lr)}.`;
  const best = rows.find(row => row.epoch === figure.feed.state?.best_epoch);
  const ending = best ? ` Best epoch so far: ${best.epoch}, validation ${formatted(live, kind, best[metric.val])}.` : '';
  return `${metric.name} by epoch, ${rows.length} so far. Epoch ${last.epoch}: train ${formatted(live, kind, last[metric.train])}, ` +
    `validation ${formatted(live, kind, last[metric.val])}.${ending}`;
}

function build(live, figure) {
  const { options, feed } = figure;
  const metric = METRICS[options.kind];
  const rows = feed.rows;
  const log = options.kind === 'lr' || Boolean(options.log && options.kind === 'loss');
  const layout = layoutOf(figure, rows, metric, log);
  const state = feed.state ?? {};
  const lengths = [...figure.ghosts.values()].map(ghost => `${ghost.rows.length}:${ghost.rows.at(-1)?.seconds}`);
  const last = rows.at(-1);
  const mark = JSON.stringify([rows.length, last?.epoch, last?.seconds, last?.health?.onset, state.best_epoch, state.status, lengths, figure.box.clientWidth]);
  const data = [...curves(figure, rows, metric, log), ...ghosts(figure, metric, log)];
  if (!rows.length) {
    layout.annotations = [{ xref: 'paper', yref: 'paper', x: 0.5, y: 0.5, showarrow: false, opacity: 0.6,
      text: 'The first epoch appears here when it is done.', font: { size: 12, color: figure.theme.text } }];
  } else {
    const { shapes, notes } = marks(figure, rows);
    layout.shapes = shapes;
    const pixels = vertical(figure, data, log, options.height - layout.margin.t - layout.margin.b);
    layout.annotations = [...endLabels(live, figure, rows, pixels), ...notes, ...ghostNames(figure, metric, log)];
  }
  if (log) Object.assign(layout.yaxis, logTicks(data));
  return { data, layout, mark, alt: describe(live, figure, rows, metric) };
}

export function mountChart(component, live) {
  live.mountFigure(component, figure => build(live, figure));
}
