"""Prediction sets with a stated coverage: "kick or tom, right for 9 of 10".

Split conformal prediction: how badly the right class scored on clips that the network has not
trained on decides how low a class may score and still belong in the set. If new clips are like
those, the set holds the right class at least as often as stated, whatever the network is worth
(Vovk, Gammerman, Shafer 2005). Clips of another pack are *not* quite like those; the calibration
clips are therefore of packs apart from the training ones, and the figure is said as "about".

Scores: LAC, one minus the probability (Sadinle, Lei, Wasserman 2019); APS, the probability of
everything at least as likely (Romano, Sesia, Candès 2020); RAPS, APS with a price on long sets
(Angelopoulos et al. 2021). APS and RAPS are used without their random tie-break, because a file must
get the same answer every time. Which one is the default was measured by ``benchmarks/confidence.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from samplemind_core.errors import DataError

Method = Literal["lac", "aps", "raps"]
Floats = NDArray[np.float64]

MIN_PER_CLASS = 30
"""Calibration clips from which a class gets a threshold of its own (Mondrian); below it the common one."""

RAPS_PRICE, RAPS_FREE = 0.05, 2


@dataclass(frozen=True, eq=False)
class ConformalSets:
    """How low each class may score and still belong in the set.

    Parameters
    ----------
    coverage : float
        Share of sets that hold the right class, as asked for.
    method : {'lac', 'aps', 'raps'}
    thresholds : ndarray of float64, shape (num_classes,)
        Largest nonconformity score at which a class is taken in.
    num_clips : ndarray of int64, shape (num_classes,)
        Calibration clips of each class.
    """

    coverage: float
    method: Method
    thresholds: Floats
    num_clips: NDArray[np.int64]

    def sets(self, probs: Floats) -> NDArray[np.bool_]:
        """Return which classes are in the set of each clip, shape (N, num_classes); never none.

        Parameters
        ----------
        probs : ndarray of float64, shape (N, num_classes)
            Temperature-scaled, adding up to 1.
        """
        inside: NDArray[np.bool_] = nonconformity(probs, self.method) <= self.thresholds
        inside[np.arange(len(probs)), probs.argmax(axis=1)] = True
        return inside


def nonconformity(probs: Floats, method: Method = "lac") -> Floats:
    """Return how strange each class would be as the answer, shape (N, num_classes); 0 is not at all."""
    if method == "lac":
        return 1.0 - probs
    order = np.argsort(-probs, axis=1, kind="stable")
    total = np.cumsum(np.take_along_axis(probs, order, axis=1), axis=1)
    if method == "raps":
        total = total + RAPS_PRICE * np.maximum(0, np.arange(1, probs.shape[1] + 1) - RAPS_FREE)
    scores = np.empty_like(probs)
    np.put_along_axis(scores, order, total, axis=1)
    return scores


def fit_sets(
    probs: Floats,
    targets: NDArray[np.int64],
    coverage: float = 0.9,
    method: Method = "lac",
    min_per_class: int = MIN_PER_CLASS,
) -> ConformalSets:
    """Calibrate sets on clips that the network has not trained on.

    Parameters
    ----------
    probs : ndarray of float64, shape (N, num_classes)
        Temperature-scaled.
    targets : ndarray of int64, shape (N,)
    coverage : float
        Between 0 and 1.
    method : {'lac', 'aps', 'raps'}
    min_per_class : int
        Classes with fewer clips share one threshold, calibrated on all clips.

    Raises
    ------
    DataError
        If the coverage is out of range or there is no clip.
    """
    if not 0.0 < coverage < 1.0:
        raise DataError(f"Expected a coverage between 0 and 1, got {coverage:g}.", "0.9 is a good choice.")
    if len(targets) == 0 or probs.shape[0] != len(targets):
        raise DataError(
            f"Expected probabilities and targets of the same clips, got {probs.shape[0]} and {len(targets)}.",
            "Calibrate on a split with clips.",
        )
    scores = nonconformity(probs, method)[np.arange(len(targets)), targets]
    num_clips = np.bincount(targets, minlength=probs.shape[1]).astype(np.int64)
    common = _quantile(scores, coverage)
    own = [
        _quantile(scores[targets == place], coverage) if count >= min_per_class else common
        for place, count in enumerate(num_clips)
    ]
    return ConformalSets(coverage, method, np.array(own), num_clips)


def _quantile(scores: Floats, coverage: float) -> float:
    """Return the ceil((n + 1) x coverage)-th smallest score; infinite where there are too few to promise anything."""
    place = math.ceil((len(scores) + 1) * coverage)
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else math.inf
