"""A run to send to somebody: one HTML page, written when it is asked for."""

from __future__ import annotations

import streamlit as st

from samplemind_core.store import Run
from samplemind_core.ui.state import workspace


def report_button(run: Run, *, key: str) -> None:
    """Draw the button that downloads a run's report."""
    st.download_button(
        "Report", lambda: workspace().run_report(run.id), f"{run.name}.html", "text/html", key=key,
        icon=":material/description:", on_click="ignore",
        help="One page with curves, settings, results and where it was trained. It opens offline and prints well.",
    )  # fmt: skip
