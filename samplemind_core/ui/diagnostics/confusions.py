"""Who is taken for whom, and the samples behind each cell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.server import clip_url
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked
from samplemind_core.ui.player import Sound, player_list
from samplemind_core.ui.state import theme

if TYPE_CHECKING:
    from samplemind_core.evaluation.metrics import Evaluation

MAX_HEARD = 50


def draw(picked: Picked) -> None:
    """Draw the section."""
    _matrices(picked)
    _hear(picked)


def _matrices(picked: Picked) -> None:
    from samplemind_core.charts.confusion import Mode, confusion_difference_figure, confusion_figure

    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Confusions", anchor=False, width="stretch")
        shown: dict[Mode, str] = {"counts": "Samples", "row_percent": "% of the true class"}
        mode = st.segmented_control(
            "Cells",
            list(shown),
            format_func=lambda key: shown[key],
            default="counts",
            required=True,
            key="confusion-mode",
            label_visibility="collapsed",
        )
    columns = st.columns(2)
    for place, model in enumerate(picked.models):
        with columns[place % 2], st.container(border=True):
            st.markdown(f"**{parts.safe(model.title)}**")
            figure = confusion_figure(model.evaluation.confusion, picked.class_names, theme(), mode or "counts")
            parts.figure(figure, key=f"confusion-{model.name}", on_click=partial(_choose_cell, model.name))
    if len(picked.models) > 1:
        a, b = picked.models[:2]
        with st.expander(f"What changes from {a.name} to {b.name}"):
            figure = confusion_difference_figure(
                a.evaluation.confusion, b.evaluation.confusion, picked.class_names, theme()
            )
            parts.figure(figure, key="confusion-difference")


def _choose_cell(name: str) -> None:
    """Take the cell that was clicked in a confusion matrix."""
    points = st.session_state[f"confusion-{name}"]["selection"]["points"]
    if points and points[0].get("customdata"):
        label, predicted, _ = points[0]["customdata"]
        st.session_state.update({"cell-of": name, "cell-true": label, "cell-predicted": predicted})


def _hear(picked: Picked) -> None:
    """Draw the samples behind one cell: the one that was clicked, or the commonest confusion."""
    names = [model.name for model in picked.models]
    class_names = list(picked.class_names)
    worst = commonest_confusion(picked.models[0].evaluation)
    for key, options, default in (
        ("cell-of", names, names[0]),
        ("cell-true", class_names, worst[0]),
        ("cell-predicted", class_names, worst[1]),
    ):
        if st.session_state.get(key) not in options:
            st.session_state[key] = default
    with st.container(border=True):
        parts.section("Hear the samples of a cell")
        st.caption("Click a cell above, or choose it here.")
        columns = st.columns(3 if len(names) > 1 else 2)
        with columns[0]:
            label = st.selectbox("True class", class_names, key="cell-true")
        with columns[1]:
            predicted = st.selectbox("Predicted class", class_names, key="cell-predicted")
        name = names[0]
        if len(names) > 1:
            with columns[2]:
                name = st.selectbox("Predicted by", names, key="cell-of")
        clip_ids, confidences = picked.model(name).judged.cell(label, predicted)
        if not len(clip_ids):
            st.caption(f"No {parts.safe(label)} was called {parts.safe(predicted)}.")
            return
        said = "rightly named" if label == predicted else f"called {parts.safe(predicted)}"
        most = "" if len(clip_ids) <= MAX_HEARD else f" The {MAX_HEARD} surest are shown."
        st.caption(f"{words.plural(len(clip_ids), 'sample')} of {parts.safe(label)} {said}, the surest first.{most}")
        rows = list(zip(clip_ids.tolist(), confidences.tolist(), strict=True))[:MAX_HEARD]
        heard(picked, [(clip_id, (f"{words.confidence(sure)} sure",)) for clip_id, sure in rows], key="cell-clips")


def heard(picked: Picked, rows: Sequence[tuple[int, tuple[str, ...]]], *, key: str) -> None:
    """Draw samples to click on, each with up to two details; a plain list where there is no audio."""
    clips = [(picked.clips[clip_id], details) for clip_id, details in rows]
    if all(clip.file for clip, _ in clips):
        sounds = [
            Sound(clip_url(clip.id or 0), clip.name, (*details, clip.source if clip.source != clip.name else ""))
            for clip, details in clips
        ]
        player_list(sounds, key=key)
    else:
        parts.facts({clip.name: ", ".join(details) for clip, details in clips})


def commonest_confusion(evaluation: Evaluation) -> tuple[str, str]:
    """Return true and predicted class of the largest cell off the diagonal; the first class where all is right."""
    names = evaluation.class_names
    cells = [
        (count, names[row], names[column])
        for row, counts in enumerate(evaluation.confusion)
        for column, count in enumerate(counts)
        if row != column
    ]
    count, label, predicted = max(cells)
    return (label, predicted) if count else (names[0], names[0])
