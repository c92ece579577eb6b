"""How far scores would move on other clips: a bootstrap over whole sources, for all models and scores at once.

Clips of one pack succeed and fail together, so packs are drawn, not clips. All models see the same
draw, which is what makes the differences between them sharp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation.metrics import Interval, check_confidence, check_labels

SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
RESAMPLES = 10_000
# Counts held at a time: about 32 MB.
CHUNK = 4_000_000
# Drawing the count of a kind takes about as long as drawing three groups one by one.
_KIND_COST = 3


@dataclass(frozen=True, eq=False)
class Resampled:
    """Scores of M models on R resamples of the clips.

    ``scores`` (R, M, 3) float64: accuracy, balanced accuracy and macro-F1 as fractions, NaN where a
    resample left a score undefined. ``num_groups`` sources were drawn each time.
    """

    scores: npt.NDArray[np.float64]
    num_groups: int

    def interval(self, score: str, model: int = 0, minus: int | None = None, confidence: float = 0.95) -> Interval:
        """Return the expanded percentile interval of a score, or of its difference from another model's.

        Parameters
        ----------
        score : {'accuracy', 'balanced_accuracy', 'macro_f1'}
        model, minus : int
            Places of the models.
        confidence : float

        Returns
        -------
        tuple of float
            (0, 1), or (-1, 1) for a difference, where a single source leaves nothing to resample.
        """
        tail = tail_share(self.num_groups, confidence)
        if tail is None:
            return (0.0, 1.0) if minus is None else (-1.0, 1.0)
        place = SCORES.index(score)
        values = self.scores[:, model, place]
        if minus is not None:
            values = values - self.scores[:, minus, place]
        low, high = np.nanquantile(values, [tail, 1.0 - tail])
        return float(low), float(high)

    def variance(self, score: str, model: int, minus: int) -> float:
        """Return the variance of the difference of two models' scores."""
        place = SCORES.index(score)
        return float(np.nanvar(self.scores[:, model, place] - self.scores[:, minus, place]))


def resample_scores(
    predictions: npt.ArrayLike,
    targets: npt.ArrayLike,
    num_classes: int,
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Resampled:
    """Return the scores of several models on resamples of the same clips.

    Parameters
    ----------
    predictions : array_like of int, shape (M, N)
        Each model's answers.
    targets : array_like of int, shape (N,)
    num_classes : int
    groups : sequence, shape (N,), optional
        Source of each clip; without it every clip stands for itself.
    resamples, seed : int
        The same seed gives the same draws.

    Raises
    ------
    DataError
        If there are no clips or the lengths differ.
    ConfigError
        If there are fewer than 100 resamples.
    """
    labels = check_labels(targets, num_classes, "targets")
    given = np.asarray(predictions)
    answers = np.stack([check_labels(row, num_classes, "predictions") for row in given])
    if answers.shape[1] != len(labels) or (groups is not None and len(groups) != len(labels)):
        raise DataError(
            f"Expected one entry per clip ({len(labels)}) in each array, got {answers.shape[1]} predictions"
            + (f" and {len(groups)} groups." if groups is not None else "."),
            "Compare on the same clips.",
        )
    if not len(labels):
        raise DataError("Expected at least one clip to compare on, got none.", "Choose a split that holds clips.")
    if resamples < 100:
        raise ConfigError(f"resamples must be at least 100, got {resamples}.", "The usual choice is 10,000.")
    totals, how_many = _totals(answers, labels, num_classes, groups)
    num_groups = int(how_many.sum())
    rng = np.random.default_rng(seed)
    chunk = max(1, CHUNK // len(how_many))
    found = [
        _scores(_draw(how_many, min(chunk, resamples - start), rng) @ totals, len(answers), num_classes)
        for start in range(0, resamples, chunk)
    ]
    return Resampled(np.concatenate(found), num_groups)


def resample_weights(
    num_clips: int,
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    step: int = 1_000,
) -> Iterator[tuple[npt.NDArray[np.float32], int]]:
    """Yield how often each clip is drawn (r, num_clips), ``step`` resamples at a time, and the number of sources.

    For scores that are not made of counts; sources are drawn whole, as in :func:`resample_scores`.
    """
    index = np.arange(num_clips) if groups is None else number_groups(groups)
    num_groups = int(index.max()) + 1
    rng, ones = np.random.default_rng(seed), np.ones(num_groups, dtype=np.int64)
    for start in range(0, resamples, step):
        yield _draw(ones, min(step, resamples - start), rng)[:, index], num_groups


def score_models(
    predictions: npt.NDArray[np.int64], targets: npt.NDArray[np.int64], num_classes: int
) -> npt.NDArray[np.float64]:
    """Return accuracy, balanced accuracy and macro-F1 (M, 3) of several models' answers (M, N) as they are."""
    totals, how_many = _totals(predictions, targets, num_classes, np.zeros(len(targets), dtype=np.int64))
    scores = _scores(how_many[None].astype(np.float32) @ totals, len(predictions), num_classes)
    return np.asarray(scores[0])


def tail_share(num_groups: int, confidence: float) -> float | None:
    """Return the share to cut from each end of resampled values; None for a single group.

    A plain percentile interval is too narrow for few groups: its ends are moved out to where a
    t-interval would have them (the expanded percentile interval).

    References
    ----------
    T. C. Hesterberg (2015), "What teachers should know about the bootstrap", The American
    Statistician 69(4).
    """
    check_confidence(confidence)
    if num_groups < 2:
        return None
    from scipy.stats import norm, t

    spread = math.sqrt(num_groups / (num_groups - 1)) * float(t.ppf(0.5 + confidence / 2, num_groups - 1))
    return float(norm.cdf(-spread))


def number_groups(groups: Sequence[Any] | npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return a number for each group: equal groups, equal numbers, from 0 in order of appearance."""
    # A dictionary, not np.unique: groups may mix None with text, which does not sort.
    numbers: dict[Any, int] = {}
    return np.fromiter((numbers.setdefault(group, len(numbers)) for group in groups), dtype=np.int64, count=len(groups))


def _totals(
    answers: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], num_classes: int, groups: Any
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return for each kind of group its counts and how many groups are of this kind.

    The counts are clips by true class (C), then for each model hits (C) and answers (C): all that the
    scores are made of. Groups with equal counts are interchangeable.
    """
    num_models, num_clips = answers.shape
    index = np.arange(num_clips) if groups is None else number_groups(groups)
    counts = np.zeros((int(index.max()) + 1, num_classes * (1 + 2 * num_models)), dtype=np.float32)
    np.add.at(counts, (index, labels), 1)
    for model, said in enumerate(answers):
        start = num_classes * (1 + 2 * model)
        right = said == labels
        np.add.at(counts, (index[right], start + labels[right]), 1)
        np.add.at(counts, (index, start + num_classes + said), 1)
    kinds, how_many = np.unique(counts, axis=0, return_counts=True)
    if _KIND_COST * len(kinds) > len(counts):
        return counts, np.ones(len(counts), dtype=np.int64)
    return kinds, how_many.astype(np.int64)


def _draw(how_many: npt.NDArray[np.int64], resamples: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return how often each kind is drawn (resamples, kinds), as many groups as there are in all."""
    num_kinds, num_groups = len(how_many), int(how_many.sum())
    if num_kinds < num_groups:
        return rng.multinomial(num_groups, how_many / num_groups, size=resamples).astype(np.float32)
    drawn = np.empty((resamples, num_groups), dtype=np.float32)
    places = rng.integers(
        0, num_groups, size=(resamples, num_groups), dtype=np.uint16 if num_groups <= 1 << 16 else np.int64
    )
    for row, place in enumerate(places):  # one count for all rows together would leave the processor's cache
        drawn[row] = np.bincount(place, minlength=num_groups)
    return drawn


def _scores(drawn: npt.NDArray[np.float32], num_models: int, num_classes: int) -> npt.NDArray[np.float64]:
    """Return accuracy, balanced accuracy and macro-F1 (R, M, 3) of resampled counts."""
    parts = drawn.reshape(len(drawn), 1 + 2 * num_models, num_classes).astype(np.float64)
    support, hits, said = parts[:, :1], parts[:, 1::2], parts[:, 2::2]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(support > 0, hits / support, np.nan)
        f1 = np.where(support + said > 0, 2 * hits / (support + said), np.nan)
        present, counted = (support > 0).sum(axis=2), (support + said > 0).sum(axis=2)
        return np.stack(
            [
                hits.sum(axis=2) / support.sum(axis=2),
                np.nansum(recall, axis=2) / present,
                np.nansum(f1, axis=2) / counted,
            ],
            axis=2,
        )
