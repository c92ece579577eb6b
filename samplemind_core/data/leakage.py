"""How much a test set is known from training, and by how much a random split would flatter.

A quick baseline is cross-validated twice on the same clips: with folds dealt at random by clip, and
with groups kept whole. Each clip is judged both ways, so that the two are compared clip by clip; what
the difference could be elsewhere is found by resampling whole groups (cluster bootstrap: C. A. Field
and A. H. Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69, 2007).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from samplemind_core.data.findings import LabelScore, Leakage, Score, Twin
from samplemind_core.data.grouping import is_alone, sound_keys
from samplemind_core.data.label_leakage import compare_splits, labels_to_judge
from samplemind_core.data.label_scores import label_table
from samplemind_core.data.sources import counted
from samplemind_core.data.split import merge_groups
from samplemind_core.store.records import Clip

BASELINE = "extremely randomised trees on the mean and spread of 20 cepstral coefficients and the course of the level"
REPEATS = 3
MAX_CLIPS = 4_000
"""Clips beyond which the baseline looks at a random part of the groups."""

_MIN_GROUPS = 3
_FOLDS, _TREES = 5, 100
_RESAMPLES = 2_000
_COEFFICIENTS, _SEGMENTS = 20, 8
_BATCH = 512


def summaries(log_mel: NDArray[np.float16], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return features of a quick baseline.

    Parameters
    ----------
    log_mel : ndarray of float16, shape (N, 1, n_mels, frames)
        dB; may be mapped, it is read in batches.
    rows : ndarray of int64, shape (M,)

    Returns
    -------
    ndarray of float32, shape (M, 48)
        Mean and standard deviation over time of 20 cepstral coefficients, and the mean level of
        eight stretches of time.
    """
    num_mels = log_mel.shape[2]
    angles = np.pi / num_mels * (np.arange(num_mels) + 0.5) * np.arange(_COEFFICIENTS)[:, None]
    cosines = (np.cos(angles) * np.sqrt(2.0 / num_mels)).astype(np.float32)
    result = []
    for start in range(0, len(rows), _BATCH):
        batch = np.asarray(log_mel[rows[start : start + _BATCH], 0], dtype=np.float32)
        cepstra = np.einsum("cm,bmt->bct", cosines, batch)
        level = batch.mean(axis=1)
        stretches = [part.mean(axis=1) for part in np.array_split(level, _SEGMENTS, axis=1)]
        result.append(np.concatenate([cepstra.mean(axis=2), cepstra.std(axis=2), np.stack(stretches, axis=1)], axis=1))
    return np.concatenate(result) if result else np.zeros((0, 2 * _COEFFICIENTS + _SEGMENTS), np.float32)


def measure_leakage(
    clips: Sequence[Clip],
    twins: Sequence[Twin],
    features: NDArray[np.float32] | None,
    *,
    repeats: int = REPEATS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Leakage:
    """Return how much the test set is known from training, and what a random split would pretend.

    Parameters
    ----------
    clips : sequence of Clip, length N
        Labelled and in a split, with ids.
    twins : sequence of Twin
        Clips that hold the same sound.
    features : ndarray of float32, shape (N, F), optional
        Such as from :func:`summaries`; without them only clips are counted.
    repeats : int
        Cross-validations of each kind.
    seed : int
        Of the splits and the baseline.
    progress : callable, optional
        Called with (cross-validations done, in all).
    """
    train_sources = {clip.source for clip in clips if clip.split == "train"}
    keys = sound_keys(clips, twins)
    trained = {key for key, clip in zip(keys, clips, strict=True) if clip.split == "train"}
    test = [(clip, key) for clip, key in zip(clips, keys, strict=True) if clip.split == "test"]
    twins_in_train = tuple(clip.id for clip, key in test if clip.id is not None and key in trained)
    mates = tuple(
        clip.id for clip, _ in test if clip.id is not None and not is_alone(clip) and clip.source in train_sources
    )
    naive: Score | LabelScore | None = None
    safe: Score | LabelScore | None = None
    baseline = BASELINE
    gap: tuple[float, float, float] | None = None
    reason = ""
    groups = merge_groups([None if is_alone(clip) else clip.source for clip in clips], keys)
    if features is None:
        reason = "What a random split would pretend was not measured."
    elif len(clips) < _FOLDS or len(np.unique(groups)) < _MIN_GROUPS:
        reason = "There are too few sources for an honest split to compare with."
    elif len(np.unique(groups)) == len(clips):
        reason = "No two clips share a source or a sound, so a random split is as honest as any."
    elif not any(clip.labels for clip in clips) and max(Counter(clip.label for clip in clips).values()) < 2:
        reason = "No class has two clips to compare splits by."
    elif any(clip.labels for clip in clips):
        baseline = f"{BASELINE}, with an answer for each label"
        rows = _part(groups, seed)
        groups, truth = np.unique(groups[rows], return_inverse=True)[1], label_table(clips)[1][rows]
        judged = labels_to_judge(truth, groups)
        if len(judged):
            naive, safe, gap = compare_splits(
                features[rows], truth[:, judged], groups, repeats=repeats, seed=seed, progress=progress
            )
        else:
            reason = "No label has enough clips and sources to compare splits by."
    else:
        labels = np.unique([clip.label for clip in clips], return_inverse=True)[1].astype(np.int64)
        naive, safe, gap = _compare(features, labels, groups, repeats, seed, progress)
    return Leakage(
        num_test=len(test),
        twins_in_train=twins_in_train,
        mates_in_train=mates,
        naive=naive,
        safe=safe,
        gap=None if gap is None else gap[0],
        gap_low=None if gap is None else gap[1],
        gap_high=None if gap is None else gap[2],
        baseline=baseline,
        sentence=_sentence(len(test), len(twins_in_train), len(mates), naive, safe, gap, reason),
    )


def _compare(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    repeats: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[Score, Score, tuple[float, float, float]]:
    rows = _part(groups, seed)
    features, labels = features[rows], labels[rows]
    groups = np.unique(groups[rows], return_inverse=True)[1]
    right = np.zeros((2, len(labels)))
    for repeat in range(repeats):
        for kind, dealt in enumerate((None, groups)):
            right[kind] += _cross_validated(features, labels, dealt, seed + repeat) / repeats
        if progress is not None:
            progress(repeat + 1, repeats)
    rng = np.random.default_rng(seed)
    naive, safe = (Score(*_interval(one, groups, rng), repeats) for one in right)
    return naive, safe, _interval(right[0] - right[1], groups, rng)


def _part(groups: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return all rows, or those of random groups where there are too many."""
    if len(groups) <= MAX_CLIPS:
        return np.arange(len(groups))
    order = np.random.default_rng(seed).permutation(np.unique(groups))
    sizes = np.bincount(groups)[order]
    kept = order[: max(3, int(np.searchsorted(np.cumsum(sizes), MAX_CLIPS)))]
    return np.flatnonzero(np.isin(groups, kept))


def _cross_validated(
    features: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64] | None, seed: int
) -> NDArray[np.bool_]:
    """Return which clips the baseline names rightly when their fold was left out."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    right = np.zeros(len(labels), dtype=np.bool_)
    most = min(_FOLDS, int(np.bincount(labels).max()))  # some class has to be in every fold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes with fewer members than folds: known and fine
        if groups is None:
            split = StratifiedKFold(most, shuffle=True, random_state=seed).split(features, labels)
        else:
            count = min(most, int(groups.max()) + 1)
            split = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(features, labels, groups)
        for train, test in split:
            if len(test):
                forest = ExtraTreesClassifier(_TREES, random_state=seed).fit(features[train], labels[train])
                right[test] = forest.predict(features[test]) == labels[test]
    return right


def _interval(
    values: NDArray[np.float64], groups: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, float, float]:
    """Return the mean of values per clip and its 95 % interval by resampling groups."""
    sums, counts = np.bincount(groups, values), np.bincount(groups)
    drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=_RESAMPLES)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def _sentence(
    num_test: int,
    num_twins: int,
    num_mates: int,
    naive: Score | LabelScore | None,
    safe: Score | LabelScore | None,
    gap: tuple[float, float, float] | None,
    reason: str,
) -> str:
    if num_twins or num_mates:
        parts = [f"{num_twins:,} with a twin"] * bool(num_twins) + [f"{num_mates:,} with a pack-mate"] * bool(num_mates)
        first = f"Of {counted(num_test, 'test clip')}, {' and '.join(parts)} in training."
    else:
        first = f"None of {counted(num_test, 'test clip')} has a twin or a pack-mate in training."
    if naive is None or safe is None or gap is None:
        return f"{first} {reason}".strip()
    points = 100 * gap[0]
    what = "accuracy" if isinstance(naive, Score) else "mean average precision"
    if gap[1] > 0:
        second = f"a random split would overstate {what} by about {points:.0f} points"
    elif gap[2] < 0:
        second = "a random split would not flatter"
    else:
        second = "whether a random split would flatter cannot be told from this many clips"
    of = "" if isinstance(naive, Score) or gap[1] > 0 else f" {what}"
    return (
        f"{first} With a quick baseline, {second}: {100 * naive.value:.1f} %{of} at random against "
        f"{100 * safe.value:.1f} % with groups kept whole."
    )
