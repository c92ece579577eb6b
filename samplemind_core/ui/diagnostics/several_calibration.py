"""Samples with several labels: whether the confidence of each label means what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel
from samplemind_core.ui.state import theme

if TYPE_CHECKING:
    from samplemind_core.evaluation.label_calibration import LabelCalibration

_ALL = "All labels together"


def draw(picked: Picked) -> None:
    """Draw the section."""
    with st.grid(min(3, len(picked.models)), min_column_width=300):
        for model in picked.models:
            with st.container(border=True):
                _card(picked, model)
    with st.container(border=True):
        parts.section("Reliability")
        label = st.selectbox("Label", [_ALL, *picked.class_names], key="reliability-label", width=320)
        _figure(picked, label)
    with st.container(border=True):
        parts.section("By label")
        _table(picked)
    st.caption(
        "Several labels are not divided by a temperature: from where on each is named is chosen label by label "
        "instead, under Thresholds."
    )


def _card(picked: Picked, model: PickedModel) -> None:
    found = _measured(picked, model.name, picked.stamp)[0]
    parts.section(model.title)
    low, high = found.ece_interval
    with st.grid(2, min_column_width=100):
        st.metric(
            "Calibration error",
            words.percent(found.ece),
            help="How far the confidence of a label and the share of samples that have it are apart on average, in "
            "bins of equally many answers (ECE), over all labels.",
        )
        st.metric(
            "Brier score",
            f"{found.brier:.3f}",
            help="Mean squared distance of each label's probability from the truth, from 0 (perfect) to 1.",
        )
    st.caption(
        f"{words.plural(found.num_answers, 'answer')}; error with 95 % interval {words.percent(low)} to "
        f"{words.percent(high)}. A label is {words.percent(found.confidence)} probable on average, and "
        f"{words.percent(found.share)} of the samples have it."
    )


def _figure(picked: Picked, label: str) -> None:
    from samplemind_core.charts.reliability import reliability_figure
    from samplemind_core.evaluation.label_calibration import ALL

    wanted = ALL if label == _ALL else label
    found = {
        model.name: next(one for one in _measured(picked, model.name, picked.stamp) if one.label == wanted)
        for model in picked.models
    }
    bins = {name: one.bins for name, one in found.items()}
    parts.figure(reliability_figure(bins, theme(), label=wanted), key="several-reliability")
    count = next(iter(found.values())).num_positive
    has = f" {words.plural(count, 'sample')} of {parts.safe(label)}." if wanted else ""
    st.caption(f"On the dotted line, confidence means what it says; below it, the model is too sure.{has}")


def _table(picked: Picked) -> None:
    table: dict[str, list[object]] = {"Label": list(picked.class_names)}
    for place, model in enumerate(picked.models):
        rows = _measured(picked, model.name, picked.stamp)[1:]
        if not place:
            table["Samples"] = [row.num_positive for row in rows]
            table["Have it"] = [words.percent(row.share) for row in rows]
        after = f" {model.name}" if len(picked.models) > 1 else ""
        table[f"Mean confidence{after}"] = [words.percent(row.confidence) for row in rows]
        table[f"Calibration error{after}"] = [words.percent(row.ece) for row in rows]
        table[f"Brier score{after}"] = [f"{row.brier:.3f}" for row in rows]
    st.dataframe(table, hide_index=True, alt="Calibration error and Brier score by label")


@st.cache_resource(max_entries=32, show_spinner=False)
def _measured(_picked: Picked, name: str, stamp: tuple[Any, ...]) -> tuple[LabelCalibration, ...]:
    from samplemind_core.evaluation.label_calibration import calibration_of

    return calibration_of(_picked.model(name).judged)
