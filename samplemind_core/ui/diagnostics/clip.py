"""One sample up close: how it looks, what every picked model says, what it resembles, and its label."""

from __future__ import annotations

from typing import Any

import streamlit as st

from samplemind_core.errors import SampleMindError
from samplemind_core.server import clip_url
from samplemind_core.store import Clip
from samplemind_core.store.records import SEPARATOR
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel, temperature_of
from samplemind_core.ui.diagnostics.waiting import embeddings_are_there
from samplemind_core.ui.player import Sound, player, player_list
from samplemind_core.ui.state import error_boundary, owner, show_error, theme, workspace

NEIGHBOURS = 5


def closer(picked: Picked, clip_ids: list[int], *, key: str) -> None:
    """Draw the choice of one of some samples, and that one up close."""
    names = {clip_id: picked.clips[clip_id].name for clip_id in clip_ids}
    if st.session_state.get(key) not in (None, *names):
        st.session_state[key] = None
    chosen = st.selectbox(
        "Look closer at", list(names), format_func=lambda clip_id: names[clip_id], index=None, key=key,
        placeholder="Choose a sample",
    )  # fmt: skip
    if chosen is not None:
        with error_boundary():
            _details(picked, picked.clips[chosen])


def _details(picked: Picked, clip: Clip) -> None:
    from samplemind_core.charts.signals import log_mel_figure, waveform_figure

    clip_id = clip.id or 0
    facts = [clip.shown_label, clip.source if clip.source != clip.name else "", words.duration(clip.duration_s)]
    st.caption(parts.safe(" · ".join(fact for fact in facts if fact)))
    model = next(iter(picked.single), None)
    if clip.file:
        player(Sound(clip_url(clip_id), clip.name), key=f"closer-{clip_id}")
        features = model.info.features if model and model.info else None
        heard = workspace().hear(clip_id, features)
        left, right = st.columns(2)
        with left:
            parts.figure(waveform_figure(heard.original, heard.sample_rate_hz, theme=theme()), key="closer-waveform")
        with right:
            figure = log_mel_figure(heard.log_mel, features or _features(), theme())
            parts.figure(figure, key="closer-log-mel")
    _answers(picked, clip_id)
    if model and clip.file:
        _neighbours(model, clip_id)
    _relabel(picked, clip)


def _features() -> Any:
    from samplemind_core.config import USUAL_FEATURES

    return USUAL_FEATURES


def _answers(picked: Picked, clip_id: int) -> None:
    from samplemind_core.charts.confidence import confidence_figure
    from samplemind_core.charts.labels import label_confidence_figure
    from samplemind_core.evaluation.calibration import tempered
    from samplemind_core.ranking import sigmoid

    columns = st.columns(min(3, max(2, len(picked.models))))
    for place, model in enumerate(picked.models):
        row = model.judged.clip_ids.tolist().index(clip_id)
        logits = model.judged.logits[row : row + 1]
        if picked.several_labels:
            shares = dict(zip(picked.class_names, sigmoid(logits)[0].tolist(), strict=True))
            thresholds = dict(zip(picked.class_names, model.judged.thresholds, strict=True))
            bars = label_confidence_figure(shares, thresholds, theme())
        else:
            bars = confidence_figure(tempered(logits, temperature_of(model))[0], picked.class_names, theme())
        with columns[place % len(columns)]:
            st.markdown(f"**{parts.safe(model.title)}**")
            parts.figure(bars, key=f"closer-{model.name}")


def _neighbours(model: PickedModel, clip_id: int) -> None:
    with st.expander("The most similar training samples", key="closer-neighbours", on_change="rerun") as box:
        if not box.open:
            return
        assert model.run is not None
        assert model.checkpoint is not None
        trained_on = workspace().dataset(model.run.dataset_id)
        if not embeddings_are_there(model.ref, model.checkpoint, trained_on):
            return
        with st.spinner("Looking among the training samples", show_time=True):
            found = workspace().nearest_training_clips(model.ref, clip_id, NEIGHBOURS)
        sounds = [
            Sound(clip_url(near.clip_id), near.name, (near.label, f"distance {near.distance:.2f}", near.source))
            for near in found
        ]
        player_list(sounds, key="closer-similar")
        st.caption(f"By what {parts.safe(model.title)} makes of them: the last layer before its answer.")


def _relabel(picked: Picked, clip: Clip) -> None:
    labels = list(dict.fromkeys([*picked.dataset.class_names, *clip.class_labels]))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if picked.several_labels:
            chosen = st.multiselect(
                "Its labels should be", labels, default=list(clip.labels), key=f"relabel-{clip.id}", width=360
            )
            label = SEPARATOR.join(chosen)
            changed = bool(chosen) and set(chosen) != set(clip.labels)
        else:
            label = st.selectbox(
                "Its label should be", labels, index=labels.index(clip.label), key=f"relabel-{clip.id}", width=260
            )
            changed = label != clip.label
        if st.button("Relabel", key=f"relabel-do-{clip.id}", icon=":material/edit:", disabled=not changed):
            try:
                workspace().edit(picked.dataset.id, by=owner()).relabel([clip.id or 0], label)
            except SampleMindError as error:
                show_error(error)
                return
            st.toast(f"{clip.name} is now {label.replace(SEPARATOR, ' + ')}. Undo is on the Data page.")
            st.rerun()
