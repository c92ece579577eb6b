"""Long files: what sounds where, as segments of one class each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.onsets import find_onsets
from samplemind_core.audio.window import onset
from samplemind_core.config import FeatureConfig
from samplemind_core.errors import ConfigError, EmptyAudioError
from samplemind_core.inference.table import NONE
from samplemind_core.store.records import joined

if TYPE_CHECKING:
    from samplemind_core.inference.classifier import Classifier

Way = Literal["hits", "steps"]
WAYS: tuple[Way, ...] = ("hits", "steps")
BATCH = 32
SILENT_DB = -50.0
"""Below this, relative to the file's loudest moment, nothing is judged."""

_LEVEL_S = 0.01
_FADE_S = 0.003


@dataclass(frozen=True)
class Segment:
    """A stretch of a file that sounds like one class; times in seconds, confidences as in a result.

    Where a checkpoint names several labels, ``label`` is all of them as one text, ``confidence`` that of the
    surest, or the largest of all without any, and ``second`` the likeliest class that is not among them.
    """

    start_s: float
    end_s: float
    label: str
    confidence: float
    second: str
    second_confidence: float
    is_none: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the segment as JSON-ready values."""
        return {
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            "label": self.label,
            "confidence": self.confidence,
            "second": self.second,
            "second_confidence": self.second_confidence,
        }


@dataclass(frozen=True, eq=False)
class Timeline:
    """A file in windows.

    Attributes
    ----------
    way : {'hits', 'steps'}
    names : tuple of str
        The classes, and "none of these" at the end where the checkpoint can say so.
    starts_s, ends_s : ndarray of float64, shape (W,)
        What each window holds.
    scores : ndarray of float64, shape (W, len(names))
        Confidences of each window, adding up to 1 where a sound is given one label.
    segments : tuple of Segment
        Neighbours of one class joined, silence left out.
    duration_s : float
    """

    way: Way
    names: tuple[str, ...]
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    scores: NDArray[np.float64]
    segments: tuple[Segment, ...]
    duration_s: float


def check_way(way: str) -> None:
    """Raise :class:`ConfigError` if there is no such way to go through a file."""
    if way not in WAYS:
        raise ConfigError(f"There is no way '{way}' to go through a file.", f"Choose one of: {', '.join(WAYS)}.")


def analyse(
    classifier: Classifier,
    waveform: NDArray[np.floating[Any]],
    way: Way = "hits",
    *,
    hop_s: float | None = None,
    min_s: float = 0.05,
) -> Timeline:
    """Go through a whole file and name what sounds where.

    Where the checkpoint's windows start at the onset, each window here starts at its first sound, too.

    ``hits`` cuts where something begins to sound, so that the network hears each hit as it was
    trained to: alone and from its start. What goes on for longer than the network's window is cut
    on. ``steps`` looks through overlapping windows at an even pace; every moment gets the mean of
    the windows over it. That suits sounds without clear beginnings.

    Parameters
    ----------
    classifier : Classifier
    waveform : ndarray of float, shape (T,)
        Mono, at the classifier's rate.
    way : {'hits', 'steps'}
    hop_s : float, optional
        Pace of ``steps``; a quarter of the network's window by default.
    min_s : float
        Shorter segments join the one before them.

    Raises
    ------
    EmptyAudioError
        If the waveform has no samples.
    ConfigError
        If ``way`` is unknown or ``hop_s`` out of range.
    """
    check_way(way)
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.size == 0:
        raise EmptyAudioError("Expected a waveform with samples, got none.", "Choose another clip.")
    features = classifier.info.features
    rate, size = features.sample_rate_hz, features.num_samples
    hop = size // 4 if hop_s is None else round(hop_s * rate)
    if not 1 <= hop <= size:
        raise ConfigError(
            f"Expected hop_s above 0 and at most the window's {features.duration_s:g} s, got {hop_s:g}.",
            "A quarter of the window is a good choice.",
        )
    sounding = _sounding(samples, rate)
    spans = _hits(samples, rate, size, sounding) if way == "hits" else _steps(len(samples), size, hop)
    batches = _batches(samples, spans, features, fade=way == "hits")
    parts = [classifier.scores(batch) for batch in batches]
    names = classifier.answer_names
    scores = np.concatenate(parts) if parts else np.zeros((0, len(names)))
    starts, ends = np.array([s for s, _ in spans], np.int64), np.array([e for _, e in spans], np.int64)
    if way == "steps":
        cells = _cells(len(samples), hop, starts, ends, scores, sounding, rate)
    else:
        cells = [(s, _end_of_sound(s, e, sounding, rate), row) for s, e, row in zip(starts, ends, scores, strict=True)]
    answers = _Answers(names, classifier.can_refuse, classifier.thresholds)
    segments = _segments(cells, answers, rate, min_s, join_hits=size if way == "hits" else None)
    return Timeline(way, names, starts / rate, ends / rate, scores, segments, len(samples) / rate)


def _sounding(samples: NDArray[np.float32], rate: int) -> NDArray[np.bool_]:
    """Return for each hundredth of a second whether anything is to be heard."""
    hop = max(1, round(_LEVEL_S * rate))
    peaks = np.maximum.reduceat(np.abs(samples), np.arange(0, len(samples), hop))
    top = float(peaks.max())
    loud: NDArray[np.bool_] = peaks > top * 10 ** (SILENT_DB / 20) if top > 0 else np.zeros(len(peaks), bool)
    return loud


def _hits(samples: NDArray[np.float32], rate: int, size: int, sounding: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return start and end sample of what each window holds."""
    onsets = np.round(find_onsets(samples, rate) * rate).astype(int).tolist()
    first = int(sounding.argmax()) * round(_LEVEL_S * rate)
    if sounding.any() and (not onsets or first < onsets[0] - round(0.1 * rate)):
        onsets.insert(0, first)  # a slow fade in has no onset
    spans: list[tuple[int, int]] = []
    for start, following in pairwise([*onsets, len(samples)]):
        stop = _end_of_sound(start, following, sounding, rate)
        pieces = max(1, -(-(stop - start) // size))
        for piece in range(pieces):
            begin = start + piece * size
            # A rest of a few milliseconds is no sound of its own.
            if piece == 0 or stop - begin > rate // 10:
                spans.append((begin, min(begin + size, following)))
    return spans


def _steps(length: int, size: int, hop: int) -> list[tuple[int, int]]:
    count = 1 + -(-max(0, length - size) // hop)
    return [(place * hop, min(length, place * hop + size)) for place in range(count)]


def _end_of_sound(start: int, end: int, sounding: NDArray[np.bool_], rate: int) -> int:
    """Return the last moment before ``end`` that is to be heard."""
    hop = max(1, round(_LEVEL_S * rate))
    heard = np.flatnonzero(sounding[start // hop : -(-end // hop)])
    return min(end, (start // hop + int(heard[-1]) + 1) * hop) if len(heard) else min(end, start + hop)


def _batches(
    samples: NDArray[np.float32], spans: list[tuple[int, int]], features: FeatureConfig, *, fade: bool
) -> Iterator[NDArray[np.float32]]:
    """Yield windows (B, num_samples); a long file never lies in memory as all its windows."""
    size, rate = features.num_samples, features.sample_rate_hz
    ramp = np.linspace(1.0, 0.0, max(2, round(_FADE_S * rate)), dtype=np.float32)
    for place in range(0, len(spans), BATCH):
        batch = np.zeros((len(spans[place : place + BATCH]), size), np.float32)
        for row, (start, end) in enumerate(spans[place : place + BATCH]):
            piece = samples[start:end]
            if features.align == "onset":
                piece = piece[max(0, onset(piece, rate)) :]
            piece = piece[:size]
            batch[row, : len(piece)] = piece
            if fade and end < len(samples) and len(piece) > len(ramp):
                # The next hit begins here: without a ramp the cut would be heard as a click.
                batch[row, len(piece) - len(ramp) : len(piece)] *= ramp
        yield batch


_Cell = tuple[int, int, NDArray[np.float64]]


def _cells(
    length: int,
    hop: int,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    scores: NDArray[np.float64],
    sounding: NDArray[np.bool_],
    rate: int,
) -> list[_Cell]:
    """Return stretches of one hop with the mean of the windows over them; silent ones are left out."""
    level_hop = max(1, round(_LEVEL_S * rate))
    cells: list[_Cell] = []
    for start in range(0, length, hop):
        end = min(length, start + hop)
        over = (starts < end) & (ends > start)
        if over.any() and sounding[start // level_hop : -(-end // level_hop)].any():
            cells.append((start, end, scores[over].mean(axis=0)))
    return cells


@dataclass(frozen=True)
class _Answers:
    """How scores become an answer: the largest one, or all that reach their thresholds."""

    names: tuple[str, ...]
    can_refuse: bool
    thresholds: NDArray[np.float64] | None

    def key(self, scores: NDArray[np.float64]) -> tuple[int, ...]:
        """Return what makes two answers the same: the places of what is named."""
        if self.thresholds is None:
            return (int(scores.argmax()),)
        return tuple(np.flatnonzero(scores >= self.thresholds).tolist())

    def segment(self, start_s: float, end_s: float, scores: NDArray[np.float64]) -> Segment:
        order = np.argsort(-scores, kind="stable")
        if self.thresholds is None:
            first, second = int(order[0]), int(order[1])
            label, is_none = self.names[first], self.can_refuse and first == len(self.names) - 1
        else:
            named = set(self.key(scores))
            others = [int(place) for place in order if int(place) not in named]
            first, second = int(order[0]) if not named else max(named, key=lambda place: scores[place]), -1
            second = next((place for place in others if place != first), int(order[-1]))
            label, is_none = joined(self.names[place] for place in order if int(place) in named) or NONE, not named
        return Segment(start_s, end_s, label, float(scores[first]), self.names[second], float(scores[second]), is_none)


def _segments(
    cells: list[_Cell],
    answers: _Answers,
    rate: int,
    min_s: float,
    join_hits: int | None,
) -> tuple[Segment, ...]:
    """Join neighbours of one class. Hits stay apart unless one goes on where the other was cut by the window."""
    groups: list[list[_Cell]] = []
    for cell in cells:
        before = groups[-1] if groups else None
        if before is not None:
            touching = cell[0] <= before[-1][1]
            same = answers.key(cell[2]) == answers.key(_mean(before))
            cut = join_hits is None or cell[0] - before[-1][0] == join_hits
            if touching and ((same and cut) or cell[1] - cell[0] < min_s * rate):
                before.append(cell)
                continue
        groups.append([cell])
    return tuple(answers.segment(group[0][0] / rate, group[-1][1] / rate, _mean(group)) for group in groups)


def _mean(cells: list[_Cell]) -> NDArray[np.float64]:
    lengths = np.array([max(1, end - start) for start, end, _ in cells], dtype=np.float64)
    mean: NDArray[np.float64] = np.average([scores for _, _, scores in cells], axis=0, weights=lengths)
    return mean
