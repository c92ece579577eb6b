"""A comparison to send to somebody: one HTML file that opens without a network, and the same as JSON and CSV."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samplemind_core.config import RunConfig, flatten
from samplemind_core.evaluation.calibration import measure_calibration, tempered
from samplemind_core.evaluation.comparison import Comparison, compare_many
from samplemind_core.evaluation.html_page import HtmlPage, percent
from samplemind_core.evaluation.judging import Judged
from samplemind_core.evaluation.metrics import Evaluation, evaluate_logits
from samplemind_core.evaluation.slices import slice_accuracy, slice_columns
from samplemind_core.evaluation.thresholds import risk_coverage
from samplemind_core.files import inert
from samplemind_core.store.records import Checkpoint, Clip, Epoch, Run

_SPLITS = {"val": "validation", "test": "test", "train": "training", "all": "all"}
_SLICES = 3
_WORST = 50


@dataclass(frozen=True, eq=False)
class ReportModel:
    """One model of a report.

    Attributes
    ----------
    name, title : str
        Its letter, and what it is.
    judged : Judged
        On the same clips as the others.
    temperature : float
    settings : mapping of str to value
        Of its training, flat; empty where there is no one training behind it.
    facts : mapping of str to value
        Run, epoch, parameters and the like.
    epochs : sequence of mapping
        What each epoch measured, for the curves.
    """

    name: str
    title: str
    judged: Judged
    temperature: float
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    epochs: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Report:
    """The same findings three times: a page, plain data, and a table with a row for each clip."""

    html: str
    data: dict[str, Any]
    csv: str


def make_report(
    models: Sequence[ReportModel], clips: Mapping[int, Clip], dataset: str, split: str, notes: Sequence[str] = ()
) -> Report:
    """Return the report of one or several models on the same clips.

    Parameters
    ----------
    models : sequence of ReportModel
    clips : mapping of int to Clip
        At least those that were judged, by id.
    dataset, split : str
        What they were judged on.
    notes : sequence of str
        What should be known before believing the figures.

    Raises
    ------
    DataError
        If there are no models or clips.
    """
    first = models[0].judged
    if first.several_labels:
        from samplemind_core.evaluation.label_report import make_label_report

        return make_label_report(models, clips, dataset, split, notes)
    shown = [clips[int(clip_id)] for clip_id in first.clip_ids]
    evaluations = [evaluate_logits(one.judged.logits, one.judged.targets, first.class_names) for one in models]
    named = [(one.name, one.judged.logits) for one in models]
    comparisons = compare_many(named, first.targets, groups=first.sources.tolist()) if len(models) > 1 else ()
    calibrations = [
        measure_calibration(
            one.judged.logits, first.targets, temperature=one.temperature, groups=first.sources.tolist()
        )
        for one in models
    ]
    right = models[0].judged.logits.argmax(axis=1) == first.targets
    slices = {name: slice_accuracy(values, right) for name, values in slice_columns(shown).items()}
    data: dict[str, Any] = {
        "dataset": dataset,
        "split": split,
        "num_clips": len(shown),
        "class_names": list(first.class_names),
        "notes": list(notes),
        "models": [
            {
                "name": one.name,
                "title": one.title,
                **dict(one.facts),
                "temperature": one.temperature,
                "evaluation": evaluation.as_dict(),
                "calibration": calibration.as_dict(),
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
    parts = HtmlPage(f"{dataset}: {', '.join(one.title for one in models)}")
    begin_page(parts, models, dataset, split, len(shown), notes)
    _verdict(parts, models, comparisons)
    _scores(parts, models, evaluations, calibrations)
    _curves(parts, models)
    _classes(parts, models, evaluations)
    _confusions(parts, models, evaluations)
    _confidence(parts, models, calibrations)
    add_slices(parts, slices, evaluations[0].accuracy, "Accuracy")
    add_settings(parts, models)
    _mistakes(parts, models[0], clips)
    return Report(parts.text(), data, _table(models, clips))


def begin_page(
    page: HtmlPage, models: Sequence[ReportModel], dataset: str, split: str, num_clips: int, notes: Sequence[str]
) -> None:
    """Begin a report: what was judged on which clips, and what should be known of it."""
    page.heading("Diagnostics report", level=1)
    fold = split.partition(":")[2]
    where = f"fold {fold}" if fold else f"{_SPLITS.get(split, split)} clips"
    written = time.strftime("%Y-%m-%d %H:%M")
    page.paragraph(f"{num_clips:,} clips of {dataset} ({where}). Written {written} by SampleMind.", "quiet")
    for note in notes:
        page.paragraph(note, "quiet")
    names = list(dict.fromkeys(name for one in models for name in one.facts))
    page.table(["", *names], [[one.title, *(one.facts.get(name, "–") for name in names)] for one in models])


def _verdict(page: HtmlPage, models: Sequence[ReportModel], comparisons: Sequence[Comparison]) -> None:
    if not comparisons:
        return
    from samplemind_core.charts.differences import difference_figure

    page.heading("Verdict")
    for one in comparisons:
        page.paragraph(one.sentence, "finding")
    rows = []
    for title, value, interval in (
        ("Accuracy", "difference", "interval"),
        ("Balanced accuracy", "balanced_accuracy_difference", "balanced_accuracy_interval"),
        ("Macro F1", "macro_f1_difference", "macro_f1_interval"),
    ):
        rows += [
            (title, other.name, getattr(one, value), getattr(one, interval))
            for one, other in zip(comparisons, models[1:], strict=True)
        ]
    page.figure(difference_figure(rows), "Differences with 95 % intervals, drawing whole sources")


def _scores(
    page: HtmlPage, models: Sequence[ReportModel], evaluations: Sequence[Evaluation], calibrations: Sequence[Any]
) -> None:
    page.heading("Scores")
    page.table(
        ["", "Accuracy", "95 % interval", "Balanced accuracy", "Macro F1", "Loss", "Calibration error", "Brier"],
        [
            [
                one.title, percent(e.accuracy), " to ".join(map(percent, e.accuracy_interval)),
                percent(e.balanced_accuracy), percent(e.macro_f1), f"{e.loss:.3f}", percent(c.ece), f"{c.brier:.3f}",
            ]
            for one, e, c in zip(models, evaluations, calibrations, strict=True)
        ],
    )  # fmt: skip


def _curves(page: HtmlPage, models: Sequence[ReportModel]) -> None:
    from samplemind_core.charts.curves import overlay_figure

    rows = [(one.title, list(one.epochs)) for one in models if one.epochs]
    if rows:
        page.heading("Training")
        page.figure(overlay_figure(rows, "loss"), "Loss")
        page.figure(overlay_figure(rows, "accuracy"), "Accuracy")


def _classes(page: HtmlPage, models: Sequence[ReportModel], evaluations: Sequence[Evaluation]) -> None:
    from samplemind_core.charts.confidence import class_metric_figure

    page.heading("By class")
    reports = {one.name: evaluation.per_class for one, evaluation in zip(models, evaluations, strict=True)}
    page.figure(class_metric_figure(reports, "recall"), "Recall")
    page.figure(class_metric_figure(reports, "precision"), "Precision")
    page.figure(class_metric_figure(reports, "f1"), "F1")


def _confusions(page: HtmlPage, models: Sequence[ReportModel], evaluations: Sequence[Evaluation]) -> None:
    from samplemind_core.charts.confusion import confusion_difference_figure, confusion_figure

    page.heading("Confusions")
    names = models[0].judged.class_names
    for one, evaluation in zip(models, evaluations, strict=True):
        page.figure(confusion_figure(evaluation.confusion, names), one.title)
    for one, evaluation in list(zip(models, evaluations, strict=True))[1:]:
        figure = confusion_difference_figure(evaluations[0].confusion, evaluation.confusion, names)
        page.figure(figure, f"What changes from {models[0].name} to {one.name}")


def _confidence(page: HtmlPage, models: Sequence[ReportModel], calibrations: Sequence[Any]) -> None:
    from samplemind_core.charts.reliability import confidence_histogram_figure, reliability_figure
    from samplemind_core.charts.thresholds import risk_coverage_figure

    page.heading("Confidence")
    page.figure(
        reliability_figure({one.name: found.bins for one, found in zip(models, calibrations, strict=True)}),
        "Reliability: on the dotted line, confidence means what it says",
    )
    sure = {one.name: tempered(one.judged.logits, one.temperature) for one in models}
    page.figure(confidence_histogram_figure({name: probs.max(axis=1) for name, probs in sure.items()}), "How sure")
    curves = {}
    for one in models:
        probs = sure[one.name]
        found = risk_coverage(probs.max(axis=1), probs.argmax(axis=1) == one.judged.targets)
        curves[one.name] = (found.coverage, found.accuracy, found.thresholds)
    page.figure(risk_coverage_figure(curves), "Accuracy when the least certain answers are refused")


def add_slices(page: HtmlPage, slices: Mapping[str, Any], overall: float, what: str) -> None:
    """Add the first slices of the first model: ``what`` was measured, over all clips ``overall``."""
    from samplemind_core.charts.slices import slice_figure

    if slices:
        page.heading("Slices of the first model")
    for name, found in list(slices.items())[:_SLICES]:
        page.figure(slice_figure(found, overall), f"{what} by {name.lower()}, the worst first")


def add_settings(page: HtmlPage, models: Sequence[ReportModel]) -> None:
    """Add the settings that not all of the models were trained with."""
    with_settings = [one for one in models if one.settings]
    if len(with_settings) < 2:
        return
    page.heading("Settings that differ")
    rows = [
        [name, *(one.settings.get(name, "–") for one in with_settings)]
        for name in with_settings[0].settings
        if len({str(one.settings.get(name)) for one in with_settings}) > 1
    ]
    page.table(["Setting", *(one.title for one in with_settings)], rows or [["None", *("" for _ in with_settings)]])


def _mistakes(page: HtmlPage, model: ReportModel, clips: Mapping[int, Clip]) -> None:
    probs = tempered(model.judged.logits, model.temperature)
    said, sure = probs.argmax(axis=1), probs.max(axis=1)
    wrong = np.flatnonzero(said != model.judged.targets)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:_WORST]
    page.heading(f"The surest mistakes of {model.name}")
    names = model.judged.class_names
    ids, targets = model.judged.clip_ids, model.judged.targets
    rows = [[clips[int(ids[row])].name, names[targets[row]], names[said[row]], percent(sure[row])] for row in wrong]
    page.table(["Sample", "Is", "Called", "Confidence"], rows or [["None", "", "", ""]])


def _table(models: Sequence[ReportModel], clips: Mapping[int, Clip]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ["clip_id", "name", "source", "label"]
    for one in models:
        header += [f"{one.name} answer", f"{one.name} confidence", f"{one.name} right"]
    writer.writerow(header)
    probs = [tempered(one.judged.logits, one.temperature) for one in models]
    names = models[0].judged.class_names
    for row, clip_id in enumerate(models[0].judged.clip_ids.tolist()):
        clip = clips[clip_id]
        cells: list[Any] = [clip_id, inert(clip.name), inert(clip.source), inert(clip.label)]
        for one, each in zip(models, probs, strict=True):
            said = int(each[row].argmax())
            cells += [inert(names[said]), f"{each[row, said]:.6f}", int(said == one.judged.targets[row])]
        writer.writerow(cells)
    return text.getvalue()


def describe_model(
    name: str,
    judged: Judged,
    run: Run | None,
    checkpoint: Checkpoint | None,
    root: Path,
    epochs: Sequence[Epoch],
) -> ReportModel:
    """Return a model of a report from what is known of it.

    Parameters
    ----------
    name : str
        What the report calls it.
    judged : Judged
    run, checkpoint : Run, Checkpoint or None
        What it comes from; None for the mean of several, no checkpoint for a cross-validation.
    root : Path
        The workspace folder.
    epochs : sequence of Epoch
        Of the run.

    Raises
    ------
    CheckpointError
        If the checkpoint's file is missing or damaged.
    """
    if run is None:
        return ReportModel(name, "Mean of all", judged, 1.0, {}, {}, ())
    settings = flatten(RunConfig.model_validate(run.config))
    curves = [epoch.as_dict() for epoch in epochs]
    if checkpoint is None:
        facts = {"Run": run.name, "Checkpoint": "cross-validated"}
        return ReportModel(name, f"{name} · {run.name}", judged, 1.0, settings, facts, curves)
    from samplemind_core.training.checkpoints import read_info

    info = read_info(root / checkpoint.path)
    facts = {
        "Run": run.name,
        "Checkpoint": f"{checkpoint.kind}, epoch {checkpoint.epoch}",
        "Network": info.config.model.name,
        "Parameters": f"{info.num_parameters:,}",
        "File": f"{checkpoint.num_bytes / 1e6:.1f} MB",
        "Temperature": f"{info.temperature:.2f}",
    }
    return ReportModel(name, f"{name} · {run.name}", judged, info.temperature, settings, facts, curves)
