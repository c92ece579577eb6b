"""A comparison to send to somebody: one HTML file that opens without a network, and the same as JSON and CSV."""

from __future__ import annotations

import csv
import html
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samplemind_core.config import RunConfig, flatten
from samplemind_core.evaluation.calibration import measure_calibration, tempered
from samplemind_core.evaluation.comparison import Comparison, compare_many
from samplemind_core.evaluation.judging import Judged
from samplemind_core.evaluation.metrics import Evaluation, evaluate_logits
from samplemind_core.evaluation.slices import slice_accuracy, slice_columns
from samplemind_core.evaluation.thresholds import risk_coverage
from samplemind_core.files import inert
from samplemind_core.store.records import Checkpoint, Clip, Epoch, Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

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
    parts = _Page(f"{dataset}: {', '.join(one.title for one in models)}")
    _head(parts, models, dataset, split, len(shown), notes)
    _verdict(parts, models, comparisons)
    _scores(parts, models, evaluations, calibrations)
    _curves(parts, models)
    _classes(parts, models, evaluations)
    _confusions(parts, models, evaluations)
    _confidence(parts, models, calibrations)
    _slices(parts, slices, evaluations[0].accuracy)
    _settings(parts, models)
    _mistakes(parts, models[0], clips)
    return Report(parts.text(), data, _table(models, clips))


class _Page:
    """An HTML page that grows from the top; everything given to it as text is shown as text."""

    def __init__(self, title: str) -> None:
        self._title, self._parts, self._figures = title, list[str](), 0

    def heading(self, text: str, level: int = 2) -> None:
        self._parts.append(f"<h{level}>{html.escape(text)}</h{level}>")

    def paragraph(self, text: str, kind: str = "") -> None:
        self._parts.append(f'<p class="{kind}">{html.escape(text)}</p>')

    def figure(self, figure: go.Figure, title: str = "") -> None:
        self._figures += 1
        alt = html.escape(str(figure.layout.meta["alt"]), quote=True)
        drawn = figure.to_html(
            full_html=False, include_plotlyjs=False, div_id=f"figure-{self._figures}",
            config={"displayModeBar": False, "responsive": True},
        )  # fmt: skip
        caption = f"<figcaption>{html.escape(title)}</figcaption>" if title else ""
        self._parts.append(f'<figure role="img" aria-label="{alt}">{caption}{drawn}</figure>')

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
        self._parts.append(
            f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def text(self) -> str:
        from plotly.offline import get_plotlyjs

        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(self._title)}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{_CSS}</style><script>{get_plotlyjs()}</script></head><body><main>"
            + "\n".join(self._parts)
            + "</main></body></html>"
        )


_CSS = """
body{margin:0;background:#fbfbfd;color:#1c1b22;font:15px/1.5 Inter,system-ui,-apple-system,'Segoe UI',sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 80px}
h1{font-size:28px;margin:8px 0}h2{font-size:20px;margin:40px 0 12px}
figure{margin:0 0 16px;background:#fff;border:1px solid #e3e2ea;border-radius:12px;padding:12px}
figcaption{font-weight:600;margin:0 4px 8px}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:6px 12px 6px 0;border-bottom:1px solid #e3e2ea;overflow-wrap:anywhere}
th{color:#6a6875;font-weight:500}.wide{overflow-x:auto;margin-bottom:16px}
.finding{font-size:18px}.quiet{color:#6a6875}
"""


def _head(
    page: _Page, models: Sequence[ReportModel], dataset: str, split: str, num_clips: int, notes: Sequence[str]
) -> None:
    page.heading("Diagnostics report", level=1)
    fold = split.partition(":")[2]
    where = f"fold {fold}" if fold else f"{_SPLITS.get(split, split)} clips"
    written = time.strftime("%Y-%m-%d %H:%M")
    page.paragraph(f"{num_clips:,} clips of {dataset} ({where}). Written {written} by SampleMind.", "quiet")
    for note in notes:
        page.paragraph(note, "quiet")
    names = list(dict.fromkeys(name for one in models for name in one.facts))
    page.table(["", *names], [[one.title, *(one.facts.get(name, "–") for name in names)] for one in models])


def _verdict(page: _Page, models: Sequence[ReportModel], comparisons: Sequence[Comparison]) -> None:
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
    page: _Page, models: Sequence[ReportModel], evaluations: Sequence[Evaluation], calibrations: Sequence[Any]
) -> None:
    page.heading("Scores")
    page.table(
        ["", "Accuracy", "95 % interval", "Balanced accuracy", "Macro F1", "Loss", "Calibration error", "Brier"],
        [
            [
                one.title, _percent(e.accuracy), " to ".join(map(_percent, e.accuracy_interval)),
                _percent(e.balanced_accuracy), _percent(e.macro_f1), f"{e.loss:.3f}", _percent(c.ece), f"{c.brier:.3f}",
            ]
            for one, e, c in zip(models, evaluations, calibrations, strict=True)
        ],
    )  # fmt: skip


def _curves(page: _Page, models: Sequence[ReportModel]) -> None:
    from samplemind_core.charts.curves import overlay_figure

    rows = [(one.title, list(one.epochs)) for one in models if one.epochs]
    if rows:
        page.heading("Training")
        page.figure(overlay_figure(rows, "loss"), "Loss")
        page.figure(overlay_figure(rows, "accuracy"), "Accuracy")


def _classes(page: _Page, models: Sequence[ReportModel], evaluations: Sequence[Evaluation]) -> None:
    from samplemind_core.charts.confidence import class_metric_figure

    page.heading("By class")
    reports = {one.name: evaluation.per_class for one, evaluation in zip(models, evaluations, strict=True)}
    page.figure(class_metric_figure(reports, "recall"), "Recall")
    page.figure(class_metric_figure(reports, "precision"), "Precision")
    page.figure(class_metric_figure(reports, "f1"), "F1")


def _confusions(page: _Page, models: Sequence[ReportModel], evaluations: Sequence[Evaluation]) -> None:
    from samplemind_core.charts.confusion import confusion_difference_figure, confusion_figure

    page.heading("Confusions")
    names = models[0].judged.class_names
    for one, evaluation in zip(models, evaluations, strict=True):
        page.figure(confusion_figure(evaluation.confusion, names), one.title)
    for one, evaluation in list(zip(models, evaluations, strict=True))[1:]:
        figure = confusion_difference_figure(evaluations[0].confusion, evaluation.confusion, names)
        page.figure(figure, f"What changes from {models[0].name} to {one.name}")


def _confidence(page: _Page, models: Sequence[ReportModel], calibrations: Sequence[Any]) -> None:
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


def _slices(page: _Page, slices: Mapping[str, Any], overall: float) -> None:
    from samplemind_core.charts.slices import slice_figure

    if slices:
        page.heading("Slices of the first model")
    for name, found in list(slices.items())[:_SLICES]:
        page.figure(slice_figure(found, overall), f"Accuracy by {name.lower()}, the worst first")


def _settings(page: _Page, models: Sequence[ReportModel]) -> None:
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


def _mistakes(page: _Page, model: ReportModel, clips: Mapping[int, Clip]) -> None:
    probs = tempered(model.judged.logits, model.temperature)
    said, sure = probs.argmax(axis=1), probs.max(axis=1)
    wrong = np.flatnonzero(said != model.judged.targets)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:_WORST]
    page.heading(f"The surest mistakes of {model.name}")
    names = model.judged.class_names
    ids, targets = model.judged.clip_ids, model.judged.targets
    rows = [[clips[int(ids[row])].name, names[targets[row]], names[said[row]], _percent(sure[row])] for row in wrong]
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


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


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
