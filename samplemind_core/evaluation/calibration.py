"""Whether confidence means what it says: of the answers given with 80 % confidence, 80 % should be right.

The temperature itself is fitted by :mod:`samplemind_core.training.temperature`; here its effect is measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import ConfigError
from samplemind_core.evaluation.metrics import Interval, check_logits, cross_entropy, plain, softmax, wilson_interval
from samplemind_core.training.temperature import calibrate_checkpoint, fit_temperature

__all__ = [
    "Calibration",
    "ReliabilityBin",
    "adaptive_ece",
    "brier_score",
    "calibrate_checkpoint",
    "drawn_rows",
    "fit_temperature",
    "measure_calibration",
    "reliability_bins",
    "tempered",
]

NUM_BINS = 15
# Fewer clips than this in a bin say little about its accuracy.
MIN_PER_BIN = 10


def tempered(logits: npt.ArrayLike, temperature: float) -> npt.NDArray[np.float64]:
    """Return the probabilities (N, C) of logits (N, C) divided by a temperature.

    Raises
    ------
    ConfigError
        If the temperature is not a positive number.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ConfigError(f"A temperature must be positive, got {temperature!r}.", "1 leaves confidence as it is.")
    return softmax(np.asarray(logits, dtype=np.float64) / temperature)


@dataclass(frozen=True)
class ReliabilityBin:
    """Clips of similar confidence: how sure the model was on average, and how often it was right."""

    low: float
    high: float
    num_clips: int
    confidence: float
    accuracy: float
    interval: Interval


@dataclass(frozen=True)
class Calibration:
    """How far confidence can be trusted on some clips.

    Attributes
    ----------
    num_clips : int
    temperature : float
        That the logits were divided by.
    ece : float
        Expected calibration error over bins of equally many clips, with its 95 % bootstrap interval.
    brier : float
        Mean squared distance of the probabilities from the truth, summed over classes: 0 to 2, less is better.
    loss : float
        Mean cross-entropy, in nats.
    confidence, accuracy : float
        Mean confidence of the answers, and how many of them are right.
    bins : tuple of ReliabilityBin
        From the least to the most sure.
    """

    num_clips: int
    temperature: float
    ece: float
    ece_interval: Interval
    brier: float
    brier_interval: Interval
    loss: float
    confidence: float
    accuracy: float
    bins: tuple[ReliabilityBin, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self))


def adaptive_ece(confidences: npt.ArrayLike, correct: npt.ArrayLike, num_bins: int = NUM_BINS) -> float:
    """Return the expected calibration error over bins that hold equally many clips.

    Bins of equal width leave most clips of a good network in the last one; equal mass does not.

    Parameters
    ----------
    confidences : array_like, shape (N,)
        Probability of the given answer.
    correct : array_like of bool, shape (N,)
    num_bins : int
        Fewer are used where a bin would hold fewer than ten clips.

    References
    ----------
    K. Nguyen, B. O'Connor (2015), "Posterior calibration and exploratory analysis for natural
    language processing models", EMNLP. J. Nixon et al. (2019), "Measuring calibration in deep
    learning", CVPR workshops.
    """
    sure, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    order = np.argsort(sure, kind="stable")
    gap = (right - sure)[order]
    edges = _edges(len(sure), num_bins)
    return float(np.abs(np.add.reduceat(gap, edges[:-1])).sum() / len(sure))


def brier_score(probs: npt.ArrayLike, targets: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return each clip's squared distance (N,) of its probabilities (N, C) from certainty in its target.

    References
    ----------
    G. W. Brier (1950), "Verification of forecasts expressed in terms of probability", Monthly
    Weather Review 78(1).
    """
    shares, labels = np.asarray(probs, dtype=np.float64), np.asarray(targets, dtype=np.int64)
    # The sum of (p − y)² over classes: p² for all, and 1 − 2p for the true one.
    return np.asarray((shares**2).sum(axis=1) + 1.0 - 2.0 * shares[np.arange(len(labels)), labels])


def measure_calibration(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    temperature: float = 1.0,
    groups: Sequence[Any] | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> Calibration:
    """Measure how well confidence fits accuracy on clips that were not used to fit the temperature.

    Parameters
    ----------
    logits : array_like, shape (N, C)
    targets : array_like of int, shape (N,)
    temperature : float
        That the logits are divided by first.
    groups : sequence, shape (N,), optional
        Source of each clip: the bootstrap draws whole sources.
    resamples, seed : int
        Of the bootstrap. An ECE is never below 0 and a resampled one is larger than its original,
        so its interval is centred on the measured value (basic bootstrap).

    Raises
    ------
    DataError
        If there are no clips or the shapes disagree.
    ConfigError
        If the temperature is not positive.
    """
    scores, labels = check_logits(logits, targets)
    probs = tempered(scores, temperature)
    confidences, correct = probs.max(axis=1), probs.argmax(axis=1) == labels
    brier = brier_score(probs, labels)
    ece = adaptive_ece(confidences, correct)
    rng = np.random.default_rng(seed)
    rows = drawn_rows(len(labels), groups, resamples, rng)
    resampled = np.array([(adaptive_ece(confidences[r], correct[r]), brier[r].mean()) for r in rows])
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    return Calibration(
        num_clips=len(labels),
        temperature=temperature,
        ece=ece,
        ece_interval=(max(0.0, 2 * ece - float(high[0])), min(1.0, max(ece, 2 * ece - float(low[0])))),
        brier=float(brier.mean()),
        brier_interval=(float(low[1]), float(high[1])),
        loss=cross_entropy(scores / temperature, labels),
        confidence=float(confidences.mean()),
        accuracy=float(correct.mean()),
        bins=reliability_bins(confidences, correct),
    )


def _edges(num_clips: int, num_bins: int) -> npt.NDArray[np.int64]:
    bins = max(1, min(num_bins, num_clips // MIN_PER_BIN))
    return np.asarray(np.round(np.linspace(0, num_clips, bins + 1)), dtype=np.int64)


def reliability_bins(
    confidences: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_]
) -> tuple[ReliabilityBin, ...]:
    """Return bins of equally many answers (N,), from the least to the most sure."""
    order = np.argsort(confidences, kind="stable")
    edges = _edges(len(order), NUM_BINS)
    found = []
    for start, stop in itertools.pairwise(edges.tolist()):
        rows = order[start:stop]
        num_right = int(correct[rows].sum())
        found.append(
            ReliabilityBin(
                low=float(confidences[rows[0]]),
                high=float(confidences[rows[-1]]),
                num_clips=len(rows),
                confidence=float(confidences[rows].mean()),
                accuracy=num_right / len(rows),
                interval=wilson_interval(num_right, len(rows)),
            )
        )
    return tuple(found)


def drawn_rows(
    num_clips: int, groups: Sequence[Any] | None, resamples: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Return the rows of each resample: clips, or all clips of resampled groups."""
    if groups is None:
        return list(rng.integers(0, num_clips, size=(resamples, num_clips)))
    numbers: dict[Any, list[int]] = {}
    for row, group in enumerate(groups):
        numbers.setdefault(group, []).append(row)
    members = [np.array(rows, dtype=np.int64) for rows in numbers.values()]
    return [
        np.concatenate([members[place] for place in rng.integers(0, len(members), size=len(members))])
        for _ in range(resamples)
    ]
