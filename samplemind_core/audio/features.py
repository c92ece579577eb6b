"""The front end: waveforms become log-mel spectrograms, exactly as librosa defines them.

Slaney's mel scale and area normalisation follow M. Slaney, "Auditory Toolbox, version 2",
Technical Report 1998-010, Interval Research, 1998, which librosa's defaults use too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from samplemind_core.config import FeatureConfig
from samplemind_core.errors import AudioError

AMIN = 1e-10
"""Smallest power that a logarithm is taken of; below it everything counts as silence."""

_TAIL_SAMPLES = 8_192

Sounding = tuple[NDArray[np.float32], float]
"""The frames of a clip that hold signal, (n_mels, frames) in dB, and the dB of all after them."""

# Slaney's scale: linear up to 1 kHz (15 mel), then 27 steps to every factor of 6.4.
_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ, _BREAK_MEL = 1_000.0, 15.0
_LOG_STEP = math.log(6.4) / 27.0


class LogMel(nn.Module):
    """Log-mel spectrograms in dB relative to each clip's own maximum.

    The power spectrum of centred, zero-padded, periodic-Hann frames is gathered into Slaney mel
    bands; ``10·log10`` of that, relative to the clip's maximum, is cut ``top_db`` below it. This is
    ``librosa.power_to_db(librosa.feature.melspectrogram(y=…, pad_mode="constant"), ref=np.max,
    top_db=…)`` to within 1e-3 dB.

    Each clip is referred to its own maximum, so a loud neighbour changes nothing. A clip without
    any power above 1e-10 is 0 dB everywhere, as librosa has it: its maximum is its floor.

    The module has no parameters and nothing to store: its filters follow ``.to(device)`` and stay
    out of ``state_dict``, since ``config`` decides them.

    Parameters
    ----------
    config : FeatureConfig
        Rate, STFT, mel bands and range.
    """

    filters: Tensor

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        filters = torch.from_numpy(mel_filters(config))
        self.register_buffer("filters", filters, persistent=False)
        self._window = torch.hann_window(config.n_fft, dtype=torch.float64)
        # Each bin is in two bands at most: a sparse product is a hundredth of the dense one.
        self._sparse = sparse.csr_array(filters.numpy())

    @torch.no_grad()
    def forward(self, waveform: Tensor) -> Tensor:
        """Return log-mel spectrograms.

        Parameters
        ----------
        waveform : Tensor of float32, shape (B, T)
            Mono clips of one length at ``config.sample_rate_hz``.

        Returns
        -------
        Tensor of float32, shape (B, 1, n_mels, 1 + T // hop_length)
            dB in [-top_db, 0].

        Raises
        ------
        AudioError
            If the waveform is not of shape (B, T) with T above 0.
        """
        if waveform.ndim != 2 or waveform.shape[1] == 0:
            raise AudioError(
                f"Expected waveforms of shape (B, T), got {tuple(waveform.shape)}.", "Add the batch dimension."
            )
        if waveform.device.type == "cpu":
            return torch.stack([self._clip_log_mel(clip.detach().numpy(), len(clip)) for clip in waveform]).unsqueeze(1)
        mel = torch.stack([self.filters @ power for power in power_spectrum(waveform, self.config)])
        return power_to_db(mel, self.config.top_db).unsqueeze(1)

    @torch.no_grad()
    def of_clip(self, waveform: NDArray[np.float32]) -> Tensor:
        """Return what :meth:`forward` gives for one clip on the CPU, bit for bit, without padding it first.

        Parameters
        ----------
        waveform : ndarray of float32, shape (T,)
            At most ``config.num_samples`` samples; silence is added at the end.

        Returns
        -------
        Tensor of float32, shape (1, n_mels, frames)
        """
        return self._clip_log_mel(waveform, self.config.num_samples)[None]

    def _clip_log_mel(self, clip: NDArray[np.float32], num_samples: int) -> Tensor:
        """Return the log-mel spectrogram (n_mels, frames) of one clip (T,)."""
        log_mel = np.empty((self.filters.shape[0], 1 + num_samples // self.config.hop_length), np.float32)
        [sounding] = self.sounding([clip], num_samples)
        put_together(*sounding, out=log_mel)
        return torch.from_numpy(log_mel)

    def sounding(self, clips: Sequence[NDArray[np.float32]], num_samples: int) -> list[Sounding]:
        """Return the frames of clips that hold signal, and the dB of all after them; no other is computed.

        Most one-shots are shorter than the window, and the frames of their padding are known to be
        zero. Clip by clip, the frames stay in the processor's cache, and a clip's numbers cannot
        depend on its neighbours: linear algebra libraries choose the order of summation by shape.
        All are transformed before the first of them is gathered into bands, so that the processor
        keeps the code of either; there should not be more than a few.

        Parameters
        ----------
        clips : sequence of ndarray of float32, shape (T,)
            At most ``num_samples`` samples each; silence follows.
        num_samples : int
            Length of the window.

        Returns
        -------
        list of (ndarray of float32, shape (n_mels, at most 1 + num_samples // hop_length), float)
            What :func:`put_together` makes spectrograms of.
        """
        powers = [self._power(clip, num_samples) for clip in clips]
        return [self._levels(power) for power in powers]

    def _power(self, clip: NDArray[np.float32], num_samples: int) -> NDArray[np.float32]:
        """Return the power (frames that hold signal, 1 + n_fft // 2) of a clip."""
        n_fft, hop = self.config.n_fft, self.config.hop_length
        length = _sounding_end(clip)
        if length == 0:
            return np.empty((0, 1 + n_fft // 2), np.float32)
        active = min(1 + num_samples // hop, (length + n_fft // 2 - 1) // hop + 1)
        padded = np.zeros((active - 1) * hop + n_fft)
        held = min(length, len(padded) - n_fft // 2)
        padded[n_fft // 2 : n_fft // 2 + held] = clip[:held]
        # A float32 FFT leaves a noise floor some 130 dB below a pure tone, which lifts quiet bands
        # by hundredths of a dB; librosa transforms in float64.
        spectrum = torch.fft.rfft(torch.from_numpy(padded).unfold(0, n_fft, hop) * self._window)
        squares = torch.view_as_real(spectrum).numpy()  # as plain numbers, which are squared several times as fast
        np.square(squares, out=squares)
        power = np.empty(squares.shape[:2], np.float32)
        np.add(squares[..., 0], squares[..., 1], out=power, casting="same_kind")  # in float64, rounded once
        return power

    def _levels(self, power: NDArray[np.float32]) -> Sounding:
        """Return the bands of a clip in dB, (n_mels, frames), and the dB of frames without signal."""
        if len(power) == 0:
            return np.empty((self.filters.shape[0], 0), np.float32), 0.0
        level = self._sparse @ np.ascontiguousarray(power.T)
        np.maximum(level, AMIN, out=level)
        np.log10(level, out=level)
        level *= 10.0
        loudest = level.max()
        level -= loudest
        # The power of frames without signal is 0, which counts as AMIN and is no clip's maximum.
        silence_db = max(10.0 * math.log10(AMIN) - float(loudest), -self.config.top_db)
        return np.maximum(level, -self.config.top_db, out=level), silence_db


def put_together(sounding: NDArray[np.float32], silence_db: float, out: NDArray[np.floating[Any]]) -> None:
    """Write what :meth:`LogMel.sounding` gave into a spectrogram (n_mels, frames)."""
    active = sounding.shape[1]
    out[:, :active] = sounding
    out[:, active:] = silence_db


@lru_cache(maxsize=4)
def front_end(config: FeatureConfig) -> LogMel:
    """Return a front end on the CPU, made once and kept for all who hear file by file."""
    return LogMel(config)


def _sounding_end(samples: NDArray[np.float32]) -> int:
    """Return the number of samples up to the last that is not zero, looking from the end."""
    end = len(samples)
    if end and samples[-1]:
        return end
    while end > 0:
        start = max(0, end - _TAIL_SAMPLES)
        found = np.flatnonzero(samples[start:end])
        if len(found):
            return start + int(found[-1]) + 1
        end = start
    return 0


def power_spectrum(waveform: Tensor, config: FeatureConfig) -> Tensor:
    """Return the power (B, 1 + n_fft // 2, 1 + T // hop_length) float32 of waveforms (B, T) by frequency and frame."""
    # A float32 FFT leaves a noise floor some 130 dB below a pure tone, which lifts quiet bands
    # by hundredths of a dB; librosa transforms in float64. Apple's GPUs have no float64.
    dtype = torch.float32 if waveform.device.type == "mps" else torch.float64
    spectrum = torch.stft(
        waveform.to(dtype),
        config.n_fft,
        config.hop_length,
        window=torch.hann_window(config.n_fft, dtype=dtype, device=waveform.device),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return (spectrum.real.square() + spectrum.imag.square()).float()


def power_to_db(power: Tensor, top_db: float) -> Tensor:
    """Return power (B, n_mels, frames) in dB relative to each clip's maximum, in [-top_db, 0]."""
    level = _level_db(power)
    return (level - level.amax(dim=(-2, -1), keepdim=True)).clamp(min=-top_db)


def _level_db(power: Tensor) -> Tensor:
    return 10.0 * power.clamp(min=AMIN).log10()


def mel_filters(config: FeatureConfig) -> NDArray[np.float32]:
    """Return the triangular mel filters with Slaney's scale and equal areas.

    Parameters
    ----------
    config : FeatureConfig
        Rate, n_fft, number of bands and their edges. Where the STFT is too coarse for the lowest
        bands, some of them fall between two bins and stay empty, as in librosa.

    Returns
    -------
    ndarray of float32, shape (n_mels, 1 + n_fft // 2)
    """
    bins_hz = np.arange(1 + config.n_fft // 2) * (config.sample_rate_hz / config.n_fft)
    edges_hz = mel_frequencies(config.n_mels + 2, config.fmin_hz, config.max_hz)
    lower, centre, upper = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rise = (bins_hz - lower) / (centre - lower)
    fall = (upper - bins_hz) / (upper - centre)
    triangles = np.maximum(0.0, np.minimum(rise, fall))
    filters: NDArray[np.float32] = (triangles * (2.0 / (upper - lower))).astype(np.float32)
    return filters


def mel_frequencies(count: int, fmin_hz: float, fmax_hz: float) -> NDArray[np.float64]:
    """Return ``count`` frequencies in Hz, evenly spaced on Slaney's mel scale from fmin to fmax."""
    mel = np.linspace(_to_mel(fmin_hz), _to_mel(fmax_hz), count)
    hz: NDArray[np.float64] = np.where(
        mel < _BREAK_MEL, mel * _HZ_PER_MEL, _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    )
    return hz


def hz_to_mel(hz: Tensor) -> Tensor:
    """Return frequencies in Hz, 0 or above, on Slaney's mel scale."""
    above = _BREAK_MEL + (hz.clamp(min=_BREAK_HZ) / _BREAK_HZ).log() / _LOG_STEP
    return torch.where(hz < _BREAK_HZ, hz / _HZ_PER_MEL, above)


def _to_mel(hz: float) -> float:
    return hz / _HZ_PER_MEL if hz < _BREAK_HZ else _BREAK_MEL + math.log(hz / _BREAK_HZ) / _LOG_STEP
