"""Whether the confidence of each of several labels means what it says: of those given 80 %, 80 % should have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import DataError
from samplemind_core.evaluation.calibration import ReliabilityBin, adaptive_ece, drawn_rows, reliability_bins
from samplemind_core.evaluation.metrics import Interval, plain
from samplemind_core.evaluation.multi_label import check_label_logits
from samplemind_core.ranking import sigmoid

if TYPE_CHECKING:
    from samplemind_core.evaluation.judging import Judged

ALL = ""
"""The name of all labels together."""

RESAMPLES = 200


@dataclass(frozen=True)
class LabelCalibration:
    """How far the confidence of one label, or of all together, can be trusted.

    Attributes
    ----------
    label : str
        :data:`ALL` for all labels together.
    num_answers, num_positive : int
        Clips that were asked about it (with all labels: times labels), and those that have it.
    ece : float
        Expected calibration error over bins of equally many answers, with its 95 % bootstrap interval.
    brier : float
        Mean squared distance of the probability from the truth: 0 to 1, less is better.
    confidence, share : float
        Mean probability, and the share that has the label.
    bins : tuple of ReliabilityBin
        ``accuracy`` is the share of a bin that has the label.
    """

    label: str
    num_answers: int
    num_positive: int
    ece: float
    ece_interval: Interval
    brier: float
    confidence: float
    share: float
    bins: tuple[ReliabilityBin, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self))


def measure_label_calibration(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    class_names: Sequence[str],
    groups: Sequence[Any] | None = None,
    *,
    seed: int = 0,
) -> tuple[LabelCalibration, ...]:
    """Measure how well confidence fits the truth: of all labels together first, then of each.

    Parameters
    ----------
    logits : array_like, shape (N, C)
    targets : array_like of 0 and 1, shape (N, C)
    class_names : sequence of str, length C
    groups : sequence, shape (N,), optional
        Source of each clip: the bootstrap draws whole sources.
    seed : int
        Of the bootstrap, centred as in :func:`~samplemind_core.evaluation.calibration.measure_calibration`.

    Raises
    ------
    DataError
        If there are no clips or no labels, the shapes disagree or a logit is not finite.
    """
    scores, truth = check_label_logits(logits, targets)
    if scores.shape[1] != len(class_names):
        raise DataError(
            f"Expected a name for each of {scores.shape[1]} labels, got {len(class_names)}.",
            "Use the class names that are stored with the checkpoint.",
        )
    probs = sigmoid(scores)
    drawn = drawn_rows(len(probs), groups, RESAMPLES, np.random.default_rng(seed))
    everything = _measured(ALL, probs, truth, drawn)
    return (
        everything,
        *(_measured(name, probs[:, [at]], truth[:, [at]], drawn) for at, name in enumerate(class_names)),
    )


def calibration_of(judged: Judged) -> tuple[LabelCalibration, ...]:
    """Return :func:`measure_label_calibration` of a checkpoint's answers.

    Raises
    ------
    DataError
        If each clip has one label, which is divided by a temperature instead.
    """
    if not judged.several_labels:
        raise DataError(
            "The confidence of each label by itself is measured where samples have several labels.",
            "Calibrate this checkpoint with a temperature instead.",
        )
    return measure_label_calibration(judged.logits, judged.targets, judged.class_names, judged.sources.tolist())


def _measured(
    label: str, probs: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], drawn: Sequence[npt.NDArray[np.int64]]
) -> LabelCalibration:
    sure, has = probs.ravel(), truth.ravel()
    ece = adaptive_ece(sure, has)
    resampled = [adaptive_ece(probs[rows].ravel(), truth[rows].ravel()) for rows in drawn]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return LabelCalibration(
        label=label,
        num_answers=len(sure),
        num_positive=int(has.sum()),
        ece=ece,
        # A resampled error is larger than its original: the interval is centred on what was measured.
        ece_interval=(max(0.0, 2 * ece - float(high)), min(1.0, max(ece, 2 * ece - float(low)))),
        brier=float(np.square(sure - has).mean()),
        confidence=float(sure.mean()),
        share=float(has.mean()),
        bins=reliability_bins(sure, has),
    )
