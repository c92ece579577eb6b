"""How well scores rank: average precision by class, and lwlrap by clip, for clips with several labels.

Plain numpy, since the trainer asks for it after every epoch and the pages without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Scores that are compared at a time with those of all classes of their clip: about 32 MB.
_CHUNK = 4_000_000


def sigmoid(logits: npt.ArrayLike) -> Floats:
    """Turn logits into one probability per class; those of a clip need not add up to anything.

    Parameters
    ----------
    logits : array_like, any shape
        Of any real size; nothing overflows.
    """
    scores = np.asarray(logits, dtype=np.float64)
    small = np.exp(-np.abs(scores))
    return np.where(scores >= 0, 1.0 / (1.0 + small), small / (1.0 + small))


def average_precision(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float | None:
    """Return the area under one class's steps of precision over recall; None without a positive clip.

    Equal scores are accepted together, as scikit-learn's ``average_precision_score`` does.

    Parameters
    ----------
    scores : array_like, shape (N,)
        Higher means more likely; any monotonous scale.
    positive : array_like of bool, shape (N,)
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    if not truth.any():
        return None
    order = np.argsort(-values, kind="stable")
    last = ends_of_ties(values[order])
    hits = np.cumsum(truth[order])[last]
    recall = hits / truth.sum()
    return float(np.sum(np.diff(recall, prepend=0.0) * hits / (last + 1)))


def mean_average_precision(scores: npt.ArrayLike, targets: npt.ArrayLike) -> float | None:
    """Return the mean average precision of the classes that have clips (mAP); None where none has.

    Parameters
    ----------
    scores : array_like, shape (N, C)
    targets : array_like of 0 and 1, shape (N, C)
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(targets, dtype=bool)
    found = [average_precision(values[:, place], truth[:, place]) for place in range(truth.shape[1])]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else None


def lwlrap(scores: npt.ArrayLike, targets: npt.ArrayLike) -> float | None:
    """Return the label-weighted label-ranking average precision; None where no clip has a label.

    For each label of each clip: among the classes that score at least as high, the share that are
    labels, too; averaged over all labels, so that a clip counts as often as it has labels. 1 where
    every clip's labels score above all its other classes.

    Parameters
    ----------
    scores : array_like, shape (N, C)
    targets : array_like of 0 and 1, shape (N, C)

    References
    ----------
    D. P. W. Ellis's measure of E. Fonseca et al. (2019), "Audio tagging with noisy labels and minimal
    supervision", DCASE (the FSDKaggle2019 task).
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(targets, dtype=bool)
    rows, columns = np.nonzero(truth)
    if not len(rows):
        return None
    total, step = 0.0, max(1, _CHUNK // truth.shape[1])
    for start in range(0, len(rows), step):
        row, column = rows[start : start + step], columns[start : start + step]
        above = values[row] >= values[row, column][:, None]
        total += float(((above & truth[row]).sum(axis=1) / above.sum(axis=1)).sum())
    return total / len(rows)


def ends_of_ties(ordered: Floats) -> npt.NDArray[np.int64]:
    """Return the last place of each run of equal values in a sorted array (N,)."""
    return np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1).astype(np.int64)


def weighted_map(
    scores: Sequence[Floats] | Floats, truth: npt.NDArray[np.bool_]
) -> Callable[[npt.NDArray[np.float32]], Floats]:
    """Return a function from weights (R, N) of clips to the mean average precision of M models (R, M) on them.

    Sorted by score once, the precision at each place is a ratio of two running sums of weights. Labels
    without a clip that counts are left out of the mean.

    Parameters
    ----------
    scores : M arrays, shape (N, C)
    truth : ndarray of bool, shape (N, C)
    """
    orders = [
        [(order := np.argsort(-one[:, place], kind="stable"), _ends_by_place(one[order, place]))
         for place in range(truth.shape[1])]
        for one in scores
    ]  # fmt: skip

    def mean(weights: npt.NDArray[np.float32]) -> Floats:
        found = np.empty((len(weights), len(orders), truth.shape[1]))
        for model, places in enumerate(orders):
            for place, (order, last) in enumerate(places):
                found[:, model, place] = _weighted_precision(weights[:, order], truth[order, place], last)
        known = ~np.isnan(found)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(known, found, 0.0).sum(axis=2) / known.sum(axis=2))

    return mean


def _ends_by_place(ordered: Floats) -> npt.NDArray[np.int64]:
    """Return for each place of a sorted array the last place of its run of equal values."""
    last = ends_of_ties(ordered)
    return last[np.searchsorted(last, np.arange(len(ordered)))]


def _weighted_precision(
    weights: npt.NDArray[np.float32], positive: npt.NDArray[np.bool_], last: npt.NDArray[np.int64]
) -> Floats:
    """Return the average precision of one class on resamples of its clips, without sorting each anew.

    Parameters
    ----------
    weights : ndarray of float32, shape (R, N)
        How often each clip counts, the best scored first.
    positive : ndarray of bool, shape (N,)
        In the same order.
    last : ndarray of int64, shape (N,)
        From :func:`_ends_by_place` of the scores in that order.

    Returns
    -------
    ndarray of float64, shape (R,)
        NaN where a resample holds no positive clip.
    """
    accepted = np.cumsum(weights, axis=1, dtype=np.float64)
    mine = weights[:, positive].astype(np.float64)
    hits = np.zeros_like(accepted)
    hits[:, positive] = mine
    np.cumsum(hits, axis=1, out=hits)
    at = last[positive]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = hits[:, at] / accepted[:, at]
        return np.asarray(np.where(mine > 0, mine * precision, 0.0).sum(axis=1) / mine.sum(axis=1))
