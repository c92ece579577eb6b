"""What a checkpoint's logits say about clips with several labels: how well it ranks, and what its thresholds do.

Numpy on stored logits, as :mod:`~samplemind_core.evaluation.metrics` is for clips with one label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import DataError
from samplemind_core.evaluation.metrics import Interval, f1_interval, plain, wilson_interval
from samplemind_core.evaluation.resampling import CHUNK, resample_weights, tail_share
from samplemind_core.ranking import (
    Floats,
    average_precision,
    lwlrap,
    mean_average_precision,
    sigmoid,
    weighted_map,
)

RESAMPLES = 2_000
# Clips × classes × resamples that a bootstrap may walk through: a second or two of work.
_BUDGET = 200_000_000
_FEWEST = 200


@dataclass(frozen=True)
class LabelReport:
    """How one label fares.

    Attributes
    ----------
    label : str
    threshold : float
        From which probability on it is named.
    average_precision : float or None
        None where no clip has the label, as for recall; precision is None where it is never named.
    precision, recall, f1 : float or None
        At the threshold, with their 95 % intervals.
    found, missed, wrong, rest : int
        Clips that have the label and are given it, have it and are not given it, are given it and do
        not have it, and all others.
    """

    label: str
    threshold: float
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    found: int
    missed: int
    wrong: int
    rest: int
    precision_interval: Interval
    recall_interval: Interval
    f1_interval: Interval

    @property
    def support(self) -> int:
        """Number of clips that have the label."""
        return self.found + self.missed

    @property
    def predicted(self) -> int:
        """Number of clips that are given the label."""
        return self.found + self.wrong

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self)) | {"support": self.support, "predicted": self.predicted}


@dataclass(frozen=True)
class LabelEvaluation:
    """A checkpoint that names several labels, measured on one split.

    Attributes
    ----------
    num_clips, num_labels, num_sources : int
        Clips, labels on them, and the sources that they come from.
    mean_ap, mean_ap_interval : float, tuple of float
        Mean average precision of the labels that have clips, with its 95 % bootstrap interval that draws
        whole sources.
    lwlrap : float
        Label-weighted label-ranking average precision.
    micro_f1, macro_f1 : float
        F1 at the thresholds, of all labels together and as the mean of the labels' own.
    exact : float
        Share of clips that are given exactly their labels, with its 95 % Wilson interval.
    loss : float
        Mean over clips of the binary cross-entropy summed over labels, in nats.
    per_class : tuple of LabelReport
        In the order of ``class_names``.
    class_names : tuple of str
    """

    num_clips: int
    num_labels: int
    num_sources: int
    mean_ap: float
    mean_ap_interval: Interval
    lwlrap: float
    micro_f1: float
    macro_f1: float
    exact: float
    exact_interval: Interval
    loss: float
    per_class: tuple[LabelReport, ...]
    class_names: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self)) | {"per_class": [report.as_dict() for report in self.per_class]}


def evaluate_labels(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    class_names: Sequence[str],
    thresholds: Sequence[float],
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    *,
    seed: int = 0,
) -> LabelEvaluation:
    """Measure logits against sets of labels.

    Parameters
    ----------
    logits : array_like, shape (N, C)
    targets : array_like of 0 and 1, shape (N, C)
    class_names : sequence of str, length C
        In the order of the columns.
    thresholds : sequence of float, length C
        From which probability on each label is named.
    groups : sequence, shape (N,), optional
        Source of each clip, for the bootstrap; without it every clip stands for itself.
    seed : int
        Of the bootstrap.

    Raises
    ------
    DataError
        If there are no clips or no labels, the shapes disagree or a logit is not finite.
    """
    scores, truth = check_label_logits(logits, targets)
    if not scores.shape[1] == len(class_names) == len(thresholds):
        raise DataError(
            f"Expected one name and threshold per column of logits ({scores.shape[1]}), got {len(class_names)} and "
            f"{len(thresholds)}.",
            "Use the class names and thresholds that are stored with the checkpoint.",
        )
    probs = sigmoid(scores)
    named = probs >= np.asarray(thresholds, dtype=np.float64)
    reports = tuple(
        _report(name, float(thresholds[place]), probs[:, place], named[:, place], truth[:, place])
        for place, name in enumerate(class_names)
    )
    exact = int((named == truth).all(axis=1).sum())
    found, involved = int((named & truth).sum()), int(named.sum() + truth.sum())
    known = [report.f1 for report in reports if report.f1 is not None]
    mean_ap, ranking = mean_average_precision(scores, truth), lwlrap(scores, truth)
    assert mean_ap is not None
    assert ranking is not None
    interval, num_sources = _interval_of_map(scores, truth, mean_ap, groups, seed)
    return LabelEvaluation(
        num_clips=len(scores),
        num_labels=int(truth.sum()),
        num_sources=num_sources,
        mean_ap=mean_ap,
        mean_ap_interval=interval,
        lwlrap=ranking,
        micro_f1=2 * found / involved,
        macro_f1=sum(known) / len(known),
        exact=exact / len(scores),
        exact_interval=wilson_interval(exact, len(scores)),
        loss=float((np.logaddexp(0.0, scores) - scores * truth).sum(axis=1).mean()),
        per_class=reports,
        class_names=tuple(class_names),
    )


def map_intervals(
    scores: Floats,
    truth: npt.NDArray[np.bool_],
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    *,
    seed: int = 0,
) -> tuple[tuple[Interval, ...], tuple[Interval, ...]]:
    """Return 95 % bootstrap intervals of the mAP of several answers, and of its difference from the first's.

    Whole sources are drawn, the same ones for all answers.

    Parameters
    ----------
    scores : ndarray of float64, shape (M, N, C)
        Logits of M answers to the same clips.
    truth : ndarray of bool, shape (N, C)
    groups : sequence, shape (N,), optional
        Source of each clip.
    seed : int
    """
    drawn, num_sources = resampled_maps(scores, truth, groups, seed)
    measured = [mean_average_precision(one, truth) or 0.0 for one in scores]
    own = tuple(
        ends_around(drawn[:, place], measured[place], num_sources, 0.95, floor=0.0) for place in range(len(scores))
    )
    against = tuple(
        ends_around(drawn[:, place] - drawn[:, 0], measured[place] - measured[0], num_sources, 0.95, floor=-1.0)
        for place in range(len(scores))
    )
    return own, against


def check_label_logits(logits: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return logits as (N, C) float64 and targets as (N, C) bool, or say what is wrong with them.

    Raises
    ------
    DataError
        If there are no clips or no labels, the shapes disagree or a logit is not finite.
    """
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(targets)
    if scores.ndim != 2 or scores.shape[1] == 0 or truth.shape != scores.shape:
        raise DataError(
            f"Expected logits and targets of the same shape (clips, classes), got {scores.shape} and {truth.shape}.",
            "Take both from the same evaluation.",
        )
    if not np.isin(truth, (0, 1)).all() or not truth.any():
        raise DataError(
            "Expected targets of 0 and 1 with at least one label, got others or none.",
            "Choose a split that holds labelled clips.",
        )
    if not np.isfinite(scores).all():
        num_bad = int((~np.isfinite(scores)).any(axis=1).sum())
        raise DataError(
            f"Expected finite logits, got NaN or infinity for {num_bad} of {len(scores)} clips.",
            "The network diverged: choose an earlier checkpoint or train with a smaller learning rate.",
        )
    return scores, truth.astype(bool)


def _report(
    label: str, threshold: float, probs: Floats, named: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]
) -> LabelReport:
    found, missed = int((named & truth).sum()), int((~named & truth).sum())
    wrong = int((named & ~truth).sum())
    return LabelReport(
        label=label,
        threshold=threshold,
        average_precision=average_precision(probs, truth),
        precision=found / (found + wrong) if found + wrong else None,
        recall=found / (found + missed) if found + missed else None,
        f1=2 * found / (2 * found + missed + wrong) if found + missed + wrong else None,
        found=found,
        missed=missed,
        wrong=wrong,
        rest=len(truth) - found - missed - wrong,
        precision_interval=wilson_interval(found, found + wrong),
        recall_interval=wilson_interval(found, found + missed),
        f1_interval=f1_interval(found, found + missed + wrong),
    )


# -- the bootstrap -------------------------------------------------------------------------------


def _interval_of_map(
    scores: Floats,
    truth: npt.NDArray[np.bool_],
    mean_ap: float,
    groups: Sequence[Any] | npt.NDArray[Any] | None,
    seed: int,
) -> tuple[Interval, int]:
    drawn, num_groups = resampled_maps(scores[None], truth, groups, seed)
    return ends_around(drawn[:, 0], mean_ap, num_groups, 0.95, floor=0.0), num_groups


def ends_around(values: Floats, measured: float, num_groups: int, confidence: float, floor: float) -> Interval:
    """Return the ends of an expanded percentile interval around what was measured.

    A resample holds clips twice and others not at all, which lifts average precision a little: the interval is
    moved back by as much. A single source says nothing about others.
    """
    tail = tail_share(num_groups, confidence)
    if tail is None or np.isnan(values).all():
        return floor, 1.0
    low, high = np.nanquantile(values, [tail, 1.0 - tail]) - np.nanmedian(values) + measured
    return max(floor, float(low)), min(1.0, float(high))


def resampled_maps(
    scores: Floats, truth: npt.NDArray[np.bool_], groups: Sequence[Any] | npt.NDArray[Any] | None, seed: int
) -> tuple[Floats, int]:
    """Return the mean average precision of M models (R, M) on R resamples, and how many sources were drawn.

    Labels without a clip in a resample are left out of its mean.
    """
    num_models, num_clips, num_classes = scores.shape
    resamples = int(np.clip(_BUDGET // (num_models * num_clips * num_classes), _FEWEST, RESAMPLES))
    step = max(1, CHUNK // num_clips)
    mean = weighted_map(scores, truth)
    parts, num_groups = [], 0
    for weights, count in resample_weights(num_clips, groups, resamples=resamples, seed=seed, step=step):
        num_groups = count
        parts.append(mean(weights))
    return np.concatenate(parts), num_groups
