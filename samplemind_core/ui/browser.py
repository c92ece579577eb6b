"""The samples of a dataset as a list to filter, hear and change, without a rerun for each click."""

from __future__ import annotations

import json
from collections.abc import Sequence

import streamlit as st

from samplemind_core.server import STATIC, asset_url, browse_urls
from samplemind_core.store import Dataset
from samplemind_core.ui.state import owner, theme

FILTERS = ("label", "source", "split", "state", "finding", "text")
MAX_VALUE = 300

_JS = """
const browser = import(new URL(%s, document.baseURI).href);
export default function (component) {
  browser.then(module => module.mountBrowser(component)).catch(error => console.error(error));
  return () => browser.then(module => module.unmountBrowser(component.parentElement));
}
"""
_browser = st.components.v2.component(
    "samplemind_browser",
    html='<div class="sb"></div>',
    css=(STATIC / "browser.css").read_text(),
    js=_JS % json.dumps(asset_url("browser.js")),
)


def clip_browser(dataset: Dataset, findings: Sequence[tuple[str, str]] = (), *, key: str) -> None:
    """Draw the samples of a dataset; what is filtered by stands in the address.

    Parameters
    ----------
    dataset : Dataset
        Its newest version.
    findings : sequence of (key, title)
        What can be filtered by besides class, source and split.
    key : str
    """
    from samplemind_core.charts.signals import LOUDNESS
    from samplemind_core.charts.style import class_color

    filters = {name: st.query_params[name][:MAX_VALUE] for name in FILTERS if st.query_params.get(name)}
    data = {
        "urls": browse_urls(dataset.id, owner()),
        "player": asset_url("player.js"),
        "version": dataset.version,
        "class_names": dataset.class_names,
        "multi_label": dataset.multi_label,
        "colors": {name: class_color(index, theme()) for index, name in enumerate(dataset.class_names)},
        "loudness": LOUDNESS[theme()],
        "filters": filters,
        "findings": [{"key": name, "title": title} for name, title in findings],
    }
    # As text: given a mapping, Streamlit imports pandas to look for tables in it.
    _browser(key=key, data=json.dumps(data), on_edited_change=_draw_again)


def forget_filters() -> None:
    """Take the filters out of the address."""
    for name in FILTERS:
        st.query_params.pop(name, None)


def _draw_again() -> None:
    """Do nothing: the rerun that follows draws the rest of the page from the new version."""
