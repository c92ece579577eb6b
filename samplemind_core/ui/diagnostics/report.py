"""Everything on this page to send to somebody: one HTML file, JSON, and a table of all answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked
from samplemind_core.ui.state import workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.report import Report


def draw(picked: Picked) -> None:
    """Draw the section."""
    with st.container(border=True):
        parts.section("Send it to somebody")
        st.caption(
            "One HTML file with the verdict, all scores, curves, confusions, calibration and slices. Its figures can "
            "be pointed at, and it opens without a network. JSON holds the same numbers, CSV one row for each sample."
        )
        report = _report(picked, picked.stamp, tuple(model.ref for model in picked.models))
        stem = (
            f"{picked.dataset.name}-{'-'.join(model.name for model in picked.models)}-{picked.split.replace(':', '-')}"
        )
        with st.container(horizontal=True):
            page = report.html.encode()
            st.download_button(
                "Report (HTML)", page, f"{stem}.html", "text/html", key="report-html", type="primary",
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip
            st.download_button(
                "Numbers (JSON)", json.dumps(report.data, indent=1), f"{stem}.json", "application/json",
                key="report-json", icon=":material/download:", on_click="ignore",
            )  # fmt: skip
            st.download_button(
                "Answers (CSV)", report.csv, f"{stem}.csv", "text/csv", key="report-csv",
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip
        st.caption(f"The HTML file has {words.size(len(page))}, most of it the drawing library.")


@st.cache_resource(max_entries=4, show_spinner="Writing the report", show_time=True)
def _report(_picked: Picked, stamp: tuple[Any, ...], refs: tuple[str, ...]) -> Report:
    from samplemind_core.evaluation.report import describe_model, make_report

    store = workspace()
    models = [
        describe_model(
            model.name, model.judged, model.run, model.checkpoint, store.root,
            store.epochs(model.run.id) if model.run else [],
        )
        for model in _picked.models
    ]  # fmt: skip
    return make_report(models, _picked.clips, _picked.dataset.name, _picked.split, _picked.notes)
