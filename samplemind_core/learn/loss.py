"""Cross-entropy of an answer, and what becomes of it when probabilities are mistaken for logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST = 0.01
"""Smallest probability that a class can be given by hand: at zero the loss would be infinite."""


@dataclass(frozen=True)
class Answer:
    """A named answer to a question with three classes, the first of which is right."""

    name: str
    probs: tuple[float, float, float]


ANSWERS = (
    Answer("Confident and right", (0.8, 0.1, 0.1)),
    Answer("Unsure", (0.4, 0.3, 0.3)),
    Answer("Confident and wrong", (0.1, 0.8, 0.1)),
)


def cross_entropy(probs: Sequence[float], target: int = 0) -> float:
    """Return the loss in nats of an answer given as probabilities, shape (K,), which add up to 1.

    The logarithms of probabilities are logits: softmax turns them back into the same probabilities.
    """
    return float(_loss(np.log(np.asarray([probs], dtype=np.float64)), [target])[0])


def mistaken(probs: Sequence[float], target: int = 0) -> float:
    """Return the loss in nats that comes out when probabilities are fed as if they were logits."""
    return float(_loss(np.asarray([probs], dtype=np.float64), [target])[0])


def loss_curve(count: int = 200) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return probabilities of the right class, shape (count,), and the loss in nats of each."""
    probs = np.linspace(LEAST, 1.0 - 1e-9, count)
    logits = np.log(np.stack([probs, 1.0 - probs], axis=1))
    return probs, _loss(logits, [0] * count)


def softmax(logits: Sequence[float]) -> list[float]:
    """Return the probabilities, shape (K,), that logits stand for."""
    import torch

    return torch.tensor(logits, dtype=torch.float64).softmax(0).tolist()


def rebalanced(probs: Sequence[float], moved: int, steps: int = 100) -> list[float]:
    """Return probabilities that add up to 1 again after one of them was moved.

    The others keep their ratio. All are multiples of ``1 / steps``, none is below :data:`LEAST`.
    """
    rest = [index for index in range(len(probs)) if index != moved]
    least = round(LEAST * steps)
    parts = [0] * len(probs)
    parts[moved] = min(max(round(probs[moved] * steps), least), steps - least * len(rest))
    left = steps - parts[moved]
    weight = sum(probs[index] for index in rest)
    for place, index in enumerate(rest):
        still = len(rest) - place - 1
        share = probs[index] / weight if weight > 0 else 1 / (still + 1)
        parts[index] = left if still == 0 else min(max(round(left * share), least), left - least * still)
        left -= parts[index]
        weight -= probs[index]
    return [part / steps for part in parts]


def _loss(logits: npt.NDArray[np.float64], targets: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return the loss (N,) of logits (N, K) by the function that training uses."""
    import torch
    from torch.nn import functional

    losses = functional.cross_entropy(torch.from_numpy(logits), torch.tensor(targets), reduction="none")
    return losses.numpy()
