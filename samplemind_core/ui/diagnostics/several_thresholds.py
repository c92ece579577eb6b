"""Samples with several labels: from where on each label is named, and what other thresholds would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel
from samplemind_core.ui.state import theme, workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.thresholds import ClassCurves


def draw(picked: Picked) -> None:
    """Draw the section."""
    from samplemind_core.charts.thresholds import precision_recall_figure, roc_figure

    model = picked.models[0]
    if len(picked.models) > 1:
        names = [one.name for one in picked.models]
        model = picked.model(
            st.segmented_control("Model", names, default=names[0], required=True, key="several-model") or names[0]
        )
    with st.container(border=True):
        parts.section("From where on each label is named")
        _chosen(model)
    curves = _curves(picked, model.name, picked.stamp)
    with st.container(border=True):
        parts.section("Each label against its absence")
        left, right = st.columns(2)
        with left:
            st.caption("Precision against recall, with average precision")
            parts.figure(precision_recall_figure(curves, picked.class_names, theme()), key="precision-recall")
        with right:
            st.caption("ROC, with the area under it")
            parts.figure(roc_figure(curves, picked.class_names, theme()), key="roc")


def _chosen(model: PickedModel) -> None:
    from samplemind_core.training.label_thresholds import MIN_POSITIVES

    info = model.info
    by_class: dict[str, int] = dict(info.thresholds_from.get("by_class", {})) if info else {}
    rows = model.labelled.per_class
    st.dataframe(
        {
            "Label": [row.label for row in rows],
            "Named from": [words.percent(row.threshold) for row in rows],
            **({"Chosen on": [_basis(by_class.get(row.label), MIN_POSITIVES) for row in rows]} if info else {}),
            "Precision": [words.percent(row.precision) for row in rows],
            "Recall": [words.percent(row.recall) for row in rows],
            "F1": [words.percent(row.f1) for row in rows],
        },
        hide_index=True,
        alt="Threshold of each label, what it was chosen on, and its precision, recall and F1 here",
    )
    if info is None:
        # Answers of a cross-validation belong to a run, those of a mean to none.
        st.caption(
            "The mean of several checkpoints takes the mean of their thresholds."
            if model.run is None
            else "All answers of a cross-validation are named by the mean of the thresholds that its networks chose, "
            "each on the fold that chose its epoch."
        )
        return
    if not info.label_thresholds:
        st.caption("No thresholds were chosen for this checkpoint yet: they are once its run has ended.")
        return
    about = info.thresholds_from
    known = next((one for one in workspace().datasets() if one.id == about.get("dataset")), None)
    st.caption(
        "Each threshold gives the label its best F1 on "
        f"{words.plural(int(about.get('num_clips', 0)), 'validation sample')}"
        f"{f' of {parts.safe(known.name)}' if known else ''}; none lies below 5 % or above 95 %. "
        f"A label with fewer than {MIN_POSITIVES} of them keeps 50 %. "
        "Precision, recall and F1 are those of the samples picked above."
    )


def _basis(count: int | None, least: int) -> str:
    if count is None:
        return "nothing yet"
    samples = words.plural(count, "sample")
    return samples if count >= least else f"nothing: only {samples}"


@st.cache_resource(max_entries=32, show_spinner=False)
def _curves(_picked: Picked, name: str, stamp: tuple[Any, ...]) -> list[ClassCurves]:
    from samplemind_core.evaluation.thresholds import class_curves
    from samplemind_core.ranking import sigmoid

    judged = _picked.model(name).judged
    probs = sigmoid(judged.logits)
    return [
        class_curves(probs[:, [place]], np.where(judged.targets[:, place] > 0, 0, 1), 0, label)
        for place, label in enumerate(judged.class_names)
    ]
