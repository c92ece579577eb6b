// Figures that change in place: drawn once, then only told what is new. Zoom, hover and scroll survive,
// and a figure that follows a slider or a training network does not blink.

// Global, because an open page loads this file anew when the server was upgraded meanwhile.
const mounted = (globalThis.samplemindFigures ??= new WeakMap());

function plotly(url) {
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

// Plotly's calls are asynchronous and must not overlap on one figure; what came meanwhile is drawn next.
async function draw(view) {
  if (view.drawing) return;
  view.drawing = true;
  try {
    const library = await plotly(view.url);
    while (view.next && !view.gone) {
      const { data, layout } = view.next;
      view.next = null;
      await library.react(view.box, data, { uirevision: 'keep', autosize: true, ...layout }, { displayModeBar: false, responsive: false, scrollZoom: false });
      view.drawn = true;
    }
  } finally {
    view.drawing = false;
    if (view.gone && view.drawn) window.Plotly.purge(view.box);
  }
}

export function mountFigure({ data, parentElement }) {
  const box = parentElement.querySelector('.sm-figure');
  let view = mounted.get(parentElement);
  if (view?.data === data && view.box === box) return;
  if (view && view.box !== box) { unmount(parentElement); view = null; }
  const { figure, alt, height, plotly: url } = JSON.parse(data);
  if (!view) {
    view = { box, url, drawing: false, drawn: false, gone: false };
    view.observer = new ResizeObserver(() => { if (view.drawn && !view.gone && box.clientWidth) window.Plotly.Plots.resize(box); });
    view.observer.observe(box);
    mounted.set(parentElement, view);
  }
  view.data = data;
  view.next = figure;
  box.style.minHeight = `${height}px`;
  box.setAttribute('aria-label', alt);
  draw(view).catch(error => console.error(error));
}

export function unmount(parentElement) {
  const view = mounted.get(parentElement);
  if (!view) return;
  mounted.delete(parentElement);
  view.gone = true;
  view.observer.disconnect();
  if (view.drawn && !view.drawing) window.Plotly.purge(view.box);
}
