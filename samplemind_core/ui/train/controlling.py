"""What can be done to a run: stop, pause, resume, name it, write beside it, delete it and bring it back."""

from __future__ import annotations

import time

import streamlit as st

from samplemind_core.config import RunConfig
from samplemind_core.store import Run
from samplemind_core.store.records import RESUMABLE
from samplemind_core.training.control import MAX_NOTES
from samplemind_core.ui import parts, words
from samplemind_core.ui.state import error_boundary, is_mine, owner, workspace
from samplemind_core.ui.train.starting import tag_field

_TAIL = "The learning rate starts again at a tenth of its peak and falls along a cosine"
EXTENDED = {
    "onecycle": f"{_TAIL} to almost nothing over the added epochs.",
    "cosine": f"{_TAIL} to zero over the added epochs.",
    "plateau": "The learning rate goes on where it was, and still drops when validation loss stalls.",
    "constant": "The learning rate stays as it was.",
}
"""What becomes of the learning rate of a run that goes on beyond its end, by schedule."""

DELETED = "train-deleted"
"""Session state: the run that this viewer deleted last, offered to be brought back."""


def actions(run: Run) -> None:
    """Draw the buttons that a run's status allows."""
    if run.status in ("running", "queued"):
        _halt(run, "Pause", ":material/pause:", pause=True)
        _halt(run, "Stop", ":material/stop_circle:", pause=False)
    if run.status in RESUMABLE:
        label = "Try again" if run.status == "failed" else "Resume"
        if st.button(label, icon=":material/resume:", key="resume"):
            with error_boundary():
                workspace().resume(run.id, by=owner())
                st.rerun()
    if run.status == "finished":
        _extend(run)
    _more(run)
    if st.button("New run", type="primary", icon=":material/add:", key="new"):
        st.query_params.from_dict({"new": "1", "dataset": run.dataset_id})
        st.rerun()


def owner_badge(run: Run) -> None:
    """Say whose run it is, where it is somebody else's."""
    if not is_mine(run.owner):
        st.badge(
            parts.safe(run.owner), icon=":material/person:", color="violet", help="Somebody else started this run."
        )


def _halt(run: Run, label: str, icon: str, *, pause: bool) -> None:
    key = label.lower()
    if is_mine(run.owner):
        pressed = st.button(label, icon=icon, key=key)
    else:
        with st.popover(label, icon=icon, key=f"{key}-theirs"):
            st.markdown(f"**{parts.safe(run.owner)}** started this run.")
            pressed = st.button(f"{label} it all the same", icon=icon, key=key)
    if pressed:
        with error_boundary():
            workspace().stop(run.id, by=owner(), pause=pause)
            st.rerun()


def _extend(run: Run) -> None:
    train = RunConfig.model_validate(run.config).train
    with st.popover("Train longer", icon=":material/more_time:", key="extend"):
        more = st.number_input(
            "Further epochs", 1, 10_000, max(5, min(50, train.epochs // 2)), key=f"extend-epochs-{run.id}"
        )
        st.caption(EXTENDED[train.schedule])
        if st.button("Go on", icon=":material/play_arrow:", key="extend-go"):
            with error_boundary():
                workspace().extend(run.id, int(more), by=owner())
                st.rerun()


def _more(run: Run) -> None:
    with st.popover("More", icon=":material/more_horiz:", key="more"):
        with st.form("describe", border=False, enter_to_submit=True):
            name = st.text_input("Name", run.name, key=f"name-{run.id}", max_chars=200)
            notes = st.text_area("Notes", run.notes, key=f"notes-{run.id}", max_chars=MAX_NOTES, height=90)
            tags = tag_field(run.tags, key=f"tags-{run.id}")
            saved = st.form_submit_button("Save", icon=":material/check:", key="describe-save")
        if saved:
            with error_boundary():
                workspace().describe_run(run.id, name=name, notes=notes, tags=tags)
                st.rerun()
        if st.button("New run from these settings", icon=":material/content_copy:", key="again", width="stretch"):
            st.query_params.from_dict({"new": "1", "dataset": run.dataset_id, "based_on": run.id})
            st.rerun()
        busy = run.status in ("running", "stopping")
        if st.button(
            "Delete",
            icon=":material/delete:",
            key="delete",
            width="stretch",
            disabled=busy,
            help="Stop it first." if busy else f"It can be brought back for {_kept_for()}.",
        ):
            with error_boundary():
                workspace().delete_run(run.id, by=owner())
                st.session_state[DELETED] = run.id
                st.query_params.clear()
                st.rerun()


def undo_bar() -> None:
    """Offer to bring back what this viewer has just deleted."""
    run_id = st.session_state.get(DELETED)
    run = next((row for row in workspace().deleted_runs() if row.id == run_id), None)
    if run is None:
        st.session_state.pop(DELETED, None)
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{parts.safe(run.name)}** was deleted.", width="stretch")
        if st.button("Undo", icon=":material/undo:", key="undo-delete"):
            _bring_back(run)
        if st.button("Dismiss", key="undo-dismiss", type="tertiary"):
            del st.session_state[DELETED]
            st.rerun()


def deleted_run() -> Run | None:
    """Return the run that the address names, if it was deleted and can come back."""
    name = "" if "new" in st.query_params else st.query_params.get("run", "")
    return next((run for run in workspace().deleted_runs() if name in (run.id, run.name)), None) if name else None


def show_deleted(run: Run) -> None:
    """Draw what a link to a deleted run leads to."""
    parts.header(run.name)
    until = (run.deleted_at or 0) + 3600 * workspace().settings.keep_deleted_h
    st.caption(f"This run was deleted {words.when(run.deleted_at)}. It can be brought back until {words.when(until)}.")
    with st.container(horizontal=True):
        if st.button("Bring it back", type="primary", icon=":material/undo:", key="bring-back"):
            _bring_back(run)
        if st.button("To the other runs", key="others"):
            st.query_params.clear()
            st.rerun()


def deleted_runs() -> None:
    """List what can be brought back, folded away; nothing where there is none."""
    runs = workspace().deleted_runs()
    if not runs:
        return
    with st.expander(f"{words.plural(len(runs), 'deleted run')}", icon=":material/delete:"):
        for run in runs[:20]:
            with st.container(horizontal=True, vertical_alignment="center"):
                left_s = (run.deleted_at or 0) + 3600 * workspace().settings.keep_deleted_h - time.time()
                left = f"{words.duration(left_s)} left" if left_s > 0 else "about to go"
                st.markdown(f"{parts.safe(run.name)} · {left}", width="stretch")
                if st.button("Bring back", key=f"restore-{run.id}"):
                    _bring_back(run)


def _bring_back(run: Run) -> None:
    with error_boundary():
        workspace().restore_run(run.id, by=owner())
        st.session_state.pop(DELETED, None)
        st.query_params.from_dict({"run": run.id})
        st.rerun()


def _kept_for() -> str:
    hours = workspace().settings.keep_deleted_h
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"
