"""What to know about the length of the window before a run starts, and the length that would suit the clips."""

from __future__ import annotations

import streamlit as st

from samplemind_core.config import RunConfig, apply_changes
from samplemind_core.data.window_length import window_fit
from samplemind_core.store import Dataset
from samplemind_core.ui import words
from samplemind_core.ui.state import workspace
from samplemind_core.ui.train.differences import differences

PATH = "features.duration_s"


def window_advice(start: RunConfig, config: RunConfig, dataset: Dataset) -> None:
    """Say where the window of ``config`` is too short or needlessly long for the clips; one click changes it.

    ``start`` is the preset or the run that the settings started from.
    """
    lengths = _lengths(str(workspace().root), dataset.id, dataset.version)
    if not lengths:
        return  # spectrograms that came ready-made
    fit = window_fit(lengths, config.features.duration_s)
    if not (fit.cuts or fit.wastes):
        return
    held = f"{fit.proposed_s:g} s would hold {words.percent(fit.share_held, 0)} of them whole"
    if fit.cuts:
        text = (
            f":material/content_cut: {words.percent(fit.share_longer, 0)} of the samples are longer than the "
            f"{fit.window_s:g} s that the network hears; the rest of them is cut. {held}, at about "
            f"{fit.proposed_s / fit.window_s:g} times the time and memory."
        )
    else:
        text = (
            f":material/timelapse: The network hears {fit.window_s:g} s, mostly silence with these samples. {held} "
            "and train in less time."
        )
    with st.container(horizontal=True, vertical_alignment="center", key="window-advice"):
        st.caption(text, width="content")
        st.button(
            f"Use {fit.proposed_s:g} s", key="use-window", type="tertiary", icon=":material/check:",
            on_click=_fill_in, args=(start, apply_changes(config, {PATH: fit.proposed_s})),
        )  # fmt: skip


def _fill_in(start: RunConfig, wanted: RunConfig) -> None:
    """Let the form show settings, by the address that a link to them has."""
    rows = differences(start, wanted)
    st.query_params["set"] = ",".join(f"{row.path}={'none' if row.after is None else row.after}" for row in rows)
    if st.session_state.get("new-preset") == start.preset and "based_on" not in st.query_params:
        st.query_params["preset"] = start.preset


@st.cache_data(max_entries=64, show_spinner=False)
def _lengths(root: str, dataset_id: str, version: int) -> list[float]:
    del root, version  # only part of the key
    return [clip.duration_s for clip in workspace().store.datasets.clips(dataset_id) if clip.duration_s]
