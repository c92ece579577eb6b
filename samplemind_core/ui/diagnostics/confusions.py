"""Who is taken for whom, and the samples behind each cell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import streamlit as st

from samplemind_core.server import clip_url
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.clip import closer
from samplemind_core.ui.diagnostics.picked import Picked, temperature_of
from samplemind_core.ui.hints import hint
from samplemind_core.ui.player import Sound, player_list
from samplemind_core.ui.state import theme

if TYPE_CHECKING:
    from samplemind_core.evaluation.metrics import Evaluation
    from samplemind_core.evaluation.playlists import Listed

MAX_HEARD = 50
Rows = Sequence[tuple[int, tuple[str, ...]]]
"""Samples by id, each with up to two details."""


def draw(picked: Picked) -> None:
    """Draw the section."""
    _matrices(picked)
    _hear(picked)


def _matrices(picked: Picked) -> None:
    from samplemind_core.charts.confusion import Mode, confusion_difference_figure, confusion_figure

    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Confusions", anchor=False, width="stretch")
        hint("confusion_matrix")
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
        chosen = {"cell-of": name, "cell-true": label, "cell-predicted": predicted, "hear-which": "cell"}
        st.session_state.update(chosen)


def _hear(picked: Picked) -> None:
    """Draw the samples of a cell or of a playlist, and one of them up close."""
    names = [model.name for model in picked.models]
    options = {"cell": "Of a cell"}
    if len(names) > 1:
        options |= {"only_a": "Only A right", "only_b": "Only {b} right", "both_wrong": "Both wrong"}
    options |= {"surest_mistakes": "Surest mistakes", "closest_calls": "Closest calls"}
    with st.container(border=True):
        parts.section("Hear the samples")
        if st.session_state.get("hear-which") not in options:
            st.session_state["hear-which"] = "cell"
        which = st.segmented_control(
            "Which samples",
            list(options),
            format_func=lambda key: options[key].format(b=names[1] if len(names) > 1 else ""),
            required=True,
            key="hear-which",
            label_visibility="collapsed",
        )
        rows = _of_a_cell(picked, names) if which in (None, "cell") else _of_a_playlist(picked, which)
        if rows:
            heard(picked, rows, key="cell-clips")
            closer(picked, [clip_id for clip_id, _ in rows], key="closer-clip")


def _of_a_cell(picked: Picked, names: list[str]) -> Rows:
    """Draw the choice of a cell (the one that was clicked, or the commonest confusion) and return its samples."""
    class_names = list(picked.class_names)
    worst = commonest_confusion(picked.models[0].evaluation)
    for key, options, default in (
        ("cell-of", names, names[0]),
        ("cell-true", class_names, worst[0]),
        ("cell-predicted", class_names, worst[1]),
    ):
        if st.session_state.get(key) not in options:
            st.session_state[key] = default
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
        return []
    said = "rightly named" if label == predicted else f"called {parts.safe(predicted)}"
    most = "" if len(clip_ids) <= MAX_HEARD else f" The {MAX_HEARD} surest are shown."
    st.caption(f"{words.plural(len(clip_ids), 'sample')} of {parts.safe(label)} {said}, the surest first.{most}")
    rows = list(zip(clip_ids.tolist(), confidences.tolist(), strict=True))[:MAX_HEARD]
    return [(clip_id, (f"{words.confidence(sure)} sure",)) for clip_id, sure in rows]


_LISTS = {
    "only_a": "that {a} names rightly and {b} does not, those first of which {b} is surest",
    "only_b": "that {b} names rightly and {a} does not, those first of which {a} is surest",
    "both_wrong": "that neither {a} nor {b} names rightly, the surest first",
    "surest_mistakes": "that {a} names wrongly, the surest first",
    "closest_calls": "by how little {a}'s first choice leads over its second",
}


def _of_a_playlist(picked: Picked, which: str) -> Rows:
    """Say what a playlist holds and return its samples."""
    from samplemind_core.evaluation.playlists import Kind, playlist

    found = playlist(
        cast("Kind", which), [model.judged for model in picked.models], [temperature_of(m) for m in picked.models]
    )
    a, b = (*(model.name for model in picked.models), "")[:2]
    what = _LISTS[which].format(a=a, b=b)
    if not found:
        st.caption(f"There is no sample {what.partition(',')[0]}.")
        return []
    most = f" The first {MAX_HEARD} are shown." if len(found) > MAX_HEARD else ""
    st.caption(f"{words.plural(len(found), 'sample')} {what}.{most}")
    return [(one.clip_id, _said(picked, one)) for one in found[:MAX_HEARD]]


def _said(picked: Picked, one: Listed) -> tuple[str, ...]:
    """Return a sample's class and what the first two models call it."""
    said = [f"{answer} {words.confidence(sure)}" for answer, sure in zip(one.answers, one.confidences, strict=True)]
    if len(said) == 1:
        return one.label, said[0]
    return one.label, *(f"{model.name}: {text}" for model, text in zip(picked.models[:2], said[:2], strict=True))


def heard(picked: Picked, rows: Rows, *, key: str) -> None:
    """Draw samples to click on, each with up to two details; a plain list where there is no audio."""
    clips = [(picked.clips[clip_id], details) for clip_id, details in rows]
    if all(clip.file for clip, _ in clips):
        sounds = [
            # A list has room for three details: where the models' answers fill it, the source gives way.
            Sound(clip_url(clip.id or 0), clip.name, (*details, clip.source if clip.source != clip.name else "")[:3])
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
