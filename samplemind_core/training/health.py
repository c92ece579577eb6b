"""What the curves say so far: one verdict per epoch, with its evidence in plain words.

Losses compared here are measured alike, in evaluation mode on clean clips: ``probe_loss`` and
``probe_accuracy`` on a fixed sample of training clips, ``val_loss`` and ``val_accuracy`` on the
validation split. The running training loss is not used: dropout, augmentation and label smoothing
raise it, so that its gap to the validation loss means nothing. Losses are smoothed by a median of three
epochs that never looks ahead. K classes guessed uniformly give a loss of ln K.

Rules, in the order they are tried; thresholds stand below, and ``benchmarks/health_verdicts.py`` counts how
often they are right on runs with a known fault:

* *suspicious*: a tenth of the validation clips are, by their spectrograms, training clips as well.
* *too early* before the fourth epoch.
* *diverging*: training loss measured alike is twice that of guessing.
* *not learning*: after eight epochs training accuracy is within its noise of always guessing the commonest
  class.
* *unstable*: the loss was thrown to three times that of guessing, or training accuracy broke down again and
  again, and the network has not learned the clips since.
* *suspicious*: training is well above chance while validation is within its noise of it, as with labels that do
  not belong to the sounds; or validation is better than training by more than noise.
* *overfitting*: validation loss rose for good while training loss did not: generalisation loss GL above 8
  (Prechelt 1998), either outside the noise of the clips or lasting and outside the noise from epoch to epoch.
  Or training clips are known by heart, accuracy has a gap outside its noise, and validation no longer improves.
* *overconfident*: such a rise without a gap, and with an accuracy that holds: the answers stay as good, their
  probabilities get worse.
* *plateau*: training accuracy is low, the gap is small, and neither loss has moved for a while.
* *underfitting*: the same past 60 % of the run, with a loss that still moves.
* *healthy* otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import Any, Literal

from samplemind_core.config import RunConfig
from samplemind_core.training.remedies import Case, Remedy, remedies_for
from samplemind_core.training.trends import chance, gap_error, generalisation_loss, jitter, median3, rises, slope

MIN_EPOCHS = 4
SETTLED_EPOCHS = 8  # from which chance on the training clips is no matter of patience
Z_LIMIT = 2.6  # two-sided 1 %
GL_LIMIT = 8.0  # percent
LASTING_EPOCHS = 5
GAP_LIMIT = 0.10
BY_HEART = 0.97
LOW = 0.8  # training accuracy below which something could still be learned
LATE = 0.6  # share of the run after which a low accuracy is a finding
FLAT = 0.01  # share of a loss that counts as movement
STALLED = 0.05  # share of the lowest validation loss by which it has to go on falling
THROWN = 3.0  # times the loss of guessing
BREAKDOWN = 0.1  # training accuracy lost within one epoch
TWINS = 0.1

VerdictName = Literal[
    "too_early",
    "healthy",
    "overfitting",
    "overconfident",
    "underfitting",
    "plateau",
    "unstable",
    "diverging",
    "not_learning",
    "suspicious",
]
TITLES: dict[VerdictName, str] = {
    "too_early": "Too early to tell",
    "healthy": "Healthy",
    "overfitting": "Overfitting",
    "overconfident": "Over-confident",
    "underfitting": "Underfitting",
    "plateau": "Stuck",
    "unstable": "Unstable",
    "diverging": "Diverging",
    "not_learning": "Not learning",
    "suspicious": "Suspicious",
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
    twin_share: float = 0.0,
    config: RunConfig | None = None,
    best_epoch: int | None = None,
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
    twin_share : float, optional
        Share of the validation clips that stand in training as well; see
        :func:`samplemind_core.training.twins.twin_share`.
    config : RunConfig, optional
        Settings of the run; without them no remedies are named.
    best_epoch : int, optional
        The epoch whose weights are kept as the best; that of the lowest validation loss by default.
    weakest_class : str, optional
        The class that validation recognises least.
    """
    curves = Curves(tuple(points), num_probe, num_val, max(class_shares), len(class_shares), total_epochs)
    finding = _finding(curves, twin_share)
    remedies: tuple[Remedy, ...] = ()
    if config is not None:
        best = curves.lowest_epoch if best_epoch is None else best_epoch
        remedies = remedies_for(finding.name, Case(config, best, curves.now.epoch, weakest_class))
    return Verdict(
        finding.name,
        TITLES[finding.name],
        finding.reason,
        gap=curves.gap,
        gap_noise=curves.gap_noise,
        generalisation_loss=generalisation_loss(curves.val),
        onset=curves.onset if finding.name in {"overfitting", "overconfident"} else None,
        confidence=finding.confidence,
        remedies=remedies,
    )


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


def known_already(twin_share: float, num_val: int) -> str:
    """Return what there is to say of validation clips that stand in training as well; empty where they are few."""
    if twin_share < TWINS or twin_share * num_val < 3:
        return ""
    return (
        f"{100 * twin_share:.0f} % of the validation clips are in training as well, or hardly differ from a clip "
        "there: validation says little about sounds that the network has never heard."
    )


# -- what is measured on the curves ----------------------------------------------------------------


@dataclass(frozen=True)
class Curves:
    """The epochs so far, and what the rules ask of them."""

    points: tuple[Point, ...]
    num_probe: int
    num_val: int
    commonest: float  # share of the commonest class
    num_classes: int
    total_epochs: int

    @property
    def now(self) -> Point:
        """The latest epoch."""
        return self.points[-1]

    @cached_property
    def val(self) -> list[float]:
        """Validation losses, smoothed."""
        return median3([point.val_loss for point in self.points])

    @cached_property
    def probe(self) -> list[float]:
        """Training losses measured alike, smoothed."""
        return median3([point.probe_loss for point in self.points])

    @cached_property
    def best(self) -> int:
        """Place of the lowest smoothed validation loss."""
        return min(range(len(self.val)), key=self.val.__getitem__)

    @property
    def lowest_epoch(self) -> int:
        """The epoch to tell people of: the median lags by up to two, they see the curve itself."""
        return self.points[self._lowest].epoch

    @property
    def onset(self) -> int:
        """The first epoch after the lowest."""
        return self.points[min(self._lowest + 1, len(self.points) - 1)].epoch

    @property
    def _lowest(self) -> int:
        return min(range(self.best + 1), key=lambda index: self.points[index].val_loss)

    @property
    def guessing(self) -> float:
        """The loss of guessing uniformly."""
        return math.log(max(2, self.num_classes))

    @cached_property
    def train_accuracy(self) -> float:
        """Median of the last three epochs."""
        return median(point.probe_accuracy for point in self.points[-3:])

    @cached_property
    def val_accuracy(self) -> float:
        """Median of the last three epochs."""
        return median(point.val_accuracy for point in self.points[-3:])

    @property
    def gap(self) -> float:
        """Training minus validation accuracy, now."""
        return self.now.probe_accuracy - self.now.val_accuracy

    @property
    def gap_noise(self) -> float:
        """The gap that chance alone may show."""
        return Z_LIMIT * gap_error(self.now.probe_accuracy, self.now.val_accuracy, self.num_probe, self.num_val)

    @property
    def lasting_gap(self) -> float:
        """The gap between the medians of the last three epochs."""
        return self.train_accuracy - self.val_accuracy

    @property
    def window(self) -> int:
        """How many epochs a standstill has to last."""
        return max(LASTING_EPOCHS, self.total_epochs // 6)

    @property
    def gained(self) -> float:
        """By which share of itself the lowest validation loss fell within the window; 1 before there is one."""
        before, since = self.val[: -self.window], self.val[-self.window :]
        return 1 - min(since) / max(1e-9, min(before)) if before else 1.0

    def chance_noise(self, num_clips: int) -> float:
        """Return how far above the commonest class's share an accuracy may be by chance."""
        return Z_LIMIT * math.sqrt(self.commonest * (1 - self.commonest) / num_clips)

    def moved(self, losses: Sequence[float]) -> float:
        """Return by which share of itself a loss fell within the window."""
        last = losses[-self.window :]
        return -slope(last) * (len(last) - 1) / max(1e-9, abs(last[0]))


@dataclass(frozen=True)
class Finding:
    """What a rule found."""

    name: VerdictName
    reason: str
    confidence: float | None = None


# -- the rules -------------------------------------------------------------------------------------


def _finding(curves: Curves, twin_share: float) -> Finding:
    known = known_already(twin_share, curves.num_val)
    if known:
        return Finding("suspicious", known, 1.0)
    if len(curves.points) < MIN_EPOCHS:
        return Finding("too_early", f"A verdict needs at least {MIN_EPOCHS} epochs.")
    for rule in (_diverging, _not_learning, _unstable, _at_chance, _upside_down, _rising, _by_heart, _low):
        found = rule(curves)
        if found is not None:
            return found
    return _healthy(curves)


def _diverging(curves: Curves) -> Finding | None:
    if min(curves.probe[-1], curves.now.probe_loss) < 2 * curves.guessing:
        return None
    return Finding(
        "diverging",
        f"Training loss, measured as validation is, is {curves.now.probe_loss:.3g}; guessing at random would give "
        f"{curves.guessing:.2f}. Lower the learning rate.",
        1.0,
    )


def _not_learning(curves: Curves) -> Finding | None:
    noise = curves.chance_noise(curves.num_probe)
    if len(curves.points) < SETTLED_EPOCHS or curves.train_accuracy > curves.commonest + noise:
        return None
    return Finding(
        "not_learning",
        f"After {curves.now.epoch} epochs training accuracy is {100 * curves.train_accuracy:.0f} %; always "
        f"answering the commonest class gives {100 * curves.commonest:.0f} %. Check the labels, or change the "
        "learning rate.",
    )


def _unstable(curves: Curves) -> Finding | None:
    if curves.train_accuracy >= LOW:
        return None
    worst = max(curves.points[1:], key=lambda point: point.probe_loss)
    if worst.probe_loss > THROWN * curves.guessing:
        return Finding(
            "unstable",
            f"In epoch {worst.epoch} training loss was {worst.probe_loss:.3g}, far above the {curves.guessing:.2f} of "
            "guessing at random, and the network has not recovered: training accuracy is "
            f"{100 * curves.train_accuracy:.0f} %. "
            "Lower the learning rate.",
            1.0,
        )
    last = curves.points[-SETTLED_EPOCHS - 1 :]
    breaks = sum(b.probe_accuracy < a.probe_accuracy - BREAKDOWN for a, b in pairwise(last))
    if breaks < 2:
        return None
    return Finding(
        "unstable",
        f"In {breaks} of the last {len(last) - 1} epochs training accuracy fell by more than {_points(BREAKDOWN)} at "
        "once: steps undo what was learned before. Lower the learning rate.",
    )


def _at_chance(curves: Curves) -> Finding | None:
    if len(curves.points) < SETTLED_EPOCHS:
        return None
    learned = curves.train_accuracy - curves.commonest
    noise = curves.chance_noise(curves.num_val)
    above = curves.val_accuracy - curves.commonest
    if learned < 0.15 or above > noise or curves.lasting_gap < curves.gap_noise:
        return None
    if min(curves.val) < 0.93 * curves.guessing:
        return None
    return Finding(
        "suspicious",
        f"Training accuracy is {100 * curves.train_accuracy:.0f} %, validation accuracy "
        f"{100 * curves.val_accuracy:.0f} %, as by "
        f"guessing ({100 * curves.commonest:.0f} %): what it learns holds for the training clips alone. Do the "
        "labels belong to the sounds?",
        chance(Z_LIMIT * curves.lasting_gap / curves.gap_noise),
    )


def _upside_down(curves: Curves) -> Finding | None:
    """Measured alike, training clips cannot be the harder ones, unless the split is odd."""
    last = curves.points[-3:]
    if any(point.val_accuracy - point.probe_accuracy < max(0.05, curves.gap_noise) for point in last):
        return None
    if any(point.probe_loss - point.val_loss < 2 * point.val_loss_se for point in last):
        return None
    return Finding(
        "suspicious",
        f"Validation accuracy is {_points(-curves.gap)} above training accuracy, and both are measured alike: the "
        "validation clips are easier, or few and of one kind. They say little about others.",
        chance(-Z_LIMIT * curves.gap / curves.gap_noise),
    )


def _rising(curves: Curves) -> Finding | None:
    now, best, val = curves.now, curves.best, curves.val
    rise = val[-1] - val[best]
    since = len(val) - 1 - best
    if generalisation_loss(val) < GL_LIMIT or since < 2 or curves.probe[-1] > curves.probe[best]:
        return None
    by_clips = rise / max(1e-9, now.val_loss_se, curves.points[best].val_loss_se)
    raw = [point.val_loss for point in curves.points]
    by_epochs = rise / max(1e-9, jitter(raw))
    lasting = since >= LASTING_EPOCHS and min(raw[-3:]) > val[best]
    if by_clips < 2 and not (lasting and by_epochs > 2):
        return None
    sure = chance(max(by_clips, by_epochs if lasting else 0.0) / math.sqrt(2))
    holds = curves.val_accuracy >= max(point.val_accuracy for point in curves.points) - curves.gap_noise
    if curves.lasting_gap <= max(GAP_LIMIT, curves.gap_noise) and holds:
        return Finding(
            "overconfident",
            f"Since epoch {curves.lowest_epoch} validation loss has risen from {val[best]:.2f} to {val[-1]:.2f} while "
            f"validation accuracy holds at {100 * now.val_accuracy:.0f} %: the answers stay as good, but the "
            "network is ever surer of its mistakes.",
            sure,
        )
    in_a_row = rises(val)
    lately = f", {in_a_row} epochs in a row now," if in_a_row >= LASTING_EPOCHS else ""
    return Finding(
        "overfitting",
        f"Since epoch {curves.lowest_epoch} validation loss has risen{lately} by {generalisation_loss(val):.0f} % "
        f"({val[best]:.2f} to {val[-1]:.2f}) while training loss went on falling "
        f"({curves.probe[best]:.2f} to {curves.probe[-1]:.2f}): the network memorises its training clips.",
        sure,
    )


def _by_heart(curves: Curves) -> Finding | None:
    if curves.train_accuracy < BY_HEART or curves.lasting_gap < max(GAP_LIMIT, curves.gap_noise):
        return None
    if curves.gained > STALLED:
        return None
    return Finding(
        "overfitting",
        f"The network knows its training clips by heart ({100 * curves.train_accuracy:.0f} %) and recognises "
        f"{100 * curves.val_accuracy:.0f} % of the validation clips: a gap of {_points(curves.lasting_gap)}, where "
        f"chance explains {100 * curves.gap_noise:.0f}, and validation loss no longer falls.",
        chance(Z_LIMIT * curves.lasting_gap / curves.gap_noise),
    )


def _low(curves: Curves) -> Finding | None:
    if curves.train_accuracy >= LOW or curves.lasting_gap > max(2 * GAP_LIMIT, curves.gap_noise):
        return None
    late = curves.now.epoch >= LATE * curves.total_epochs
    enough = len(curves.points) > curves.window
    still = enough and curves.moved(curves.probe) < FLAT and curves.moved(curves.val) < FLAT
    sure = chance((LOW - curves.train_accuracy) / math.sqrt(LOW * (1 - LOW) / curves.num_probe))
    if still:
        return Finding(
            "plateau",
            f"For {curves.window} epochs neither loss has moved by more than {100 * FLAT:.0f} %, and training "
            f"accuracy is only {100 * curves.train_accuracy:.0f} %: the network is stuck before it has learned what "
            "the clips could teach.",
            sure,
        )
    if not late:
        return None
    return Finding(
        "underfitting",
        f"Training accuracy is only {100 * curves.train_accuracy:.0f} % and validation accuracy "
        f"{100 * curves.val_accuracy:.0f} %: the "
        "network has not learned what the clips could teach. Train longer, raise the learning rate, or use a larger "
        "network.",
        sure,
    )


def _healthy(curves: Curves) -> Finding:
    if curves.gap > curves.gap_noise:
        words = f"Training accuracy is {_points(curves.gap)} above validation, and validation still holds."
    else:
        words = (
            f"Training and validation differ by {_points(abs(curves.gap))}, inside the noise of {curves.num_val} clips."
        )
    return Finding("healthy", words)


def _points(fraction: float) -> str:
    number = round(100 * fraction)
    return f"{number} point{'' if number == 1 else 's'}"
