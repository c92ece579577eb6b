"""Samples with several labels: scores, curves and each label's figures side by side."""

from __future__ import annotations

import streamlit as st

from samplemind_core.ui import hints, parts, words
from samplemind_core.ui.diagnostics.overview import costs, curves, settings_that_differ
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel
from samplemind_core.ui.state import theme


def draw(picked: Picked) -> None:
    """Draw the section."""
    with st.grid(min(3, len(picked.models)), min_column_width=300):
        for model in picked.models:
            with st.container(border=True):
                _score_card(model, alone=len(picked.models) == 1)
    curves(picked, "map")
    _labels(picked)
    left, right = st.columns(2)
    with left:
        costs(picked)
    with right:
        if len(picked.single) > 1:
            settings_that_differ(picked.single)


def _score_card(model: PickedModel, *, alone: bool) -> None:
    found = model.labelled
    parts.section(model.run.name if alone and model.run else model.title)
    epoch = f"Epoch {model.checkpoint.epoch}, measured" if model.checkpoint else "Measured"
    st.caption(f"{epoch} on {words.plural(found.num_clips, 'sample')} with {words.plural(found.num_labels, 'label')}")
    low, high = found.mean_ap_interval
    with st.grid(3, min_column_width=110):
        st.metric(
            "mAP",
            words.percent(found.mean_ap),
            help="Mean average precision: how well the samples of each label are ranked above all others, as the mean "
            "over labels. It needs no threshold. A random order gets the share of samples that have the label.",
        )
        st.metric(
            "lwlrap",
            words.percent(found.lwlrap),
            help="Label-weighted label-ranking average precision: how far each sample's own labels stand above its "
            "other classes.",
        )
        st.metric(
            "Macro F1",
            words.percent(found.macro_f1),
            help="The mean F1 of all labels at their thresholds; micro F1, all labels together, is "
            f"{words.percent(found.micro_f1)}.",
        )
    st.caption(
        f"Mean average precision with 95 % interval {words.percent(low)} to {words.percent(high)}, drawing "
        f"{words.plural(found.num_sources, 'source')}. Exactly the right labels on {words.percent(found.exact)}."
    )


def _labels(picked: Picked) -> None:
    from samplemind_core.charts.confidence import ClassMetric, class_metric_figure

    with st.container(border=True):
        hints.section("By label", "precision_recall")
        shown: dict[ClassMetric, str] = {
            "average_precision": "Average precision", "recall": "Recall", "precision": "Precision", "f1": "F1",
        }  # fmt: skip
        metric = st.segmented_control(
            "Score",
            list(shown),
            format_func=lambda key: shown[key],
            default="average_precision",
            required=True,
            key="label-score",
            label_visibility="collapsed",
        )
        reports = {model.name: model.labelled.per_class for model in picked.models}
        parts.figure(class_metric_figure(reports, metric or "average_precision", theme()), key="diagnostics-labels")
        st.caption("Precision, recall and F1 are those at each label's own threshold, with 95 % intervals.")
        label_table(picked)


def label_table(picked: Picked) -> None:
    """Draw every label's figures as a table."""
    first = picked.models[0].labelled.per_class
    table: dict[str, list[object]] = {
        "Label": [report.label for report in first],
        "Samples": [report.support for report in first],
    }
    for model in picked.models:
        after = f" {model.name}" if len(picked.models) > 1 else ""
        for title, score in (
            ("Average precision", "average_precision"),
            ("Precision", "precision"),
            ("Recall", "recall"),
            ("F1", "f1"),
            ("Named from", "threshold"),
        ):
            table[title + after] = [words.percent(getattr(report, score)) for report in model.labelled.per_class]
    st.dataframe(table, hide_index=True, alt="Average precision, precision, recall, F1 and threshold by label")
