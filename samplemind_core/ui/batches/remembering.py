"""Answers about a few sounds, remembered where the viewer and the machine allow it: names and numbers, no audio."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.store import Batch, Checkpoint, Run
from samplemind_core.ui import words
from samplemind_core.ui.batches.correcting import correct_upload
from samplemind_core.ui.bringing import Given
from samplemind_core.ui.state import error_boundary, owner, workspace

if TYPE_CHECKING:
    from samplemind_core.inference.classifier import Result


def wish_to_remember(*, key: str) -> bool:
    """Draw whether answers will be remembered, before there are any; return what the viewer says for this visit."""
    if not workspace().settings.history:
        return False
    return st.toggle(
        "Remember the answers",
        value=True,
        key=f"{key}-remember",
        persist_state="session",
        help="Under History: file names, classes and confidences. The sounds themselves are not kept. Turned off, "
        "answers that stand on the page are forgotten again.",
    )


def offer_correction(run: Run, checkpoint: Checkpoint, given: Given, result: Result, *, key: str) -> None:
    """Draw the correction of one answer, where it names one label."""
    if result.error is not None or result.several_labels:
        return
    with error_boundary():
        correct_upload(
            Path(given.name).name,
            given.source,
            list(result.probs),
            called=None if result.is_none else result.label,
            confidence=result.confidence,
            checkpoint=_facts(run, checkpoint),
            key=f"{key}-wrong-{given.id}",
        )


def remember_answers(
    ref: str, run: Run, checkpoint: Checkpoint, given: Sequence[Given], results: Sequence[Result], *, remember: bool
) -> None:
    """Store answers for the history, or forget them again.

    Parameters
    ----------
    ref, run, checkpoint
        Which checkpoint answered.
    given : sequence of Given
        What it was asked about; not empty.
    results : sequence of Result
        What it said.
    remember : bool
        What :func:`wish_to_remember` returned.
    """
    from samplemind_core.batches.work import answer_of

    # Once for each set of files and checkpoint, however often the page is drawn.
    asked = (run.id, checkpoint.id, checkpoint.epoch, tuple(item.id for item in given))
    remembered: dict[object, str] = st.session_state.setdefault("remembered", {})
    if not remember and asked in remembered:
        workspace().store.answers.delete(remembered.pop(asked))
    if not remember or asked in remembered:
        return
    title = given[0].name if len(given) == 1 else words.plural(len(given), "sound")
    batch = Batch(
        uuid.uuid4().hex[:12],
        title,
        "page",
        "",
        owner(),
        time.time(),
        _facts(run, checkpoint),
        {"ref": ref},
        num_files=len(given),
    )
    workspace().store.answers.add(batch)
    workspace().store.answers.append(
        batch.id,
        [answer_of(result, place, item.name) for place, (item, result) in enumerate(zip(given, results, strict=True))],
    )
    remembered[asked] = batch.id


def _facts(run: Run, checkpoint: Checkpoint) -> dict[str, Any]:
    from samplemind_core.batches.work import checkpoint_facts

    dataset = next((item.name for item in workspace().datasets() if item.id == run.dataset_id), "")
    return checkpoint_facts(run, checkpoint, dataset)
