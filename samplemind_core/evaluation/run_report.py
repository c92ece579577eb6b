"""One run on one page, to be mailed or printed: its curves, results, settings, and where it was trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplemind_core.config import PRESETS, RunConfig, flatten
from samplemind_core.errors import SampleMindError
from samplemind_core.evaluation.html_page import HtmlPage, percent
from samplemind_core.evaluation.multi_label import LabelEvaluation
from samplemind_core.store.records import Dataset, Epoch, Run

if TYPE_CHECKING:
    from samplemind_core.evaluation.judging import Judged
    from samplemind_core.evaluation.metrics import Evaluation
    from samplemind_core.training.checkpoints import CheckpointInfo

_SPLITS = {"test": "test", "val": "validation"}


@dataclass(frozen=True, eq=False)
class RunFacts:
    """What a run's report is made of.

    Attributes
    ----------
    run : Run
    dataset : Dataset
        As it was when the run began.
    epochs : sequence of Epoch
    checkpoint : CheckpointInfo or None
        What the best checkpoint says of itself; None where there is none.
    evaluation : Evaluation, LabelEvaluation or None
        Of the best checkpoint, on ``split``.
    split : str
        ``test``, or ``val`` where there is no test clip.
    notes : sequence of str
        What is missing, and why.
    """

    run: Run
    dataset: Dataset
    epochs: Sequence[Epoch]
    checkpoint: CheckpointInfo | None
    evaluation: Evaluation | LabelEvaluation | None
    split: str
    notes: Sequence[str]


def gather(
    run: Run, dataset: Dataset, epochs: Sequence[Epoch], checkpoint: Path | None, judge: Callable[[str], Judged]
) -> RunFacts:
    """Return what is known of a run; what cannot be had is left out and said.

    Parameters
    ----------
    run : Run
    dataset : Dataset
    epochs : sequence of Epoch
    checkpoint : Path or None
        File of the best checkpoint.
    judge : callable
        Gives the best checkpoint's answers on a split.
    """
    if checkpoint is None:
        return RunFacts(run, dataset, epochs, None, None, "test", ("This run has no checkpoint to judge.",))
    from samplemind_core.evaluation.measuring import evaluate_judged
    from samplemind_core.training.checkpoints import read_info

    notes: list[str] = []
    try:
        info = read_info(checkpoint)
    except SampleMindError as error:
        return RunFacts(run, dataset, epochs, None, None, "test", (str(error),))
    for split in _SPLITS:
        try:
            judged = judge(split)
        except SampleMindError as error:
            notes.append(str(error))
            continue
        evaluation = evaluate_judged(judged)
        return RunFacts(run, dataset, epochs, info, evaluation, split, notes)
    return RunFacts(run, dataset, epochs, info, None, "test", notes)


def run_report(facts: RunFacts) -> str:
    """Return a run's report as one HTML file that asks nothing of any network."""
    page = HtmlPage(f"{facts.run.name}: a run on {facts.dataset.name}")
    _head(page, facts)
    _scores(page, facts)
    _curves(page, facts)
    _results(page, facts)
    _settings(page, facts)
    _origin(page, facts)
    return page.text()


def _head(page: HtmlPage, facts: RunFacts) -> None:
    run, dataset = facts.run, facts.dataset
    page.heading(run.name, level=1)
    made = " Its sounds are synthetic." if dataset.synthetic else ""
    page.paragraph(
        f"A run on {dataset.name}, version {run.dataset_version} ({dataset.num_clips:,} clips of "
        f"{len(dataset.class_names)} classes).{made} Written {time.strftime('%Y-%m-%d %H:%M')} by SampleMind.",
        "quiet",
    )
    health = facts.epochs[-1].health if facts.epochs else {}
    if health.get("title"):
        page.paragraph(f"{health['title']}: {health.get('reason', '')}".rstrip(": "), "finding")
    said = " ".join(part for part in (f"{run.status.capitalize()}.", run.end_reason or "") if part)
    page.paragraph(said)
    for note in facts.notes:
        page.paragraph(note, "quiet")
    if run.notes:
        page.paragraph(run.notes)


def _scores(page: HtmlPage, facts: RunFacts) -> None:
    run = facts.run
    best = next((one for one in facts.epochs if one.epoch == run.best_epoch), None)
    seconds = sum(one.seconds for one in facts.epochs)
    rows: list[tuple[str, Any]] = []
    if facts.evaluation is not None:
        rows += _measured(facts.evaluation, facts.split)
    if best is not None:
        rows += [
            ("Best epoch", f"{best.epoch} of {len(facts.epochs)}"),
            ("Validation there", f"{_score(best)}, loss {best.val_loss:.3f} nats"),
        ]
    rows += [("Parameters", f"{run.num_parameters:,}" if run.num_parameters else "–")]
    rows += [("Training steps took", f"{seconds:,.0f} s" if seconds else "–")]
    page.table(["", ""], rows)


def _measured(found: Evaluation | LabelEvaluation, split: str) -> list[tuple[str, Any]]:
    """Return the scores on a split with their interval."""
    if isinstance(found, LabelEvaluation):
        low, high = map(percent, found.mean_ap_interval)
        said = f"{percent(found.mean_ap)} (95 % interval {low} to {high}, {found.num_clips:,} clips)"
        return [
            (f"{_SPLITS[split].capitalize()} mean average precision", said),
            ("lwlrap", percent(found.lwlrap)),
            ("Macro F1 at the thresholds", percent(found.macro_f1)),
            ("Exactly the right labels", percent(found.exact)),
        ]
    low, high = map(percent, found.accuracy_interval)
    said = f"{percent(found.accuracy)} (95 % interval {low} to {high}, {found.num_clips:,} clips)"
    return [
        (f"{_SPLITS[split].capitalize()} accuracy", said),
        ("Balanced accuracy", percent(found.balanced_accuracy)),
        ("Macro F1", percent(found.macro_f1)),
    ]


def _score(epoch: Epoch) -> str:
    if "val_map" in epoch.health:
        return f"mean average precision {percent(epoch.health['val_map'])}"
    return f"accuracy {percent(epoch.val_accuracy)}"


def _curves(page: HtmlPage, facts: RunFacts) -> None:
    if not facts.epochs:
        return
    from samplemind_core.charts.curves import accuracy_figure, learning_rate_figure, loss_figure, map_figure, with_map

    rows = [with_map(one.as_dict()) for one in facts.epochs]
    page.heading("Training")
    best = facts.run.best_epoch
    score = (accuracy_figure(rows, "light", best), "Accuracy")
    if facts.dataset.multi_label:
        score = (map_figure(rows, "light", best), "Mean average precision")
    page.figures((loss_figure(rows, "light", best), "Loss"), score)
    page.figure(learning_rate_figure(rows), "Learning rate")


def _results(page: HtmlPage, facts: RunFacts) -> None:
    if facts.evaluation is None:
        return
    from samplemind_core.charts.confusion import confusion_figure

    found = facts.evaluation
    if isinstance(found, LabelEvaluation):
        _label_results(page, found, facts.split)
        return
    page.heading(f"By class, on {found.num_clips:,} {_SPLITS[facts.split]} clips")
    page.table(
        ["Class", "Clips", "Recall", "95 % interval", "Precision", "F1"],
        [
            [
                one.label, f"{one.support:,}", percent(one.recall), " to ".join(map(percent, one.recall_interval)),
                percent(one.precision), percent(one.f1),
            ]
            for one in found.per_class
        ],
    )  # fmt: skip
    page.heading("Confusions")
    page.figure(confusion_figure(found.confusion, found.class_names), "Rows are what clips are, columns what they got")


def _label_results(page: HtmlPage, found: LabelEvaluation, split: str) -> None:
    from samplemind_core.charts.labels import label_counts_figure

    page.heading(f"By label, on {found.num_clips:,} {_SPLITS[split]} clips")
    page.table(
        ["Label", "Clips", "Average precision", "Recall", "Precision", "F1", "Named from"],
        [
            [
                one.label, f"{one.support:,}", percent(one.average_precision), percent(one.recall),
                percent(one.precision), percent(one.f1), percent(one.threshold),
            ]
            for one in found.per_class
        ],
    )  # fmt: skip
    page.heading("Found, missed and named wrongly")
    page.figure(label_counts_figure(found.per_class), "Each label is answered by itself")


def _settings(page: HtmlPage, facts: RunFacts) -> None:
    config = RunConfig.model_validate(facts.run.config)
    settings = flatten(config)
    preset = PRESETS.get(config.preset)
    usual = flatten(preset.config) if preset else {}
    changed = {path: value for path, value in settings.items() if preset and value != usual.get(path)}
    page.heading("Settings")
    if preset:
        said = "unchanged" if not changed else "with these changes"
        page.paragraph(f"The preset {preset.title}, {said}.")
    if changed:
        page.table(
            ["Setting", "Preset", "Here"], [[path, usual.get(path, "–"), value] for path, value in changed.items()]
        )
    page.heading("All settings", level=3)
    page.table(["Setting", "Value"], [[path, "none" if value is None else value] for path, value in settings.items()])


def _origin(page: HtmlPage, facts: RunFacts) -> None:
    run, info = facts.run, facts.checkpoint
    when = "–" if run.started_at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_at))
    host = str((run.worker or {}).get("host", "")).partition("/")[0] or "–"
    rows = [
        ("Run", run.id), ("Started by", run.owner or "–"), ("Started", when), ("Machine", host),
        ("Device", run.device or "–"), ("Tags", ", ".join(run.tags) or "–"),
        ("Dataset's fingerprint", run.dataset_fingerprint or facts.dataset.fingerprint),
    ]  # fmt: skip
    if info is not None:
        rows += [("Temperature", f"{info.temperature:.2f}")]
        rows += [(f"Version of {name}", version) for name, version in info.versions.items()]
    page.heading("Where it was trained")
    page.table(["", ""], rows)
