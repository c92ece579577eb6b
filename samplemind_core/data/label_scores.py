"""What a quick model's answers to clips with several labels are worth, and what they might be on other sources.

Each label is a question of its own: which clips have it? Average precision answers it without a
threshold; a guess gets the label's prevalence. Numbers are means over labels (mAP).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from samplemind_core.data.stratify import deal_folds
from samplemind_core.ranking import average_precision, weighted_map
from samplemind_core.store.records import Clip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Truth = NDArray[np.bool_]
Folds = list[tuple[Ints, Ints]]

_FOLDS = 5
_RESAMPLES, _FEWEST = 1_000, 200
# Clips × labels × resamples that an interval may walk through, and counts held at a time.
_BUDGET, _CHUNK = 60_000_000, 2_000_000


def label_table(clips: Sequence[Clip]) -> tuple[list[str], Truth]:
    """Return the names of all labels, sorted, and which clip has which, (N, C)."""
    names = sorted({label for clip in clips for label in clip.class_labels})
    place = {name: number for number, name in enumerate(names)}
    truth = np.zeros((len(clips), len(names)), dtype=np.bool_)
    for row, clip in enumerate(clips):
        truth[row, [place[label] for label in clip.class_labels]] = True
    return names, truth


def clips_per_label(truth: Truth) -> Ints:
    """Return how many clips (C,) have each label, or lack it, whichever are fewer."""
    return np.asarray(np.minimum(truth.sum(axis=0), (~truth).sum(axis=0)), dtype=np.int64)


def groups_per_label(truth: Truth, groups: Ints) -> Ints:
    """Return in how many groups (C,) each label is, or is not, whichever is fewer."""
    having = np.stack([np.bincount(groups, column) for column in truth.T])
    lacking = np.bincount(groups) - having
    return np.asarray(np.minimum((having > 0).sum(axis=1), (lacking > 0).sum(axis=1)), dtype=np.int64)


def label_folds(truth: Truth, groups: Ints, seed: int) -> Folds:
    """Return five folds (train, test), fewer of fewer groups, that hold as much of each label as can be.

    Parameters
    ----------
    truth : ndarray of bool, shape (N, C)
    groups : ndarray of int64, shape (N,)
        Numbered from 0; each is in one fold only.
    seed : int
    """
    num_folds = min(_FOLDS, int(groups.max()) + 1)
    labels = [[str(place) for place in np.flatnonzero(row)] for row in truth]
    dealt = deal_folds(labels, groups, num_folds, np.random.default_rng(seed))
    return [(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(num_folds)]


def precisions(scores: Floats, truth: Truth) -> Floats:
    """Return the average precision (C,) of each label; every label has a clip."""
    return np.array([average_precision(scores[:, place], truth[:, place]) for place in range(truth.shape[1])], float)


def resampled_precisions(scores: Sequence[Floats], truth: Truth, groups: Ints, seed: int) -> Floats:
    """Return the mAP (R, M) of M answers to the same clips on resamples of whole groups, the same for all.

    Labels without a clip in a resample are left out of its mean.
    """
    num_clips, num_labels = truth.shape
    resamples = int(np.clip(_BUDGET // (num_clips * num_labels * len(scores)), _FEWEST, _RESAMPLES))
    mean = weighted_map(scores, truth)
    parts = [mean(weights) for weights in _drawn(groups, resamples, max(1, _CHUNK // num_clips), seed)]
    return np.concatenate(parts)


def ends_around(measured: float, drawn: Floats) -> tuple[float, float]:
    """Return the 95 % interval of what was measured, from resamples (R,).

    A resample holds clips twice and others not at all, which lifts average precision a little: the
    interval is moved back by as much.
    """
    low, high = np.nanquantile(drawn, [0.025, 0.975]) - np.nanmedian(drawn) + measured
    return min(measured, float(low)), max(measured, float(high))


def _drawn(groups: Ints, resamples: int, step: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Yield how often each clip is drawn (r, N), ``step`` resamples at a time."""
    rng = np.random.default_rng(seed)
    num_groups = int(groups.max()) + 1
    for start in range(0, resamples, step):
        often = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=min(step, resamples - start))
        yield often[:, groups].astype(np.float32)
