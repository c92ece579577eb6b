"""The report of checkpoints that name several labels; for one label it is :mod:`~samplemind_core.evaluation.report`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from samplemind_core.evaluation.html_page import HtmlPage, percent
from samplemind_core.evaluation.label_calibration import ALL, LabelCalibration, measure_label_calibration
from samplemind_core.evaluation.label_comparison import LabelComparison, compare_labels
from samplemind_core.evaluation.multi_label import LabelEvaluation, evaluate_labels
from samplemind_core.evaluation.report import Report, ReportModel, add_settings, add_slices, begin_page
from samplemind_core.evaluation.slices import slice_accuracy, slice_columns
from samplemind_core.files import inert
from samplemind_core.ranking import sigmoid
from samplemind_core.store.records import Clip, joined

_WORST = 50


def make_label_report(
    models: Sequence[ReportModel], clips: Mapping[int, Clip], dataset: str, split: str, notes: Sequence[str] = ()
) -> Report:
    """Return the report of one or several models on the same clips, each of which has several labels.

    Parameters and errors are those of :func:`samplemind_core.evaluation.report.make_report`.
    """
    first = models[0].judged
    groups = first.sources.tolist()
    shown = [clips[int(clip_id)] for clip_id in first.clip_ids]
    evaluations = [
        evaluate_labels(one.judged.logits, first.targets, first.class_names, one.judged.thresholds, groups)
        for one in models
    ]
    named = [(one.name, one.judged.logits, one.judged.thresholds) for one in models]
    comparisons = compare_labels(named, first.targets, first.class_names, groups) if len(models) > 1 else ()
    calibrations = [
        measure_label_calibration(one.judged.logits, first.targets, first.class_names, groups) for one in models
    ]
    exact = (_named(models[0]) == (first.targets > 0)).all(axis=1)
    columns = slice_columns(shown, several_labels=True)
    slices = {name: slice_accuracy(values, exact) for name, values in columns.items()}
    data: dict[str, Any] = {
        "dataset": dataset,
        "split": split,
        "num_clips": len(shown),
        "class_names": list(first.class_names),
        "several_labels": True,
        "notes": list(notes),
        "models": [
            {
                "name": one.name,
                "title": one.title,
                **dict(one.facts),
                "thresholds": dict(zip(first.class_names, one.judged.thresholds, strict=True)),
                "evaluation": evaluation.as_dict(),
                "calibration": [label.as_dict() | {"label": label.label or None} for label in calibration],
                "settings": dict(one.settings),
            }
            for one, evaluation, calibration in zip(models, evaluations, calibrations, strict=True)
        ],
        "comparisons": [
            {"a": models[0].name, "b": other.name, **one.as_dict()}
            for one, other in zip(comparisons, models[1:], strict=False)
        ],
        "slices": {name: [one.as_dict() for one in found] for name, found in slices.items()},
    }
    page = HtmlPage(f"{dataset}: {', '.join(one.title for one in models)}")
    begin_page(page, models, dataset, split, len(shown), notes)
    _verdict(page, models, comparisons)
    _scores(page, models, evaluations, calibrations)
    _labels(page, models, evaluations)
    _reliability(page, models, calibrations)
    add_slices(page, slices, float(exact.mean()), "Exactly the right labels")
    add_settings(page, models)
    _mistakes(page, models[0], clips)
    return Report(page.text(), data, _table(models, clips))


def _named(model: ReportModel) -> npt.NDArray[np.bool_]:
    return np.asarray(sigmoid(model.judged.logits) >= np.array(model.judged.thresholds))


def _verdict(page: HtmlPage, models: Sequence[ReportModel], comparisons: Sequence[LabelComparison]) -> None:
    if not comparisons:
        return
    from samplemind_core.charts.differences import difference_figure

    page.heading("Verdict")
    for one in comparisons:
        page.paragraph(one.sentence, "finding")
    rows = [
        ("Mean average precision", other.name, one.difference, one.interval)
        for one, other in zip(comparisons, models[1:], strict=True)
    ]
    page.figure(difference_figure(rows), "Differences with 95 % intervals, drawing whole sources")


def _scores(
    page: HtmlPage,
    models: Sequence[ReportModel],
    evaluations: Sequence[LabelEvaluation],
    calibrations: Sequence[Sequence[LabelCalibration]],
) -> None:
    from samplemind_core.charts.curves import overlay_figure, with_map

    page.heading("Scores")
    page.table(
        ["", "mAP", "95 % interval", "lwlrap", "Macro F1", "Micro F1", "Exactly right", "Calibration error"],
        [
            [
                one.title, percent(e.mean_ap), " to ".join(map(percent, e.mean_ap_interval)), percent(e.lwlrap),
                percent(e.macro_f1), percent(e.micro_f1), percent(e.exact), percent(c[0].ece),
            ]
            for one, e, c in zip(models, evaluations, calibrations, strict=True)
        ],
    )  # fmt: skip
    rows = [(one.title, [with_map(epoch) for epoch in one.epochs]) for one in models if one.epochs]
    if rows:
        page.heading("Training")
        page.figure(overlay_figure(rows, "loss"), "Loss")
        page.figure(overlay_figure(rows, "map"), "Mean average precision")


def _labels(page: HtmlPage, models: Sequence[ReportModel], evaluations: Sequence[LabelEvaluation]) -> None:
    from samplemind_core.charts.confidence import class_metric_figure
    from samplemind_core.charts.labels import label_counts_figure

    page.heading("By label")
    reports = {one.name: evaluation.per_class for one, evaluation in zip(models, evaluations, strict=True)}
    page.figure(class_metric_figure(reports, "average_precision"), "Average precision")
    page.figure(class_metric_figure(reports, "recall"), "Recall")
    page.figure(class_metric_figure(reports, "precision"), "Precision")
    for one, evaluation in zip(models, evaluations, strict=True):
        page.figure(label_counts_figure(evaluation.per_class), f"{one.title}: found, missed and named wrongly")


def _reliability(
    page: HtmlPage, models: Sequence[ReportModel], calibrations: Sequence[Sequence[LabelCalibration]]
) -> None:
    from samplemind_core.charts.reliability import reliability_figure

    page.heading("Confidence")
    page.figure(
        reliability_figure({one.name: c[0].bins for one, c in zip(models, calibrations, strict=True)}, label=ALL),
        "Reliability of all labels together: on the dotted line, confidence means what it says",
    )
    rows = [
        [label.label, label.num_positive, *(percent(c[place].ece) for c in calibrations)]
        for place, label in enumerate(calibrations[0])
        if place
    ]
    page.table(["Label", "Samples", *(f"Calibration error {one.name}" for one in models)], rows)


def _mistakes(page: HtmlPage, model: ReportModel, clips: Mapping[int, Clip]) -> None:
    judged, named = model.judged, _named(model)
    names, truth = np.array(judged.class_names), judged.targets > 0
    beyond = np.abs(sigmoid(judged.logits) - np.array(judged.thresholds))
    beyond = np.where(named == truth, -1.0, beyond).max(axis=1)
    wrong = np.flatnonzero((named != truth).any(axis=1))
    wrong = wrong[np.argsort(-beyond[wrong], kind="stable")][:_WORST]
    page.heading(f"The largest mistakes of {model.name}")
    rows = [
        [
            clips[int(judged.clip_ids[row])].name,
            joined(names[truth[row]]),
            joined(names[truth[row] & ~named[row]]) or "–",
            joined(names[named[row] & ~truth[row]]) or "–",
        ]
        for row in wrong
    ]
    page.table(["Sample", "Is", "Missed", "Named wrongly"], rows or [["None", "", "", ""]])


def _table(models: Sequence[ReportModel], clips: Mapping[int, Clip]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = models[0].judged.class_names
    header = ["clip_id", "name", "source", "labels"]
    for one in models:
        header += [f"{one.name} answer", f"{one.name} right"]
        header += [inert(f"{one.name} p_{name}") for name in names]
    writer.writerow(header)
    answers = [(_named(one), sigmoid(one.judged.logits)) for one in models]
    truth = models[0].judged.targets > 0
    for row, clip_id in enumerate(models[0].judged.clip_ids.tolist()):
        clip = clips[clip_id]
        cells: list[Any] = [clip_id, inert(clip.name), inert(clip.source), inert(";".join(clip.labels))]
        for named, probs in answers:
            said = ";".join(name for name, is_named in zip(names, named[row], strict=True) if is_named)
            cells += [inert(said), int((named[row] == truth[row]).all()), *(f"{prob:.6f}" for prob in probs[row])]
        writer.writerow(cells)
    return text.getvalue()
