"""Answers about a few sounds, remembered where the viewer and the machine allow it: names and numbers, no audio."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

import streamlit as st

from samplemind_core.store import Batch, Checkpoint, Run
from samplemind_core.ui import words
from samplemind_core.ui.answers import answers
from samplemind_core.ui.batches.correcting import correct_upload
from samplemind_core.ui.bringing import Given
from samplemind_core.ui.state import error_boundary, owner, workspace


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


def after_answers(
    ref: str, run: Run, checkpoint: Checkpoint, given: Sequence[Given], *, remember: bool, key: str
) -> None:
    """Draw what can follow an answer: its correction; and remember it, or forget it again.

    Parameters
    ----------
    ref, run, checkpoint
        Which checkpoint answered.
    given : sequence of Given
        What it was asked about; not empty.
    remember : bool
        What :func:`wish_to_remember` returned.
    key : str
        Distinguishes the widgets of one page from another's.
    """
    from samplemind_core.batches.work import answer_of, checkpoint_facts

    results, _ = answers(ref, given, keep_signals=len(given) == 1)
    dataset = next((item.name for item in workspace().datasets() if item.id == run.dataset_id), "")
    facts = checkpoint_facts(run, checkpoint, dataset)
    if len(given) == 1 and results[0].error is None and not results[0].several_labels:
        (result,) = results
        called = None if result.is_none else result.label
        with error_boundary():
            correct_upload(
                given[0].name,
                given[0].source,
                list(result.probs),
                called=called,
                confidence=result.confidence,
                checkpoint=facts,
                key=f"{key}-wrong-{given[0].id}",
            )
    # Once for each set of files and checkpoint, however often the page is drawn.
    asked = (run.id, checkpoint.id, checkpoint.epoch, tuple(item.id for item in given))
    remembered: dict[object, str] = st.session_state.setdefault("remembered", {})
    if not remember and asked in remembered:
        workspace().store.answers.delete(remembered.pop(asked))
    if not remember or asked in remembered:
        return
    title = given[0].name if len(given) == 1 else words.plural(len(given), "sound")
    batch = Batch(
        uuid.uuid4().hex[:12], title, "page", "", owner(), time.time(), facts, {"ref": ref}, num_files=len(given)
    )
    workspace().store.answers.add(batch)
    workspace().store.answers.append(
        batch.id,
        [answer_of(result, place, item.name) for place, (item, result) in enumerate(zip(given, results, strict=True))],
    )
    remembered[asked] = batch.id
