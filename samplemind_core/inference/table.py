"""Answers and segments as rows of a table, the same from the page and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from samplemind_core.files import inert

if TYPE_CHECKING:
    from samplemind_core.inference.classifier import Result
    from samplemind_core.inference.windows import Segment

NONE = "none of these"
"""The answer where a sound is like nothing in the library."""

LABEL_SEPARATOR = ";"
"""What stands between the labels of an answer in files that are written."""

SEGMENT_COLUMNS = ("file", "start_s", "end_s", "label", "confidence", "second", "second_confidence")


def answer_columns(class_names: Sequence[str], *, several_labels: bool = False) -> list[str]:
    """Return the columns of :func:`answer_row`."""
    probs = (inert(f"p_{name}") for name in class_names)
    if several_labels:
        return ["file", "labels", "label", "confidence", *probs, "error"]
    return ["file", "label", "confidence", *probs, "p_none", "prediction_set", "error"]


def answer_row(result: Result, class_names: Sequence[str], *, several_labels: bool = False) -> list[str]:
    """Return a result as text: shares with six digits, several labels between ``;``, a prediction set's between ``|``.

    Where a checkpoint names several labels, ``label`` and ``confidence`` are those of the surest.
    """
    if several_labels:
        return [
            inert(result.name),
            inert(LABEL_SEPARATOR.join(result.labels)),
            inert(result.label or ""),
            share(result.confidence),
            *(share(result.probs.get(name)) for name in class_names),
            inert(result.error or ""),
        ]
    return [
        inert(result.name),
        inert(result.label or ""),
        share(result.confidence),
        *(share(result.probs.get(name)) for name in class_names),
        share(result.none),
        inert("|".join(result.prediction_set)),
        inert(result.error or ""),
    ]


def segment_row(name: str, segment: Segment) -> list[str]:
    """Return a segment of a file as text, by ``SEGMENT_COLUMNS``."""
    return [
        inert(name),
        f"{segment.start_s:.3f}",
        f"{segment.end_s:.3f}",
        inert(segment.label),
        share(segment.confidence),
        inert(segment.second),
        share(segment.second_confidence),
    ]


def share(value: float | None) -> str:
    """Return a fraction with six digits; nothing where there is none."""
    return "" if value is None else f"{value:.6f}"
