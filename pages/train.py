"""Start a run, watch it, stop it, resume it. The parts are in :mod:`samplemind_core.ui.train`."""

from __future__ import annotations

import streamlit as st

from samplemind_core.ui import parts
from samplemind_core.ui.state import error_boundary, workspace
from samplemind_core.ui.train.controlling import deleted_run, deleted_runs, show_deleted, undo_bar
from samplemind_core.ui.train.starting import new_run
from samplemind_core.ui.train.watching import run_view


def main() -> None:
    datasets, runs = workspace().datasets(), workspace().runs()
    if not datasets:
        parts.header("Train")
        parts.empty_state(
            "Runs and their live curves will be here, once there is a dataset to train on.",
            "Get a dataset",
            "data",
            key="get-dataset",
            icon=":material/library_music:",
        )
        return
    deleted = deleted_run()
    if deleted is not None:
        show_deleted(deleted)
        return
    if "new" in st.query_params or not runs:
        parts.header("New run", "A run trains one network on one dataset. It goes on when you leave this page.")
        undo_bar()
        new_run(cancellable=bool(runs))
        if not runs:
            deleted_runs()
        return
    run_view(runs)


with error_boundary():
    main()
