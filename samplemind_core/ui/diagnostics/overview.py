"""Scores, curves, classes and settings of the picked models side by side."""

from __future__ import annotations

import streamlit as st

from samplemind_core.config import RunConfig, flatten
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel
from samplemind_core.ui.state import theme, workspace


def draw(picked: Picked) -> None:
    """Draw the section."""
    _scores(picked)
    _curves(picked)
    _classes(picked)
    if len(picked.single) > 1:
        _settings(picked.single)


def _scores(picked: Picked) -> None:
    with st.grid(min(3, len(picked.models)), min_column_width=300):
        for model in picked.models:
            with st.container(border=True):
                _score_card(model, alone=len(picked.models) == 1)


def _score_card(model: PickedModel, *, alone: bool) -> None:
    result = model.evaluation
    parts.section(model.run.name if alone and model.run else model.title)
    epoch = f"Epoch {model.checkpoint.epoch}, measured" if model.checkpoint else "Measured"
    st.caption(f"{epoch} on {words.plural(result.num_clips, 'sample')}")
    low, high = result.accuracy_interval
    with st.grid(3, min_column_width=110):
        st.metric("Accuracy", words.percent(result.accuracy))
        st.metric(
            "Balanced accuracy",
            words.percent(result.balanced_accuracy),
            help="The mean recall of all classes: rare classes count as much as common ones.",
        )
        st.metric("Macro F1", words.percent(result.macro_f1), help="The mean F1 of all classes.")
    st.caption(f"Accuracy with 95 % interval {words.percent(low)} to {words.percent(high)} (Wilson)")


def _curves(picked: Picked) -> None:
    from samplemind_core.charts.curves import accuracy_figure, loss_figure, overlay_figure

    runs = [(model.name, model.run) for model in picked.models if model.run is not None]
    rows = [(f"{name} {run.name}", [epoch.as_dict() for epoch in workspace().epochs(run.id)]) for name, run in runs]
    alone = len({run.id for _, run in runs}) == 1
    left, right = st.columns(2)
    with left, st.container(border=True):
        parts.section("Loss")
        best = runs[0][1].best_epoch
        figure = loss_figure(rows[0][1], theme(), best) if alone else overlay_figure(rows, "loss", theme())
        parts.figure(figure, key="diagnostics-loss")
    with right, st.container(border=True):
        parts.section("Accuracy")
        figure = accuracy_figure(rows[0][1], theme(), best) if alone else overlay_figure(rows, "accuracy", theme())
        parts.figure(figure, key="diagnostics-accuracy")


def _classes(picked: Picked) -> None:
    from samplemind_core.charts.confidence import ClassMetric, class_metric_figure

    with st.container(border=True):
        parts.section("By class")
        shown: dict[ClassMetric, str] = {"recall": "Recall", "precision": "Precision", "f1": "F1"}
        metric = st.segmented_control(
            "Score",
            list(shown),
            format_func=lambda key: shown[key],
            default="recall",
            required=True,
            key="class-score",
            label_visibility="collapsed",
        )
        reports = {model.name: model.evaluation.per_class for model in picked.models}
        parts.figure(class_metric_figure(reports, metric or "recall", theme()), key="diagnostics-classes")
        with st.expander("As a table"):
            _class_table(picked)


def _class_table(picked: Picked) -> None:
    first = picked.models[0].evaluation.per_class
    table: dict[str, list[object]] = {"Class": [report.label for report in first]}
    table["Samples"] = [report.support for report in first]
    for model in picked.models:
        for score in ("precision", "recall", "f1"):
            word = "F1" if score == "f1" else score.capitalize()
            title = f"{word} {model.name}" if len(picked.models) > 1 else word
            table[title] = [words.percent(getattr(report, score)) for report in model.evaluation.per_class]
    st.dataframe(table, hide_index=True, alt="Precision, recall and F1 by class")


def _settings(models: tuple[PickedModel, ...]) -> None:
    configs = [flatten(RunConfig.model_validate(model.run.config)) for model in models if model.run is not None]
    different = {
        name: " → ".join(str(config[name]) for config in configs)
        for name in configs[0]
        if len({str(config[name]) for config in configs}) > 1
    }
    with st.container(border=True):
        parts.section(f"Settings that differ, {' → '.join(model.name for model in models)}")
        if different:
            parts.facts(different)
        else:
            st.caption("All were trained with the same settings.")
