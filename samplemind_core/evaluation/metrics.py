"""What a checkpoint's logits say about it: accuracy, per-class metrics and how sure they are.

Everything here is numpy on stored logits, so it runs without torch and without a GPU. Each share
comes with its Wilson interval, because a recall of 90 % means little when it rests on ten clips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import ConfigError, DataError

Interval = tuple[float, float]


def softmax(logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Turn logits into probabilities.

    Parameters
    ----------
    logits : array_like, shape (N, C)
        Scores of any real size; rows are shifted by their maximum, so nothing overflows.

    Returns
    -------
    ndarray, shape (N, C), float64
        Rows that sum to one.
    """
    scores = np.asarray(logits, dtype=np.float64)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def cross_entropy(logits: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Return the mean negative log-likelihood of the targets, in nats.

    Parameters
    ----------
    logits : array_like, shape (N, C)
    targets : array_like of int, shape (N,)

    Raises
    ------
    DataError
        If there are no clips, the shapes disagree, a logit is not finite or a target is no class.
    """
    scores, labels = check_logits(logits, targets)
    top = scores.max(axis=1)
    log_totals = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return float(np.mean(log_totals - scores[np.arange(len(labels)), labels]))


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the score interval of a share (Wilson 1927).

    Unlike the textbook "plus or minus two standard errors" it stays within [0, 1] and keeps its
    coverage for few trials and for shares near 0 or 1, which is where good classifiers live.

    Parameters
    ----------
    successes, trials : int
        For example the correct clips and all clips; the clips count as independent.
    confidence : float
        Share of such intervals that hold the true value, between 0 and 1.

    Returns
    -------
    tuple of float
        Lower and upper end as fractions; (0, 1) when there are no trials.

    Raises
    ------
    ConfigError
        If the counts do not fit each other or the confidence is not between 0 and 1.

    References
    ----------
    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22(158).
    """
    if not 0 <= successes <= trials:
        raise ConfigError(
            f"Expected 0 ≤ successes ≤ trials, got {successes} of {trials}.", "Count both over the same clips."
        )
    check_confidence(confidence)
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, z2 = successes / trials, z * z
    centre = share + z2 / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    # At the ends the formula is exact in theory; rounding would leave a stray 1e-17 there.
    low = 0.0 if successes == 0 else (centre - half) / (1 + z2 / trials)
    high = 1.0 if successes == trials else (centre + half) / (1 + z2 / trials)
    return low, high


def check_confidence(confidence: float) -> None:
    """Raise :class:`ConfigError` unless the confidence lies strictly between 0 and 1."""
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must lie between 0 and 1, got {confidence!r}.", "The usual choice is 0.95.")


def confusion_matrix(targets: npt.ArrayLike, predictions: npt.ArrayLike, num_classes: int) -> npt.NDArray[np.int64]:
    """Count the clips of every true class (rows) by predicted class (columns).

    Parameters
    ----------
    targets, predictions : array_like of int, shape (N,)
    num_classes : int

    Returns
    -------
    ndarray, shape (C, C), int64

    Raises
    ------
    DataError
        If the lengths differ or an entry is not a class index.
    """
    rows = check_labels(targets, num_classes, "targets")
    columns = check_labels(predictions, num_classes, "predictions")
    if len(rows) != len(columns):
        raise DataError(
            f"Expected as many predictions as targets, got {len(columns)} and {len(rows)}.",
            "Take both from the same evaluation.",
        )
    flat = np.bincount(rows * num_classes + columns, minlength=num_classes * num_classes)
    return flat.reshape(num_classes, num_classes).astype(np.int64)


@dataclass(frozen=True)
class ClassReport:
    """How one class fares.

    A share without a denominator is None: recall of a class that has no clips, precision of a class
    that was never predicted. Its interval is then (0, 1), which is all that is known.
    """

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    predicted: int
    recall_interval: Interval
    precision_interval: Interval
    f1_interval: Interval

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self))


@dataclass(frozen=True)
class Evaluation:
    """A checkpoint measured on one split.

    Attributes
    ----------
    num_clips : int
    accuracy : float
        Share of clips whose largest logit is the target's, with its 95 % Wilson interval.
    balanced_accuracy : float
        Mean recall over the classes that occur in the targets, as scikit-learn defines it.
    macro_f1 : float
        Mean F1 over the classes that occur in the targets or the predictions; a class with clips
        that is never predicted counts as 0 there, as in scikit-learn with ``zero_division=0``.
    loss : float
        Mean cross-entropy, in nats.
    per_class : tuple of ClassReport
        In the order of ``class_names``.
    confusion : tuple of tuple of int
        Clips by true class (rows) and predicted class (columns).
    class_names : tuple of str
    """

    num_clips: int
    accuracy: float
    accuracy_interval: Interval
    balanced_accuracy: float
    macro_f1: float
    loss: float
    per_class: tuple[ClassReport, ...]
    confusion: tuple[tuple[int, ...], ...]
    class_names: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self))


def evaluate_logits(logits: npt.ArrayLike, targets: npt.ArrayLike, class_names: Sequence[str]) -> Evaluation:
    """Measure logits against targets.

    Parameters
    ----------
    logits : array_like, shape (N, C)
    targets : array_like of int, shape (N,)
    class_names : sequence of str, length C
        In the order of the logits' columns.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        If there are no clips, the shapes disagree, a logit is not finite or a target is no class.
    """
    scores, labels = check_logits(logits, targets)
    if scores.shape[1] != len(class_names):
        raise DataError(
            f"Expected one column of logits per class ({len(class_names)}), got {scores.shape[1]}.",
            "Use the class names that are stored with the checkpoint.",
        )
    matrix = confusion_matrix(labels, scores.argmax(axis=1), len(class_names))
    reports = tuple(_class_report(matrix, index, name) for index, name in enumerate(class_names))
    num_clips, num_right = len(labels), int(matrix.trace())
    return Evaluation(
        num_clips=num_clips,
        accuracy=num_right / num_clips,
        accuracy_interval=wilson_interval(num_right, num_clips),
        balanced_accuracy=_mean([report.recall for report in reports]),
        macro_f1=_mean([report.f1 for report in reports]),
        loss=cross_entropy(scores, labels),
        per_class=reports,
        confusion=tuple(tuple(int(count) for count in row) for row in matrix),
        class_names=tuple(class_names),
    )


def _class_report(matrix: npt.NDArray[np.int64], index: int, label: str) -> ClassReport:
    hits = int(matrix[index, index])
    support, predicted = int(matrix[index].sum()), int(matrix[:, index].sum())
    return ClassReport(
        label=label,
        precision=hits / predicted if predicted else None,
        recall=hits / support if support else None,
        f1=2 * hits / (support + predicted) if support + predicted else None,
        support=support,
        predicted=predicted,
        recall_interval=wilson_interval(hits, support),
        precision_interval=wilson_interval(hits, predicted),
        f1_interval=f1_interval(hits, support + predicted - hits),
    )


def f1_interval(hits: int, involved: int) -> Interval:
    """Return an interval of F1 from the clips that are of the class or called so.

    F1 rises with their share of hits J (the Jaccard index) as 2 J / (1 + J), so the ends of J's
    interval give those of F1.
    """
    low, high = wilson_interval(hits, involved)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def _mean(shares: Sequence[float | None]) -> float:
    # Never empty here: an evaluation has at least one clip, hence one class that occurs.
    defined = [share for share in shares if share is not None]
    return sum(defined) / len(defined)


def check_logits(
    logits: npt.ArrayLike, targets: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return logits as (N, C) float64 and targets as (N,) int64, or say what is wrong with them.

    Raises
    ------
    DataError
        If there are no clips, the shapes disagree, a logit is not finite or a target is no class.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] == 0:
        raise DataError(f"Expected logits of shape (clips, classes), got {scores.shape}.", "Pass one row per clip.")
    if len(scores) == 0:
        raise DataError("Expected at least one clip to evaluate, got none.", "Choose a split that holds clips.")
    if not np.isfinite(scores).all():
        num_bad = int((~np.isfinite(scores)).any(axis=1).sum())
        raise DataError(
            f"Expected finite logits, got NaN or infinity for {num_bad} of {len(scores)} clips.",
            "The network diverged: choose an earlier checkpoint or train with a smaller learning rate.",
        )
    labels = check_labels(targets, scores.shape[1], "targets")
    if len(labels) != len(scores):
        raise DataError(
            f"Expected one target per row of logits ({len(scores)}), got {len(labels)}.",
            "Take both from the same evaluation.",
        )
    return scores, labels


def check_labels(labels: npt.ArrayLike, num_classes: int, what: str) -> npt.NDArray[np.int64]:
    """Return class indices as (N,) int64.

    Raises
    ------
    DataError
        If the array is not one-dimensional or an entry is not a whole number in [0, num_classes).
    """
    given = np.asarray(labels)
    if given.ndim != 1:
        raise DataError(f"Expected {what} of shape (clips,), got {given.shape}.", "Pass one class index per clip.")
    if given.size == 0:
        return np.zeros(0, dtype=np.int64)
    if given.dtype.kind not in "iu":
        raise DataError(f"Expected {what} as whole numbers, got {given.dtype}.", "Pass class indices, not names.")
    if given.min() < 0 or given.max() >= num_classes:
        raise DataError(
            f"Expected {what} from 0 to {num_classes - 1}, got {int(given.min())} to {int(given.max())}.",
            "Check that the class names belong to these clips.",
        )
    return given.astype(np.int64)


def plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Return nested dataclass fields with tuples as lists, so that a JSON round trip changes nothing."""
    return {name: _plain_value(value) for name, value in fields.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return plain(value)
    if isinstance(value, tuple | list):
        return [_plain_value(item) for item in value]
    return value
