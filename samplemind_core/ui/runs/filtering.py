"""What of all runs is shown: every choice stands in the address, so that a list can be sent to somebody."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from samplemind_core.training.run_list import RunFilter, RunSummary, matching
from samplemind_core.ui import parts

_LABELS = {"status": "Status", "dataset": "Dataset", "owner": "Started by", "tag": "Tag"}


def filters(summaries: Sequence[RunSummary]) -> list[RunSummary]:
    """Draw the search box and the filters; return the runs that they let pass."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search runs", key="q", type="search", placeholder="Search names, notes, tags, datasets, people",
            label_visibility="collapsed", bind="query-params", max_chars=200,
        )  # fmt: skip
        offered: dict[str, dict[str, str]] = {
            "status": {one.run.status: parts.status_word(one.run) for one in summaries},
            "dataset": {one.dataset: one.dataset for one in summaries},
            "owner": {one.run.owner: one.run.owner or "nobody" for one in summaries},
            "tag": {tag: tag for one in summaries for tag in one.run.tags},
        }
        picked: dict[str, tuple[str, ...]] = dict.fromkeys(offered, ())
        useful = [name for name, options in offered.items() if _useful(name, options)]
        if useful:  # an empty popover is a button that does nothing
            with st.popover("Filters", icon=":material/filter_list:"):
                picked |= {name: _pick(name, offered[name]) for name in useful}
    wanted = RunFilter(
        text=text or "", statuses=picked["status"], datasets=picked["dataset"], owners=picked["owner"],
        tags=picked["tag"],
    )  # fmt: skip
    return matching(summaries, wanted)


def clear() -> None:
    """Let all runs pass again; for a button's ``on_click``."""
    st.session_state["q"] = ""
    for name in ("status", "dataset", "owner", "tag"):
        st.session_state[name] = []


def _useful(name: str, options: dict[str, str]) -> bool:
    """Return whether there is something to choose from, or something was chosen that can be taken back."""
    return len(options) >= (1 if name == "tag" else 2) or bool(st.session_state.get(name) or st.query_params.get(name))


def _pick(name: str, options: dict[str, str]) -> tuple[str, ...]:
    return tuple(
        st.multiselect(
            _LABELS[name], sorted(options), format_func=lambda key: options.get(key, key), key=name,
            bind="query-params", placeholder="All",
        )
    )  # fmt: skip
