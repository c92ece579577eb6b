"""Where a model is weak: accuracy by source, length, sample rate and whatever else is known of the clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import DataError
from samplemind_core.evaluation.metrics import Interval, plain, wilson_interval
from samplemind_core.store.records import Clip

SMALL = 10
"""Fewer clips than this say little about a slice."""

MAX_VALUES = 200
_LENGTHS_S = (0.1, 0.25, 0.5, 1.0, 2.0)
_LEVELS_DB = (-40, -30, -24, -18, -12)


@dataclass(frozen=True)
class Slice:
    """Clips that share something.

    Attributes
    ----------
    value : str
        What they share.
    num_clips, num_right : int
    accuracy : float
    interval : tuple of float
        95 % Wilson interval.
    small : bool
        Whether there are too few clips to say much.
    accuracy_without : float or None
        Of all other clips: how much the whole figure rests on these.
    """

    value: str
    num_clips: int
    num_right: int
    accuracy: float
    interval: Interval
    small: bool
    accuracy_without: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self))


def slice_accuracy(values: Sequence[str], correct: npt.ArrayLike) -> tuple[Slice, ...]:
    """Return accuracy by value: the worst first, small slices after all others.

    Parameters
    ----------
    values : sequence of str, length N
        What each clip has; empty where it is not known.
    correct : array_like of bool, shape (N,)

    Raises
    ------
    DataError
        If the lengths differ.
    """
    right = np.asarray(correct, dtype=bool)
    if len(values) != len(right):
        raise DataError(f"Expected a value for each of {len(right)} clips, got {len(values)}.", "Slice the same clips.")
    totals: dict[str, list[int]] = {}
    for value, hit in zip(values, right.tolist(), strict=True):
        counts = totals.setdefault(value or "not known", [0, 0])
        counts[0] += 1
        counts[1] += hit
    num_clips, num_right = len(right), int(right.sum())
    found = [
        Slice(
            value=value,
            num_clips=count,
            num_right=hits,
            accuracy=hits / count,
            interval=wilson_interval(hits, count),
            small=count < SMALL,
            accuracy_without=(num_right - hits) / (num_clips - count) if num_clips > count else None,
        )
        for value, (count, hits) in totals.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.small, one.accuracy, -one.num_clips, one.value)))


def slice_columns(
    clips: Sequence[Clip], levels_db: Mapping[int, float] | None = None, *, several_labels: bool = False
) -> dict[str, list[str]]:
    """Return what clips can be sliced by: a value for each clip by column, where at least two values occur.

    Parameters
    ----------
    clips : sequence of Clip
    levels_db : mapping of int to float, optional
        RMS level by clip id, in dB of full scale.
    several_labels : bool
        Whether clips have several labels: these and their number take the place of the class.

    Returns
    -------
    dict of str to list of str
        Lengths and levels in ranges; manifest columns as they are, unless nearly every clip has a value of its own.
    """
    labels = {"Class": [clip.label for clip in clips]}
    if several_labels:
        labels = {
            "Number of labels": [str(len(clip.labels)) for clip in clips],
            "Labels": [clip.shown_label for clip in clips],
        }
    columns: dict[str, list[str]] = labels | {
        "Source": [clip.source for clip in clips],
        "Length": [_range(clip.duration_s, _LENGTHS_S, "s") for clip in clips],
        "Level": [_range((levels_db or {}).get(clip.id or 0), _LEVELS_DB, "dB") for clip in clips],
        "Sample rate": [f"{clip.sample_rate_hz:,} Hz" if clip.sample_rate_hz else "" for clip in clips],
        "Channels": ["" if clip.channels is None else str(clip.channels) for clip in clips],
        "File format": [_suffix(clip.file or clip.name) for clip in clips],
        "Fold": [clip.fold or "" for clip in clips],
        "Split": [clip.split for clip in clips],
    }
    for name in sorted({name for clip in clips for name in clip.extra}):
        if name not in columns:
            columns[name] = [str(clip.extra.get(name, "")) for clip in clips]
    return {name: values for name, values in columns.items() if _says_something(name, values)}


def _says_something(name: str, values: Sequence[str]) -> bool:
    most = MAX_VALUES if name in {"Length", "Level"} else min(MAX_VALUES, max(2, len(values) // 2))
    return 2 <= len(set(values)) <= most


def _range(value: float | None, edges: Sequence[float], unit: str) -> str:
    if value is None or not np.isfinite(value):
        return ""
    if value < edges[0]:
        return f"below {edges[0]:g} {unit}"
    if value >= edges[-1]:
        return f"{edges[-1]:g} {unit} and more"
    place = int(np.searchsorted(edges, value, side="right"))
    return f"{edges[place - 1]:g} to {edges[place]:g} {unit}"


def _suffix(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return ending.lower() if stem and dot and len(ending) <= 5 else ""


def rms_level_db(waveform: npt.ArrayLike) -> float:
    """Return the level of a waveform (T,) in [-1, 1] as the root of its mean square, in dB of full scale.

    Silence is -120 dB.
    """
    samples = np.asarray(waveform, dtype=np.float64)
    return float(10 * np.log10(max(float(np.mean(samples**2)) if samples.size else 0.0, 1e-12)))
