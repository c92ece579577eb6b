"""How much the naming of several labels withstands: mean average precision under what happens to samples.

The clips are a fixed sample of a split, the same for every step. Whether a fall is more than chance is told by a
bootstrap of the difference from the clean clips, which draws whole sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samplemind_core.evaluation.changed_clips import Curve, curves_of, find_curve, logits_under, read_back
from samplemind_core.evaluation.comparison import mcnemar_exact
from samplemind_core.evaluation.metrics import Interval, plain
from samplemind_core.evaluation.multi_label import check_label_logits, map_intervals
from samplemind_core.evaluation.probes import Probe
from samplemind_core.ranking import Floats, average_precision, mean_average_precision, sigmoid

if TYPE_CHECKING:
    from samplemind_core.config import FeatureConfig
    from samplemind_core.models import AudioClassifier

Answer = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class LabelStep:
    """One probe at one level.

    Attributes
    ----------
    level : float
        In the probe's unit.
    mean_ap : float
        Mean average precision of the labels that have clips.
    interval : (low, high)
        95 %, by a bootstrap that draws whole sources.
    difference, difference_interval : float, (low, high)
        From the clean clips, with the paired interval.
    average_precision, recall : tuple of float or None
        By label, in the order of ``class_names``, recall at the thresholds; None for a label without a clip.
    broken, fixed : int
        Clips with more labels wrong (missed or named though absent) than when clean, and with fewer.
    p_value : float
        Exact sign test of these: how often chance alone would do as much.
    answers : tuple of tuples of (int, float)
        Of each clip, place and probability of every label that it has or is given.
    """

    level: float
    mean_ap: float
    interval: Interval
    difference: float
    difference_interval: Interval
    average_precision: tuple[float | None, ...]
    recall: tuple[float | None, ...]
    broken: int
    fixed: int
    p_value: float
    answers: tuple[Answer, ...]

    @property
    def score(self) -> float:
        """What curves are drawn of: the mean average precision."""
        return self.mean_ap

    @property
    def worse(self) -> bool:
        """Whether the difference from clean clips leaves out zero."""
        return self.difference_interval[1] < 0


@dataclass(frozen=True)
class BrokenClip:
    """A clip with more labels wrong than when it is clean.

    Attributes
    ----------
    clip_id : int
    lost : tuple of (str, float)
        Labels that it has and that are not found any more, with their probability now.
    wrong : tuple of (str, float)
        Labels that it does not have and that are named now, though not when clean.
    """

    clip_id: int
    lost: tuple[tuple[str, float], ...]
    wrong: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class LabelRobustness:
    """What a checkpoint that names several labels withstands.

    Attributes
    ----------
    ref_epoch : int
        Epoch of the checkpoint.
    split : str
    num_available : int
        Clips of the split that could have been taken.
    num_sources : int
        That the clips come from.
    clip_ids : tuple of int
        The clips that were taken.
    labels : tuple of tuples of int
        Places of each clip's labels in ``class_names``.
    class_names : tuple of str
    thresholds : tuple of float
        From which probability on each label is named.
    clean : LabelStep
        Without any change; ``level`` means nothing there.
    curves : tuple of Curve
    """

    ref_epoch: int
    split: str
    num_available: int
    num_sources: int
    clip_ids: tuple[int, ...]
    labels: tuple[tuple[int, ...], ...]
    class_names: tuple[str, ...]
    thresholds: tuple[float, ...]
    clean: LabelStep
    curves: tuple[Curve[LabelStep], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self))

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> LabelRobustness:
        """Undo :meth:`as_dict`."""
        return read_back(fields, cls, LabelStep)

    def curve(self, probe: str) -> Curve[LabelStep]:
        """Return the curve of a probe; raise :class:`NotFoundError` if it was not measured."""
        return find_curve(self.curves, probe)

    def broken_clips(self, step: LabelStep) -> list[BrokenClip]:
        """Return clips that a step breaks: those with the most labels broken first, then the furthest off."""
        found = []
        for row, clip_id in enumerate(self.clip_ids):
            has = set(self.labels[row])
            before, after = (self._wrong(one.answers[row], has) for one in (self.clean, step))
            if len(after) <= len(before):
                continue
            new = {place: prob for place, prob in after.items() if place not in before}
            lost = [(self.class_names[place], prob) for place, prob in new.items() if place in has]
            wrong = [(self.class_names[place], prob) for place, prob in new.items() if place not in has]
            off = max(abs(prob - self.thresholds[place]) for place, prob in new.items())
            found.append(((-len(new), -off), BrokenClip(clip_id, tuple(lost), tuple(wrong))))
        return [broken for _, broken in sorted(found, key=lambda one: one[0])]

    def _wrong(self, answer: Answer, has: set[int]) -> dict[int, float]:
        """Return place and probability of the labels that an answer gets wrong."""
        return {place: prob for place, prob in answer if (prob >= self.thresholds[place]) != (place in has)}


def measure_label_robustness(
    model: AudioClassifier,
    features: FeatureConfig,
    windows: npt.NDArray[np.float32],
    targets: npt.ArrayLike,
    thresholds: Sequence[float],
    groups: Sequence[Any] | None = None,
    **heard: Any,
) -> tuple[LabelStep, tuple[Curve[LabelStep], ...]]:
    """Return the clean step and one curve for each probe.

    Parameters
    ----------
    targets : array_like of 0 and 1, shape (N, C)
    thresholds : sequence of float, length C
        From which probability on each label is named.
    groups : sequence, shape (N,), optional
        Source of each clip, for the bootstrap.

    Further parameters are those of :func:`~samplemind_core.evaluation.changed_clips.logits_under`.

    Raises
    ------
    DataError
        If there are no clips or no labels, or a logit is not finite.
    StoppedError
        If it was stopped.
    """
    taken: list[tuple[Probe | None, float, Floats]] = []
    truth: npt.NDArray[np.bool_] = np.zeros((0, 0), dtype=bool)
    for probe, level, logits in logits_under(model, features, windows, **heard):
        scores, truth = check_label_logits(logits, targets)
        taken.append((probe, level, scores))
    own, against = map_intervals(np.stack([scores for _, _, scores in taken]), truth, groups)
    limits = np.asarray(thresholds, dtype=np.float64)
    clean_wrong = ((sigmoid(taken[0][2]) >= limits) != truth).sum(axis=1)
    clean_ap = mean_average_precision(taken[0][2], truth)
    assert clean_ap is not None
    clean: LabelStep | None = None
    steps: dict[str, list[LabelStep]] = {}
    for (probe, level, scores), interval, difference_interval in zip(taken, own, against, strict=True):
        probs = sigmoid(scores)
        named = probs >= limits
        wrong = (named != truth).sum(axis=1)
        broken, fixed = int((wrong > clean_wrong).sum()), int((wrong < clean_wrong).sum())
        mean_ap = mean_average_precision(scores, truth)
        assert mean_ap is not None
        columns = range(truth.shape[1])
        step = LabelStep(
            level=level,
            mean_ap=mean_ap,
            interval=interval,
            difference=mean_ap - clean_ap,
            difference_interval=difference_interval,
            average_precision=tuple(average_precision(scores[:, place], truth[:, place]) for place in columns),
            recall=tuple(_recall(named[:, place], truth[:, place]) for place in columns),
            broken=broken,
            fixed=fixed,
            p_value=mcnemar_exact(broken, fixed),
            answers=tuple(
                tuple((int(place), float(probs[row, place])) for place in np.flatnonzero(named[row] | truth[row]))
                for row in range(len(truth))
            ),
        )
        if probe is None:
            clean = step
        else:
            steps.setdefault(probe.name, []).append(step)
    assert clean is not None
    return clean, curves_of(steps)


def _recall(named: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float | None:
    return float(named[truth].mean()) if truth.any() else None
