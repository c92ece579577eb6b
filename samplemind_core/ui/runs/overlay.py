"""Curves of selected runs over each other: one colour a run, training thin, validation dashed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.training.run_list import RunSummary
from samplemind_core.ui import hints, parts
from samplemind_core.ui.state import theme, workspace

if TYPE_CHECKING:
    import plotly.graph_objects as go

MAX_OVERLAID = 20


def overlay(picked: Sequence[RunSummary]) -> None:
    """Draw loss and accuracy of the selected runs."""
    from samplemind_core.charts.curves import overlay_figure

    drawn = [one for one in picked if one.curve.epochs][:MAX_OVERLAID]
    if not drawn:
        st.caption(
            "None of these runs has finished an epoch."
            if picked
            else "Select runs in the first column to lay their curves over each other, compare or delete them."
        )
        return
    rows = [(one.run.name, [epoch.as_dict() for epoch in workspace().epochs(one.run.id)]) for one in drawn]
    left, right = st.columns(2)
    with left, st.container(border=True):
        hints.section("Loss", "loss")
        _figure(overlay_figure(rows, "loss", theme()), "loss")
    with right, st.container(border=True):
        hints.section("Accuracy", "accuracy")
        _figure(overlay_figure(rows, "accuracy", theme()), "accuracy")
    without = sum(not one.curve.epochs for one in picked)
    notes = ["Validation is dashed and bold, training thin. Point at a figure to save it as a picture."]
    if without:
        notes.append(f"{without} of the selected runs {'has' if without == 1 else 'have'} no epoch yet.")
    if len(picked) - without > MAX_OVERLAID:
        notes.append(f"The first {MAX_OVERLAID} of {len(picked) - without} are drawn.")
    st.caption(" ".join(notes))


def _figure(chart: go.Figure, metric: str) -> None:
    from samplemind_core.charts.style import palette

    # A picture that leaves the page takes its ground along: light words on none are lost in a letter.
    chart.update_layout(paper_bgcolor=palette(theme()).background)
    parts.figure(chart, key=f"runs-{metric}", picture=f"runs-{metric}")
