"""Imports of datasets from the pages: started here, done by the task worker, shown wherever there is room."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import streamlit as st

from samplemind_core.data.import_task import importing, keep_upload, submit_demo, submit_import
from samplemind_core.data.sources import ImportOptions
from samplemind_core.store import Task
from samplemind_core.ui import parts, words
from samplemind_core.ui.places import go
from samplemind_core.ui.state import owner, workspace
from samplemind_core.ui.task_progress import live_tasks


def start_demo(name: str = "demo", *, layers: bool = False) -> Task:
    """Make the demo dataset in the background; with ``layers`` the one with several labels per sample."""
    store = workspace()
    taken = {dataset.name for dataset in store.datasets()}
    taken |= {task.params["name"] for task in importing(store.tasks) if task.active}
    free = next(text for text in (name, *(f"{name}-{n}" for n in range(2, 10_000))) if text not in taken)
    return submit_demo(store.tasks, store.store, free, owner=owner(), layers=layers)


def start_folder(path: Path, name: str, options: ImportOptions) -> Task:
    """Import a folder, archive or CSV list of this machine in the background."""
    store = workspace()
    return submit_import(store.tasks, store.store, path, name, options, owner())


def start_upload(files: Mapping[str, BinaryIO], name: str, options: ImportOptions) -> Task:
    """Import uploaded files in the background; they are copied to the disk first and removed afterwards."""
    store = workspace()
    return submit_import(store.tasks, store.store, keep_upload(files), name, options, owner())


def running_imports(*, lead_on: bool = True) -> None:
    """Draw what is being imported, or was lately; the page runs anew when one ends.

    Parameters
    ----------
    lead_on : bool
        Whether a finished one brings a button to train on it; not where the page has that button anyway.
    """
    live_tasks(lambda: importing(workspace().tasks), key="imports-seen", on_done=_ready if lead_on else _told)


def _told(task: Task) -> None:
    took = words.duration((task.ended_at or 0.0) - (task.started_at or 0.0))
    st.markdown(f"**{parts.safe(task.title)}** is ready, after {took}.", width="stretch")


def _ready(task: Task) -> None:
    _told(task)
    if st.button("Train on it", icon=":material/model_training:", key=f"train-{task.id}"):
        go("train", new="1", dataset=str((task.result or {}).get("dataset", "")))
