"""Random changes to waveforms: what may happen to a sound before it is a file, more exactly than on spectrograms.

Batched and seeded, without a loop over clips, from the physics of :mod:`samplemind_core.audio.transforms`. Slower
than :mod:`samplemind_core.audio.augment` by an order of magnitude: made once per clip and variant, not every epoch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from samplemind_core.audio.transforms import loudest_power, require_batch
from samplemind_core.config import AugmentConfig
from samplemind_core.errors import ConfigError

EQ_NODES = 6
_DRAWS = 13 + EQ_NODES
_LOWEST_HZ = 50.0
_LOWEST_DRIVE_DB = -20.0
_FARTHEST_DB = 60.0
_SHORTEST_ROOM_S = 0.05
_WET_DB = -20.0, 0.0
_SLOPE_DB = 24.0, 120.0
_MARGIN = 512


def augment_waveforms(
    clips: Tensor,
    config: AugmentConfig,
    sample_rate_hz: int,
    generator: torch.Generator,
    layers: Tensor | None = None,
) -> Tensor:
    """Return randomly changed copies of clips, each of its old length.

    In this order, each where its setting is above 0:

    - pitch and tempo together by up to ``wave_pitch_semitones``, resampled without aliases; polarity, always,
      either way;
    - for half of the clips a second sound, at least ``wave_layer_db`` below the first by their peaks;
    - saturation: a hyperbolic tangent, driven by up to ``wave_drive_db`` at the peak;
    - an EQ curve of straight lines over the octaves between gains of up to ±``wave_eq_db``; for half of the clips
      a low pass of 24 to 120 dB an octave at ``wave_band_limit_hz`` or above; for half of them a room (J. A.
      Moorer, Computer Music Journal 3(2), 1979) of up to ``wave_room_s``, 20 to 0 dB below the direct sound;
    - a shift in time by up to ``wave_shift_ms``, earlier or later, to a fraction of a sample;
    - for half of the clips white noise, at least ``wave_noise_db`` below the power of the loudest 50 ms;
    - gain by up to ``wave_gain_db`` up or down, cut at full scale as every fixed-point file is.

    Each clip takes its own row of random numbers, drawn whether used or not, and rooms and noise have generators
    of their own: one change on or off moves no other.

    Parameters
    ----------
    clips : Tensor of float32, shape (B, T)
        In [-1, 1]; not modified.
    config : AugmentConfig
        How much of each change.
    sample_rate_hz : int
    generator : torch.Generator
        On the CPU.
    layers : Tensor of float32, shape (B, T), optional
        The second sound of each clip.

    Returns
    -------
    Tensor of float32, shape (B, T)
        In [-1, 1]. What a change moves beyond either end is gone; nothing wraps around.

    Raises
    ------
    AudioError
        If ``clips`` is not of shape (B, T).
    ConfigError
        If ``wave_band_limit_hz`` is not below half the sample rate, or second sounds are asked for and not given.
    """
    clips = require_batch(clips)
    _check(config, sample_rate_hz, layers)
    numbers = torch.rand(len(clips), _DRAWS, generator=generator)
    seeds = torch.randint(2**62, (2,), generator=generator).tolist()
    rooms, noises = (torch.Generator().manual_seed(seed) for seed in seeds)
    pitch, polarity, layer_on, layer_level, drive, shift, noise_on, noise_level, level, *rest = numbers.unbind(1)
    sound = clips
    if config.wave_pitch_semitones:
        sound = resample(sound, torch.exp2(_around(pitch) * config.wave_pitch_semitones / 12.0))
    sound = sound * torch.where(polarity < 0.5, -1.0, 1.0)[:, None]
    if config.wave_layer_db and layers is not None:
        below_db = _between(layer_level, -_FARTHEST_DB, -config.wave_layer_db)
        share = torch.where(layer_on < 0.5, _amplitude(below_db), 0.0) * _peak(sound) / _peak(layers).clamp(min=1e-9)
        sound = sound + share[:, None] * layers
    if config.wave_drive_db:
        sound = saturate(sound, _amplitude(_between(drive, _LOWEST_DRIVE_DB, config.wave_drive_db)))
    sound = _filtered(sound, config, sample_rate_hz, torch.stack(rest, dim=1), _around(shift), rooms)
    if config.wave_noise_db:
        below_db = _between(noise_level, -2.0 * _FARTHEST_DB, -config.wave_noise_db)
        power = loudest_power(sound, sample_rate_hz) * _amplitude(below_db).square() * (noise_on < 0.5)
        sound = sound + power.sqrt()[:, None] * torch.randn(sound.shape, generator=noises)
    if config.wave_gain_db:
        sound = sound * _amplitude(_around(level) * config.wave_gain_db)[:, None]
    return sound.clamp(-1.0, 1.0)


def resample(clips: Tensor, speed: Tensor) -> Tensor:
    """Return clips (B, T) played ``speed`` (B,) times as fast, pitch and tempo together, in their old length.

    What would lie above half the sample rate is taken out first. Between samples, a cubic through four points
    of the twice oversampled sound.
    """
    length = clips.shape[1]
    size = length + _MARGIN
    spectrum = torch.fft.rfft(clips, size)
    place = torch.linspace(0.0, 1.0, spectrum.shape[1])
    # A slope of a fiftieth of the band instead of a cliff, which would ring for long.
    keep = ((1.0 / speed.clamp(min=1.0)[:, None] - place) * 50.0 + 0.5).clamp(0.0, 1.0)
    dense = torch.fft.irfft(functional.pad(spectrum * keep, (0, size - spectrum.shape[1] + 1)), 2 * size) * 2.0
    dense = torch.cat([dense[:, -1:], dense[:, : 2 * length + 2]], dim=1)  # one sample before the first
    source = 2.0 * torch.arange(length, dtype=torch.float64) * speed[:, None].double()
    inside = source <= 2.0 * (length - 1)
    first = source.clamp(max=2.0 * (length - 1)).long()
    t = (source - first).float().masked_fill_(~inside, 0.0)
    a, b, c, d = (dense.gather(1, first + step) for step in range(4))
    cubic = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return cubic * inside


def saturate(clips: Tensor, drive: Tensor) -> Tensor:
    """Return clips (B, T) through tanh(drive · x), x relative to each one's peak, which stays where it is."""
    peak = _peak(clips).clamp(min=1e-9)[:, None]
    return torch.tanh(clips / peak * drive[:, None]) / torch.tanh(drive)[:, None] * peak


def _filtered(
    clips: Tensor, config: AugmentConfig, rate_hz: int, numbers: Tensor, shift: Tensor, generator: torch.Generator
) -> Tensor:
    """Return clips after EQ, low pass, room and shift: one product of spectra."""
    if not (config.wave_eq_db or config.wave_band_limit_hz or config.wave_room_s or config.wave_shift_ms):
        return clips
    band_on, band_hz, room_on, room_wet = numbers[:, :4].unbind(1)
    length = clips.shape[1]
    tail = round(config.wave_room_s * rate_hz)
    # Room for tails, shifts and for what filters ring before and after, which would otherwise come round again.
    size = _even(length + tail + 2 * round(config.wave_shift_ms / 1_000.0 * rate_hz) + rate_hz // 4)
    hz = torch.fft.rfftfreq(size, 1.0 / rate_hz)
    gain_db = torch.zeros(len(clips), len(hz))
    if config.wave_eq_db:
        gains = _around(numbers[:, 4 : 4 + EQ_NODES]) * config.wave_eq_db
        octaves = math.log2(rate_hz / 2 / _LOWEST_HZ)
        places = (torch.log2(hz.clamp(min=_LOWEST_HZ) / _LOWEST_HZ) / octaves * (EQ_NODES - 1)).clamp(max=EQ_NODES - 1)
        first = places.long().clamp(max=EQ_NODES - 2)
        gain_db += torch.lerp(gains[:, first], gains[:, first + 1], places - first)
    if config.wave_band_limit_hz:
        cutoff_hz = config.wave_band_limit_hz * (rate_hz / 2 / config.wave_band_limit_hz) ** band_hz
        above = torch.log2(hz.clamp(min=1.0) / cutoff_hz[:, None]).clamp(min=0.0)
        slope = _between(numbers[:, -1], *_SLOPE_DB) * (band_on < 0.5)
        gain_db -= above * slope[:, None]
    response = torch.pow(10.0, gain_db.clamp(min=-200.0) / 20.0).to(torch.complex64)
    if config.wave_room_s:
        response *= 1.0 + torch.fft.rfft(_rooms(room_wet, room_on, numbers[:, -2], tail, rate_hz, generator), size)
    if config.wave_shift_ms:
        moved_s = shift * config.wave_shift_ms / 1_000.0
        turns = (hz.double() * moved_s[:, None].double()).frac().float()
        response *= torch.polar(torch.ones(()), -2.0 * math.pi * turns)
    sound: Tensor = torch.fft.irfft(torch.fft.rfft(clips, size) * response, size)
    return sound[:, :length]


def _rooms(wet: Tensor, on: Tensor, decay: Tensor, tail: int, rate_hz: int, generator: torch.Generator) -> Tensor:
    """Return the late sound (B, tail) of rooms: decaying noise of an energy of 20 to 0 dB below 1."""
    rt60_s = _between(decay, min(_SHORTEST_ROOM_S, tail / rate_hz), tail / rate_hz)
    seconds = torch.arange(tail) / rate_hz
    room = torch.randn(len(wet), tail, generator=generator) * torch.exp(seconds * (-math.log(1e3) / rt60_s[:, None]))
    size = _amplitude(_between(wet, *_WET_DB)) * (on < 0.5)
    return room * (size / room.square().sum(dim=1).sqrt().clamp(min=1e-9))[:, None]


def _check(config: AugmentConfig, sample_rate_hz: int, layers: Tensor | None) -> None:
    if config.wave_band_limit_hz >= sample_rate_hz / 2:
        raise ConfigError(
            f"Expected wave_band_limit_hz below half the sample rate ({sample_rate_hz / 2:g} Hz), "
            f"got {config.wave_band_limit_hz:g}.",
            "Lower wave_band_limit_hz; 0 switches it off.",
        )
    if config.wave_layer_db and layers is None:
        raise ConfigError("Second sounds are asked for, and none are given.", "Set wave_layer_db to 0, or give layers.")


def _even(size: int) -> int:
    """Return the next size that a fast Fourier transform is quick at."""
    from scipy.fft import next_fast_len

    return int(next_fast_len(size + size % 2, real=True))


def _peak(clips: Tensor) -> Tensor:
    return clips.abs().amax(dim=1)


def _amplitude(db: Tensor) -> Tensor:
    return torch.pow(10.0, db / 20.0)


def _around(uniform: Tensor) -> Tensor:
    return 2.0 * uniform - 1.0


def _between(uniform: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * uniform
