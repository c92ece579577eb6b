"""What of all runs is shown: every choice stands in the address, so that a list can be sent to somebody."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from samplemind_core.training.run_list import RunFilter, RunSummary, matching
from samplemind_core.ui import parts


def filters(summaries: Sequence[RunSummary]) -> list[RunSummary]:
    """Draw the search box and the filters; return the runs that they let pass."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search runs", key="q", type="search", placeholder="Search names, notes, tags, datasets, people",
            label_visibility="collapsed", bind="query-params", max_chars=200,
        )  # fmt: skip
        with st.popover("Filters", icon=":material/filter_list:"):
            wanted = RunFilter(
                text=text or "",
                statuses=_pick("Status", "status", {one.run.status: parts.status_word(one.run) for one in summaries}),
                datasets=_pick("Dataset", "dataset", {one.dataset: one.dataset for one in summaries}),
                owners=_pick("Started by", "owner", {one.run.owner: one.run.owner or "nobody" for one in summaries}),
                tags=_pick("Tag", "tag", {tag: tag for one in summaries for tag in one.run.tags}),
            )
    return matching(summaries, wanted)


def clear() -> None:
    """Let all runs pass again; for a button's ``on_click``."""
    st.session_state["q"] = ""
    for name in ("status", "dataset", "owner", "tag"):
        st.session_state[name] = []


def _pick(label: str, name: str, options: dict[str, str]) -> tuple[str, ...]:
    if len(options) < (1 if name == "tag" else 2) and not st.session_state.get(name):
        return ()  # nothing to choose from
    return tuple(
        st.multiselect(
            label, sorted(options), format_func=lambda key: options.get(key, key), key=name, bind="query-params",
            placeholder="All",
        )
    )  # fmt: skip
