"""The figures of a cross-validation where clips have several labels: mAP, micro F1 and exactly the right labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from samplemind_core.evaluation.metrics import Interval
from samplemind_core.evaluation.multi_label import check_label_logits, evaluate_labels, map_intervals
from samplemind_core.evaluation.resampling import CHUNK, resample_weights, tail_share
from samplemind_core.ranking import Floats, mean_average_precision, sigmoid

if TYPE_CHECKING:
    from samplemind_core.evaluation.out_of_fold import OutOfFold

LabelScore = Literal["mean_ap", "micro_f1", "exact"]
LABEL_SCORES: tuple[LabelScore, ...] = ("mean_ap", "micro_f1", "exact")

_RESAMPLES = 2_000


@dataclass(frozen=True)
class LabelFoldScore:
    """What the network that never heard a fold makes of it. Scores are fractions.

    ``micro_f1`` and ``exact`` are by the thresholds that the fold's network chose on the fold that chose its epoch.
    ``mean_ap_interval`` is a 95 % bootstrap interval that draws whole sources; None where they are not known.
    """

    name: str
    num_clips: int
    mean_ap: float
    micro_f1: float
    exact: float
    mean_ap_interval: Interval | None

    @property
    def score(self) -> float:
        """The score that counts."""
        return self.mean_ap

    @property
    def interval(self) -> Interval | None:
        """Its interval."""
        return self.mean_ap_interval


def score_label_fold(
    name: str,
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    thresholds: npt.ArrayLike,
    sources: Sequence[str] | None = None,
) -> LabelFoldScore:
    """Return the scores of one fold's answers.

    Parameters
    ----------
    name : str
    logits : array_like, shape (n, C)
    targets : array_like of 0 and 1, shape (n, C)
    thresholds : array_like, shape (C,)
        From which probability on each label is named.
    sources : sequence of str, length n, optional
        Source of each clip, for the interval.
    """
    scores, truth = check_label_logits(logits, targets)
    named = sigmoid(scores) >= np.asarray(thresholds, dtype=np.float64)
    mean_ap = mean_average_precision(scores, truth)
    assert mean_ap is not None
    interval = None if sources is None else map_intervals(scores[None], truth, sources)[0][0]
    micro_f1 = 2 * float((named & truth).sum()) / float(named.sum() + truth.sum())
    return LabelFoldScore(name, len(truth), mean_ap, micro_f1, float((named == truth).all(axis=1).mean()), interval)


def score_label_folds(
    found: OutOfFold, names: Sequence[str], sources: npt.NDArray[np.str_]
) -> tuple[tuple[LabelFoldScore, ...], dict[str, float], dict[str, Interval]]:
    """Return the scores of each fold, those of all clips together, and 95 % intervals of the latter.

    All clips together are named by the mean of the folds' thresholds, as Diagnostics does.

    Parameters
    ----------
    found : OutOfFold
        Of clips with several labels.
    names : sequence of str
        Of the folds.
    sources : ndarray of str, shape (N,)
        What the intervals' bootstrap draws.
    """
    assert found.thresholds is not None
    folds = []
    for fold, name in enumerate(names):
        mine = found.folds == fold
        folds.append(
            score_label_fold(
                name, found.logits[mine], found.targets[mine], found.thresholds[fold], sources[mine].tolist()
            )
        )
    groups = sources.tolist()
    whole = evaluate_labels(found.logits, found.targets, found.class_names, found.mean_thresholds, groups)
    truth = found.targets > 0
    named = sigmoid(found.logits) >= np.asarray(found.mean_thresholds)
    twice, involved = 2 * (named & truth).sum(axis=1), (named.astype(np.int64) + truth).sum(axis=1)
    exact = (named == truth).all(axis=1)
    intervals = {
        "mean_ap": whole.mean_ap_interval,
        "micro_f1": _interval(twice, involved, groups),
        "exact": _interval(exact, np.ones(len(exact)), groups),
    }
    return tuple(folds), {score: getattr(whole, score) for score in LABEL_SCORES}, intervals


def _interval(parts: npt.ArrayLike, wholes: npt.ArrayLike, groups: Sequence[str]) -> Interval:
    """Return the 95 % interval of the sum of parts (N,) over that of wholes (N,), drawing whole sources."""
    part, whole = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
    values: list[Floats] = []
    tail = None
    step = max(1, CHUNK // len(part))
    for weights, num_sources in resample_weights(len(part), groups, resamples=_RESAMPLES, step=step):
        tail = tail_share(num_sources, 0.95)
        values.append((weights @ part) / (weights @ whole))
    if tail is None:
        return 0.0, 1.0
    low, high = np.quantile(np.concatenate(values), [tail, 1.0 - tail])
    return float(low), float(high)
