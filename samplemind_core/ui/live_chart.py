"""Live curves and numbers of a run: drawn in the browser, fed by one WebSocket, never by a rerun."""

from __future__ import annotations

import json
from typing import Literal

import streamlit as st

from samplemind_core.server import STATIC, asset_url, stream_url

# The script is loaded by its address: what is written here travels with every message.
_JS = """
const live = import(new URL(%s, document.baseURI).href);
export default function (component) {
  live.then(module => module.%s(component)).catch(error => console.error(error));
  return () => live.then(module => module.unmount(component.parentElement));
}
"""
_CSS = (STATIC / "live.css").read_text()


def _script(function: str) -> str:
    return _JS % (json.dumps(asset_url("live.js")), function)


_chart = st.components.v2.component(
    "samplemind_live_chart",
    html='<div class="sm-chart" role="img" aria-label="No epoch has finished yet."></div>',
    css=_CSS,
    js=_script("mountChart"),
    # Plotly's own styles live in the document, out of reach of a shadow tree.
    isolate_styles=False,
)
_numbers = st.components.v2.component(
    "samplemind_live_numbers", html='<div class="sm-numbers"></div>', css=_CSS, js=_script("mountNumbers")
)


def live_chart(run_id: str, kind: Literal["loss", "accuracy"], *, key: str, height: int = 300) -> None:
    """Draw a run's curves of one metric and let them grow in place.

    Parameters
    ----------
    run_id : str
    kind : {'loss', 'accuracy'}
    key : str
    height : int
        In px.
    """
    data = {"run": run_id, "url": stream_url(run_id), "kind": kind, "height": height, "plotly": asset_url("plotly.js")}
    # As text: given a mapping, Streamlit imports pandas to look for tables in it.
    _chart(key=key, data=json.dumps(data))


def live_numbers(run_id: str, *, key: str) -> None:
    """Draw the last epoch's numbers, and how far the current one is."""
    _numbers(key=key, data=json.dumps({"run": run_id, "url": stream_url(run_id)}))
