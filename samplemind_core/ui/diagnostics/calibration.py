"""Whether the confidence of the picked models means what it says, before and after their temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel, temperature_of
from samplemind_core.ui.state import theme, workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.calibration import Calibration


def draw(picked: Picked) -> None:
    """Draw the section."""
    with st.grid(min(3, len(picked.models)), min_column_width=300):
        for model in picked.models:
            with st.container(border=True):
                _card(picked, model)
    _figures(picked)
    if picked.split == "val":
        st.caption("The temperature was fitted on these very samples: look at the test split for what it is worth.")


def measured(picked: Picked, name: str, temperature: float) -> Calibration:
    """Return how far a model's confidence can be trusted, kept until it changes."""
    return _measured(picked, name, temperature, picked.stamp)


def _card(picked: Picked, model: PickedModel) -> None:
    temperature = temperature_of(model)
    before = measured(picked, model.name, 1.0)
    after = measured(picked, model.name, temperature)
    parts.section(model.title)
    low, high = after.ece_interval
    with st.grid(3, min_column_width=135):
        st.metric(
            "Calibration error",
            words.percent(after.ece),
            f"{words.percent(before.ece)} before" if temperature != 1.0 else None,
            delta_color="off",
            delta_arrow="off",
            help="How far confidence and accuracy are apart on average, in bins of equally many samples (ECE).",
        )
        st.metric(
            "Brier score",
            f"{after.brier:.3f}",
            f"{before.brier:.3f} before" if temperature != 1.0 else None,
            delta_color="off",
            delta_arrow="off",
            help="Squared distance of the probabilities from the truth, from 0 (perfect) to 2.",
        )
        st.metric(
            "Temperature", f"{temperature:.2f}", help="What the network's outputs are divided by: 1 changes nothing."
        )
    brier_low, brier_high = after.brier_interval
    st.caption(
        f"95 % intervals: error {words.percent(low)} to {words.percent(high)}, "
        f"Brier {brier_low:.3f} to {brier_high:.3f}. "
        f"{words.percent(after.confidence)} confident on average, {words.percent(after.accuracy)} right."
    )
    if model.info is None:
        st.caption("The mean of several models is not divided by anything.")
        return
    fitted = model.info.calibrated_on
    if fitted:
        st.caption(f"Fitted on {words.plural(int(fitted.get('num_clips', 0)), 'validation sample')}.")
    elif st.button("Calibrate on validation", key=f"calibrate-{model.name}", icon=":material/straighten:"):
        with st.spinner("Fitting the temperature", show_time=True):
            workspace().calibrate(model.ref)
        st.rerun()


def _figures(picked: Picked) -> None:
    from samplemind_core.charts.reliability import confidence_histogram_figure, reliability_figure
    from samplemind_core.evaluation.calibration import tempered

    models = {model.name: model for model in picked.models}
    if len(models) > 1:
        shown = st.segmented_control(
            "Shown", ["All, calibrated", *models], default="All, calibrated", required=True, key="calibration-shown"
        )
    else:
        shown = picked.models[0].name
    if shown in models:
        model = models[shown]
        variants = {"Before": (model, 1.0), "After": (model, temperature_of(model))}
        if temperature_of(model) == 1.0:
            variants = {"As it is": (model, 1.0)}
    else:
        variants = {name: (model, temperature_of(model)) for name, model in models.items()}
    left, right = st.columns(2)
    with left, st.container(border=True):
        parts.section("Reliability")
        bins = {name: measured(picked, model.name, at).bins for name, (model, at) in variants.items()}
        parts.figure(reliability_figure(bins, theme()), key="reliability")
        st.caption("On the dotted line, confidence means what it says; below it, the model is too sure.")
    with right, st.container(border=True):
        parts.section("How sure the answers are")
        sure = {name: tempered(model.judged.logits, at).max(axis=1) for name, (model, at) in variants.items()}
        parts.figure(confidence_histogram_figure(sure, theme()), key="confidence-histogram")


@st.cache_resource(max_entries=64, show_spinner=False)
def _measured(_picked: Picked, name: str, temperature: float, stamp: tuple[Any, ...]) -> Calibration:
    from samplemind_core.evaluation.calibration import measure_calibration

    judged = _picked.model(name).judged
    return measure_calibration(judged.logits, judged.targets, temperature=temperature, groups=judged.sources.tolist())
