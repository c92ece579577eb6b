"""Where to draw the line: precision against recall per class, and accuracy against how many answers are given."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation.metrics import Interval, plain, wilson_interval

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClassCurves:
    """One class against all others at every threshold on its probability.

    ``thresholds``, ``precision``, ``recall`` and ``false_positive_rate`` (K,) go from the strictest
    threshold to the laxest. ``average_precision`` and ``auc`` are areas under the curves, None where
    the class has no clips or all of them.
    """

    label: str
    thresholds: Floats
    precision: Floats
    recall: Floats
    false_positive_rate: Floats
    average_precision: float | None
    auc: float | None


def class_curves(probs: npt.ArrayLike, targets: npt.ArrayLike, place: int, label: str) -> ClassCurves:
    """Return the curves of one class.

    Parameters
    ----------
    probs : array_like, shape (N, C)
    targets : array_like of int, shape (N,)
    place : int
        The class's column.
    label : str
        Its name.
    """
    scores = np.asarray(probs, dtype=np.float64)[:, place]
    positive = np.asarray(targets) == place
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    # One point for each different score: equal ones are accepted together.
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(positive[order])[last].astype(np.float64)
    accepted = (last + 1).astype(np.float64)
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    precision = hits / accepted
    recall = hits / max(1, num_positive)
    false_rate = (accepted - hits) / max(1, num_negative)
    defined = num_positive > 0 and num_negative > 0
    return ClassCurves(
        label=label,
        thresholds=ordered[last],
        precision=precision,
        recall=recall,
        false_positive_rate=false_rate,
        average_precision=float(np.sum(np.diff(recall, prepend=0.0) * precision)) if defined else None,
        auc=float(np.trapezoid(np.append(0.0, recall), np.append(0.0, false_rate))) if defined else None,
    )


@dataclass(frozen=True)
class OperatingPoint:
    """What happens if answers below a confidence are refused.

    Attributes
    ----------
    refuse_below : float
        Calibrated confidence.
    num_clips, num_answered, num_right : int
    coverage : float
        Share of clips that get an answer.
    accuracy : float or None
        Share of those answers that are right; None if all are refused.
    accuracy_interval : tuple of float
        95 % Wilson interval.
    """

    refuse_below: float
    num_clips: int
    num_answered: int
    num_right: int
    coverage: float
    accuracy: float | None
    accuracy_interval: Interval

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self))


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """Accuracy of the answers that are given, by how many are.

    ``coverage``, ``accuracy`` and ``thresholds`` (K,) go from the strictest threshold to giving all
    answers. ``aurc`` is the mean share of wrong answers over all coverages: less is better.

    References
    ----------
    Y. Geifman, R. El-Yaniv (2017), "Selective classification for deep neural networks", NeurIPS.
    """

    coverage: Floats
    accuracy: Floats
    thresholds: Floats
    aurc: float


def risk_coverage(confidences: npt.ArrayLike, correct: npt.ArrayLike) -> RiskCoverage:
    """Return how accuracy rises as the least certain answers are refused.

    Parameters
    ----------
    confidences : array_like, shape (N,)
    correct : array_like of bool, shape (N,)

    Raises
    ------
    DataError
        If there are no clips or the lengths differ.
    """
    sure, right = _checked(confidences, correct)
    order = np.argsort(-sure, kind="stable")
    ordered = sure[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(right[order])[last]
    accuracy = hits / (last + 1)
    coverage = (last + 1) / len(ordered)
    aurc = float(np.sum(np.diff(coverage, prepend=0.0) * (1 - accuracy)))
    return RiskCoverage(coverage, accuracy, ordered[last], aurc)


def operating_point(confidences: npt.ArrayLike, correct: npt.ArrayLike, refuse_below: float) -> OperatingPoint:
    """Return what refusing answers below a confidence does to these clips.

    Raises
    ------
    DataError
        If there are no clips or the lengths differ.
    ConfigError
        If the confidence is not between 0 and 1.
    """
    if not 0.0 <= refuse_below <= 1.0:
        raise ConfigError(f"Expected a confidence between 0 and 1, got {refuse_below!r}.", "For example 0.8.")
    sure, right = _checked(confidences, correct)
    answered = sure >= refuse_below
    num_answered, num_right = int(answered.sum()), int((answered & right).sum())
    return OperatingPoint(
        refuse_below=float(refuse_below),
        num_clips=len(sure),
        num_answered=num_answered,
        num_right=num_right,
        coverage=num_answered / len(sure),
        accuracy=num_right / num_answered if num_answered else None,
        accuracy_interval=wilson_interval(num_right, num_answered),
    )


def threshold_for_coverage(confidences: npt.ArrayLike, coverage: float) -> float:
    """Return the confidence that a share of the answers reaches, at least.

    Raises
    ------
    ConfigError
        If the share is not between 0 and 1.
    """
    if not 0.0 < coverage <= 1.0:
        raise ConfigError(f"Expected a share above 0 and up to 1, got {coverage!r}.", "For example 0.9.")
    ordered = np.sort(np.asarray(confidences, dtype=np.float64))[::-1]
    return float(ordered[max(0, int(np.ceil(coverage * len(ordered) - 1e-9)) - 1)])


def threshold_for_accuracy(confidences: npt.ArrayLike, correct: npt.ArrayLike, accuracy: float) -> float | None:
    """Return the lowest confidence above which answers are right that often; None where none are."""
    curve = risk_coverage(confidences, correct)
    reached = np.flatnonzero(curve.accuracy >= accuracy)
    return float(curve.thresholds[reached[-1]]) if len(reached) else None


def keep_operating_point(path: Path, point: OperatingPoint, *, dataset: str, split: str) -> None:
    """Write an operating point into a checkpoint's file, with what it was chosen by.

    Parameters
    ----------
    path : Path
        The checkpoint.
    dataset, split : str
        What the point was measured on.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be read.
    StorageError
        If it cannot be written; it stays as it was.
    """
    from samplemind_core.training.checkpoints import read_info, rewrite_info

    kept = point.as_dict() | {"dataset": dataset, "split": split}
    rewrite_info(path, read_info(path).model_copy(update={"operating_point": kept}))


def forget_operating_point(path: Path) -> None:
    """Let a checkpoint answer always again; errors are those of :func:`keep_operating_point`."""
    from samplemind_core.training.checkpoints import read_info, rewrite_info

    rewrite_info(path, read_info(path).model_copy(update={"operating_point": {}}))


def _checked(confidences: npt.ArrayLike, correct: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.bool_]]:
    sure, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=bool)
    if sure.ndim != 1 or sure.shape != right.shape or not len(sure):
        raise DataError(
            f"Expected a confidence for each of at least one clip, got {sure.shape} and {right.shape}.",
            "Choose a split that holds clips.",
        )
    return sure, right
