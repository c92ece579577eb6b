"""Hear what the network hears: a clip's log-mel spectrogram made audible again, and what it lacks.

The spectrogram knows no phase and only coarse frequencies. Its mel bands are spread back over the
STFT bins by non-negative least squares (multiplicative updates: D. D. Lee and H. S. Seung,
"Algorithms for Non-negative Matrix Factorization", NIPS 2000), and phases are found by the fast
Griffin-Lim iteration (N. Perraudin, P. Balazs and P. L. Søndergaard, "A fast Griffin-Lim
algorithm", WASPAA 2013). What is lost on the way is what the network never had.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.window import fit_window
from samplemind_core.config import FeatureConfig

Floats = NDArray[np.float64]

MOSTLY_PADDING = 0.9
"""Share of the window without sound from which a warning is due."""

LATE_START_S = 0.05
CUT_SHARE = 0.01
"""Share of a clip's energy outside the window, or above the highest band, from which a warning is due."""

_FLOOR_DB = -60.0
_NNLS_STEPS = 60
_PHASE_STEPS = 32
_MOMENTUM = 0.99
_LOWEST_HZ, _BASS_HZ = 20.0, 250.0


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What becomes of a clip on its way to the network.

    Parameters
    ----------
    original : ndarray of float32, shape (num_samples,)
        The window that is analysed, padded with zeros, at ``sample_rate_hz``.
    resynthesised : ndarray of float32, shape (num_samples,)
        The same window made from its spectrogram alone, as loud as the original.
    log_mel : ndarray of float32, shape (n_mels, frames)
        dB in [-top_db, 0].
    sample_rate_hz : int
        Of both waveforms.
    window_s : tuple of float
        Where the window starts and ends in the clip, in seconds; it may end after the clip.
    warnings : tuple of str
        What the network cannot hear in this clip, in words.
    """

    original: NDArray[np.float32]
    resynthesised: NDArray[np.float32]
    log_mel: NDArray[np.float32]
    sample_rate_hz: int
    window_s: tuple[float, float]
    warnings: tuple[str, ...]


def hear(waveform: NDArray[np.float32], sample_rate_hz: int, features: FeatureConfig) -> Heard:
    """Return what the network hears of a clip.

    Parameters
    ----------
    waveform : ndarray of float32, shape (T,)
        The clip in mono, at the sample rate of its file.
    sample_rate_hz : int
        Of the file.
    features : FeatureConfig
        How the network is fed.

    Raises
    ------
    EmptyAudioError, AudioError
        No samples; not of shape (T,).
    """
    import soxr
    import torch

    from samplemind_core.audio.features import LogMel

    rate = features.sample_rate_hz
    resampled = waveform if sample_rate_hz == rate else soxr.resample(waveform, sample_rate_hz, rate, quality="HQ")
    window, start = fit_window(resampled, features)
    log_mel: NDArray[np.float32] = LogMel(features)(torch.from_numpy(window)[None])[0, 0].numpy()
    if window.any():
        audible = resynthesise(log_mel, features)
        loud, quiet = (float(np.sqrt(np.square(x, dtype=np.float64).mean())) for x in (window, audible))
        audible *= loud / quiet if quiet > 0 else 0.0
    else:
        audible = np.zeros_like(window)
    return Heard(
        original=window,
        resynthesised=audible,
        log_mel=log_mel,
        sample_rate_hz=rate,
        window_s=(start / rate, start / rate + features.duration_s),
        warnings=_warnings(waveform, sample_rate_hz, resampled, start, features),
    )


def hearing_warnings(waveform: NDArray[np.float32], sample_rate_hz: int, features: FeatureConfig) -> tuple[str, ...]:
    """Return what the network cannot hear of a clip, without making it audible; parameters as for :func:`hear`."""
    import soxr

    rate = features.sample_rate_hz
    resampled = waveform if sample_rate_hz == rate else soxr.resample(waveform, sample_rate_hz, rate, quality="HQ")
    return _warnings(waveform, sample_rate_hz, resampled, fit_window(resampled, features)[1], features)


def resynthesise(log_mel: NDArray[np.float32], features: FeatureConfig) -> NDArray[np.float32]:
    """Return a waveform whose spectrogram resembles the given one.

    Parameters
    ----------
    log_mel : ndarray of float32, shape (n_mels, frames)
        dB relative to the clip's maximum, as :class:`~samplemind_core.audio.features.LogMel` gives it.
    features : FeatureConfig
        How it was computed.

    Returns
    -------
    ndarray of float32, shape (num_samples,)
        Of arbitrary level; the spectrogram knows none.
    """
    from samplemind_core.audio.features import mel_filters

    level = log_mel.astype(np.float64)
    # The floor says "this or less": taken as noise at the floor it would fill every pause.
    power = np.where(level > -features.top_db + 1e-3, 10.0 ** (level / 10.0), 0.0)
    magnitude = np.sqrt(_spread(mel_filters(features).astype(np.float64), power))
    return with_phases(magnitude, features)


def _spread(filters: Floats, mel: Floats) -> Floats:
    """Return the non-negative power per STFT bin, (bins, frames), whose mel bands come closest to ``mel``."""
    covered = filters.sum(axis=0) > 0
    matrix = filters[:, covered]
    target = matrix.T @ mel
    power = target / np.maximum((matrix.T @ matrix.sum(axis=1))[:, None], 1e-12)
    for _ in range(_NNLS_STEPS):
        power *= target / np.maximum(matrix.T @ (matrix @ power), 1e-30)
    result = np.zeros((filters.shape[1], mel.shape[1]))
    result[covered] = power
    return result


def with_phases(magnitude: Floats, features: FeatureConfig) -> NDArray[np.float32]:
    """Return the waveform of the phases that agree best with the magnitudes (bins, frames)."""
    rng = np.random.default_rng(0)
    stft = _Stft(features)
    estimate = magnitude * np.exp(2j * np.pi * rng.random(magnitude.shape))
    before = np.zeros_like(estimate)
    for _ in range(_PHASE_STEPS):
        consistent = stft.forward(stft.inverse(estimate))
        ahead = consistent + _MOMENTUM * (consistent - before)
        before = consistent
        estimate = magnitude * ahead / np.maximum(np.abs(ahead), 1e-16)
    return stft.inverse(estimate).astype(np.float32)


class _Stft:
    """The short-time Fourier transform of the front end (centred, zero-padded Hann frames) and its inverse."""

    def __init__(self, features: FeatureConfig) -> None:
        self.size, self.hop = features.n_fft, features.hop_length
        self.num_samples, self.frames = features.num_samples, features.frames
        self.window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.size) / self.size)
        self.length = self.hop * (self.frames - 1) + self.size
        self.weight = np.maximum(self._overlap(np.tile(self.window**2, (self.frames, 1))), 1e-3)

    def forward(self, waveform: Floats) -> NDArray[np.complex128]:
        """Return the STFT (bins, frames) of a waveform (num_samples,)."""
        padded = np.zeros(self.length)
        inner = waveform[: self.length - self.size // 2]
        padded[self.size // 2 : self.size // 2 + len(inner)] = inner
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.size)[:: self.hop]
        return np.fft.rfft(frames * self.window, axis=1).T

    def inverse(self, spectrum: NDArray[np.complex128]) -> Floats:
        """Return the waveform (num_samples,) whose STFT comes closest in the least-squares sense."""
        frames = np.fft.irfft(spectrum.T, self.size, axis=1) * self.window
        padded = self._overlap(frames) / self.weight
        result = np.zeros(self.num_samples)
        inner = padded[self.size // 2 :][: self.num_samples]
        result[: len(inner)] = inner
        return result

    def _overlap(self, frames: Floats) -> Floats:
        total = np.zeros(self.length)
        for number, frame in enumerate(frames):
            total[number * self.hop : number * self.hop + self.size] += frame
        return total


def _warnings(
    waveform: NDArray[np.float32], native_hz: int, resampled: NDArray[np.float32], start: int, features: FeatureConfig
) -> tuple[str, ...]:
    rate, size = features.sample_rate_hz, features.num_samples
    energy = np.square(resampled, dtype=np.float64)
    if not energy.any():
        return ("There is no sound in this clip: the network gets an empty picture.",)
    found = []
    cut_s = (len(resampled) - size) / rate
    cut_share = 1.0 - energy[start : start + size].sum() / energy.sum()
    if cut_s > 0 and (cut_share >= CUT_SHARE or cut_s >= 0.5 * features.duration_s):
        found.append(
            f"The clip is {len(resampled) / rate:.2f} s long; the network hears {features.duration_s:g} s of it. "
            f"{cut_s:.2f} s with {100 * cut_share:.0f} % of the energy are cut."
        )
    inside = resampled[start : start + size]
    first, last = sounding(inside)
    quiet = 1.0 - (last - first) / size
    if quiet >= MOSTLY_PADDING:
        found.append(
            f"The sound lasts {1_000 * (last - first) / rate:,.0f} ms; {100 * quiet:.0f} % of the window is padding or "
            "silence. A shorter window would show it larger."
        )
    if first >= LATE_START_S * rate:
        found.append(f"The sound starts {1_000 * first / rate:,.0f} ms into the window.")
    found += _band_warnings(waveform, native_hz, features)
    found += _bass_warnings(inside[first:last], features)
    return tuple(found)


def _band_warnings(waveform: NDArray[np.float32], native_hz: int, features: FeatureConfig) -> list[str]:
    top = features.max_hz
    if native_hz / 2 < 0.9 * top:
        return [
            f"The file was sampled at {native_hz:,} Hz and holds nothing above {native_hz / 2:,.0f} Hz; the bands from "
            f"there to {top:,.0f} Hz are empty, which the network may take for a property of the sound."
        ]
    spectrum = np.square(np.abs(np.fft.rfft(waveform.astype(np.float64))))
    hz = np.fft.rfftfreq(len(waveform), 1 / native_hz)
    lost = spectrum[hz > top].sum() / max(spectrum.sum(), 1e-300)
    found = []
    if lost >= CUT_SHARE:
        found.append(f"{100 * lost:.0f} % of the energy lies above {top:,.0f} Hz, where the network hears nothing.")
    # Where the spectrum ends: the frequency below which all but -70 dB of its energy lies.
    total = np.cumsum(spectrum)
    limit = float(hz[int(np.searchsorted(total, (1 - 1e-7) * total[-1]))])
    loud_below = spectrum[(hz > 0.5 * limit) & (hz <= limit)].sum() >= 1e-3 * total[-1]
    if limit < 0.8 * top and loud_below:
        found.append(
            f"The sound ends at about {round(limit, -2):,.0f} Hz although the file could hold more: it was recorded or "
            "encoded with less treble, which the network may take for a property of the sound."
        )
    return found


def _bass_warnings(sound: NDArray[np.float32], features: FeatureConfig) -> list[str]:
    """Warn where the strongest low tone is lower than the lowest bands are wide."""
    from samplemind_core.audio.features import mel_frequencies

    rate = features.sample_rate_hz
    size = max(1 << 15, 1 << (len(sound) - 1).bit_length())
    spectrum = np.square(np.abs(np.fft.rfft(sound.astype(np.float64) * np.hanning(len(sound)), size)))
    hz = np.fft.rfftfreq(size, 1 / rate)
    low = (hz >= _LOWEST_HZ) & (hz < _BASS_HZ)
    if not low.any() or spectrum[low].sum() < 0.25 * spectrum.sum():
        return []
    tone = float(hz[low][int(spectrum[low].argmax())])
    edges = mel_frequencies(features.n_mels + 2, features.fmin_hz, features.max_hz)
    band = int(np.clip(np.searchsorted(edges, tone) - 1, 0, features.n_mels - 1))
    # A Hann window spreads a tone over four bins, a mel filter over the two steps beside its centre.
    width = max(4 * rate / features.n_fft, float(edges[band + 2] - edges[band]))
    if tone >= width:
        return []
    return [
        f"The strongest low tone lies near {tone:.0f} Hz, but down there one cell of the picture is {width:.0f} Hz "
        "wide: the network can hardly tell its pitch."
    ]


def sounding(waveform: NDArray[np.float32]) -> tuple[int, int]:
    """Return the first sample and the end of what is louder than 60 dB below the peak; (0, 0) for silence."""
    level = np.abs(waveform)
    loud = np.flatnonzero(level > level.max(initial=0.0) * 10 ** (_FLOOR_DB / 20))
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, 0)
