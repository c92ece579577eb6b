"""Is checkpoint B really better than A? Both are asked about the same clips, and only clips on which they differ count.

A verdict needs two witnesses: McNemar's exact test on the discordant clips, and a bootstrap interval
that resamples whole sources, because clips of one pack succeed and fail together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation.metrics import check_confidence, check_logits, plain

SIGNIFICANCE = 0.05
# Resamples drawn at a time are limited to about this many counts, which keeps the memory near 16 MB.
_CHUNK_COUNTS = 2_000_000


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Return the two-sided exact p-value of McNemar's test.

    If both models are equally good, each clip that only one of them gets right is a fair coin.
    The binomial is summed exactly, so few discordant clips need no correction; the test is the one
    that Dietterich recommends for two classifiers on one test set.

    Parameters
    ----------
    only_a, only_b : int
        Clips that only A, or only B, gets right.

    Returns
    -------
    float
        1.0 when there are no discordant clips.

    Raises
    ------
    ConfigError
        If a count is negative.

    References
    ----------
    Q. McNemar (1947), "Note on the sampling error of the difference between correlated proportions
    or percentages", Psychometrika 12. T. G. Dietterich (1998), "Approximate statistical tests for
    comparing supervised classification learning algorithms", Neural Computation 10(7).
    """
    if only_a < 0 or only_b < 0:
        raise ConfigError(f"Expected counts of clips, got {only_a} and {only_b}.", "Neither can be negative.")
    num_discordant = only_a + only_b
    if only_a == only_b:
        return 1.0
    from scipy.stats import binom

    return min(1.0, 2.0 * float(binom.cdf(min(only_a, only_b), num_discordant, 0.5)))


def paired_bootstrap(
    correct_a: npt.ArrayLike,
    correct_b: npt.ArrayLike,
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return a bootstrap interval of the difference in accuracy, B minus A.

    Groups are drawn with replacement and bring all their clips along. The ends are percentiles of
    the resampled differences, widened for few groups as Hesterberg describes (the expanded
    percentile interval), since a plain percentile interval is too narrow there.

    Parameters
    ----------
    correct_a, correct_b : array_like of bool, shape (N,)
        Whether each model gets each clip right.
    groups : sequence, shape (N,), optional
        Source of each clip; without it every clip stands for itself.
    resamples : int
    seed : int
        The same seed gives the same interval.
    confidence : float

    Returns
    -------
    tuple of float
        Lower and upper end as fractions in [-1, 1]. A single group says nothing about others:
        its interval is (-1, 1).

    Raises
    ------
    DataError
        If there are no clips or the lengths differ.
    ConfigError
        If ``resamples`` or ``confidence`` is out of range.

    References
    ----------
    T. C. Hesterberg (2015), "What teachers should know about the bootstrap", The American
    Statistician 69(4).
    """
    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if a.ndim != 1 or a.shape != b.shape or (groups is not None and len(groups) != len(a)):
        shapes = f"{a.shape}, {b.shape}" + ("" if groups is None else f" and {len(groups)} groups")
        raise DataError(f"Expected one entry per clip in each array, got {shapes}.", "Compare on the same clips.")
    if a.size == 0:
        raise DataError("Expected at least one clip to compare on, got none.", "Choose a split that holds clips.")
    if resamples < 100:
        raise ConfigError(f"resamples must be at least 100, got {resamples}.", "The usual choice is 10,000.")
    gains, sizes = _group_totals(b.astype(np.int64) - a.astype(np.int64), groups)
    tail = _tail_share(len(sizes), confidence)
    if tail is None:
        return -1.0, 1.0
    differences = _resampled_differences(gains, sizes, resamples, np.random.default_rng(seed))
    low, high = np.quantile(differences, [tail, 1.0 - tail])
    return float(low), float(high)


def _group_totals(
    gain: npt.NDArray[np.int64], groups: Sequence[Any] | npt.NDArray[Any] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return per group what B gains on A, and the number of clips."""
    if groups is None:
        return gain, np.ones_like(gain)
    # A dictionary, not np.unique: groups may mix None with text, which does not sort.
    numbers: dict[Any, int] = {}
    index = np.fromiter((numbers.setdefault(group, len(numbers)) for group in groups), dtype=np.int64, count=len(gain))
    gains = np.zeros(len(numbers), dtype=np.int64)
    np.add.at(gains, index, gain)
    return gains, np.bincount(index, minlength=len(numbers)).astype(np.int64)


def _tail_share(num_groups: int, confidence: float) -> float | None:
    """Return the share cut from each end; None when one group leaves nothing to resample."""
    check_confidence(confidence)
    if num_groups < 2:
        return None
    from scipy.stats import norm, t

    spread = math.sqrt(num_groups / (num_groups - 1)) * float(t.ppf(0.5 + confidence / 2, num_groups - 1))
    return float(norm.cdf(-spread))


def _resampled_differences(
    gains: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], resamples: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return ``resamples`` differences in accuracy, each over as many groups as there are.

    Groups with equal gain and size are interchangeable, so it is enough to draw how many of each
    kind come up: the same distribution, with 3 kinds instead of 2,000 clips in the common case.
    """
    kinds, how_many = np.unique(np.stack([gains, sizes], axis=1), axis=0, return_counts=True)
    shares = how_many / how_many.sum()
    rows = max(1, _CHUNK_COUNTS // len(kinds))
    totals = [
        rng.multinomial(len(gains), shares, size=min(rows, resamples - start)) @ kinds
        for start in range(0, resamples, rows)
    ]
    gained, drawn = np.concatenate(totals).T
    return np.asarray(gained / drawn, dtype=np.float64)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust p-values for having been compared several times (Holm 1979).

    Parameters
    ----------
    p_values : sequence of float
        One per comparison.

    Returns
    -------
    tuple of float
        Adjusted p-values in the given order; each may be held against 0.05 on its own.

    Raises
    ------
    ConfigError
        If an entry is not between 0 and 1.

    References
    ----------
    S. Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal
    of Statistics 6(2).
    """
    wrong = [p for p in p_values if not 0.0 <= p <= 1.0]
    if wrong:
        raise ConfigError(f"Expected p-values between 0 and 1, got {wrong[0]!r}.", "Pass the comparisons' p_value.")
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return tuple(adjusted)


@dataclass(frozen=True)
class Comparison:
    """Two models on the same clips.

    Attributes
    ----------
    num_clips : int
    accuracy_a, accuracy_b, difference : float
        Fractions; the difference is B minus A.
    interval : tuple of float
        95 % bootstrap interval of the difference.
    only_a, only_b, both_right, both_wrong : int
        Clips by who gets them right.
    p_value : float
        McNemar's exact test.
    verdict : {'a', 'b', 'undecided'}
        The better model, if the p-value is below 0.05 and the interval excludes 0.
    sentence : str
        The finding in words.
    """

    num_clips: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    interval: tuple[float, float]
    only_a: int
    only_b: int
    both_right: int
    both_wrong: int
    p_value: float
    verdict: Literal["a", "b", "undecided"]
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self))


def compare_logits(
    logits_a: npt.ArrayLike,
    logits_b: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    name_a: str = "A",
    name_b: str = "B",
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare two models by their logits on the same clips, in the same order.

    Parameters
    ----------
    logits_a, logits_b : array_like, shape (N, C)
    targets : array_like of int, shape (N,)
    name_a, name_b : str
        What the sentence calls them.
    groups : sequence, shape (N,), optional
        Source of each clip, for the bootstrap.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If there are no clips, the shapes disagree, a logit is not finite or a target is no class.
    """
    scores_a, labels = check_logits(logits_a, targets)
    scores_b, _ = check_logits(logits_b, targets)
    if scores_a.shape != scores_b.shape:
        raise DataError(
            f"Expected logits of the same classes, got {scores_a.shape[1]} and {scores_b.shape[1]} columns.",
            "Compare checkpoints that were trained on the same classes.",
        )
    right_a, right_b = scores_a.argmax(axis=1) == labels, scores_b.argmax(axis=1) == labels
    num_clips = len(labels)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p_value = mcnemar_exact(only_a, only_b)
    low, high = paired_bootstrap(right_a, right_b, groups, seed=seed)
    verdict: Literal["a", "b", "undecided"] = "undecided"
    if p_value < SIGNIFICANCE and low > 0:
        verdict = "b"
    elif p_value < SIGNIFICANCE and high < 0:
        verdict = "a"
    difference = (only_b - only_a) / num_clips
    findings = (
        f"{_points(difference)} points (95 % interval {_points(low)} to {_points(high)}), "
        f"{_count(only_b)} fixed, {only_a:,} broken, exact McNemar {_p(p_value)}"
    )
    if verdict == "undecided":
        sources = "" if groups is None else f" from {_count(len(set(groups)), 'source')}"
        sentence = f"No difference can be told from {_count(num_clips)}{sources}: {name_b} against {name_a} {findings}."
    else:
        sentence = f"{name_b} is {'better' if verdict == 'b' else 'worse'} than {name_a}: {findings}."
    return Comparison(
        num_clips=num_clips,
        accuracy_a=float(right_a.mean()),
        accuracy_b=float(right_b.mean()),
        difference=difference,
        interval=(low, high),
        only_a=only_a,
        only_b=only_b,
        both_right=int((right_a & right_b).sum()),
        both_wrong=int((~right_a & ~right_b).sum()),
        p_value=p_value,
        verdict=verdict,
        sentence=sentence,
    )


def _points(fraction: float) -> str:
    text = f"{100 * fraction:+.1f}".replace("-", "−")
    return "0.0" if text in {"+0.0", "−0.0"} else text


def _count(number: int, noun: str = "clip") -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _p(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
