"""The windows of a clip that the network sees: fixed length, loudest or first, from the onset on, padded at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.config import FeatureConfig
from samplemind_core.errors import AudioError, ConfigError, EmptyAudioError

ONSET_DB = -40.0
"""Level relative to the peak at which a sound has begun."""

BEFORE_ONSET_S = 0.005
"""How much of what comes before the onset is kept: the quiet start of an attack."""

_ONSET_SAMPLES = 4_096


def fit_window(waveform: NDArray[np.floating[Any]], config: FeatureConfig) -> tuple[NDArray[np.float32], int]:
    """Return one window of ``config.num_samples`` samples and where it starts.

    A longer clip is cropped: ``crop="loudest"`` keeps the window of the highest energy (the
    earliest of equals), ``crop="start"`` the beginning. With ``align="onset"`` the window then moves
    to the :func:`onset` of what was kept (for the beginning: of the whole clip), so that silence
    before a sound makes no difference, however long from the 5 ms on that are kept of it; a sound that
    begins earlier in its file begins that much earlier in the window. What is missing at the end is zeros.

    Parameters
    ----------
    waveform : ndarray of float, shape (T,)
        Mono, at ``config.sample_rate_hz``; not modified.
    config : FeatureConfig
        Length and choice of the window.

    Returns
    -------
    window : ndarray of float32, shape (num_samples,)
    start_sample : int
        Position of the window in the clip.

    Raises
    ------
    EmptyAudioError, AudioError
        No samples; not of shape (T,).
    """
    part, start = crop_window(waveform, config)
    return _padded(part, config.num_samples), start


def crop_window(waveform: NDArray[np.floating[Any]], config: FeatureConfig) -> tuple[NDArray[np.float32], int]:
    """Return the window of :func:`fit_window` without its padding, (at most num_samples,), and where it starts.

    Raises
    ------
    EmptyAudioError, AudioError
        No samples; not of shape (T,).
    """
    samples = _mono(waveform)
    size = config.num_samples
    start = 0
    if len(samples) > size and config.crop == "loudest":
        # Differences of a running sum carry its rounding; windows as loud as that can tell are equal.
        energy = np.concatenate(([0.0], np.cumsum(np.square(samples, dtype=np.float64))))
        windows = energy[size:] - energy[:-size]
        start = int(np.argmax(windows >= windows.max() - 1e-12 * energy[-1]))
    if config.align == "onset":
        kept = samples if config.crop == "start" else samples[start : start + size]
        start = max(0, start + onset(kept, config.sample_rate_hz))
    return samples[start : start + size], start


def detached(window: NDArray[np.float32], waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a window that may wait without holding on to a waveform that is much longer."""
    return window.copy() if 2 * len(window) < len(waveform) else window


def onset(samples: NDArray[np.float32], sample_rate_hz: int) -> int:
    """Return where a sound (T,) begins: 5 ms before the first sample within 40 dB of its peak; 0 if it is silent.

    Below 0 where the sound begins at once, as the 5 ms may lie before the samples given.
    """
    peak = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
    if peak == 0.0:
        return 0
    begun = peak * 10.0 ** (ONSET_DB / 20.0)
    start = 0
    # Most sounds begin at once: looking at all of each took longer than the rest of this.
    while not len(loud := np.flatnonzero(np.abs(samples[start : start + _ONSET_SAMPLES]) >= begun)):
        start += _ONSET_SAMPLES
    return start + int(loud[0]) - round(BEFORE_ONSET_S * sample_rate_hz)


def fit_windows(
    waveform: NDArray[np.floating[Any]], config: FeatureConfig, hop_s: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return windows over a whole long clip.

    Windows start every ``hop_s`` seconds until one reaches the end; only the last is padded, and no
    sample is left out as long as ``hop_s`` is at most ``config.duration_s``.

    Parameters
    ----------
    waveform : ndarray of float, shape (T,)
        Mono, at ``config.sample_rate_hz``.
    config : FeatureConfig
        Length of the windows; ``crop`` and ``align`` play no part.
    hop_s : float
        Step between the starts of windows, in seconds; above 0 and at most ``config.duration_s``.

    Returns
    -------
    windows : ndarray of float32, shape (W, num_samples)
    starts : ndarray of int64, shape (W,)
        Positions of the windows in the clip, in samples.

    Raises
    ------
    EmptyAudioError, AudioError
        No samples; not of shape (T,).
    ConfigError
        If ``hop_s`` is out of range.
    """
    samples = _mono(waveform)
    size, hop = config.num_samples, round(hop_s * config.sample_rate_hz)
    if not 1 <= hop <= size:
        raise ConfigError(
            f"Expected hop_s above 0 and at most the window's {config.duration_s:g} s, got {hop_s:g}.",
            "Half the window is a good choice.",
        )
    count = 1 + -(-max(0, len(samples) - size) // hop)
    starts = np.arange(count, dtype=np.int64) * hop
    padded = _padded(samples, int(starts[-1]) + size)
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[starts]
    return np.ascontiguousarray(windows), starts


def _mono(waveform: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim != 1:
        raise AudioError(f"Expected a mono waveform of shape (T,), got shape {samples.shape}.", "Mix it to mono first.")
    if samples.size == 0:
        raise EmptyAudioError("Expected a waveform with samples, got none.", "Choose another clip.")
    return samples


def _padded(samples: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    window = np.zeros(size, dtype=np.float32)
    window[: min(size, len(samples))] = samples[:size]
    return window
