"""Where sounds begin: onsets by spectral flux, for cutting a recording into its hits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.errors import AudioError

FRAME_S, HOP_S = 0.046, 0.010
_NUM_BANDS = 24
_LAG = 2
"""Frames between the two that are compared: a hit takes longer than one hop to rise."""

_BLOCK_FRAMES = 4_096


def find_onsets(
    waveform: NDArray[np.floating[Any]],
    sample_rate_hz: int,
    *,
    min_gap_s: float = 0.05,
    rise: float = 0.25,
    floor_db: float = -45.0,
) -> NDArray[np.float64]:
    """Return the times at which something starts to sound.

    The flux is the rise of log-compressed band energies over two frames, against the louder of the
    neighbouring bands so that vibrato is no onset (SuperFlux: Böck and Widmer, DAFx 2013). Peaks of
    the flux that stand out from their surroundings by ``rise`` are onsets.

    Parameters
    ----------
    waveform : ndarray of float, shape (T,)
        Mono.
    sample_rate_hz : int
    min_gap_s : float
        Onsets closer than this are one.
    rise : float
        Least height of a peak over the mean of its surroundings, in natural log units per band.
    floor_db : float
        Nothing quieter than this, relative to the loudest moment, is an onset.

    Returns
    -------
    ndarray of float64, shape (K,)
        Seconds, ascending; empty where nothing sounds.

    Raises
    ------
    AudioError
        If the waveform is not of shape (T,).
    """
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim != 1:
        raise AudioError(f"Expected a mono waveform of shape (T,), got shape {samples.shape}.", "Mix it to mono first.")
    peak = float(np.abs(samples).max()) if samples.size else 0.0
    if peak == 0.0:
        return np.zeros(0)
    hop = max(1, round(HOP_S * sample_rate_hz))
    bands, level_db = _bands(samples / peak, sample_rate_hz, hop)
    neighbours = np.maximum(bands, np.maximum(np.roll(bands, 1, axis=1), np.roll(bands, -1, axis=1)))
    flux = np.zeros(len(bands))
    flux[_LAG:] = np.maximum(0.0, bands[_LAG:] - neighbours[:-_LAG]).mean(axis=1)
    around = max(1, round(0.1 / HOP_S))
    kernel = np.ones(2 * around + 1) / (2 * around + 1)
    threshold = np.convolve(np.pad(flux, around), kernel, mode="valid") + rise
    near = max(1, round(0.03 / HOP_S))
    padded = np.pad(flux, near)
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * near + 1).max(axis=1)
    # A hit is at its loudest a few frames after it begins.
    after = np.lib.stride_tricks.sliding_window_view(np.pad(level_db, (0, 5), constant_values=-200.0), 6).max(axis=1)
    # A sound that breaks off clicks, too: then there was more before than there is after.
    before = np.pad(level_db, (_LAG + 3, 0), constant_values=-200.0)[: len(level_db)]
    later = np.pad(level_db, (0, 5), constant_values=-200.0)[5:]
    begins = (after > before + 3.0) | (later > before - 20.0)
    places = np.flatnonzero((flux == highest) & (flux >= threshold) & begins & (after >= level_db.max() + floor_db))
    times: list[float] = []
    for place in places:
        start_s = max(0.0, (place - _LAG - 1) * hop / sample_rate_hz)
        if not times or start_s - times[-1] >= min_gap_s:
            times.append(start_s)
    return np.array(times)


def _bands(
    samples: NDArray[np.float32], sample_rate_hz: int, hop: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log-compressed band energies (frames, bands) and each frame's level in dB."""
    size = max(64, round(FRAME_S * sample_rate_hz))
    # Frame i is centred _LAG hops before i hops, so that a hit at the very start has silence to rise from.
    padded = np.pad(samples, (size // 2 + _LAG * hop, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    window = np.hanning(size).astype(np.float32)
    edges_hz = np.geomspace(40.0, 0.5 * sample_rate_hz, _NUM_BANDS + 1)
    edges = np.unique(np.round(edges_hz * size / sample_rate_hz).astype(int))
    edges = edges[edges < size // 2]
    energies, levels = [], []
    for start in range(0, len(frames), _BLOCK_FRAMES):
        power = np.square(np.abs(np.fft.rfft(frames[start : start + _BLOCK_FRAMES] * window))) / size
        energies.append(np.log1p(1_000.0 * np.add.reduceat(power, edges, axis=1)))
        levels.append(10.0 * np.log10(power.sum(axis=1) + 1e-20))
    return np.concatenate(energies), np.concatenate(levels)
