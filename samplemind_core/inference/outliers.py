"""Sounds that are in nobody's library, made by rule: what "none of these" is tuned against.

Noise, tones, sweeps, silence and buzzing syllables are synthesised; loops, reversed, stretched and
scrambled clips are made from the spectrograms of the library itself. No recording that anybody
might later test with is used.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from samplemind_core.config import FeatureConfig

Signal = NDArray[np.float32]
Spectrograms = NDArray[np.float32]
Made = Callable[[np.random.Generator, int, int], NDArray[np.floating]]


def synthetic_waveforms(features: FeatureConfig, count: int, seed: int) -> Signal:
    """Return sounds of no instrument, each kind equally often.

    Parameters
    ----------
    features : FeatureConfig
        Rate and length of the windows.
    count, seed : int

    Returns
    -------
    ndarray of float32, shape (count, num_samples)
        Padded with zeros at the end where a sound is shorter than the window.
    """
    windows = np.zeros((count, features.num_samples), np.float32)
    rate = features.sample_rate_hz
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        make = _KINDS[number % len(_KINDS)]
        # From a quarter of the window to all of it: a shorter burst of noise is a fair hi-hat.
        length = round(features.num_samples * rng.choice((1.0, rng.uniform(0.25, 1.0))))
        sound = make(rng, length, rate)
        level = 10 ** rng.uniform(-2.0, 0.0)
        peak = float(np.abs(sound).max())
        windows[number, :length] = sound * (level / peak) if peak > 0 else sound
    return windows


def _silence(rng: np.random.Generator, length: int, rate: int) -> NDArray[np.floating]:
    # Digital silence, and the dither or hum that a recording of nothing holds.
    kind = rng.integers(3)
    if kind == 0:
        return np.zeros(length)
    if kind == 1:
        return np.round(rng.normal(0.0, 0.6, length))
    hum_hz = float(rng.choice((50.0, 60.0)))
    return np.sin(2 * np.pi * hum_hz * np.arange(length) / rate) + rng.normal(0, 0.02, length)


def _noise(rng: np.random.Generator, length: int, rate: int) -> NDArray[np.floating]:
    spectrum = np.fft.rfft(rng.normal(0.0, 1.0, length))
    frequencies = np.maximum(np.fft.rfftfreq(length, 1 / rate), 20.0)
    # White half the time; else a slope between brown and violet.
    slope = 0.0 if rng.random() < 0.5 else rng.uniform(-1.0, 1.0)
    sound: NDArray[np.floating] = np.fft.irfft(spectrum * (frequencies / 1_000.0) ** slope, length)
    return sound


def _wavering_noise(rng: np.random.Generator, length: int, rate: int) -> NDArray[np.floating]:
    time_s = np.arange(length) / rate
    depth, speed_hz = rng.uniform(0.3, 1.0), rng.uniform(1.0, 12.0)
    wave = 1.0 + depth * np.sin(2 * np.pi * speed_hz * time_s + rng.uniform(0, 2 * np.pi))
    return _noise(rng, length, rate) * wave


def _tone(rng: np.random.Generator, length: int, rate: int) -> NDArray[np.floating]:
    return np.sin(2 * np.pi * _pitch_hz(rng, rate) * np.arange(length) / rate + rng.uniform(0, 2 * np.pi))


def _chord(rng: np.random.Generator, length: int, rate: int) -> NDArray[np.floating]:
    time_s, sound = np.arange(length) / rate, np.zeros(length)
    for _ in range(rng.integers(2, 7)):
        sound += rng.uniform(0.2, 1.0) * np.sin(2 * np.pi * _pitch_hz(rng, rate) * time_s)
    return sound


def _sweep(rng: np.random.Generator, length: int, rate: int) -> NDArray[np.floating]:
    start, end = _pitch_hz(rng, rate), _pitch_hz(rng, rate)
    pitch_hz = start * (end / start) ** (np.arange(length) / length)
    return np.sin(2 * np.pi * np.cumsum(pitch_hz) / rate)


def _syllables(rng: np.random.Generator, length: int, rate: int) -> NDArray[np.floating]:
    """Make a buzz through two resonances that rises and falls a few times, as voices and animals do."""
    time_s = np.arange(length) / rate
    glide = np.interp(time_s, np.linspace(0, length / rate, 6), rng.uniform(0.75, 1.3, 6))
    pitch_hz = 10 ** rng.uniform(np.log10(80.0), np.log10(900.0)) * glide
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate
    resonances = 10 ** rng.uniform(np.log10(250.0), np.log10(3_500.0), 3)
    sound = np.zeros(length)
    for harmonic in range(1, 25):
        at_hz = float(pitch_hz.mean()) * harmonic
        if at_hz > 0.45 * rate:
            break
        gain = sum(1.0 / (1.0 + ((at_hz - centre) / (0.15 * centre + 60.0)) ** 2) for centre in resonances)
        sound += gain * np.sin(harmonic * phase)
    sound += rng.uniform(0.0, 0.15) * np.abs(sound).max() * rng.normal(0.0, 1.0, length)
    knots = rng.integers(4, 10)
    swell = np.interp(time_s, np.linspace(0, length / rate, knots), np.r_[0.0, rng.uniform(0.0, 1.0, knots - 2), 0.0])
    return sound * swell


def _crackle(rng: np.random.Generator, length: int, rate: int) -> NDArray[np.floating]:
    sound = rng.normal(0.0, 0.02, length)
    for place in rng.integers(0, length, rng.integers(5, 60)):
        size = int(rng.integers(20, 400))
        burst = rng.normal(0.0, 1.0, size) * np.exp(-np.arange(size) / (0.2 * size)) * rng.uniform(0.1, 1.0)
        end = min(length, place + size)
        sound[place:end] += burst[: end - place]
    return sound


_KINDS: tuple[Made, ...] = (_silence, _noise, _wavering_noise, _tone, _chord, _sweep, _syllables, _crackle)


def _pitch_hz(rng: np.random.Generator, rate: int) -> float:
    return float(10 ** rng.uniform(np.log10(40.0), np.log10(0.45 * rate)))


def altered_clips(log_mel: NDArray[np.floating], count: int, seed: int, top_db: float) -> Spectrograms:
    """Return spectrograms of loops, reversed, stretched and scrambled clips of a library.

    Parameters
    ----------
    log_mel : ndarray of float, shape (N, n_mels, frames)
        Clips of the library, in dB relative to their maximum.
    count, seed : int
    top_db : float
        Range below the maximum.

    Returns
    -------
    ndarray of float32, shape (count, n_mels, frames)
    """
    made = np.empty((count, *log_mel.shape[1:]), np.float32)
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        change = _CHANGES[number % len(_CHANGES)]
        clip = change(rng, np.asarray(log_mel[rng.integers(len(log_mel))], np.float32), log_mel, top_db)
        made[number] = np.maximum(clip - clip.max(), -top_db)
    return made


def _reversed(
    rng: np.random.Generator, clip: Spectrograms, others: NDArray[np.floating], top_db: float
) -> Spectrograms:
    return clip[:, ::-1]


def _upside_down(
    rng: np.random.Generator, clip: Spectrograms, others: NDArray[np.floating], top_db: float
) -> Spectrograms:
    return clip[::-1]


def _loop(rng: np.random.Generator, clip: Spectrograms, others: NDArray[np.floating], top_db: float) -> Spectrograms:
    """Several hits one after another, of one sound or of several."""
    frames = clip.shape[1]
    power = np.full(clip.shape, 10 ** (-top_db / 10), np.float32)
    one_sound = rng.random() < 0.5
    for start in rng.integers(0, frames - frames // 8, rng.integers(4, 9)):
        hit = clip if one_sound else np.asarray(others[rng.integers(len(others))], np.float32)
        gain_db = rng.uniform(-12.0, 0.0)
        power[:, start:] += 10 ** ((hit[:, : frames - start] + gain_db) / 10)
    looped: Spectrograms = 10 * np.log10(power)
    return looped


def _held(rng: np.random.Generator, clip: Spectrograms, others: NDArray[np.floating], top_db: float) -> Spectrograms:
    """Play one moment over and over: a texture that does not die away."""
    frames = clip.shape[1]
    loudest = int(clip.max(axis=0).argmax())
    places = np.clip(loudest + rng.integers(-2, 5, frames), 0, frames - 1)
    return clip[:, places] + rng.normal(0.0, 2.0, clip.shape).astype(np.float32)


def _scrambled(
    rng: np.random.Generator, clip: Spectrograms, others: NDArray[np.floating], top_db: float
) -> Spectrograms:
    size = int(rng.integers(2, 8))
    frames = clip.shape[1]
    blocks = np.array_split(np.arange(frames), max(1, frames // size))
    rng.shuffle(blocks)
    return clip[:, np.concatenate(blocks)]


_CHANGES = (_reversed, _upside_down, _loop, _held, _scrambled)
