"""The same sound in other clothes: resampled, louder or softer, trimmed, padded or encoded again.

Two steps. Each clip has an *outline*: how its energy spreads over bands and over the time since its
onset, whatever its level. Clips with similar outlines are candidates; drum machines make thousands
of them. A candidate pair is a pair of twins only if the waveforms themselves agree: aligned to a
fraction of a sample, their cross-spectrum is weighted so that weak treble counts nearly as much as
strong bass (partial whitening, after the generalized cross-correlation of C. H. Knapp and G. C.
Carter, IEEE Trans. ASSP 24(4), 1976), and summed over the frequencies that both files can hold.
Two hits of one drum agree in their bass and part in their treble; two copies of one hit agree
everywhere.
"""

from __future__ import annotations

import functools
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Complex = NDArray[np.complex64]

RATE_HZ = 16_000
"""Rate of the waveforms that are compared; nearly every file holds the band up to 7 kHz."""

OUTLINE_BANDS, OUTLINE_TIMES = 20, (0, 2, 4, 8, 16, 32, 64)
OUTLINE_SIZE = OUTLINE_BANDS * (len(OUTLINE_TIMES) - 1)

MIN_AGREEMENT = 0.93
"""Partly whitened correlation from which two clips are twins; chosen on other packs than it is reported on."""

MIN_TURNED_AGREEMENT = 0.98
"""The same for a copy of opposite polarity."""

MIN_WHITE_AGREEMENT = 0.7
"""The same with nearly full whitening: synthesised kicks agree in all but the faint treble of their clicks."""

MIN_COVERED = 0.15
"""Least share of either clip's energy in the part that is compared."""

LOWEST_HZ, HIGHEST_HZ = 40.0, 7_000.0
_NEIGHBOURS = 8
_BLOCK = 256
_MIN_SIMILAR = (0.80, 0.90)
_MIN_COARSE = 0.3
_N_FFT, _HOP = 512, 160
_LEAD = 512
_LENGTH, _SIZE = 14_000, 16_384  # length and largest lag together fit into the size: nothing wraps around
_MAX_LAG = 1_600
_MIN_OVERLAP = 160
_STEPS_PER_SAMPLE, _REACH = 8, 2
_SMOOTH_HZ = 200.0
_KEPT = 256
_PAIRS = 64
_THREADS = 2
_FLOOR = 1e-20


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well two clips agree at their best alignment.

    Parameters
    ----------
    correlation : float
        Partly whitened correlation over the common band, -1 to 1; negative for opposite polarity.
    white : float
        The same with nearly full whitening, of the sign of ``correlation``.
    covered : float
        Smaller share of the two clips' energy in the part that was compared.
    lag : float
        Samples at 16 kHz that the sound starts later in the second clip, counted from its onset.
    gain_db : float
        How much louder the second clip is.
    """

    correlation: float
    white: float
    covered: float
    lag: float
    gain_db: float

    @property
    def twins(self) -> bool:
        """Whether this is the same sound, of either polarity."""
        # A low tone shifted by half its period looks turned over: that needs more evidence.
        least = MIN_AGREEMENT if self.correlation > 0 else MIN_TURNED_AGREEMENT
        return abs(self.correlation) >= least and self.white >= MIN_WHITE_AGREEMENT and self.covered >= MIN_COVERED


def outline(waveform: Floats) -> NDArray[np.float16]:
    """Return how a clip's energy spreads over bands and time since its onset, without its level.

    Parameters
    ----------
    waveform : ndarray of float32, shape (T,)
        Mono at 16 kHz.

    Returns
    -------
    ndarray of float16, shape (OUTLINE_SIZE,)
        Fourth roots of mean power, of unit length; zeros for silence.
    """
    if not waveform.any():
        return np.zeros(OUTLINE_SIZE, np.float16)
    frames = OUTLINE_TIMES[-1]
    lead = _N_FFT // 2
    start = onset(waveform) - lead
    section = np.zeros(_N_FFT + (frames - 1) * _HOP, np.float32)
    piece = waveform[max(start, 0) : max(start, 0) + len(section) - max(-start, 0)]
    section[max(-start, 0) : max(-start, 0) + len(piece)] = piece
    pieces = np.lib.stride_tricks.sliding_window_view(section, _N_FFT)[::_HOP]
    window, bands = _bands()
    power = np.square(np.abs(np.fft.rfft(pieces * window, axis=1))) @ bands
    cells = np.stack([power[a:b].mean(axis=0) for a, b in itertools.pairwise(OUTLINE_TIMES)])
    roots = np.power(cells / max(float(cells.max()), _FLOOR), 0.25).ravel()
    result: NDArray[np.float16] = (roots / np.linalg.norm(roots)).astype(np.float16)
    return result


def onset(waveform: Floats) -> int:
    """Return the sample where a clip first comes within 20 dB of its peak, to a millisecond."""
    block = RATE_HZ // 1_000
    count = len(waveform) // block
    if count == 0:
        return 0
    level = np.abs(waveform[: count * block]).reshape(count, block).max(axis=1)
    return int(np.argmax(level >= 0.1 * level.max())) * block


def candidates(outlines: NDArray[np.float16]) -> NDArray[np.int64]:
    """Return pairs of rows with similar outlines, each clip's nearest ones.

    Two distances are asked, since a trimmed attack changes what is loud and a trimmed tail what is
    soft: that of the outlines, and that of their square roots.

    Parameters
    ----------
    outlines : ndarray of float16, shape (N, OUTLINE_SIZE)

    Returns
    -------
    ndarray of int64, shape (P, 2)
        Rows ``a < b``, sorted, without repeats. Rows of silence are nobody's neighbours.
    """
    filled = np.flatnonzero(outlines.any(axis=1))
    if len(filled) < 2:
        return np.zeros((0, 2), np.int64)
    found = []
    for power, least in zip((1.0, 0.5), _MIN_SIMILAR, strict=True):
        points = np.power(outlines[filled].astype(np.float32), power)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        for start in range(0, len(points), _BLOCK):
            similar = points[start : start + _BLOCK] @ points.T
            rows = np.arange(len(similar))
            similar[rows, start + rows] = -1.0
            count = min(_NEIGHBOURS, len(points) - 1)
            nearest = np.argpartition(-similar, count - 1, axis=1)[:, :count]
            good = np.take_along_axis(similar, nearest, axis=1) >= least
            owner = np.broadcast_to((start + rows)[:, None], nearest.shape)
            found.append(np.stack([owner[good], nearest[good]], axis=1))
    pairs = filled[np.sort(np.concatenate(found), axis=1)]
    unique: NDArray[np.int64] = np.unique(pairs, axis=0).astype(np.int64)
    return unique


def find_twins(
    outlines: NDArray[np.float16],
    load: Callable[[int], Floats],
    top_hz: NDArray[np.float64],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, int, Agreement]]:
    """Yield the pairs of rows that hold the same sound.

    Parameters
    ----------
    outlines : ndarray of float16, shape (N, OUTLINE_SIZE)
    load : callable
        Returns the waveform of a row, mono at 16 kHz; called again when many others came between.
    top_hz : ndarray, shape (N,)
        Highest frequency that each row's file can hold.
    progress : callable, optional
        Called with (pairs done, pairs in all); if it raises, the search ends.

    Yields
    ------
    a, b : int
        Rows, ``a < b``.
    agreement : Agreement
    """
    pairs = candidates(outlines)
    sections = _Kept(load, top_hz)

    def work(some: NDArray[np.int64]) -> list[tuple[int, int, Agreement]]:
        found = []
        for a, b in some.tolist():
            agreement = compare_sections(sections(a), sections(b), min(top_hz[a], top_hz[b]))
            if agreement is not None and agreement.twins:
                found.append((a, b, agreement))
        return found

    running: deque[tuple[int, Future[list[tuple[int, int, Agreement]]]]] = deque()
    done = 0

    def finished() -> list[tuple[int, int, Agreement]]:
        nonlocal done
        count, future = running.popleft()
        found = future.result()
        done += count
        if progress is not None:
            progress(done, len(pairs))
        return found

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="twins") as pool:
        try:
            for start in range(0, len(pairs), _PAIRS):
                some = pairs[start : start + _PAIRS]
                running.append((len(some), pool.submit(work, some)))
                if len(running) > 2 * _THREADS:
                    yield from finished()
            while running:
                yield from finished()
        finally:
            pool.shutdown(cancel_futures=True)


def compare(first: Floats, second: Floats, top_hz: float = HIGHEST_HZ) -> Agreement | None:
    """Return how well two clips agree, or None where not even roughly; mono waveforms at 16 kHz."""
    return compare_sections(Section.of(first, top_hz), Section.of(second, top_hz), top_hz)


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """The first 0.9 s of a clip from its onset, and its whitened spectrum for finding the lag."""

    samples: Floats
    energy: NDArray[np.float64]
    whitened: Complex
    lead: int

    @classmethod
    def of(cls, waveform: Floats, top_hz: float) -> Section:
        """Return the section of a mono waveform at 16 kHz whose file holds frequencies up to ``top_hz``."""
        begin = max(0, onset(waveform) - _LEAD)
        samples = waveform[begin : begin + _LENGTH]
        spectrum = np.fft.rfft(samples, _SIZE)
        power = np.square(np.abs(spectrum))
        level = _smooth(power, RATE_HZ / _SIZE)
        white = np.where(_in_band(_SIZE, top_hz), spectrum / np.power(np.maximum(level, _FLOOR), 0.25), 0.0)
        norm = float(np.sqrt(np.square(np.abs(white)).sum()))
        energy = np.concatenate(([0.0], np.cumsum(np.square(samples, dtype=np.float64))))
        return cls(samples, energy, (white / max(norm, _FLOOR)).astype(np.complex64), begin)

    def share(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the energy in stretches."""
        inside = self.energy[starts + lengths] - self.energy[starts]
        result: NDArray[np.float64] = inside / max(float(self.energy[-1]), _FLOOR)
        return result


def compare_sections(first: Section, second: Section, top_hz: float) -> Agreement | None:
    """Return how well two sections agree, or None where not even roughly."""
    rough = np.fft.irfft(first.whitened * np.conj(second.whitened), _SIZE) * (_SIZE / 2)
    lags = np.arange(-_MAX_LAG, _MAX_LAG + 1)
    starts_a, starts_b = np.maximum(lags, 0), np.maximum(-lags, 0)
    lengths = np.minimum(len(first.samples) - starts_a, len(second.samples) - starts_b)
    possible = np.flatnonzero(lengths >= _MIN_OVERLAP)
    if not len(possible):
        return None
    lags, starts_a, starts_b, lengths = (x[possible] for x in (lags, starts_a, starts_b, lengths))
    share_a, share_b = first.share(starts_a, lengths), second.share(starts_b, lengths)
    # Relative to what overlaps: a sound whose loud attack was cut off agrees in the little that is left.
    near = np.abs(rough[lags]) / np.sqrt(np.maximum(share_a, MIN_COVERED / 2) * np.maximum(share_b, MIN_COVERED / 2))
    place = int(near.argmax())
    if near[place] < _MIN_COARSE:
        return None
    a0, b0, n = int(starts_a[place]), int(starts_b[place]), int(lengths[place])
    covered = float(min(share_a[place], share_b[place]))
    size = 1 << (n - 1).bit_length()
    a, b = (np.fft.rfft(x, size) for x in (first.samples[a0 : a0 + n], second.samples[b0 : b0 + n]))
    band = np.flatnonzero(_in_band(size, top_hz))
    if len(band) < 2:
        return None
    a, b = a[band], b[band]
    power_a, power_b = np.square(np.abs(a)), np.square(np.abs(b))
    level = _smooth(np.sqrt(power_a * power_b), RATE_HZ / size)
    level = np.maximum(level, 1e-12 * level.max() + _FLOOR)
    weight = 1.0 / np.sqrt(level)
    step = np.exp(2j * np.pi * band / size / _STEPS_PER_SAMPLE)
    count = _REACH * _STEPS_PER_SAMPLE
    cross = a * np.conj(b) * np.conj(step) ** count
    best, shift, aligned = 0.0, 0, cross
    for number in range(-count, count + 1):
        value = float((weight * cross.real).sum())
        if abs(value) > abs(best):
            best, shift, aligned = value, number, cross
        cross = cross * step
    correlation = best / max(float(np.sqrt((weight * power_a).sum() * (weight * power_b).sum())), _FLOOR)
    white = np.power(level, -0.8)
    agreement = float((white * aligned.real).sum()) / max(
        float(np.sqrt((white * power_a).sum() * (white * power_b).sum())), _FLOOR
    )
    return Agreement(
        correlation=float(np.clip(correlation, -1.0, 1.0)),
        white=float(np.clip(np.sign(correlation) * agreement, -1.0, 1.0)),
        covered=covered,
        lag=second.lead + b0 - first.lead - a0 + shift / _STEPS_PER_SAMPLE,
        gain_db=10.0 * float(np.log10(max(power_b.sum(), _FLOOR) / max(power_a.sum(), _FLOOR))),
    )


class _Kept:
    """Sections by row, the latest few hundred of them."""

    def __init__(self, load: Callable[[int], Floats], top_hz: NDArray[np.float64]) -> None:
        self._load, self._top = load, top_hz
        self._kept: OrderedDict[int, Section] = OrderedDict()

    def __call__(self, row: int) -> Section:
        found = self._kept.get(row)
        if found is None:
            # Two threads may make the same section at once; both are right, and a lock would cost more.
            found = self._kept[row] = Section.of(self._load(row), float(self._top[row]))
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found


def _smooth(values: NDArray[np.floating], bin_hz: float) -> NDArray[np.float64]:
    """Return a moving average over 200 Hz."""
    half = max(1, round(_SMOOTH_HZ / bin_hz / 2))
    padded = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    ends = np.minimum(np.arange(len(values)) + half + 1, len(values))
    starts = np.maximum(np.arange(len(values)) - half, 0)
    average: NDArray[np.float64] = np.maximum(padded[ends] - padded[starts], 0.0) / (ends - starts)
    return average


def _in_band(size: int, top_hz: float) -> NDArray[np.bool_]:
    hz = np.arange(size // 2 + 1) * (RATE_HZ / size)
    inside: NDArray[np.bool_] = (hz >= LOWEST_HZ) & (hz <= min(HIGHEST_HZ, top_hz))
    return inside


@functools.cache
def _bands() -> tuple[Floats, Floats]:
    """Return the Hann window (N_FFT,) and triangular bands (bins, OUTLINE_BANDS), wider towards the treble."""
    hz = np.fft.rfftfreq(_N_FFT, 1 / RATE_HZ)
    scale = np.linspace(np.log1p(60 / 300), np.log1p(HIGHEST_HZ / 300), OUTLINE_BANDS + 2)
    edges = 300 * np.expm1(scale)
    rise = (hz[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    fall = (edges[2:] - hz[:, None]) / np.diff(edges)[1:]
    bands = np.maximum(0.0, np.minimum(rise, fall))
    return np.hanning(_N_FFT).astype(np.float32), bands.astype(np.float32)
