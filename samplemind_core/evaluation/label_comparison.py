"""Is a checkpoint that names several labels really better? Asked of mean average precision, on the same clips.

Average precision has no test like McNemar's: the witness is a paired bootstrap that draws whole sources, and what it
says of the spread also tells how many clips would do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import DataError
from samplemind_core.evaluation.comparison import POWER, SIGNIFICANCE, count, in_words, points, require_two
from samplemind_core.evaluation.metrics import Interval, plain
from samplemind_core.evaluation.multi_label import (
    LabelEvaluation,
    check_label_logits,
    ends_around,
    evaluate_labels,
    resampled_maps,
)
from samplemind_core.ranking import Floats


@dataclass(frozen=True)
class LabelComparison:
    """Two models that name several labels, on the same clips.

    Attributes
    ----------
    num_clips, num_sources : int
    mean_ap_a, mean_ap_b, difference : float
        The difference is B minus A.
    interval : tuple of float
        95 % paired bootstrap interval of the difference, drawing whole sources.
    macro_f1_difference, lwlrap_difference : float
        B minus A.
    verdict : {'a', 'b', 'undecided'}
        The better model, if the interval, widened for the number of comparisons (Bonferroni), excludes 0.
    num_needed : int or None
        Where undecided: clips that would tell a difference of this size four times in five.
    sentence : str
        The finding in words.
    """

    num_clips: int
    num_sources: int
    mean_ap_a: float
    mean_ap_b: float
    difference: float
    interval: Interval
    macro_f1_difference: float
    lwlrap_difference: float
    verdict: Literal["a", "b", "undecided"]
    num_needed: int | None
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self))


def compare_labels(
    models: Sequence[tuple[str, npt.ArrayLike, Sequence[float]]],
    targets: npt.ArrayLike,
    class_names: Sequence[str],
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    *,
    seed: int = 0,
) -> tuple[LabelComparison, ...]:
    """Compare one model with each of some others by their logits on the same clips, in the same order.

    Parameters
    ----------
    models : sequence of (str, array_like of shape (N, C), sequence of float of length C)
        What the sentences call each, its logits and its thresholds. The first is A of every comparison.
    targets : array_like of 0 and 1, shape (N, C)
    class_names : sequence of str, length C
    groups : sequence, shape (N,), optional
        Source of each clip, for the bootstrap.
    seed : int
        The same seed gives the same draws.

    Raises
    ------
    DataError
        If there are fewer than two models, or as :func:`evaluate_labels`.
    """
    require_two(len(models))
    checked = [check_label_logits(logits, targets) for _, logits, _ in models]
    truth = checked[0][1]
    if len({scores.shape for scores, _ in checked}) > 1:
        raise DataError("Expected logits of the same classes.", "Compare checkpoints that know the same classes.")
    measured = [
        evaluate_labels(logits, truth, class_names, thresholds, groups, seed=seed) for _, logits, thresholds in models
    ]
    drawn, num_sources = resampled_maps(np.stack([scores for scores, _ in checked]), truth, groups, seed)
    level, found = SIGNIFICANCE / (len(models) - 1), []
    for place in range(1, len(models)):
        differences, measured_by = drawn[:, place] - drawn[:, 0], measured[place].mean_ap - measured[0].mean_ap
        found.append(
            _comparison(
                (models[0][0], models[place][0]),
                (measured[0], measured[place]),
                ends_around(differences, measured_by, num_sources, 0.95, floor=-1.0),
                ends_around(differences, measured_by, num_sources, 1.0 - level, floor=-1.0),
                num_clips_needed(measured_by, _spread(differences, num_sources), len(truth), level),
            )
        )
    return tuple(found)


def num_clips_needed(difference: float, spread: float, num_clips: int, level: float = SIGNIFICANCE) -> int | None:
    """Return how many clips would tell a difference of the measured size, four times in five.

    The spread of a difference shrinks with the square root of the number of clips, if they come from ever more
    sources that are like these. What is estimated is as uncertain as the measured difference.

    Parameters
    ----------
    difference : float
        Of two models' mean average precision.
    spread : float
        Its standard deviation on ``num_clips`` clips; NaN where it is not known.
    num_clips : int
    level : float
        How often a difference may be told where there is none.

    Returns
    -------
    int or None
        None where no difference or no spread was measured, or where these clips are enough.
    """
    if difference == 0 or not spread > 0:
        return None
    normal = NormalDist()
    reach = normal.inv_cdf(1 - level / 2) + normal.inv_cdf(POWER)
    needed = num_clips * (reach * spread / difference) ** 2
    return math.ceil(needed) if needed > num_clips else None


def _spread(differences: Floats, num_sources: int) -> float:
    """Return the standard deviation of resampled differences; NaN for a single source."""
    if num_sources < 2:
        return math.nan
    # Resamples of few sources vary less than new sources would.
    return float(np.nanstd(differences)) * math.sqrt(num_sources / (num_sources - 1))


def _comparison(
    names: tuple[str, str],
    measured: tuple[LabelEvaluation, LabelEvaluation],
    interval: Interval,
    strict: Interval,
    needed: int | None,
) -> LabelComparison:
    a, b = measured
    difference = b.mean_ap - a.mean_ap
    verdict: Literal["a", "b", "undecided"] = "b" if strict[0] > 0 else "a" if strict[1] < 0 else "undecided"
    found = (
        f"mean average precision {points(difference)} points "
        f"(95 % interval {points(interval[0])} to {points(interval[1])}, drawing whole sources)"
    )
    heard = f"{a.num_clips:,} clips of {count(a.num_sources, 'source')}"
    return LabelComparison(
        num_clips=a.num_clips,
        num_sources=a.num_sources,
        mean_ap_a=a.mean_ap,
        mean_ap_b=b.mean_ap,
        difference=difference,
        interval=interval,
        macro_f1_difference=b.macro_f1 - a.macro_f1,
        lwlrap_difference=b.lwlrap - a.lwlrap,
        verdict=verdict,
        num_needed=needed if verdict == "undecided" else None,
        sentence=in_words(names, verdict, found, heard, needed),
    )
