"""Is checkpoint B really better than A? Both are asked about the same clips, and only clips on which they differ count.

A verdict needs two witnesses: McNemar's exact test on the discordant clips, and a bootstrap interval
that resamples whole sources, because clips of one pack succeed and fail together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation.metrics import Interval, check_logits, plain
from samplemind_core.evaluation.resampling import RESAMPLES, SCORES, Resampled, resample_scores, score_models

SIGNIFICANCE = 0.05
# How often a difference of the measured size would be found with the number of clips that is asked for.
POWER = 0.8


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
    counts = resample_scores(
        np.stack([a, b]).astype(np.int64), np.ones(len(a), dtype=np.int64), 2, groups, resamples=resamples, seed=seed
    )
    return counts.interval("accuracy", 1, minus=0, confidence=confidence)


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
    num_clips, num_sources : int
        Clips that both judged, and the sources they come from.
    accuracy_a, accuracy_b, difference : float
        Fractions; the difference is B minus A.
    interval : tuple of float
        95 % bootstrap interval of the difference, drawing whole sources.
    balanced_accuracy_difference, macro_f1_difference : float
        B minus A, as fractions, with their 95 % bootstrap intervals.
    only_a, only_b, both_right, both_wrong : int
        Clips by who gets them right.
    p_value : float
        McNemar's exact test.
    p_value_holm : float
        The same after Holm's correction for the number of comparisons made together.
    verdict : {'a', 'b', 'undecided'}
        The better model, if the corrected p-value is below 0.05 and the interval excludes 0.
    num_needed : int or None
        Where undecided: clips that would tell a difference of this size four times in five.
    sentence : str
        The finding in words.
    """

    num_clips: int
    num_sources: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    interval: Interval
    balanced_accuracy_difference: float
    balanced_accuracy_interval: Interval
    macro_f1_difference: float
    macro_f1_interval: Interval
    only_a: int
    only_b: int
    both_right: int
    both_wrong: int
    p_value: float
    p_value_holm: float
    verdict: Literal["a", "b", "undecided"]
    num_needed: int | None
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
    """Compare two models by their logits on the same clips, in the same order; see :func:`compare_many`."""
    return compare_many([(name_a, logits_a), (name_b, logits_b)], targets, groups=groups, seed=seed)[0]


def compare_many(
    models: Sequence[tuple[str, npt.ArrayLike]],
    targets: npt.ArrayLike,
    *,
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Compare one model with each of some others by their logits on the same clips, in the same order.

    Parameters
    ----------
    models : sequence of (str, array_like of shape (N, C))
        What the sentences call each, and its logits. The first is A of every comparison.
    targets : array_like of int, shape (N,)
    groups : sequence, shape (N,), optional
        Source of each clip, for the bootstrap.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    tuple of Comparison
        One for each model after the first, corrected for their number.

    Raises
    ------
    DataError
        If there are fewer than two models, no clips, the shapes disagree, a logit is not finite or a
        target is no class.
    """
    require_two(len(models))
    names = [name for name, _ in models]
    checked = [check_logits(logits, targets) for _, logits in models]
    labels = checked[0][1]
    for scores, _ in checked[1:]:
        if scores.shape != checked[0][0].shape:
            raise DataError(
                f"Expected logits of the same classes, got {checked[0][0].shape[1]} and {scores.shape[1]} columns.",
                "Compare checkpoints that were trained on the same classes.",
            )
    answers = np.stack([scores.argmax(axis=1) for scores, _ in checked])
    right = answers == labels
    resampled = resample_scores(answers, labels, checked[0][0].shape[1], groups, resamples=resamples, seed=seed)
    measured = score_models(answers, labels, checked[0][0].shape[1])
    only = [(int((right[0] & ~one).sum()), int((one & ~right[0]).sum())) for one in right[1:]]
    p_values = [mcnemar_exact(*counts) for counts in only]
    corrected = holm(p_values)
    return tuple(
        _comparison(
            (names[0], names[place]), right[[0, place]], only[place - 1], (p_values[place - 1], corrected[place - 1]),
            len(p_values), measured[place] - measured[0], resampled, place, grouped=groups is not None,
        )
        for place in range(1, len(names))
    )  # fmt: skip


def num_needed(only_a: int, only_b: int, num_clips: int, design_effect: float = 1.0) -> int | None:
    """Return how many clips would tell a difference of the measured size, four times in five.

    Parameters
    ----------
    only_a, only_b, num_clips : int
        Clips that only A, or only B, gets right, of how many.
    design_effect : float
        How many times wider than for independent clips the difference varies, as a variance.

    Returns
    -------
    int or None
        None where no difference was measured, or where these clips are enough.

    References
    ----------
    R. J. Connor (1987), "Sample size for testing differences in proportions for the paired-sample
    design", Biometrics 43(1).
    """
    difference, discordant = abs(only_b - only_a) / num_clips, (only_a + only_b) / num_clips
    if difference == 0:
        return None
    normal = NormalDist()
    z_error, z_power = normal.inv_cdf(1 - SIGNIFICANCE / 2), normal.inv_cdf(POWER)
    # Discordant shares cannot be smaller than their difference; rounding could say so.
    spread = math.sqrt(max(0.0, discordant - difference**2))
    needed = ((z_error * math.sqrt(discordant) + z_power * spread) / difference) ** 2 * max(1.0, design_effect)
    return math.ceil(needed) if needed > num_clips else None


def _comparison(
    names: tuple[str, str],
    right: npt.NDArray[np.bool_],
    only: tuple[int, int],
    p_values: tuple[float, float],
    num_comparisons: int,
    differences: npt.NDArray[np.float64],
    resampled: Resampled,
    place: int,
    *,
    grouped: bool,
) -> Comparison:
    (name_a, name_b), (right_a, right_b), (only_a, only_b), (p_value, corrected) = names, right, only, p_values
    num_clips = len(right_a)
    intervals = [resampled.interval(score, place, minus=0) for score in SCORES]
    low, high = intervals[0]
    verdict: Literal["a", "b", "undecided"] = "undecided"
    if corrected < SIGNIFICANCE:
        # McNemar's test takes clips for independent; the interval, which draws whole sources, does not. So it is
        # asked at the level that the correction leaves for this comparison, not at 5 % each time.
        level = SIGNIFICANCE * (p_value / corrected if corrected > 0 else 1 / num_comparisons)
        surely_above, surely_below = resampled.interval("accuracy", place, minus=0, confidence=1.0 - level)
        verdict = "b" if surely_above > 0 else "a" if surely_below < 0 else "undecided"
    difference = (only_b - only_a) / num_clips
    tested = f"exact McNemar {_p(p_value)}"
    if num_comparisons > 1:
        tested += f", after Holm's correction for {num_comparisons} comparisons {_p(corrected)}"
    findings = (
        f"{points(difference)} points (95 % interval {points(low)} to {points(high)}), "
        f"{count(only_b)} fixed, {only_a:,} broken, {tested}"
    )
    needed = None
    if verdict == "undecided":
        independent = ((only_a + only_b) / num_clips - difference**2) / num_clips
        effect = resampled.variance("accuracy", place, 0) / independent if independent > 0 else 1.0
        needed = num_needed(only_a, only_b, num_clips, effect)
    sources = f" from {count(resampled.num_groups, 'source')}" if grouped else ""
    sentence = in_words((name_a, name_b), verdict, findings, f"{count(num_clips)}{sources}", needed)
    return Comparison(
        num_clips=num_clips,
        num_sources=resampled.num_groups,
        accuracy_a=float(right_a.mean()),
        accuracy_b=float(right_b.mean()),
        difference=difference,
        interval=intervals[0],
        balanced_accuracy_difference=float(differences[1]),
        balanced_accuracy_interval=intervals[1],
        macro_f1_difference=float(differences[2]),
        macro_f1_interval=intervals[2],
        only_a=only_a,
        only_b=only_b,
        both_right=int((right_a & right_b).sum()),
        both_wrong=int((~right_a & ~right_b).sum()),
        p_value=p_value,
        p_value_holm=corrected,
        verdict=verdict,
        num_needed=needed,
        sentence=sentence,
    )


def in_words(
    names: tuple[str, str], verdict: Literal["a", "b", "undecided"], findings: str, heard: str, needed: int | None
) -> str:
    """Return what a comparison found as a sentence.

    Parameters
    ----------
    names : (str, str)
        Of A and B.
    verdict : {'a', 'b', 'undecided'}
    findings : str
        The difference with its witnesses.
    heard : str
        The clips that they come from.
    needed : int or None
        How many clips would tell a difference of this size, where undecided and known.
    """
    name_a, name_b = names
    if verdict != "undecided":
        return f"{name_b} is {'better' if verdict == 'b' else 'worse'} than {name_a}: {findings}."
    sentence = f"No difference can be told from {heard}: {name_b} against {name_a} {findings}."
    if needed is not None:
        sentence += f" To tell a difference of this size, you would need about {rounded_up(needed):,} clips."
    return sentence


def require_two(num_models: int) -> None:
    """Raise :class:`DataError` where there is nothing to compare."""
    if num_models < 2:
        raise DataError(f"Expected at least two models to compare, got {num_models}.", "Choose another checkpoint.")


def rounded_up(number: int) -> int:
    """Return a number with two leading digits: more would promise too much."""
    step: int = 10 ** max(0, len(str(number)) - 2)
    return int(math.ceil(number / step) * step)


def points(fraction: float) -> str:
    """Return ``+3.1`` for 0.031, in percentage points; 0.0 has no sign."""
    text = f"{100 * fraction:+.1f}".replace("-", "−")
    return "0.0" if text in {"+0.0", "−0.0"} else text


def count(number: int, noun: str = "clip") -> str:
    """Return ``1 clip``, ``2 clips``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _p(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
