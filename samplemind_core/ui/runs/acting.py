"""What can be done with selected runs: open one, compare several, delete them and bring them back."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from samplemind_core.store.records import ACTIVE
from samplemind_core.training.run_list import RunSummary, runs_csv
from samplemind_core.ui import parts, words
from samplemind_core.ui.places import go
from samplemind_core.ui.run_report import report_button
from samplemind_core.ui.state import error_boundary, owner, workspace

MAX_COMPARED = 6
_LETTERS = "abcdef"
_DELETED = "runs-deleted"


def actions(picked: Sequence[RunSummary], shown: Sequence[RunSummary]) -> None:
    """Draw the buttons for the selected runs; the table of all that are shown can always be saved."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(picked) == 1 and st.button("Open", icon=":material/open_in_new:", type="primary", key="runs-open"):
            go("train", run=picked[0].run.id)
        if len(picked) == 1:
            report_button(picked[0].run, key="runs-report")
        judged = [one for one in picked if one.run.best_epoch is not None]
        if len(judged) > 1:
            _compare(judged)
        if picked:
            _delete(picked)
        st.download_button(
            "Save as CSV", lambda: runs_csv(picked or shown), "runs.csv", "text/csv", key="runs-csv",
            icon=":material/download:", on_click="ignore", type="tertiary",
            help="The selected runs, or all that are listed, with every setting.",
        )  # fmt: skip


def _compare(judged: Sequence[RunSummary]) -> None:
    same = len({one.run.dataset_id for one in judged}) == 1
    num = min(len(judged), MAX_COMPARED)
    said = f"Their best checkpoints on the same test samples{'' if same else ' of the first one’s dataset'}."
    more = f" The first {num} of {len(judged)}." if len(judged) > num else ""
    if st.button(
        f"Compare {num}", icon=":material/compare_arrows:", type="primary", key="runs-compare", help=said + more
    ):
        chosen = {letter: f"{one.run.id}:best" for letter, one in zip(_LETTERS, judged, strict=False)}
        go("diagnostics", dataset=judged[0].run.dataset_id, **chosen)


def _delete(picked: Sequence[RunSummary]) -> None:
    going = [one for one in picked if one.run.status in ACTIVE]
    many = "" if len(picked) == 1 else f" {len(picked)}"
    help = "Stop runs before you delete them." if going else "They can be brought back."
    if st.button(f"Delete{many}", icon=":material/delete:", key="runs-delete", disabled=bool(going), help=help):
        with error_boundary():
            gone = []
            for one in picked:
                workspace().delete_run(one.run.id, by=owner())
                gone.append(one.run.id)
            st.session_state[_DELETED] = gone
            st.rerun()


def undo() -> None:
    """Offer to take the viewer's last deletion back, and list whatever else can be brought back."""
    deleted = workspace().deleted_runs()
    if not deleted:
        return
    mine = [run for run in deleted if run.id in st.session_state.get(_DELETED, ())]
    if mine:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            names = parts.safe(mine[0].name) if len(mine) == 1 else words.plural(len(mine), "run")
            st.markdown(f"{names} deleted.", width="stretch")
            if st.button("Undo", icon=":material/undo:", key="runs-undo"):
                with error_boundary():
                    for run in mine:
                        workspace().restore_run(run.id, by=owner())
                    st.rerun()


def deleted_list() -> None:
    """Draw the runs that were deleted and can still come back."""
    deleted = workspace().deleted_runs()
    if not deleted:
        return
    with st.expander(f"Deleted runs ({len(deleted)})", icon=":material/delete:"):
        for run in deleted[:50]:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"{parts.safe(run.name)} · deleted {words.when(run.deleted_at)}", width="stretch")
                if st.button("Bring back", key=f"runs-back-{run.id}", icon=":material/undo:"):
                    with error_boundary():
                        workspace().restore_run(run.id, by=owner())
                        st.rerun()
        if len(deleted) > 50:
            st.caption(f"The newest 50 of {len(deleted):,}.")
