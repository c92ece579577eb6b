// How well each class is recognised, epoch by epoch: a strip for each class that grows to the right.

function build(figure) {
  const { options, feed, theme: look, box } = figure;
  const names = options.classes;
  const rows = feed.rows.filter(row => row.recall?.length === names.length);
  const last = rows.at(-1);
  const mark = JSON.stringify([rows.length, last?.epoch, last?.seconds, box.clientWidth]);
  const shown = names.map(name => (name.length > 14 ? `${name.slice(0, 13)}\u2026` : name).replaceAll('<', '&lt;'));
  const recall = names.map((_, i) => rows.map(row => (row.recall[i] == null ? null : 100 * row.recall[i])));
  const axis = { showgrid: false, zeroline: false, ticks: '', linecolor: look.border };
  const few = rows.length <= 10;
  const layout = {
    height: options.height, autosize: true, uirevision: 'keep', paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    margin: { l: 12 + 7 * Math.min(14, Math.max(3, ...shown.map(name => name.length))), r: 60, t: 14, b: 44 },
    font: { family: look.font, size: 12, color: look.text },
    hoverlabel: { bgcolor: look.background, bordercolor: look.border, font: { family: look.font, size: 12, color: look.text } },
    xaxis: { ...axis, title: { text: 'Epoch', font: { size: 12 }, standoff: 6 }, visible: rows.length > 0, tickformat: 'd',
      tickmode: few ? 'linear' : 'auto', tick0: 0, dtick: few ? 1 : undefined, nticks: 8 },
    yaxis: { ...axis, visible: rows.length > 0, autorange: 'reversed', tickmode: 'array', tickvals: names.map((_, i) => i), ticktext: shown },
    annotations: rows.length ? [] : [{ xref: 'paper', yref: 'paper', x: 0.5, y: 0.5, showarrow: false, opacity: 0.6,
      text: feed.rows.length ? 'This run kept no figures for each class.' : 'The first epoch appears here when it is done.', font: { size: 12, color: look.text } }],
  };
  const data = rows.length ? [{
    type: 'heatmap', x: rows.map(row => row.epoch), y: names.map((_, i) => i), z: recall, zmin: 0, zmax: 100, xgap: rows.length < 60 ? 1 : 0, ygap: 2,
    colorscale: [[0, look.soft], [1, look.colors[1]]], customdata: names.map((name, i) => rows.map(() => `${name.replaceAll('<', '&lt;')}|${options.counts[i]}`.split('|'))),
    hovertemplate: '%{customdata[0]}: %{z:.0f} % of its %{customdata[1]} validation clips, epoch %{x}<extra></extra>',
    colorbar: { thickness: 8, outlinewidth: 0, ticksuffix: ' %', nticks: 3, len: 1, tickfont: { size: 11 }, xpad: 6 },
  }] : [];
  const worst = last ? names.map((name, i) => [last.recall[i], name]).filter(pair => pair[0] != null).sort((a, b) => a[0] - b[0])[0] : null;
  const alt = last ? `Recall of ${names.length} classes over ${rows.length} epochs; the lowest now is ${worst?.[1] ?? 'unknown'}${worst ? `, ${Math.round(100 * worst[0])} %` : ''}.`
    : 'Recall of each class by epoch. No epoch has finished yet.';
  return { data, layout, mark, alt };
}

export function mountRecall(component, live) {
  live.mountFigure(component, build);
}
