"""What the curves say so far: one verdict per epoch, with its evidence in plain words.

Losses compared here are measured alike, in evaluation mode on clean clips: ``probe_loss`` and
``probe_accuracy`` on a fixed sample of training clips, ``val_loss`` and ``val_accuracy`` on the
validation split. The running training loss is not used: dropout, augmentation and label smoothing
raise it, so that its gap to the validation loss means nothing.

Rules, in the order they are tried:

* *diverging*: validation loss above that of guessing uniformly (ln K) by half, and rising.
* *not learning*: after eight epochs, training accuracy within its noise of always guessing the
  commonest class.
* *overfitting*: generalisation loss GL(t) = 100 (E_val(t) / min E_val - 1) above 5 (Prechelt 1998),
  where the rise is outside the noise of E_val and the probe loss still falls; or an accuracy gap of
  more than 10 points with z > 2.6 while validation has stopped improving.
* *underfitting*: the run is past 60 % of its epochs, training accuracy is below 70 % and the gap is
  inside its noise.
* *healthy* otherwise; *too early* before the fourth epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from samplemind_core.config import RunConfig
from samplemind_core.training.remedies import Case, Remedy, remedies_for

MIN_EPOCHS = 4
GL_LIMIT = 5.0  # percent; Prechelt's lenient threshold
GAP_LIMIT = 0.10
Z_LIMIT = 2.6  # two-sided 1 %
STALLED_EPOCHS = 3

VerdictName = Literal["too_early", "healthy", "overfitting", "underfitting", "not_learning", "diverging"]
TITLES: dict[VerdictName, str] = {
    "too_early": "Too early to tell",
    "healthy": "Healthy",
    "overfitting": "Overfitting",
    "underfitting": "Underfitting",
    "not_learning": "Not learning",
    "diverging": "Diverging",
}


@dataclass(frozen=True)
class Point:
    """One epoch as the detector sees it; ``val_loss_se`` is the standard error of ``val_loss``."""

    epoch: int
    probe_loss: float
    probe_accuracy: float
    val_loss: float
    val_loss_se: float
    val_accuracy: float


@dataclass(frozen=True)
class Verdict:
    """A verdict, its reason in words, and the numbers behind it.

    ``gap`` is training minus validation accuracy, ``gap_noise`` the gap that chance alone may show
    (2.6 standard errors), ``generalisation_loss`` Prechelt's GL in percent, ``onset`` the first epoch
    of overfitting. ``confidence`` is how likely it is, by the number of clips, that the finding is none of
    chance: None where there is nothing to be sure of. ``remedies`` are things to try, the best first.
    """

    verdict: VerdictName
    title: str
    reason: str
    gap: float
    gap_noise: float
    generalisation_loss: float
    onset: int | None = None
    confidence: float | None = None
    remedies: tuple[Remedy, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON-ready values."""
        return asdict(self) | {"remedies": [remedy.as_dict() for remedy in self.remedies]}


def assess(
    points: Sequence[Point],
    *,
    num_probe: int,
    num_val: int,
    class_shares: Sequence[float],
    total_epochs: int,
    config: RunConfig | None = None,
    weakest_class: str = "",
) -> Verdict:
    """Return the verdict on a run after its latest epoch.

    Parameters
    ----------
    points : sequence of Point
        Every epoch so far, in order; at least one.
    num_probe, num_val : int
        Number of clips behind the training and the validation figures.
    class_shares : sequence of float
        Share of each class among the validation clips.
    total_epochs : int
        Planned length of the run.
    config : RunConfig, optional
        Settings of the run; without them no remedies are named.
    weakest_class : str, optional
        The class that validation recognises least.
    """
    now = points[-1]
    val = _median3([point.val_loss for point in points])
    best = min(range(len(val)), key=val.__getitem__)
    # The median lags by up to two epochs; the lowest epoch to tell people of is that of the curve they see.
    lowest = min(range(best + 1), key=lambda index: points[index].val_loss)
    onset = points[min(lowest + 1, len(points) - 1)].epoch
    gl = 100 * (val[-1] / val[best] - 1) if val[best] > 0 else 0.0
    gap = now.probe_accuracy - now.val_accuracy
    noise = Z_LIMIT * _gap_se(now.probe_accuracy, now.val_accuracy, num_probe, num_val)
    evidence = {"gap": gap, "gap_noise": noise, "generalisation_loss": gl}

    def verdict(name: VerdictName, reason: str, onset: int | None = None, sure: float | None = None) -> Verdict:
        remedies: tuple[Remedy, ...] = ()
        if config is not None:
            case = Case(config, points[lowest].epoch, now.epoch, weakest_class)
            remedies = remedies_for(name, case)
        return Verdict(name, TITLES[name], reason, **evidence, onset=onset, confidence=sure, remedies=remedies)

    if len(points) < MIN_EPOCHS:
        return verdict("too_early", f"A verdict needs at least {MIN_EPOCHS} epochs.")

    guessing = math.log(max(2, len(class_shares)))
    if val[-1] > 1.5 * guessing and val[-1] > val[-2] > val[-3]:
        return verdict(
            "diverging",
            f"Validation loss is {val[-1]:.2f} and rising; guessing at random would give {guessing:.2f}. "
            "Lower the learning rate.",
        )

    commonest = max(class_shares)
    chance_noise = Z_LIMIT * math.sqrt(commonest * (1 - commonest) / num_probe)
    if len(points) >= 2 * MIN_EPOCHS and now.probe_accuracy <= commonest + chance_noise:
        return verdict(
            "not_learning",
            f"After {now.epoch} epochs training accuracy is {now.probe_accuracy:.0%}; always answering the "
            f"commonest class gives {commonest:.0%}. Check the labels, or change the learning rate.",
        )

    rise_is_real = val[-1] - val[best] > 2 * max(now.val_loss_se, points[best].val_loss_se)
    still_memorising = now.probe_loss < points[best].probe_loss
    if gl > GL_LIMIT and rise_is_real and still_memorising:
        return verdict(
            "overfitting",
            f"Since epoch {points[lowest].epoch} validation loss has risen by {gl:.0f} % "
            f"({val[best]:.2f} to {val[-1]:.2f}) while training loss went on falling "
            f"({points[best].probe_loss:.2f} to {now.probe_loss:.2f}): the network memorises its training clips.",
            onset,
            _chance((val[-1] - val[best]) / max(1e-9, math.hypot(now.val_loss_se, points[best].val_loss_se))),
        )
    stalled = len(points) - 1 - best >= STALLED_EPOCHS
    if gap > GAP_LIMIT and gap > noise and stalled:
        return verdict(
            "overfitting",
            f"Training accuracy is {now.probe_accuracy:.0%}, validation accuracy {now.val_accuracy:.0%}: a gap of "
            f"{_points(gap)}, where chance explains {100 * noise:.0f}, and validation loss has not improved "
            f"since epoch {points[lowest].epoch}.",
            onset,
            _chance(Z_LIMIT * gap / noise),
        )

    if now.epoch >= 0.6 * total_epochs and now.probe_accuracy < 0.7 and gap <= noise:
        return verdict(
            "underfitting",
            f"Training accuracy is only {now.probe_accuracy:.0%} and validation is no worse: the network has not "
            "learned what the clips could teach. Train longer, raise the learning rate, or use a larger network.",
            sure=_chance((0.7 - now.probe_accuracy) / math.sqrt(0.7 * 0.3 / num_probe)),
        )

    if gap > noise:
        words = f"Training accuracy is {_points(gap)} above validation, and validation still holds."
    else:
        words = f"Training and validation differ by {_points(abs(gap))}, inside the noise of {num_val} clips."
    return verdict("healthy", words, sure=_chance(Z_LIMIT * (GAP_LIMIT - gap) / noise))


def point_from(epoch: Mapping[str, Any]) -> Point:
    """Return the detector's view of a stored epoch, whose ``health`` holds the probe's figures."""
    health = epoch["health"]
    return Point(
        epoch["epoch"],
        health["probe_loss"],
        health["probe_accuracy"],
        epoch["val_loss"],
        health["val_loss_se"],
        epoch["val_accuracy"],
    )


def _points(fraction: float) -> str:
    number = round(100 * fraction)
    return f"{number} point{'' if number == 1 else 's'}"


def _chance(z: float) -> float:
    """Return how likely a normal deviate is to stay below z."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _gap_se(accuracy_a: float, accuracy_b: float, num_a: int, num_b: int) -> float:
    pooled = (accuracy_a * num_a + accuracy_b * num_b) / (num_a + num_b)
    # Perfect scores have no binomial spread; one clip more or less is the least that can happen.
    pooled = min(max(pooled, 1 / (num_a + num_b)), 1 - 1 / (num_a + num_b))
    return math.sqrt(pooled * (1 - pooled) * (1 / num_a + 1 / num_b))


def _median3(values: Sequence[float]) -> list[float]:
    """Return each value's median with its two predecessors: smoothing that never looks ahead."""
    windows = [sorted(values[max(0, i - 2) : i + 1]) for i in range(len(values))]
    return [window[(len(window) - 1) // 2] for window in windows]
