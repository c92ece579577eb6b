"""Settings judged on a whole dataset: the score of every fold, their mean and spread, and one score of all clips.

What trains the folds is :mod:`~samplemind_core.evaluation.out_of_fold`; here stand the figures and the task.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from samplemind_core.config import RunConfig
from samplemind_core.errors import DataError, NameTakenError, StorageError
from samplemind_core.evaluation.label_folds import LABEL_SCORES, LabelFoldScore, score_label_fold, score_label_folds
from samplemind_core.evaluation.metrics import Interval, evaluate_logits, plain
from samplemind_core.evaluation.out_of_fold import (
    KIND,
    NUM_FOLDS,
    By,
    OutOfFold,
    cross_validate,
    deal,
    num_trained_on,
    read_out_of_fold,
)
from samplemind_core.evaluation.resampling import resample_scores
from samplemind_core.files import DAMAGED, open_arrays
from samplemind_core.store.records import Dataset, Run

if TYPE_CHECKING:
    from samplemind_core.settings import Settings
    from samplemind_core.store import Store
    from samplemind_core.tasks import TaskContext

__all__ = [
    "KIND",
    "SCORES",
    "CrossValidation",
    "FoldScore",
    "finished_folds",
    "read_cross_validation",
    "run_task",
    "score_fold",
    "summarise",
    "task_params",
]

Score = Literal["accuracy", "balanced_accuracy", "macro_f1"]
SCORES: tuple[Score, ...] = ("accuracy", "balanced_accuracy", "macro_f1")


@dataclass(frozen=True)
class FoldScore:
    """What the network that never heard a fold makes of it. Scores are fractions.

    ``accuracy_interval`` is Wilson's 95 % interval over the fold's clips.
    """

    name: str
    num_clips: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    accuracy_interval: Interval

    @property
    def score(self) -> float:
        """The score that counts."""
        return self.accuracy

    @property
    def interval(self) -> Interval:
        """Its interval."""
        return self.accuracy_interval


@dataclass(frozen=True)
class CrossValidation:
    """A dataset judged fold by fold and as a whole.

    Attributes
    ----------
    folds : tuple of FoldScore, or of LabelFoldScore
        The latter where clips have several labels.
    pooled : dict of str to float
        Each score over all clips together, every clip answered by the network that never heard its source.
    intervals : dict of str to (low, high)
        95 % interval of each pooled score, by a bootstrap that draws whole sources.
    num_sources : int
    class_names : tuple of str
    version : int
        Of the dataset.
    """

    folds: tuple[FoldScore, ...] | tuple[LabelFoldScore, ...]
    pooled: dict[str, float]
    intervals: dict[str, Interval]
    num_sources: int
    class_names: tuple[str, ...]
    version: int

    @property
    def num_clips(self) -> int:
        """How many clips were judged."""
        return sum(fold.num_clips for fold in self.folds)

    @property
    def several_labels(self) -> bool:
        """Whether clips have several labels."""
        return "mean_ap" in self.pooled

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of the scores, the one that counts first."""
        return LABEL_SCORES if self.several_labels else SCORES

    def mean(self, score: str) -> float:
        """Return the mean of a score over the folds."""
        return statistics.fmean(getattr(fold, score) for fold in self.folds)

    def sd(self, score: str) -> float:
        """Return the standard deviation of a score over the folds (with N - 1)."""
        values: list[float] = [getattr(fold, score) for fold in self.folds]
        return statistics.stdev(values)

    @property
    def sentence(self) -> str:
        """The result in one line."""
        score = self.scores[0]
        low, high = self.intervals[score]
        mean, clips = (
            f"{100 * self.mean(score):.1f} % ± {100 * self.sd(score):.1f} % over {len(self.folds)} folds",
            self.num_clips,
        )
        interval = f"(95 % interval {100 * low:.1f} % to {100 * high:.1f} %)"
        if self.several_labels:
            return (
                f"Mean average precision {mean}; {100 * self.pooled[score]:.1f} % over all {clips:,} clips {interval}."
            )
        return f"Accuracy {mean}; {100 * self.pooled[score]:.1f} % of all {clips:,} clips {interval}."

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON types, with mean and standard deviation of each score."""
        spread = {score: {"mean": self.mean(score), "sd": self.sd(score)} for score in self.scores}
        return plain({**asdict(self), "num_clips": self.num_clips, "over_folds": spread})


def score_fold(name: str, logits: npt.NDArray[np.floating], targets: npt.NDArray[np.int64]) -> FoldScore:
    """Return the scores of one fold's answers: logits (n, C), targets (n,)."""
    found = evaluate_logits(logits, targets, [str(place) for place in range(logits.shape[1])])
    return FoldScore(
        name, len(targets), found.accuracy, found.balanced_accuracy, found.macro_f1, found.accuracy_interval
    )


def summarise(found: OutOfFold, sources: Sequence[str]) -> CrossValidation:
    """Return the figures of out-of-fold answers.

    Parameters
    ----------
    found : OutOfFold
    sources : sequence of str, length N
        Source of each clip: what the intervals' bootstrap draws.
    """
    total = int(found.folds.max()) + 1
    names = found.fold_names or tuple(str(fold + 1) for fold in range(total))
    if found.thresholds is not None:
        labelled, pooled, intervals = score_label_folds(found, names, np.array(list(sources), dtype=np.str_))
        return CrossValidation(labelled, pooled, intervals, len(set(sources)), found.class_names, found.version)
    folds = tuple(
        score_fold(names[fold], found.logits[found.folds == fold], found.targets[found.folds == fold])
        for fold in range(total)
    )
    whole = evaluate_logits(found.logits, found.targets, found.class_names)
    drawn = resample_scores(
        found.logits.argmax(axis=1)[None], found.targets, len(found.class_names), groups=list(sources)
    )
    return CrossValidation(
        folds=folds,
        pooled={score: getattr(whole, score) for score in SCORES},
        intervals={score: drawn.interval(score) for score in SCORES},
        num_sources=len(set(sources)),
        class_names=found.class_names,
        version=found.version,
    )


def read_cross_validation(store: Store, settings: Settings, run: Run) -> CrossValidation | None:
    """Return the figures of a run's cross-validation, by the labels it was trained on; None where it has none.

    Raises
    ------
    StorageError
        If its file is damaged.
    """
    found = read_out_of_fold(settings, run.id)
    if found is None:
        return None
    sources = {clip.id: clip.source for clip in store.datasets.clips(run.dataset_id)}
    # A clip that is gone stands for itself.
    return summarise(found, [sources.get(int(clip_id), f"clip {clip_id}") for clip_id in found.clip_ids])


def finished_folds(folder: Path) -> tuple[FoldScore, ...] | tuple[LabelFoldScore, ...]:
    """Return the folds that a task has finished so far, from its scratch folder, in the order they were trained."""
    scores: list[Any] = []
    for path in sorted(folder.glob("fold-*.npz"), key=lambda path: int(path.stem.split("-")[1])):
        try:
            with open_arrays(path) as file:
                name, logits, targets = str(file["name"]), file["logits"], file["targets"]
                if "thresholds" in file:
                    scores.append(score_label_fold(name, logits, targets, file["thresholds"]))
                else:
                    scores.append(score_fold(name, logits, targets))
        except DAMAGED as error:
            raise StorageError(f"'{path.name}' cannot be read: {error}.", "Start the cross-validation anew.") from error
    return tuple(scores)


def task_params(store: Store, dataset: Dataset, config: RunConfig, num_folds: int, by: By) -> dict[str, Any]:
    """Return what :func:`run_task` needs to cross-validate settings, once it is sure that there are folds.

    Raises
    ------
    DataError
        If there are too few sources, or no folds where they were asked for.
    """
    from samplemind_core.data.dataset import fitted, multi_hot

    config.train.check_loss(several_labels=dataset.multi_label)
    clips = [clip for clip in store.versions.clips(dataset) if not clip.excluded and clip.label]
    targets = (
        multi_hot([clip.labels for clip in clips], dataset.class_names)
        if dataset.multi_label
        else np.array([clip.target for clip in clips], dtype=np.int64)
    )
    _, names = deal(clips, targets, num_folds, by, config.train.seed)
    config = fitted(config, dataset, num_trained_on(len(clips), len(names)))
    return {
        "dataset": dataset.id,
        "version": dataset.version,
        "fingerprint": dataset.fingerprint,
        "config": config.model_dump(mode="json"),
        "num_folds": num_folds,
        "by": by,
    }


def run_task(context: TaskContext) -> dict[str, Any]:
    """Cross-validate a stored run (``run``), or settings that no run has (``dataset``, ``version``, ``config``).

    The latter leave a run of their own that was trained on folds only, under the task's id and ``name``:
    that is where Diagnostics finds the answers. Further parameters: ``num_folds`` and ``by``, see
    :func:`~samplemind_core.evaluation.out_of_fold.cross_validate`.
    """
    space, params = context.workspace, context.params
    stored = space.run(params["run"]) if "run" in params else None
    run = stored or _unstored(context)
    dataset = None
    if stored is None:
        dataset = space.store.versions.at(space.store.datasets.get(run.dataset_id), run.dataset_version)
    found = cross_validate(
        space.store,
        space.settings,
        run,
        context.folder,
        num_folds=int(params.get("num_folds", NUM_FOLDS)),
        by=params.get("by", "auto"),
        dataset=dataset,
        progress=context.progress,
        should_stop=context.should_stop,
    )
    if found is None:
        context.check()
        raise DataError("The cross-validation ended early.", "Resume goes on where it was.")
    result = read_cross_validation(space.store, space.settings, run)
    assert result is not None
    if stored is None and space.store.runs.find(run.id) is None:
        _store(space.store, run, result.sentence)
    return {"run": run.id, "num_clips": result.num_clips, **result.pooled}


def _unstored(context: TaskContext) -> Run:
    """Return the run that a cross-validation of settings is about, with nothing of it in the database yet."""
    params, task = context.params, context.task
    config = RunConfig.model_validate(params["config"])
    return Run(
        id=task.id,
        name=params["name"],
        dataset_id=params["dataset"],
        status="finished",
        config=config.model_dump(mode="json"),
        owner=task.owner,
        created_at=task.created_at,
        queued_at=task.created_at,
        started_at=task.started_at,
        progress={"epochs": config.train.epochs},
        dataset_version=params["version"],
        dataset_fingerprint=params["fingerprint"],
        tags=("cross-validation",),
    )


def _store(store: Store, run: Run, reason: str) -> None:
    """Store a run that is over, under the first free name."""
    for number in range(1, 1_000):
        name = run.name if number == 1 else f"{run.name}-{number}"
        try:
            store.runs.add(replace(run, name=name, ended_at=time.time(), end_reason=reason))
        except NameTakenError:
            continue
        return
    raise NameTakenError(f"There are too many runs named '{run.name}'.", "Choose another name.")
