"""What takes longer than a moment before it can be shown: done by the worker, with its progress in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from samplemind_core.evaluation.work_ahead import WorkAhead, answers_ahead, embeddings_ahead
from samplemind_core.starter import has_answered, is_starter
from samplemind_core.store import Checkpoint, Dataset, Task
from samplemind_core.ui import words
from samplemind_core.ui.diagnostics.picked import clips_of
from samplemind_core.ui.state import owner, workspace
from samplemind_core.ui.task_progress import live_tasks

_COMPARING_S = 2.0e-8
"""Seconds to compare one sample with another, as the map does with all."""


def answers_are_there(dataset: Dataset, split: str, refs: list[str]) -> bool:
    """Return whether checkpoints can be judged in a moment; what takes longer is started and shown otherwise."""
    store = workspace()
    behind = [(ref, store.behind(ref)[1]) for ref in refs]
    known = {ref for ref in refs if is_starter(ref) and has_answered(store.root, dataset)}
    # The answers of folds(RUN), which is no checkpoint, are there already.
    asked = [(ref, one) for ref, one in behind if one is not None and ref not in known]
    counts: dict[str, int] = {}
    for clip in clips_of(dataset).values():
        if not clip.excluded:
            counts[clip.split] = counts.get(clip.split, 0) + 1

    def ahead() -> WorkAhead:
        checkpoints = [checkpoint for _, checkpoint in asked]
        return answers_ahead(store.store, store.settings, checkpoints, dataset, split, counts)

    params = {"refs": [ref for ref, _ in asked], "dataset": dataset.id, "split": split}
    return _in_a_moment("judge", f"Answers on {dataset.name}", params, ahead)


def embeddings_are_there(ref: str, checkpoint: Checkpoint, dataset: Dataset) -> bool:
    """Return whether a checkpoint's embeddings of a dataset can be had in a moment; as :func:`answers_are_there`."""
    store = workspace()
    return _in_a_moment(
        "embed",
        f"What a network makes of {dataset.name}",
        {"ref": ref, "dataset": dataset.id},
        lambda: embeddings_ahead(store.store, store.settings, checkpoint, dataset),
    )


def levels_are_there(dataset: Dataset, clip_ids: list[int]) -> bool:
    """Return whether the loudness of some samples can be had in a moment; as :func:`answers_are_there`."""
    from samplemind_core.evaluation.levels import QUICK, stored_levels

    def ahead() -> WorkAhead:
        known = stored_levels(workspace().root, dataset.id)
        missing = sum(clip_id not in known for clip_id in clip_ids)
        return WorkAhead(0, missing, 0.0 if missing <= QUICK else dataset.num_clips / QUICK)

    return _in_a_moment("levels", f"Loudness of {dataset.name}", {"dataset": dataset.id}, ahead, many=QUICK)


def apartness_is_there(ref: str, dataset: Dataset, split: str, num_clips: int, *, stored: bool) -> bool:
    """Return whether samples that lie apart can be found in a moment; as :func:`answers_are_there`."""
    ahead = WorkAhead(0 if stored else num_clips, 0, 0.0 if stored else _COMPARING_S * num_clips**2)
    params = {"ref": ref, "dataset": dataset.id, "split": split}
    return _in_a_moment("apartness", "Samples that lie apart", params, lambda: ahead)


def _in_a_moment(
    kind: str, title: str, params: Mapping[str, Any], ahead: Callable[[], WorkAhead], *, many: int | None = None
) -> bool:
    """Return whether what is ahead takes a moment only; draw the task that does it otherwise."""
    store = workspace()
    parts = [*params.get("refs", []), *(value for value in params.values() if isinstance(value, str))]
    key = f"waiting-{kind}-{'-'.join(parts)}"
    if st.session_state.get(key) == "here":
        return True
    work = ahead()
    if not (work.long if many is None else work.num_files > many):
        return True

    def tasks() -> list[Task]:
        # A finished one has left what is wanted; that is found above at the next run of the page.
        known = store.tasks.all(kind=kind)
        return [task for task in known if task.params == params and task.status != "done"][:1]

    def start() -> None:
        store.tasks.submit(kind, title, params, owner=owner())

    if not tasks():
        if st.session_state.get(key) == "asked":  # stopped and dismissed, or done and not enough
            st.caption(f"Not measured yet: {_what(work)}.")
            if not st.button("Measure", type="primary", icon=":material/play_arrow:", key=f"{key}-again"):
                return False
        start()
    st.session_state[key] = "asked"
    live_tasks(tasks, key=key)
    st.caption(
        f"{_what(work)}: about {words.duration(work.seconds)}. It is done once, goes on when you leave, and is kept."
    )
    if any(task.status == "queued" for task in tasks()) and st.button(
        "Do not wait: measure here", type="tertiary", key=f"{key}-here", help="This page then waits until it is done."
    ):
        waiting = tasks()
        if waiting and store.tasks.stop(waiting[0].id).status == "stopped":  # unless a worker took it this moment
            store.tasks.dismiss(waiting[0].id)
            st.session_state[key] = "here"
        st.rerun()
    return False


def _what(work: WorkAhead) -> str:
    files = f"{words.plural(work.num_files, 'file')} to read" if work.num_files else ""
    answers = words.plural(work.num_clips, "answer") if work.num_clips else ""
    return " and ".join(text for text in (files, answers) if text)
