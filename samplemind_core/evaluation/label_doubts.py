"""Doubtful labels where clips have several: one that is probably missing, or one that should not be there.

Each label is a question of its own, to be doubted by confident learning between having it and not having it, as
:mod:`~samplemind_core.evaluation.label_errors` does between classes. The counting is cleanlab's.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samplemind_core.evaluation.metrics import plain
from samplemind_core.evaluation.multi_label import check_label_logits
from samplemind_core.ranking import mean_average_precision, sigmoid

MIN_CLIPS = 5
"""A label that fewer clips have, or lack, is not doubted: nothing is usual about it."""


@dataclass(frozen=True)
class LabelDoubt:
    """One label of one clip that is probably wrong.

    Attributes
    ----------
    clip_id : int
    label : str
    given : bool
        Whether the clip has the label, which should go; it should be added otherwise.
    prob : float
        Probability of the label.
    quality : float
        Probability of what the clip's label says, from 0 (surely wrong) to 1.
    """

    clip_id: int
    label: str
    given: bool
    prob: float
    quality: float


@dataclass(frozen=True)
class LabelDoubts:
    """What is known of the labels of some clips.

    Attributes
    ----------
    num_clips : int
    num_estimated : int
        How many labels confident learning takes for missing or wrong: far too many where the network is weak.
    mean_ap : float
        Mean average precision of the answers: the lower, the more of the doubts are the network's own mistakes.
    doubts : tuple of LabelDoubt
        The most doubtful first.
    left_out : tuple of str
        Labels with too few clips to be doubted.
    """

    num_clips: int
    num_estimated: int
    mean_ap: float
    doubts: tuple[LabelDoubt, ...]
    left_out: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self))


def find_label_doubts(
    logits: npt.ArrayLike, targets: npt.ArrayLike, class_names: Sequence[str], clip_ids: npt.ArrayLike
) -> LabelDoubts:
    """Find labels that are probably missing or wrong, the most doubtful first.

    Parameters
    ----------
    logits : array_like, shape (N, C)
        Of a network that was not trained on these clips.
    targets : array_like of 0 and 1, shape (N, C)
    class_names : sequence of str, length C
    clip_ids : array_like of int, shape (N,)

    Raises
    ------
    DataError
        If there are no clips or no labels, the shapes disagree or a logit is not finite.

    References
    ----------
    A. Thyagarajan, E. Snorrason, C. Northcutt, J. Mueller (2022), "Identifying incorrect annotations in multi-label
    classification data", arXiv:2211.13895.
    """
    scores, truth = check_label_logits(logits, targets)
    probs, ids = sigmoid(scores), np.asarray(clip_ids)
    # Takes seconds to import, and only this needs it.
    from cleanlab.count import compute_confident_joint
    from cleanlab.filter import find_label_issues

    doubts, left_out, estimated = list[LabelDoubt](), list[str](), 0.0
    for place, name in enumerate(class_names):
        has = truth[:, place].astype(np.int64)
        if min(has.sum(), len(has) - has.sum()) < MIN_CLIPS:
            left_out.append(name)
            continue
        shares = np.column_stack([1.0 - probs[:, place], probs[:, place]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of few clips; the page names the labels that are left out
            joint = compute_confident_joint(has, shares)
            flagged = find_label_issues(has, shares, confident_joint=joint, n_jobs=1)
        estimated += float(joint.sum() - joint.trace())
        doubts += [
            LabelDoubt(int(ids[row]), name, bool(has[row]), float(shares[row, 1]), float(shares[row, has[row]]))
            for row in np.flatnonzero(flagged).tolist()
        ]
    doubts.sort(key=lambda doubt: (doubt.quality, doubt.clip_id, doubt.label))
    mean_ap = mean_average_precision(scores, truth)
    assert mean_ap is not None
    return LabelDoubts(len(ids), round(estimated), mean_ap, tuple(doubts), tuple(left_out))
