"""Numbers about answers: what a threshold costs, what a confidence is worth, and the luck of the best of many."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation.metrics import check_logits, softmax

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network said about some clips: ``logits`` (N, C), ``targets`` (N,), and which ``rows`` (N,) they are."""

    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    class_names: tuple[str, ...]
    rows: NDArray[np.int64]


@lru_cache(maxsize=1)
def small_answers() -> Answers:
    """Return what the small network of the lessons says about kits that it has not heard."""
    import torch

    from samplemind_core.learn.inside import small_network
    from samplemind_core.learn.kits import PER_CLASS, UNSEEN_KIT, demo_clips

    network, clips = small_network(), demo_clips(PER_CLASS)
    rows = np.flatnonzero(clips.sources >= UNSEEN_KIT)
    with torch.inference_mode():
        logits = network.model(torch.from_numpy(clips.log_mel[rows])).numpy()
    return Answers(logits, clips.targets[rows], clips.class_names, rows)


@dataclass(frozen=True)
class Counts:
    """A class against the rest at one threshold: who is found, who is called so wrongly, who is missed."""

    threshold: float
    found: int
    wrongly: int
    missed: int

    @property
    def precision(self) -> float | None:
        """Share of what is called so that is right; None where nothing is called so."""
        called = self.found + self.wrongly
        return self.found / called if called else None

    @property
    def recall(self) -> float | None:
        """Share of the class that is found; None where there is none of it."""
        members = self.found + self.missed
        return self.found / members if members else None


def count_at(probs: ArrayLike, members: ArrayLike, threshold: float) -> Counts:
    """Return who is found when everything at or above a threshold is called the class.

    Parameters
    ----------
    probs : array_like, shape (N,)
        The class's probability of each clip.
    members : array_like of bool, shape (N,)
        Which clips are of the class.
    threshold : float
        From 0 to 1.
    """
    called, belongs = np.asarray(probs) >= threshold, np.asarray(members, dtype=bool)
    return Counts(
        threshold,
        found=int((called & belongs).sum()),
        wrongly=int((called & ~belongs).sum()),
        missed=int((~called & belongs).sum()),
    )


@dataclass(frozen=True)
class Bin:
    """Clips of nearly the same confidence: how sure the network was, and how often it was right."""

    confidence: float
    accuracy: float
    count: int


def reliability(logits: ArrayLike, targets: ArrayLike, temperature: float = 1.0, bins: int = 8) -> list[Bin]:
    """Return bins of equally many clips, by the confidence of the answer after division by a temperature.

    Raises
    ------
    ConfigError
        If the temperature is not above 0.
    DataError
        If logits and targets do not fit each other.
    """
    if temperature <= 0:
        raise ConfigError(f"Expected a temperature above 0, got {temperature:g}.", "1 changes nothing.")
    scores, labels = check_logits(logits, targets)
    probs = softmax(scores / temperature)
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    return [
        Bin(float(confidence[part].mean()), float(right[part].mean()), len(part))
        for part in np.array_split(order, min(bins, len(order)))
    ]


def calibration_error(found: list[Bin]) -> float:
    """Return the mean distance of confidence and accuracy, weighted by clips (ECE with bins of equal mass)."""
    total = sum(part.count for part in found)
    if total == 0:
        raise DataError("Expected bins with clips, got none.", "Measure on a split that holds clips.")
    return sum(part.count * abs(part.confidence - part.accuracy) for part in found) / total


@dataclass(frozen=True, eq=False)
class BestOfMany:
    """The best of equally good networks on one small test set.

    ``scores`` (R, num_networks): accuracies of every repetition; ``reported`` the mean of the best of
    each; all of them are truly right on ``truth`` of new clips.
    """

    truth: float
    num_clips: int
    scores: Floats

    @property
    def reported(self) -> float:
        """What somebody reports who opens the test set for every network and keeps the best."""
        return float(self.scores.max(axis=1).mean())


def best_of_many(
    num_networks: int, num_clips: int, truth: float = 0.8, repetitions: int = 400, seed: int = 0
) -> BestOfMany:
    """Draw the test scores of ``num_networks`` networks that are all right on ``truth`` of all clips.

    Each network's errors are taken as independent of the others', which is the worst case.
    """
    rng = np.random.default_rng(seed)
    scores = rng.binomial(num_clips, truth, size=(repetitions, num_networks)) / num_clips
    return BestOfMany(truth, num_clips, scores)
