"""Why one sample was named as it was; the mistakes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from samplemind_core.ranking import sigmoid
from samplemind_core.store.records import joined
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel
from samplemind_core.ui.state import choose, workspace
from samplemind_core.ui.why import why

if TYPE_CHECKING:
    from samplemind_core.store import Clip

MAX_LISTED = 2_000


def draw(picked: Picked) -> None:
    """Draw the section."""
    models = {model.name: model for model in picked.single}
    if picked.dataset.kind == "features":
        st.caption("Reasons are looked for in sound; this dataset holds ready-made spectrograms without it.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        model = next(iter(models.values()))
        if len(models) > 1:
            name = st.segmented_control("Answers of", list(models), default=model.name, required=True, key="why-model")
            model = models[name or model.name]
        which = st.segmented_control("Samples", ["Mistakes", "All"], default="Mistakes", required=True, key="why-which")
    options, num_all = _options(picked, model, mistakes=which != "All")
    if not options:
        st.caption("No mistakes on these samples. Choose All to look at any of them.")
        return
    if len(options) < num_all:
        st.caption(f"The first {len(options):,} of {num_all:,} can be chosen here; the surest come first.")
    chosen = choose("Sample", options, "clip")
    clip = picked.clips[int(chosen)]
    waveform = _waveform(model, clip)
    why(model.ref, waveform, key=f"why-{model.name}-{chosen}")


def _options(picked: Picked, model: PickedModel, *, mistakes: bool) -> tuple[dict[str, str], int]:
    """Return the samples to choose from by id, the surest answers first, and how many there are."""
    from samplemind_core.evaluation.metrics import softmax

    judged = model.judged
    if judged.several_labels:
        return _options_of_several(picked, model, mistakes=mistakes)
    probs = softmax(judged.logits)
    said, sure = probs.argmax(axis=1), probs.max(axis=1)
    rows = np.flatnonzero(said != judged.targets) if mistakes else np.arange(len(said))
    rows = rows[np.argsort(-sure[rows], kind="stable")]
    options = {}
    for row in rows[:MAX_LISTED]:
        clip_id = int(judged.clip_ids[row])
        answer = f"{judged.class_names[said[row]]} {words.confidence(float(sure[row]))}"
        options[str(clip_id)] = f"{picked.clips[clip_id].name} · {picked.clips[clip_id].label}, called {answer}"
    return options, len(rows)


def _options_of_several(picked: Picked, model: PickedModel, *, mistakes: bool) -> tuple[dict[str, str], int]:
    """Return the same where samples have several labels: those whose label is furthest on the wrong side come first."""
    judged = model.judged
    thresholds, truth = np.array(judged.thresholds), judged.targets > 0
    probs = sigmoid(judged.logits)
    named = probs >= thresholds
    beyond = np.where(named == truth, -1.0, np.abs(probs - thresholds)).max(axis=1)
    rows = np.flatnonzero((named != truth).any(axis=1)) if mistakes else np.arange(len(named))
    rows = rows[np.argsort(-beyond[rows], kind="stable")]
    options = {}
    for row in rows[:MAX_LISTED]:
        clip = picked.clips[int(judged.clip_ids[row])]
        answer = joined(np.array(judged.class_names)[named[row]]) or "nothing"
        options[str(clip.id)] = f"{clip.name} · {clip.shown_label}, called {answer}"
    return options, len(rows)


def _waveform(model: PickedModel, clip: Clip) -> np.ndarray:
    from samplemind_core.audio.decode import decode

    store = workspace()
    path = store.clip_audio(clip)
    assert path is not None
    rate = store.classifier(model.ref).info.features.sample_rate_hz
    st.caption(f"{parts.safe(clip.name)} is labelled {parts.safe(clip.shown_label)}.")
    return decode(path, rate, name=clip.name, limits=store.settings.limits).waveform
