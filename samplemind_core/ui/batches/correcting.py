"""Corrections of answers, which anybody may send for review: that is wrong, it is a clap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from samplemind_core.store import Answer, Batch, Correction
from samplemind_core.ui import parts, words
from samplemind_core.ui.state import error_boundary, owner, workspace

ANOTHER = "Another class …"


def correct_answers(batch: Batch, found: Sequence[Answer], class_names: Sequence[str], *, title: str, key: str) -> None:
    """Draw the correction of some files of a list, under a title that opens it."""
    from samplemind_core.batches.review import correct_answer

    names = {answer.position: f"{answer.file or answer.name} · {answer.label or 'none of these'}" for answer in found}
    form = f"{key}-{batch.id}"
    with st.expander(title, icon=":material/edit:"):
        chosen = st.multiselect(
            "Files",
            list(names),
            format_func=lambda position: names.get(position, ""),
            key=f"{form}-files-{_round(form)}",
            placeholder="Choose files",
        )

        def submit(label: str) -> list[Correction]:
            return [correct_answer(workspace(), batch.id, position, label, by=owner()) for position in chosen]

        _form(class_names, submit, key=form, ready=bool(chosen))


def correct_upload(
    name: str,
    content: bytes | Path,
    class_names: Sequence[str],
    *,
    called: str | None,
    confidence: float | None,
    checkpoint: Mapping[str, Any],
    key: str,
) -> None:
    """Draw the correction of one uploaded file.

    Parameters
    ----------
    name : str
        What the file is called.
    content : bytes or Path
        The file; kept in the workspace once it is corrected, and only then.
    class_names : sequence of str
        What may be chosen, beside a new class.
    called, confidence, checkpoint
        What was said, by which checkpoint.
    key : str
        Distinguishes the widgets from another's.
    """
    from samplemind_core.batches.review import correct

    def submit(label: str) -> list[Correction]:
        return [
            correct(
                workspace(),
                content,
                name=name,
                label=label,
                called=called,
                confidence=confidence,
                checkpoint=checkpoint,
                by=owner(),
            )
        ]

    with st.expander("That is wrong", icon=":material/edit:"):
        _form([label for label in class_names if label != called], submit, key=key, ready=True)
        st.caption("The sound is kept for review and may become a training sample.")


def _round(key: str) -> int:
    """Return how often a form was sent: its fields are new ones after each time, and empty."""
    sent: int = st.session_state.get(f"{key}-round", 0)
    return sent


def _form(class_names: Sequence[str], submit: Callable[[str], list[Correction]], *, key: str, ready: bool) -> None:
    fields = f"{key}-{_round(key)}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picked = st.selectbox(
            "It is", [*class_names, ANOTHER], index=None, key=f"{fields}-label", placeholder="Choose a class", width=220
        )
        label = picked or ""
        if picked == ANOTHER:
            label = st.text_input("Name of the class", key=f"{fields}-new", max_chars=200, width=220).strip()
        # A name that is being typed arrives with the click: a button that waits for it would swallow that click.
        if st.button("Send for review", icon=":material/send:", key=f"{key}-send", disabled=not (ready and picked)):
            with error_boundary():
                sent = submit(label)
                st.session_state[f"{key}-sent"] = f"{words.plural(len(sent), 'correction')} sent for review as {label}."
                st.session_state[f"{key}-round"] = _round(key) + 1
                st.rerun()  # the number of those that wait stands further up
    said = st.session_state.pop(f"{key}-sent", None)
    if said:
        st.caption(f":material/check: {parts.safe(said)}")
