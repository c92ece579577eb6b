"""Many runs side by side: what a table of them shows, what can be looked for in it, and the same as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from samplemind_core.errors import CheckpointError
from samplemind_core.files import inert
from samplemind_core.settings import Settings
from samplemind_core.store import Curve, Run, Store

MAX_MEASURED = 50
"""Test scores of older runs that are worked out in one go; the others follow the next time."""

_UNREADABLE: set[str] = set()
"""Files that were looked into in vain by this process, so that no visit opens them again."""
_NO_CURVE = Curve((), (), (), 0.0)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run with what a table shows of it.

    Attributes
    ----------
    run : Run
    dataset : str
        Name of its dataset.
    curve : Curve
        Its validation, epoch by epoch.
    test_accuracy : float or None
        Of its best checkpoint, a fraction; None where that was not judged.
    """

    run: Run
    dataset: str
    curve: Curve
    test_accuracy: float | None

    @property
    def best_val_loss(self) -> float | None:
        """The lowest validation loss, in nats; None before the first epoch."""
        return min(self._finite(), default=(None,))[0]

    @property
    def best_val_accuracy(self) -> float | None:
        """Validation accuracy of the best checkpoint, a fraction; where the loss was lowest while there is none."""
        epochs, accuracies = self.curve.epochs, self.curve.val_accuracy
        if self.run.best_epoch in epochs:
            return accuracies[epochs.index(self.run.best_epoch)]
        finite = self._finite()
        return accuracies[min(finite)[1]] if finite else None

    @property
    def num_epochs(self) -> int:
        """The newest epoch that is done."""
        return self.curve.epochs[-1] if self.curve.epochs else 0

    @property
    def settings(self) -> dict[str, Any]:
        """The run's settings by dotted path, as they were stored."""
        return flat_settings(self.run.config)

    def _finite(self) -> list[tuple[float, int]]:
        return [(loss, place) for place, loss in enumerate(self.curve.val_loss) if math.isfinite(loss)]


@dataclass(frozen=True)
class RunFilter:
    """What is looked for. Every word of ``text`` must occur in a run; an empty tuple lets everything pass."""

    text: str = ""
    statuses: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def summarise(store: Store, settings: Settings) -> list[RunSummary]:
    """Return all runs that are not deleted, newest first, in as many questions whatever their number."""
    runs = store.runs.all()
    names = {dataset.id: dataset.name for dataset in store.datasets.all()}
    curves = store.run_lists.curves()
    _measure_older(store, settings)
    scores = store.run_lists.test_accuracies()
    return [
        RunSummary(run, names.get(run.dataset_id, run.dataset_id), curves.get(run.id, _NO_CURVE), scores.get(run.id))
        for run in runs
    ]


def matching(summaries: Iterable[RunSummary], wanted: RunFilter) -> list[RunSummary]:
    """Return those that a filter lets pass, in their order."""
    words = wanted.text.casefold().split()
    return [
        one
        for one in summaries
        if (not wanted.statuses or one.run.status in wanted.statuses)
        and (not wanted.owners or one.run.owner in wanted.owners)
        and (not wanted.datasets or one.dataset in wanted.datasets)
        and (not wanted.tags or set(wanted.tags) & set(one.run.tags))
        and (not words or _has(one, words))
    ]


def flat_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"train.lr": 0.001, …}`` of a stored configuration, whatever version wrote it."""
    flat: dict[str, Any] = {}
    for section, values in config.items():
        if isinstance(values, Mapping):
            flat |= {f"{section}.{name}": value for name, value in values.items()}
        else:
            flat[section] = values
    return flat


def differing_settings(summaries: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Return each setting that is not the same in all runs, with its value in each; None where a run has none."""
    all_settings = [one.settings for one in summaries]
    paths = dict.fromkeys(path for settings in all_settings for path in settings)
    columns = {path: [settings.get(path) for settings in all_settings] for path in paths}
    return {path: values for path, values in columns.items() if len({repr(value) for value in values}) > 1}


def runs_csv(summaries: Sequence[RunSummary]) -> str:
    """Return a table with a row for each run: what the page shows, then every setting."""
    paths = list(dict.fromkeys(path for one in summaries for path in one.settings))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "id", "name", "status", "dataset", "dataset_version", "owner", "created", "epochs", "best_epoch",
            "best_val_loss", "best_val_accuracy", "test_accuracy", "seconds", "num_parameters", "device", "tags",
            "notes", *paths,
        ]
    )  # fmt: skip
    for one in summaries:
        run, settings = one.run, one.settings
        cells = [
            run.id, run.name, run.status, one.dataset, run.dataset_version, run.owner,
            datetime.fromtimestamp(run.created_at, UTC).isoformat(timespec="seconds"), one.num_epochs, run.best_epoch,
            one.best_val_loss, one.best_val_accuracy, one.test_accuracy, round(one.curve.seconds, 3),
            run.num_parameters, run.device, " ".join(run.tags), run.notes, *(settings.get(path) for path in paths),
        ]  # fmt: skip
        writer.writerow(["" if cell is None else inert(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue()


def _has(one: RunSummary, words: Sequence[str]) -> bool:
    run = one.run
    told = " ".join((run.name, run.notes, *run.tags, one.dataset, run.owner, str(run.config.get("preset", ""))))
    told = told.casefold()
    return all(word in told for word in words)


def _measure_older(store: Store, settings: Settings) -> None:
    """Work out test scores of predictions that were stored before scores were."""
    from samplemind_core.training.predictions import accuracy, read_logits

    waiting = {key: path for key, path in store.run_lists.unmeasured().items() if path not in _UNREADABLE}
    found: dict[int, float] = {}
    for key, path in list(waiting.items())[:MAX_MEASURED]:
        try:
            share = accuracy(read_logits(settings.root / path))
        except CheckpointError:
            share = None  # judging the checkpoint again makes the file anew, with its score
        if share is None:
            _UNREADABLE.add(path)
        else:
            found[key] = share
    store.run_lists.put_accuracies(found)
