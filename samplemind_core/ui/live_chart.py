"""Live curves, numbers and the verdict of a run: drawn in the browser, fed by one WebSocket, never by a rerun."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import streamlit as st

from samplemind_core.server import STATIC, asset_url, stream_url

# The scripts are loaded by their addresses: what is written here travels with every message.
_JS = """
const live = import(new URL(%s, document.baseURI).href);
const part = import(new URL(%s, document.baseURI).href);
export default function (component) {
  Promise.all([live, part]).then(([live, part]) => part.%s(component, live)).catch(error => console.error(error));
  return () => live.then(live => live.unmount(component.parentElement));
}
"""
_CSS = (STATIC / "live.css").read_text()
MAX_GHOSTS = 5

Kind = Literal["loss", "accuracy", "map", "lr"]


def _script(file: str, function: str) -> str:
    return _JS % (json.dumps(asset_url("live.js")), json.dumps(asset_url(file)), function)


_CHART = '<div class="sm-chart" role="img" aria-label="No epoch has finished yet."></div>'
_chart = st.components.v2.component(
    "samplemind_live_chart",
    html=_CHART,
    css=_CSS,
    js=_script("live_chart.js", "mountChart"),
    # Plotly's own styles live in the document, out of reach of a shadow tree.
    isolate_styles=False,
)
_recall = st.components.v2.component(
    "samplemind_live_recall", html=_CHART, css=_CSS, js=_script("live_recall.js", "mountRecall"), isolate_styles=False
)
_numbers = st.components.v2.component(
    "samplemind_live_numbers",
    html='<div class="sm-numbers"></div>',
    css=_CSS,
    js=_script("live.js", "mountNumbers"),
)
_verdict = st.components.v2.component(
    "samplemind_live_verdict",
    html='<div class="sm-verdict" role="status" hidden></div>',
    css=_CSS,
    js=_script("live.js", "mountVerdict"),
)


def live_chart(
    run_id: str,
    kind: Kind,
    *,
    key: str,
    height: int = 300,
    log: bool = False,
    smoothing: float = 0.0,
    ghosts: Mapping[str, str] | None = None,
    extended: Sequence[int] = (),
) -> None:
    """Draw a run's curves of one metric and let them grow in place.

    Parameters
    ----------
    run_id : str
    kind : {'loss', 'accuracy', 'map', 'lr'}
        ``map`` is mean average precision, of runs on samples with several labels.
    key : str
    height : int
        In px.
    log : bool
        Whether loss is drawn on a logarithmic scale.
    smoothing : float
        Weight of the past in a smoothed line drawn over the raw one, from 0 (none) below 1.
    ghosts : mapping of str to str
        Names by id of runs to draw as pale lines behind this one.
    extended : sequence of int
        Epochs after which the run was extended.
    """
    behind = [{"run": run, "name": name, "url": stream_url(run)} for run, name in (ghosts or {}).items()]
    data = _address(run_id) | {
        "kind": kind,
        "height": height,
        "plotly": asset_url("plotly.js"),
        "log": log,
        "smoothing": smoothing,
        "ghosts": behind[:MAX_GHOSTS],
        "extended": list(extended),
    }
    # As text: given a mapping, Streamlit imports pandas to look for tables in it.
    _chart(key=key, data=json.dumps(data))


def live_recall(run_id: str, class_names: Sequence[str], counts: Sequence[int], *, key: str, height: int = 220) -> None:
    """Draw the recall of each class by epoch as strips that grow in place.

    Parameters
    ----------
    run_id : str
    class_names : sequence of str
    counts : sequence of int
        Validation clips of each class.
    key : str
    height : int
        In px.
    """
    data = _address(run_id) | {
        "height": height,
        "plotly": asset_url("plotly.js"),
        "classes": list(class_names),
        "counts": list(counts),
    }
    _recall(key=key, data=json.dumps(data))


def live_numbers(run_id: str, *, key: str) -> None:
    """Draw the last epoch's numbers, and how far the current one is."""
    _numbers(key=key, data=json.dumps(_address(run_id)))


def live_verdict(run_id: str, seen: str, *, key: str, on_change: Callable[[], None]) -> None:
    """Draw what the curves say so far; rerun the page when the run's status or the verdict changes.

    Parameters
    ----------
    run_id : str
    seen : str
        What the page is drawn from: :func:`signal` of the run and its last epoch.
    key : str
    on_change : callable
    """
    _verdict(key=key, data=json.dumps(_address(run_id) | {"seen": seen}), on_changed_change=on_change)


def signal(status: str, paused: bool, verdict: str) -> str:
    """Return in one text what of a run a page shows that does not update itself; the browser makes the same."""
    return f"{status}|{int(paused)}|{verdict}"


def _address(run_id: str) -> dict[str, object]:
    return {"run": run_id, "url": stream_url(run_id)}
