"""Numbers about answers: what a threshold costs, and the luck of the best of many."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from samplemind_core.evaluation.judging import Judged

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network said about some clips: ``logits`` (N, C) and ``targets`` (N,), places in ``class_names``."""

    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    class_names: tuple[str, ...]


def answers_of(judged: Judged) -> Answers:
    """Return what a checkpoint said about the clips of a split."""
    return Answers(judged.logits, judged.targets, judged.class_names)


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
    return Answers(logits, clips.targets[rows], clips.class_names)


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
