"""Why packs must not straddle the split: the same clips and the same baseline, split in two ways.

The baseline finds the nearest training clip and answers with its class. It takes no training, and
it shows at once what a random split rewards: recognising a clip's own siblings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from samplemind_core.data.split import assign_splits
from samplemind_core.errors import DataError

if TYPE_CHECKING:
    from samplemind_core.data.dataset import ClipData
    from samplemind_core.learn.kits import Clips

FRACTIONS = (0.6, 0.2, 0.2)
Kind = Literal["random", "grouped"]


@dataclass(frozen=True, eq=False)
class SplitScore:
    """The baseline's accuracy under one way of splitting, over several seeds.

    ``accuracies`` (R,) one per seed; ``siblings`` the share of test clips whose nearest training clip
    comes from their own source. ``test_rows``, ``nearest_rows`` and ``right`` belong to the first seed.
    """

    kind: Kind
    accuracies: tuple[float, ...]
    siblings: float
    test_rows: NDArray[np.int64]
    nearest_rows: NDArray[np.int64]
    right: NDArray[np.bool_]

    @property
    def accuracy(self) -> float:
        """The mean over the seeds."""
        return float(np.mean(self.accuracies))

    @property
    def spread(self) -> float:
        """Half the range of the seeds, as an honest plus or minus."""
        return float(max(self.accuracies) - min(self.accuracies)) / 2


def describe_clips(log_mel: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return mean, spread and maximum over time of each band: (N, 3 · n_mels) of pictures (N, 1, n_mels, frames)."""
    picture = np.asarray(log_mel, dtype=np.float32)[:, 0]
    return np.concatenate([picture.mean(axis=2), picture.std(axis=2), picture.max(axis=2)], axis=1)


def score_split(
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    sources: NDArray[np.int64],
    kind: Kind,
    *,
    seeds: int = 5,
) -> SplitScore:
    """Split clips at random or by source, and name each test clip after its nearest training clip.

    Parameters
    ----------
    features : ndarray of float32, shape (N, D)
        See :func:`describe_clips`.
    targets, sources : ndarray of int, shape (N,)
    kind : {'random', 'grouped'}
        Whether clips are dealt one by one or source by source, by the product's own splitter.
    seeds : int
        Number of splits to average.

    Raises
    ------
    SplitError
        If there are fewer than three sources to deal.
    DataError
        If there are no seeds.
    """
    if seeds < 1:
        raise DataError(f"Expected at least one split to average, got {seeds}.", "Ask for one or more.")
    groups = sources if kind == "grouped" else np.arange(len(targets))
    accuracies, siblings = [], []
    first: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]] | None = None
    for seed in range(seeds):
        sides = assign_splits(targets, groups, seed=seed, fractions=FRACTIONS)
        test = np.flatnonzero(sides == "test")
        train = np.flatnonzero(sides != "test")
        nearest = train[_nearest(features[train], features[test])]
        right = targets[nearest] == targets[test]
        accuracies.append(float(right.mean()))
        siblings.append(float((sources[nearest] == sources[test]).mean()))
        first = first or (test, nearest, right)
    assert first is not None
    return SplitScore(kind, tuple(accuracies), float(np.mean(siblings)), *first)


def score_variations(clips: Clips, repeats: int) -> tuple[NDArray[np.int64], tuple[SplitScore, SplitScore]]:
    """Return the rows with at most ``repeats`` versions of each sound, and their scores: at random, by pack.

    The rows of the scores are places among the returned rows.
    """
    rows = np.flatnonzero(clips.variations < repeats)
    described = describe_clips(clips.log_mel[rows])
    targets, sources = clips.targets[rows], clips.sources[rows]
    return rows, (
        score_split(described, targets, sources, "random"),
        score_split(described, targets, sources, "grouped"),
    )


def score_dataset(data: ClipData, most: int, seed: int = 0) -> tuple[int, int, tuple[SplitScore, SplitScore]]:
    """Return how many clips and sources of a dataset were used, and their scores: at random, by source.

    Parameters
    ----------
    data : ClipData
        A dataset's clips; excluded ones and those without a class are left out.
    most : int
        Most clips to use. Whole sources are drawn, since single clips would leave their siblings behind.
    seed : int
        Of the drawing.

    Raises
    ------
    SplitError
        If there are fewer than three sources.
    """
    usable = np.flatnonzero((data.targets >= 0) & (data.split != "none"))
    source_of = np.unique(data.sources[usable].astype(str), return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(source_of.max(initial=0) + 1)
    sizes = np.bincount(source_of, minlength=len(order))[order]
    taken = order[: max(1, int(np.searchsorted(np.cumsum(sizes), most, side="right")))]
    kept = np.isin(source_of, taken)
    rows, sources = usable[kept], source_of[kept]
    described = np.concatenate([describe_clips(data.log_mel[rows[i : i + 256]]) for i in range(0, len(rows), 256)])
    targets = data.targets[rows]
    return (
        len(rows),
        len(np.unique(sources)),
        (score_split(described, targets, sources, "random"), score_split(described, targets, sources, "grouped")),
    )


def _nearest(train: NDArray[np.float32], test: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return for each test row the place of the nearest training row, all columns counting alike."""
    centre, spread = train.mean(axis=0), train.std(axis=0) + 1e-6
    a, b = (train - centre) / spread, (test - centre) / spread
    # |a - b|² less |b|², which is the same for every candidate.
    distances = np.square(a).sum(axis=1) - 2 * b @ a.T
    found: NDArray[np.int64] = distances.argmin(axis=1)
    return found
