"""All runs: sorted, filtered, laid over each other, and what their settings did to the result."""

from __future__ import annotations

import streamlit as st

from samplemind_core.store.records import ACTIVE
from samplemind_core.ui import parts, words
from samplemind_core.ui.places import go
from samplemind_core.ui.runs.acting import actions, deleted_list, undo
from samplemind_core.ui.runs.filtering import clear, filters
from samplemind_core.ui.runs.overlay import overlay
from samplemind_core.ui.runs.settings_map import settings_map
from samplemind_core.ui.runs.table import table
from samplemind_core.ui.state import error_boundary, workspace

WATCH_S = 3


def main() -> None:
    workspace().tend()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Runs", anchor=False, width="stretch")
        if st.button("New run", icon=":material/add:", key="runs-new"):
            go("train", new="1")
    summaries = workspace().run_summaries()
    undo()
    if not summaries:
        parts.empty_state(
            "Every run will be a line here, with its curves, settings and scores.",
            "Train a network",
            "train",
            key="runs-train",
            icon=":material/model_training:",
        )
        deleted_list()
        return
    shown = filters(summaries)
    if not shown:
        with st.container(border=True, horizontal_alignment="center", gap="medium"):
            st.markdown(f"None of {words.plural(len(summaries), 'run')} fits the search.", text_alignment="center")
            st.button("Show all", icon=":material/filter_list_off:", key="runs-clear", on_click=clear)
        return
    st.caption(_count(len(shown), len(summaries)))
    picked = table(shown)
    actions(picked, shown)
    overlay(picked)
    if len(summaries) > 1:
        settings_map(picked, shown)
    deleted_list()
    going = any(one.run.status in (*ACTIVE, "queued") for one in summaries)
    st.fragment(watch, run_every=WATCH_S if going else None)(_stamp())


def watch(seen: list[tuple[object, ...]]) -> None:
    """Draw the page anew when a run began, got an epoch further, or ended."""
    workspace().tend()
    if _stamp() != seen:
        st.rerun()


def _stamp() -> list[tuple[object, ...]]:
    waiting = workspace().store.runs.all(statuses=(*ACTIVE, "queued"))
    return [(run.id, run.status, run.progress.get("epoch")) for run in waiting]


def _count(shown: int, total: int) -> str:
    return words.plural(total, "run") if shown == total else f"{shown:,} of {words.plural(total, 'run')}"


with error_boundary():
    main()
