"""Which samples to listen to: where one model is right and another wrong, the surest mistakes, the closest calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation.judging import Judged
from samplemind_core.evaluation.metrics import softmax

Kind = Literal["only_a", "only_b", "both_wrong", "surest_mistakes", "closest_calls"]
_NEED_TWO = ("only_a", "only_b", "both_wrong")


@dataclass(frozen=True)
class Listed:
    """One clip of a playlist: what it is, and what each model says with how much confidence."""

    clip_id: int
    label: str
    answers: tuple[str, ...]
    confidences: tuple[float, ...]


def playlist(kind: Kind, judged: Sequence[Judged], temperatures: Sequence[float] | None = None) -> list[Listed]:
    """Return the clips of a playlist, those that say most first.

    Parameters
    ----------
    kind : {'only_a', 'only_b', 'both_wrong', 'surest_mistakes', 'closest_calls'}
        The first three compare the first two models; the others look at the first.
    judged : sequence of Judged
        On the same clips, in the same order.
    temperatures : sequence of float, optional
        What each model's logits are divided by; 1 by default.

    Raises
    ------
    ConfigError
        If there is no such playlist.
    DataError
        If it needs two models and one was given.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"There is no playlist '{kind}'.", f"Choose one of: {', '.join(get_args(Kind))}.")
    if not judged or (kind in _NEED_TWO and len(judged) < 2):
        raise DataError("This playlist needs two models.", "Choose another checkpoint to compare with.")
    given = temperatures or [1.0] * len(judged)
    probs = [softmax(one.logits / at) for one, at in zip(judged, given, strict=True)]
    answers = np.stack([each.argmax(axis=1) for each in probs])
    sure = np.stack([each.max(axis=1) for each in probs])
    rows = _rows(kind, judged[0].targets, probs, answers, sure)
    names = judged[0].class_names
    return [
        Listed(
            clip_id=int(judged[0].clip_ids[row]),
            label=names[judged[0].targets[row]],
            answers=tuple(names[place] for place in answers[:, row]),
            confidences=tuple(float(value) for value in sure[:, row]),
        )
        for row in rows.tolist()
    ]


def _rows(
    kind: Kind,
    targets: npt.NDArray[np.int64],
    probs: Sequence[npt.NDArray[np.float64]],
    answers: npt.NDArray[np.int64],
    sure: npt.NDArray[np.float64],
) -> npt.NDArray[np.int64]:
    right = answers == targets
    if kind == "closest_calls":
        ordered = np.sort(probs[0], axis=1)
        margin = ordered[:, -1] - ordered[:, -2] if ordered.shape[1] > 1 else ordered[:, -1]
        return np.argsort(margin, kind="stable")
    if kind == "surest_mistakes":
        found, weight = np.flatnonzero(~right[0]), sure[0]
    elif kind == "both_wrong":
        found, weight = np.flatnonzero(~right[0] & ~right[1]), sure[0] + sure[1]
    elif kind == "only_a":
        found, weight = np.flatnonzero(right[0] & ~right[1]), sure[1]
    else:
        found, weight = np.flatnonzero(right[1] & ~right[0]), sure[0]
    return found[np.argsort(-weight[found], kind="stable")]
