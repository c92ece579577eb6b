"""Imports of datasets from the pages: started here, run in a thread, shown wherever there is room."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import BinaryIO

import streamlit as st

from samplemind_core.data.sources import ImportOptions
from samplemind_core.errors import StorageError
from samplemind_core.ui import parts, words
from samplemind_core.ui.jobs import Job, jobs
from samplemind_core.ui.places import go
from samplemind_core.ui.state import owner, show_error, workspace


def start_demo(name: str = "demo") -> Job:
    """Make the demo dataset in the background."""
    store, taken = workspace(), {dataset.name for dataset in workspace().datasets()}
    taken |= {job.name for job in jobs.all() if job.active}
    free = next(text for text in (name, *(f"{name}-{n}" for n in range(2, 10_000))) if text not in taken)
    return jobs.start(free, owner(), lambda progress: store.make_demo(name=free, progress=progress).id)


def start_folder(path: Path, name: str, options: ImportOptions) -> Job:
    """Import a folder, archive or CSV list of this machine in the background."""
    store = workspace()
    return jobs.start(
        name, owner(), lambda progress: store.import_dataset(path, name=name, options=options, progress=progress).id
    )


def start_upload(content: BinaryIO, file_name: str, name: str, options: ImportOptions) -> Job:
    """Import an uploaded archive in the background; it is copied to the disk first and removed afterwards.

    Raises
    ------
    StorageError
        If the workspace cannot take the copy.
    """
    store = workspace()
    # The uploaded name is only shown, never used as a path.
    folder = store.root / "uploads" / uuid.uuid4().hex
    try:
        folder.mkdir(parents=True)
        copy = folder / "archive.zip"
        with copy.open("wb") as target:
            shutil.copyfileobj(content, target, 1 << 20)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StorageError(
            f"The upload '{file_name}' could not be kept: {error.strerror or error}.",
            "Free some space in the workspace and try again.",
        ) from error
    return jobs.start(
        name,
        owner(),
        lambda progress: store.import_dataset(copy, name=name, options=options, progress=progress).id,
        cleanup=lambda: shutil.rmtree(folder, ignore_errors=True),
    )


def running_imports() -> None:
    """Draw what is being imported, or was lately; the page runs anew when one ends."""
    current = jobs.all()
    st.session_state["imports-seen"] = _state(current)
    # Without an import of one's own there is no hurry to notice somebody else's.
    st.fragment(_draw, run_every=1 if any(job.active for job in current) else 5)()


def _state(current: list[Job]) -> list[tuple[str, bool]]:
    return [(job.id, job.active) for job in current]


def _draw() -> None:
    current = jobs.all()
    if _state(current) != st.session_state.get("imports-seen"):
        st.rerun()
    for job in current:
        with st.container(border=True):
            if job.active:
                _active(job)
            else:
                _ended(job)


def _active(job: Job) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{parts.safe(job.name)}**", width="stretch")
        if job.status == "cancelling":
            st.caption("Cancelling", width="content")
        elif st.button("Cancel", icon=":material/close:", key=f"cancel-{job.id}"):
            job.cancel()
            st.rerun(scope="fragment")
    done = f"{job.done:,}" if job.total is None else f"{job.done:,} of {job.total:,}"
    left = job.left_s()
    to_go = "" if left is None else f" · {words.duration(left)} to go"
    if job.share is not None:
        st.progress(job.share)
    st.caption(f"{parts.safe(job.what)} · {done}{to_go}")


def _ended(job: Job) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if job.error is not None:
            with st.container():
                st.markdown(f"**{parts.safe(job.name)}** was not imported")
                show_error(job.error)
        elif job.status == "cancelled":
            st.markdown(f"**{parts.safe(job.name)}** was cancelled. Nothing of it was kept.", width="stretch")
        else:
            took = words.duration((job.ended_at or job.started_at) - job.started_at)
            st.markdown(f"**{parts.safe(job.name)}** is ready, after {took}.", width="stretch")
            if st.button("Train on it", icon=":material/model_training:", key=f"train-{job.id}"):
                go("train", new="1", dataset=job.result or "")
        if st.button("Dismiss", key=f"dismiss-{job.id}"):
            jobs.dismiss(job.id)
            st.rerun()
