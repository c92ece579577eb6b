"""Figures that change in place, without the blink of a chart that is drawn anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.server import asset_url

if TYPE_CHECKING:
    import plotly.graph_objects as go

_JS = """
const figures = import(new URL(%s, document.baseURI).href);
export default function (component) {
  figures.then(module => module.mountFigure(component)).catch(error => console.error(error));
  return () => figures.then(module => module.unmount(component.parentElement));
}
"""
_figure = st.components.v2.component(
    "samplemind_figure",
    html='<div class="sm-figure" role="img"></div>',
    css=".sm-figure {\n  width: 100%;\n}\n",
    js=_JS % json.dumps(asset_url("figure.js")),
    # Plotly's own styles live in the document, out of reach of a shadow tree.
    isolate_styles=False,
)


def living_figure(chart: go.Figure, *, key: str, alt: str = "") -> None:
    """Draw a figure that is updated in place whenever it changes under the same key.

    Parameters
    ----------
    chart : plotly Figure
        With a fixed height.
    key : str
    alt : str
        Text alternative; the figure's own (``layout.meta["alt"]``) where empty.
    """
    # As text: given a mapping, Streamlit imports pandas to look for tables in it.
    figure = json.loads(str(chart.to_json(validate=False)))
    data = {
        "figure": {"data": figure["data"], "layout": figure["layout"]},
        "alt": alt or chart.layout.meta["alt"],
        "height": chart.layout.height,
        "plotly": asset_url("plotly.js"),
    }
    _figure(key=key, data=json.dumps(data))
