"""Which of several labels go with a sample rate or a level: clips that have a label against clips that do not.

What :func:`~samplemind_core.data.balance.difference_findings` is for clips with one label, by the same
sizes of effect. Each label is a comparison of its own, and the p-value pays for their number (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.decode import printable
from samplemind_core.data.balance import LARGE_ETA2, LARGE_V, LEAST_DB, MAX_P, SMALL_CLASS, association, variance_share
from samplemind_core.data.findings import Finding
from samplemind_core.data.grouping import clip_id
from samplemind_core.data.label_scores import Floats, clips_per_label, label_table
from samplemind_core.data.profile import Profiles
from samplemind_core.data.sources import counted, quoted
from samplemind_core.store.records import Clip

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class _Difference:
    """How clips with a label differ: how strongly, in words, and the rows that show it."""

    label: str
    strength: float
    words: str
    rows: list[int]


def label_difference_findings(clips: Sequence[Clip], profiles: Profiles) -> list[Finding]:
    """Return labels that go with a sample rate or a level; those of fewer than ten clips on either side tell nothing.

    Parameters
    ----------
    clips : sequence of Clip, length N
        Labelled and with ids.
    profiles : Profiles, length N
        Their facts, row by row.
    """
    names, truth = label_table(clips)
    rates = profiles["sample_rate_hz"].astype(int)
    peaks = profiles.peak_db
    asked = np.flatnonzero(clips_per_label(truth) >= SMALL_CLASS)
    limit = MAX_P / max(1, len(asked))
    heard = profiles["peak"] > 0
    by_rate = [one for place in asked if (one := _by_rate(names[place], truth[:, place], rates, limit))]
    by_level = [one for place in asked if (one := _by_level(names[place], truth[:, place], peaks, heard, limit))]
    found = []
    if by_rate:
        by_rate.sort(key=lambda one: -one.strength)
        found.append(
            Finding(
                "sample_rate_differs",
                "warning",
                f"{counted(len(by_rate), 'label')} {_go(by_rate)} with a sample rate",
                f"{_listed(by_rate)}. A network can name such clips by where their treble ends. Bring clips of "
                "other rates, or resample all of them to the lowest one.",
                "keep",
                *_behind(clips, by_rate, lambda row: f"{rates[row]:,} Hz"),
                subjects=tuple(one.label for one in by_rate),
            )
        )
    if by_level:
        by_level.sort(key=lambda one: -one.strength)
        found.append(
            Finding(
                "level_differs",
                "note",
                f"{counted(len(by_level), 'label')} {_go(by_level)} with a level",
                f"{_listed(by_level)}. The spectrogram is taken relative to each clip's own maximum, so a network does "
                "not hear the level itself, but it may hear the noise under soft recordings.",
                "keep",
                *_behind(clips, by_level, lambda row: f"peak {peaks[row]:.1f} dB"),
                subjects=tuple(one.label for one in by_level),
            )
        )
    return found


def _by_rate(name: str, having: NDArray[np.bool_], rates: NDArray[np.int64], limit: float) -> _Difference | None:
    strength, p_value = association(having, rates)
    if strength < LARGE_V or p_value >= limit:
        return None
    kinds = np.unique(rates)
    more = [float((rates[having] == rate).mean() - (rates[~having] == rate).mean()) for rate in kinds]
    rate = int(kinds[int(np.argmax(more))])
    words = (
        f"{100 * (rates[having] == rate).mean():.0f} % of the clips with {quoted([name])} have {rate:,} Hz, of the "
        f"others {100 * (rates[~having] == rate).mean():.0f} % (Cramér's V {strength:.2f} of 1)"
    )
    return _Difference(name, strength, words, np.flatnonzero(having & (rates == rate)).tolist())


def _by_level(
    name: str, having: NDArray[np.bool_], peaks: Floats, heard: NDArray[np.bool_], limit: float
) -> _Difference | None:
    share, p_value = variance_share(peaks[heard], having[heard])
    if share < LARGE_ETA2 or p_value >= limit:
        return None
    mine, others = float(np.median(peaks[heard & having])), float(np.median(peaks[heard & ~having]))
    if abs(mine - others) < LEAST_DB:
        return None
    words = (
        f"Clips with {quoted([name])} peak at {mine:.1f} dB, the others at {others:.1f} dB (medians; "
        f"{100 * share:.0f} % of the variance)"
    )
    nearer = np.abs(peaks - mine) <= np.abs(peaks - others)
    return _Difference(name, share, words, np.flatnonzero(heard & having & nearer).tolist())


def _behind(
    clips: Sequence[Clip], found: Sequence[_Difference], measured: Callable[[int], str]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the clips that show the differences, each once, and what was measured on each."""
    label_of: dict[int, str] = {}
    for one in found:
        for row in one.rows:
            label_of.setdefault(row, one.label)
    return (
        tuple(clip_id(clips[row]) for row in label_of),
        tuple(measured(row) + f" ({printable(label)})" * (len(found) > 1) for row, label in label_of.items()),
    )


def _listed(found: Sequence[_Difference]) -> str:
    more = f" and {len(found) - _EXAMPLES} more" if len(found) > _EXAMPLES else ""
    return "; ".join(one.words for one in found[:_EXAMPLES]) + more


def _go(found: Sequence[_Difference]) -> str:
    return "goes" if len(found) == 1 else "go"
