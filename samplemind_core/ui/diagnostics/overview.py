"""Scores, curves, classes and settings of the picked models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import streamlit as st

from samplemind_core.config import RunConfig, flatten
from samplemind_core.ui import hints, parts, words
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel
from samplemind_core.ui.state import theme, workspace
from samplemind_core.ui.train.differences import value_words

if TYPE_CHECKING:
    from samplemind_core.evaluation.cost import Latency


def draw(picked: Picked) -> None:
    """Draw the section."""
    _scores(picked)
    curves(picked)
    _classes(picked)
    left, right = st.columns(2)
    with left:
        costs(picked)
    with right:
        if len(picked.models) > 1:
            _agreement(picked)
    if len(picked.single) > 1:
        settings_that_differ(picked.single)


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


def curves(picked: Picked, metric: Literal["accuracy", "map"] = "accuracy") -> None:
    """Draw the loss and a score of the runs behind the checkpoints, by epoch."""
    from samplemind_core.charts.curves import accuracy_figure, loss_figure, map_figure, overlay_figure, with_map

    runs = [(model.name, model.run) for model in picked.models if model.run is not None]
    rows = [
        (f"{name} {run.name}", [with_map(epoch.as_dict()) for epoch in workspace().epochs(run.id)])
        for name, run in runs
    ]
    if not any(epochs for _, epochs in rows):
        return  # an imported checkpoint brings no curves
    alone = len({run.id for _, run in runs}) == 1
    best = runs[0][1].best_epoch
    title, draw_score = {
        "accuracy": ("Accuracy", accuracy_figure),
        "map": ("Mean average precision", map_figure),
    }[metric]
    left, right = st.columns(2)
    with left, st.container(border=True):
        hints.section("Loss", "loss")
        figure = loss_figure(rows[0][1], theme(), best) if alone else overlay_figure(rows, "loss", theme())
        parts.figure(figure, key="diagnostics-loss")
    with right, st.container(border=True):
        hints.section(title, metric)
        figure = draw_score(rows[0][1], theme(), best) if alone else overlay_figure(rows, metric, theme())
        parts.figure(figure, key=f"diagnostics-{metric}")


def _classes(picked: Picked) -> None:
    from samplemind_core.charts.confidence import ClassMetric, class_metric_figure

    with st.container(border=True):
        hints.section("By class", "precision_recall")
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


def costs(picked: Picked) -> None:
    """Draw size, parameters and, where somebody asks, the measured time per sample."""
    if not picked.single:
        return
    with st.container(border=True):
        parts.section("Size and speed")
        measure = st.session_state.get("cost-measured") == picked.stamp
        rows: dict[str, list[str]] = {"": [], "Parameters": [], "File": [], "Network": []}
        if measure:
            rows["One sample"] = []
        for model in picked.single:
            info = model.info
            if info is None or model.checkpoint is None or model.path is None:
                continue
            rows[""].append(model.title)
            rows["Parameters"].append(f"{info.num_parameters:,}")
            rows["File"].append(words.size(model.checkpoint.num_bytes))
            rows["Network"].append(info.config.model.name)
            if measure:
                found = _latency(str(model.path), picked.stamp)
                rows["One sample"].append(f"{found.median_ms:.1f} ms on {found.device}")
        st.dataframe(rows, hide_index=True, alt="Size and speed of the checkpoints")
        if measure:
            st.caption("The median of 30 rounds from spectrogram to answer, one sample at a time.")
        elif st.button("Measure the speed here", key="cost-measure", icon=":material/speed:"):
            st.session_state["cost-measured"] = picked.stamp
            st.rerun()


@st.cache_resource(max_entries=32, show_spinner="Measuring")
def _latency(path: str, stamp: tuple[Any, ...]) -> Latency:
    from samplemind_core.evaluation.cost import measure_latency

    return measure_latency(Path(path), workspace().settings.device)


def _agreement(picked: Picked) -> None:
    from samplemind_core.charts.differences import agreement_figure

    with st.container(border=True):
        parts.section("How often they agree")
        answers = np.stack([model.judged.logits.argmax(axis=1) for model in picked.models])
        shares = (answers[:, None] == answers[None]).mean(axis=2)
        parts.figure(agreement_figure(shares, [model.name for model in picked.models], theme()), key="agreement")
        st.caption("The share of samples that get the same answer, right or wrong.")


def settings_that_differ(models: tuple[PickedModel, ...]) -> None:
    """Draw the settings that not all of the models were trained with."""
    configs = [flatten(RunConfig.model_validate(model.run.config)) for model in models if model.run is not None]
    different = {
        words.setting_at(name): " → ".join(value_words(config[name]) for config in configs)
        for name in configs[0]
        if len({str(config[name]) for config in configs}) > 1
    }
    with st.container(border=True):
        parts.section(f"Settings that differ, {' → '.join(model.name for model in models)}")
        if different:
            parts.facts(different)
        else:
            st.caption("All were trained with the same settings.")
