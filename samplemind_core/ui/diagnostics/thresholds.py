"""Where to draw the line: curves per class, and how sure an answer must be to be given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel, confidences, temperature_of
from samplemind_core.ui.state import theme

if TYPE_CHECKING:
    from samplemind_core.evaluation.thresholds import ClassCurves, OperatingPoint


def draw(picked: Picked) -> None:
    """Draw the section."""
    _refusing(picked)
    _class_curves(picked)


def _refusing(picked: Picked) -> None:
    from samplemind_core.charts.thresholds import risk_coverage_figure
    from samplemind_core.evaluation.thresholds import operating_point, risk_coverage, threshold_for_coverage

    with st.container(border=True):
        parts.section("Refuse the least certain")
        model = picked.model(_model_choice(picked, "threshold-model"))
        sure, right = confidences(model)
        left, other = st.columns([3, 2])
        with other:
            wanted = st.slider(
                "Answer the surest", 10, 100, 100, 1, format="%d %%", key=f"threshold-coverage-{model.name}",
                help="The other samples get no answer, and somebody has to listen to them.",
            )  # fmt: skip
            threshold = threshold_for_coverage(sure, wanted / 100) if wanted < 100 else 0.0
            point = operating_point(sure, right, threshold)
            _point(picked, model, point)
        with left:
            curves = {}
            for one in picked.models:
                found = risk_coverage(*confidences(one))
                curves[one.name] = (found.coverage, found.accuracy, found.thresholds)
            chosen = None if point.accuracy is None or wanted == 100 else (point.coverage, point.accuracy)
            parts.figure(risk_coverage_figure(curves, theme(), chosen), key="risk-coverage")


def _point(picked: Picked, model: PickedModel, point: OperatingPoint) -> None:
    from samplemind_core.evaluation.thresholds import forget_operating_point, keep_operating_point

    with st.grid(2, min_column_width=180):
        st.metric("Right among the answers", words.percent(point.accuracy))
        st.metric("Samples without an answer", f"{point.num_clips - point.num_answered:,}")
    low, high = point.accuracy_interval
    below = words.confidence(point.refuse_below)
    st.caption(
        (f"Answers below {below} confidence are refused. " if point.refuse_below else "Every sample gets an answer. ")
        + f"{words.plural(point.num_answered, 'answer')}, right with 95 % interval "
        f"{words.percent(low)} to {words.percent(high)}."
    )
    if model.info is None or model.path is None:
        st.caption("An operating point can be kept with a single checkpoint, not with the mean of several.")
        return
    kept = model.info.refuse_below
    if point.refuse_below and st.button(
        "Keep with the checkpoint", key=f"keep-point-{model.name}", icon=":material/save:", type="primary"
    ):
        keep_operating_point(model.path, point, dataset=picked.dataset.id, split=picked.split)
        st.toast(f"{model.title} now refuses answers below {below} confidence.")
        st.rerun()
    if kept:
        st.caption(f"Kept with {parts.safe(model.title)}: answers below {words.confidence(kept)} are refused.")
        if st.button("Answer always again", key=f"forget-point-{model.name}", type="tertiary"):
            forget_operating_point(model.path)
            st.rerun()
    if picked.split == "test":
        st.caption("Better chosen on validation: a line drawn on the test split flatters its figures there.")


def _class_curves(picked: Picked) -> None:
    from samplemind_core.charts.thresholds import precision_recall_figure, roc_figure

    with st.container(border=True):
        parts.section("One class against the others")
        model = picked.model(_model_choice(picked, "curves-model"))
        curves = _curves(picked, model.name, temperature_of(model), picked.stamp)
        left, right = st.columns(2)
        with left:
            st.caption("Precision against recall, with average precision")
            parts.figure(precision_recall_figure(curves, picked.class_names, theme()), key="precision-recall")
        with right:
            st.caption("ROC, with the area under it")
            parts.figure(roc_figure(curves, picked.class_names, theme()), key="roc")


def _model_choice(picked: Picked, key: str) -> str:
    names = [model.name for model in picked.models]
    if len(names) == 1:
        return names[0]
    return st.segmented_control("Model", names, default=names[0], required=True, key=key) or names[0]


@st.cache_resource(max_entries=32, show_spinner=False)
def _curves(_picked: Picked, name: str, temperature: float, stamp: tuple[Any, ...]) -> list[ClassCurves]:
    from samplemind_core.evaluation.calibration import tempered
    from samplemind_core.evaluation.thresholds import class_curves

    judged = _picked.model(name).judged
    probs = tempered(judged.logits, temperature)
    return [class_curves(probs, judged.targets, place, label) for place, label in enumerate(judged.class_names)]
