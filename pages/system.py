"""What this installation runs on, and whether it is well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from samplemind_core.store.records import ACTIVE
from samplemind_core.ui import parts, words
from samplemind_core.ui.places import link
from samplemind_core.ui.state import error_boundary, workspace


def main() -> None:
    parts.header("System", "What this installation runs on, and what it is doing.")
    with error_boundary():
        st.fragment(queue, run_every=5)()
    with error_boundary():
        with st.spinner("Looking around"):
            report = workspace().doctor()
        sections(report)


def queue() -> None:
    workspace().tend()
    runs = workspace().runs()
    working = [run for run in runs if run.status in ACTIVE]
    waiting = [run for run in runs if run.status == "queued"]
    with st.container(border=True):
        parts.section("Queue")
        if not working and not waiting:
            st.caption("Nothing is training and nothing waits.")
        for run in [*working, *reversed(waiting)]:
            with st.container(horizontal=True, vertical_alignment="center"):
                parts.status_badge(run)
                link("train", run.name, run=run.id)
                host = (run.worker or {}).get("host", "")
                beat = f"last sign of life {words.when(run.heartbeat_at)}" if run.heartbeat_at else ""
                st.caption(" · ".join(part for part in (str(host), beat) if part))


def sections(report: Mapping[str, Any]) -> None:
    plain = {words.setting(name): value for name, value in report.items() if not isinstance(value, Mapping)}
    groups = {words.setting(name): value for name, value in report.items() if isinstance(value, Mapping)}
    tables = ({"Overview": plain} if plain else {}) | groups
    with st.grid(2, min_column_width=320):
        for title, rows in tables.items():
            with st.container(border=True, height="stretch"):
                parts.section(title)
                # Packages keep their own spelling.
                named = rows if title == "Versions" else {words.setting(str(key)): rows[key] for key in rows}
                parts.facts(named)


with error_boundary():
    main()
