"""What a curve does, told apart from its noise: smoothing that never looks ahead, slopes, stopping criteria.

Sources: L. Prechelt, "Early stopping: but when?", in Neural Networks: Tricks of the Trade, 1998, for
generalisation loss, training progress and successive rises; P. K. Sen, "Estimates of the regression
coefficient based on Kendall's tau", J. Am. Stat. Assoc. 63, 1968, for the slope.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import median


def median3(values: Sequence[float]) -> list[float]:
    """Return each value's median with its two predecessors; of two values the lower."""
    windows = [sorted(values[max(0, i - 2) : i + 1]) for i in range(len(values))]
    return [window[(len(window) - 1) // 2] for window in windows]


def generalisation_loss(val_losses: Sequence[float]) -> float:
    """Return Prechelt's GL in percent: how far the latest loss is above the lowest so far."""
    lowest = min(val_losses)
    return 100 * (val_losses[-1] / lowest - 1) if lowest > 0 else 0.0


def progress(train_losses: Sequence[float], strip: int = 5) -> float:
    """Return Prechelt's P_k in thousandths: how far training loss still moves within the last ``strip`` epochs."""
    last = train_losses[-strip:]
    lowest = min(last)
    return 1000 * (sum(last) / len(last) / lowest - 1) if lowest > 0 else 0.0


def rises(val_losses: Sequence[float]) -> int:
    """Return for how many epochs in a row the loss has risen (Prechelt's UP_s with strips of one epoch)."""
    count = 0
    for index in range(len(val_losses) - 1, 0, -1):
        if val_losses[index] <= val_losses[index - 1]:
            break
        count += 1
    return count


def slope(values: Sequence[float]) -> float:
    """Return the Theil-Sen slope per epoch: the median over all pairs, which single odd epochs do not move."""
    if len(values) < 2:
        return 0.0
    return median((values[b] - values[a]) / (b - a) for a, b in combinations(range(len(values)), 2))


def chance(z: float) -> float:
    """Return how likely a normal deviate is to stay below z."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


def gap_error(accuracy_a: float, accuracy_b: float, num_a: int, num_b: int) -> float:
    """Return the standard error of the difference of two accuracies, were they equal in truth."""
    pooled = (accuracy_a * num_a + accuracy_b * num_b) / (num_a + num_b)
    # Perfect scores have no binomial spread; one clip more or less is the least that can happen.
    pooled = min(max(pooled, 1 / (num_a + num_b)), 1 - 1 / (num_a + num_b))
    return math.sqrt(pooled * (1 - pooled) * (1 / num_a + 1 / num_b))


def jitter(values: Sequence[float]) -> float:
    """Return how far a value typically lies from the middle of its neighbours: noise from epoch to epoch."""
    if len(values) < 3:
        return 0.0
    off = [abs(b - (a + c) / 2) for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    return 1.4826 * median(off) / math.sqrt(1.5)
