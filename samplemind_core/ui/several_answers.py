"""The answer of a checkpoint that names several labels: which, how sure of each, and when none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.state import theme

if TYPE_CHECKING:
    from samplemind_core.inference.classifier import Result


def several_answer(result: Result, *, key: str) -> None:
    """Draw the labels, the confidence of each class with where it begins to be named, and what that means."""
    from samplemind_core.charts.labels import label_confidence_figure

    st.metric("Label" if len(result.labels) == 1 else "Labels", result.shown_label)
    bars = label_confidence_figure(result.probs, result.thresholds, theme())
    parts.figure(bars, key=f"{key}-confidence")
    st.markdown(parts.safe(labels_in_words(result)))
    st.caption(
        "A line marks from where on a label is named, chosen on validation samples. Each label is answered by itself: "
        "confidences need not add up to 100 %, and how far they can be trusted is not measured. "
        f"Answered in {words.duration(result.seconds)}."
    )


def labels_in_words(result: Result) -> str:
    """Return what is named, or what came nearest to it."""
    if result.labels:
        said = [f"{name} ({words.confidence(result.probs[name])})" for name in result.labels]
        listed = said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
        return f"{listed[0].upper()}{listed[1:]}."
    nearest = max(result.probs, key=lambda name: result.probs[name] - result.thresholds[name])
    return (
        f"No label reaches its threshold. {nearest.capitalize()} comes nearest: "
        f"{words.confidence(result.probs[nearest])}, named from {words.confidence(result.thresholds[nearest])}."
    )
