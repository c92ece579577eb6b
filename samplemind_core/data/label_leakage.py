"""By how much a random split would flatter a model that names several labels.

The quick baseline of :mod:`~samplemind_core.data.leakage` with an answer for each label, cross-validated
on the same clips with folds dealt by clip and by group. What counts is how well it ranks (mAP); the
interval of the difference resamples whole groups, the same ones for both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from samplemind_core.data.findings import LabelScore
from samplemind_core.data.label_scores import (
    Floats,
    Ints,
    Truth,
    clips_per_label,
    ends_around,
    groups_per_label,
    label_folds,
    precisions,
    resampled_precisions,
)

MIN_CLIPS, MIN_GROUPS = 5, 2
"""Clips and groups that must have a label, and as many that must lack it, for its ranking to be judged."""

_TREES = 100
_NODE_BYTES = 200_000_000
"""What the trees that are grown at a time may hold: each node has a number for every label."""


def labels_to_judge(truth: Truth, groups: Ints) -> Ints:
    """Return the labels (of N, C) that have clips and groups enough to be judged."""
    return np.flatnonzero((clips_per_label(truth) >= MIN_CLIPS) & (groups_per_label(truth, groups) >= MIN_GROUPS))


def compare_splits(
    features: NDArray[np.float32],
    truth: Truth,
    groups: Ints,
    *,
    repeats: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[LabelScore, LabelScore, tuple[float, float, float]]:
    """Return the mAP with folds dealt by clip, with groups kept whole, and the difference with its 95 % interval.

    Parameters
    ----------
    features : ndarray of float32, shape (N, F)
    truth : ndarray of bool, shape (N, C)
        Labels that can be judged: :func:`labels_to_judge`.
    groups : ndarray of int64, shape (N,)
        Numbered from 0.
    repeats, seed : int
    progress : callable, optional
        Called with (cross-validations done, in all).
    """
    alone = np.arange(len(truth))
    answers: list[Floats] = []
    for repeat in range(repeats):
        for dealt in (alone, groups):
            answers.append(_cross_validated(features, truth, dealt, seed + repeat))
            if progress is not None:
                progress(len(answers), 2 * repeats)
    reached = np.array([precisions(one, truth).mean() for one in answers])
    drawn = resampled_precisions(answers, truth, groups, seed)
    naive, whole = reached[::2].mean(), reached[1::2].mean()
    drawn_naive, drawn_whole = drawn[:, ::2].mean(axis=1), drawn[:, 1::2].mean(axis=1)
    gap = float(naive - whole)
    return (
        LabelScore(float(naive), *ends_around(float(naive), drawn_naive), repeats, truth.shape[1]),
        LabelScore(float(whole), *ends_around(float(whole), drawn_whole), repeats, truth.shape[1]),
        (gap, *ends_around(gap, drawn_naive - drawn_whole)),
    )


def _cross_validated(features: NDArray[np.float32], truth: Truth, groups: Ints, seed: int) -> Floats:
    """Return how sure the baseline is of each label of clips whose fold was left out, (N, C)."""
    from sklearn.ensemble import ExtraTreesRegressor

    sure = np.zeros(truth.shape)
    targets = truth.astype(np.float64)
    at_once = int(np.clip(_NODE_BYTES // (2 * targets.nbytes), 1, _TREES))
    for train, test in label_folds(truth, groups, seed):
        for first in range(0, _TREES, at_once):
            trees = min(at_once, _TREES - first)
            # The variance of 0 and 1 is half their Gini impurity: the trees of a classifier, with shares as answers.
            forest = ExtraTreesRegressor(trees, max_features="sqrt", random_state=seed + first)
            forest.fit(features[train], targets[train])
            sure[test] += forest.predict(features[test]).reshape(len(test), -1) * (trees / _TREES)
    return sure
