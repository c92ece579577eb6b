"""Demo instruments: drum one-shots made by rule, in 24 kits with a sound of their own.

Six classes, several ways to make each, and parameters that overlap: a high kick is a low tom, a
snare without shell is a clap, an open hi-hat is a small cymbal. Each kit has its room, tilt,
saturation, noise, tuning and favourite methods, so that the kit is a real source and doing well on
kits never heard is a real task. Everything follows from (seed, class, index).

Struck membranes use the mode ratios of an ideal circular one (1, 1.59, 2.14, 2.30, 2.65, 2.92);
see N. H. Fletcher and T. D. Rossing, "The Physics of Musical Instruments", 2nd ed., ch. 3, 1998.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASS_NAMES = ("clap", "cymbal", "hihat", "kick", "snare", "tom")
NUM_KITS = 24
SAMPLE_RATE_HZ = 44_100

Signal = NDArray[np.float32]
Method = Callable[[np.random.Generator, "Kit"], Signal]

_MEMBRANE = np.array([1.0, 1.593, 2.136, 2.296, 2.653, 2.917])
_SQUARES_HZ = np.array([205.3, 304.4, 369.6, 522.7, 540.0, 800.0])  # the classic six oscillators
_MAX_S = 2.2


@dataclass(frozen=True, slots=True)
class Voice:
    """One synthetic one-shot.

    Parameters
    ----------
    waveform : ndarray of float32, shape (T,)
        Mono, finite, not silent, in [-1, 1].
    sample_rate_hz : int
        44,100.
    label : str
        One of :data:`CLASS_NAMES`.
    source : str
        Name of the kit.
    method : str
        Name of the way it was made, such as ``long`` or ``bursts``.
    """

    waveform: Signal
    sample_rate_hz: int
    label: str
    source: str
    method: str


@dataclass(frozen=True, slots=True)
class Kit:
    """What the voices of one kit share."""

    name: str
    tuning: float  # factor on every frequency
    decay: float  # factor on every decay
    drive: float  # gain into the saturation
    tilt_db: float  # per octave around 1 kHz
    top_hz: float  # band limit, as of old samplers
    noise_db: float  # noise floor below full scale
    level_db: float  # usual peak
    wet: float  # share of the room
    room: Signal  # its impulse response
    taste: float  # how strongly it prefers one method of a class
    seed: tuple[int, ...]


def demo_voices(per_class: int = 200, seed: int = 0) -> Iterator[Voice]:
    """Yield ``per_class`` voices of each class, one of each in turn.

    Lazy and deterministic: the voice of a (seed, class, index) is the same for every ``per_class``.
    Kits take turns too, so that each holds every class.

    Parameters
    ----------
    per_class : int
        Voices of each class.
    seed : int
        Any whole number from 0.

    Yields
    ------
    Voice
    """
    for index in range(per_class):
        for target in range(len(CLASS_NAMES)):
            yield voice(target, index, seed)


def voice(target: int, index: int, seed: int = 0) -> Voice:
    """Return voice ``index`` of class ``target`` (its place in :data:`CLASS_NAMES`)."""
    label = CLASS_NAMES[target]
    kit = make_kit(index % NUM_KITS, seed)
    rng = np.random.default_rng([seed, target, index])
    methods = METHODS[label]
    names = list(methods)
    appetite = np.random.default_rng([*kit.seed, target]).gumbel(size=len(names)) * kit.taste
    share = np.exp(appetite - appetite.max())
    method = names[int(rng.choice(len(names), p=share / share.sum()))]
    return Voice(_recorded(methods[method](rng, kit), rng, kit), SAMPLE_RATE_HZ, label, kit.name, method)


@lru_cache(maxsize=4 * NUM_KITS)
def make_kit(number: int, seed: int = 0) -> Kit:
    """Return kit ``number`` (0…23)."""
    key = (seed, 1_000 + number)
    rng = np.random.default_rng(key)
    length_s = _log(rng, 0.03, 0.3)
    room = rng.standard_normal(round(length_s * SAMPLE_RATE_HZ)).astype(np.float32)
    room *= _decay(room.size, length_s / 6.9)
    room /= np.sqrt(np.square(room).sum())
    return Kit(
        name=f"Kit {number + 1:02d}",
        tuning=_log(rng, 0.82, 1.22),
        decay=_log(rng, 0.7, 1.4),
        drive=_log(rng, 0.5, 8.0),
        tilt_db=rng.uniform(-3.5, 2.5),
        top_hz=_log(rng, 5_500, 24_000),
        noise_db=rng.uniform(-100, -48),
        level_db=rng.uniform(-16, -2),
        wet=rng.uniform(0.0, 0.5) * float(rng.random() < 0.7),
        room=room,
        taste=rng.uniform(0.5, 2.0),
        seed=key,
    )


# --- building blocks -------------------------------------------------------------------------


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a number between low and high, even on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _samples(decay_s: float) -> int:
    """Return the number of samples until a decay (to 1/e in decay_s) has fallen by 40 dB."""
    return int(min(_MAX_S, max(0.05, 4.6 * decay_s)) * SAMPLE_RATE_HZ)


def _time(size: int) -> NDArray[np.float64]:
    return np.arange(size) / SAMPLE_RATE_HZ


def _decay(size: int, decay_s: float, attack_s: float = 0.0) -> Signal:
    """Return an exponential decay with an optional linear rise."""
    envelope: Signal = np.exp(_time(size).astype(np.float32) / np.float32(-decay_s))
    rise = round(attack_s * SAMPLE_RATE_HZ)
    if rise > 1:
        envelope[:rise] *= np.linspace(0, 1, min(rise, size), dtype=np.float32)
    return envelope


def _sine(cycles: NDArray[np.float64]) -> Signal:
    """Return a sine of a phase in cycles; wrapped first, since float32 holds few digits."""
    wave: Signal = np.sin((cycles - np.floor(cycles)).astype(np.float32) * np.float32(2 * np.pi))
    return wave


def _swept(size: int, low_hz: float, high_hz: float, fall_s: float, phase: float = 0.0) -> Signal:
    """Return a sine that falls from high_hz to low_hz with the time constant fall_s."""
    time = _time(size)
    return _sine(phase + low_hz * time + (high_hz - low_hz) * fall_s * (1 - np.exp(-time / fall_s)))


def _fm(size: int, carrier_hz: float, ratio: float, index: float, index_decay_s: float) -> Signal:
    """Return frequency modulation whose index decays (J. Chowning, JAES 21(7), 1973)."""
    time = _time(size)
    depth = index / (2 * np.pi) * np.exp(-time / index_decay_s)
    return _sine(carrier_hz * time + depth * _sine(ratio * carrier_hz * time))


def _noise(rng: np.random.Generator, size: int) -> Signal:
    return rng.standard_normal(size, dtype=np.float32)


def _transform(signal: Signal, length: int) -> tuple[NDArray[Any], Signal, int]:
    """Return spectrum, frequencies in Hz (from 1, so that none is 0) and the padded length."""
    power = 1 << max(4, (length - 1).bit_length() - 3)
    size = -(-length // power) * power  # 5 to 8 times a power of two: quick, and little to pad
    frequency: Signal = (np.fft.rfftfreq(size, 1 / SAMPLE_RATE_HZ) + 1).astype(np.float32)
    return np.fft.rfft(signal, size), frequency, size


def _inverse(spectrum: NDArray[Any], size: int, length: int) -> Signal:
    return np.fft.irfft(spectrum, size)[:length].astype(np.float32, copy=False)


def _band(signal: Signal, low_hz: float, high_hz: float, order: int = 2) -> Signal:
    """Return the signal between two corner frequencies, filtered without phase in one FFT."""
    spectrum, frequency, size = _transform(signal, signal.size)
    below, above = (np.float32(low_hz) / frequency) ** (2 * order), (frequency / np.float32(high_hz)) ** (2 * order)
    return _inverse(spectrum / np.sqrt((1 + below) * (1 + above)), size, signal.size)


def _unit(signal: Signal) -> Signal:
    peak = np.abs(signal).max()
    scaled: Signal = signal / max(peak, np.float32(1e-9))
    return scaled


def _drum(rng: np.random.Generator, size: int, base_hz: float, decay_s: float, drop: float, modes: int) -> Signal:
    """Return the modes of a struck membrane; the higher ones are weaker and die sooner."""
    result = np.zeros(size, dtype=np.float32)
    for ratio in _MEMBRANE[:modes] * rng.uniform(0.97, 1.03, modes):
        weight = np.float32(rng.uniform(0.3, 1.0) / ratio**1.5)
        sweep = _swept(size, base_hz * ratio, base_hz * ratio * (1 + drop), 0.03, rng.random() * 0.25)
        result += weight * sweep * _decay(size, decay_s / ratio)
    return _unit(result)


def _click(rng: np.random.Generator, size: int, amount: float, top_hz: float) -> Signal:
    """Return the knock of a beater or stick: a few milliseconds of noise below top_hz."""
    knock = _noise(rng, 1_024) * _decay(1_024, _log(rng, 0.001, 0.005))
    result = np.zeros(size, dtype=np.float32)
    count = min(size, knock.size)
    result[:count] = _unit(_band(knock, 150, top_hz))[:count]
    return result * np.float32(amount)


def _metal(rng: np.random.Generator, size: int, tuning: float) -> Signal:
    """Return six detuned square waves: the ring of analogue cymbals and hi-hats."""
    time = _time(size)
    result = np.zeros(size, dtype=np.float32)
    for frequency in _SQUARES_HZ * tuning * rng.uniform(0.95, 1.05, 6) * _log(rng, 0.8, 1.6):
        cycles = frequency * time + rng.random()
        result += np.where(cycles - np.floor(cycles) < 0.5, np.float32(1), np.float32(-1))
    return result / np.float32(6)


def _shimmer(rng: np.random.Generator, size: int, low_hz: float, peaks: float) -> Signal:
    """Return noise whose spectrum is drawn into thousands of uneven peaks, as of struck bronze."""
    spectrum, frequency, length = _transform(_noise(rng, size), size)
    # Modes lie every few hertz; each is a few bins wide.
    uneven = np.repeat(rng.standard_normal(frequency.size // 6 + 1, dtype=np.float32), 6)[: frequency.size]
    gain = np.exp(np.float32(peaks) * uneven) / np.sqrt(1 + (np.float32(low_hz) / frequency) ** 4)
    return _unit(_inverse(spectrum * gain, length, size))


# --- kick ------------------------------------------------------------------------------------


def _kick_sweep(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.05, 0.22) * kit.decay
    size = _samples(decay_s)
    base = _log(rng, 40, 70) * kit.tuning
    body = _swept(size, base, base * _log(rng, 2.0, 7.0), _log(rng, 0.006, 0.045)) * _decay(size, decay_s, 0.001)
    return body + _click(rng, size, rng.uniform(0, 0.6), _log(rng, 1_500, 9_000))


def _kick_long(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.2, 0.6) * kit.decay
    size = _samples(decay_s)
    base = _log(rng, 38, 64) * kit.tuning
    body = _swept(size, base, base * _log(rng, 1.1, 3.0), _log(rng, 0.01, 0.06)) * _decay(size, decay_s, 0.002)
    return body + _click(rng, size, rng.uniform(0, 0.3), _log(rng, 800, 4_000))


def _kick_fm(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.05, 0.25) * kit.decay
    size = _samples(decay_s)
    wave = _fm(size, _log(rng, 42, 72) * kit.tuning, rng.uniform(0.5, 2.3), _log(rng, 1, 9), _log(rng, 0.01, 0.06))
    return wave * _decay(size, decay_s, 0.001)


def _kick_acoustic(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.06, 0.25) * kit.decay
    size = _samples(decay_s)
    body = _drum(rng, size, _log(rng, 46, 74) * kit.tuning, decay_s, rng.uniform(0.1, 0.8), 4)
    return body + _click(rng, size, rng.uniform(0.1, 0.8), _log(rng, 2_000, 7_000))


# --- tom -------------------------------------------------------------------------------------


def _tom_drop(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.07, 0.3) * kit.decay
    size = _samples(decay_s)
    base = _log(rng, 85, 260) * kit.tuning
    body = _swept(size, base, base * rng.uniform(1.1, 2.6), _log(rng, 0.02, 0.12)) * _decay(size, decay_s, 0.001)
    hiss = _band(_noise(rng, size), 300, _log(rng, 1_500, 6_000)) * _decay(size, decay_s * 0.4)
    return body + hiss * np.float32(rng.uniform(0, 0.35)) + _click(rng, size, rng.uniform(0, 0.4), 4_000)


def _tom_acoustic(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.07, 0.32) * kit.decay
    size = _samples(decay_s)
    body = _drum(rng, size, _log(rng, 88, 240) * kit.tuning, decay_s, rng.uniform(0.03, 0.5), 6)
    return body + _click(rng, size, rng.uniform(0.1, 0.9), _log(rng, 2_000, 8_000))


def _tom_fm(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.06, 0.3) * kit.decay
    size = _samples(decay_s)
    wave = _fm(size, _log(rng, 90, 270) * kit.tuning, rng.uniform(0.6, 2.7), _log(rng, 0.5, 6), _log(rng, 0.02, 0.12))
    return wave * _decay(size, decay_s, 0.001)


# --- snare -----------------------------------------------------------------------------------


def _snare_shell(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.03, 0.13) * kit.decay
    size = _samples(decay_s)
    shell = _drum(rng, size, _log(rng, 130, 300) * kit.tuning, decay_s * rng.uniform(0.5, 1.4), 0.2, 4)
    wires = _unit(_band(_noise(rng, size), _log(rng, 600, 3_000), _log(rng, 5_000, 14_000)))
    balance = np.float32(rng.uniform(0.15, 1.0))
    return shell * (1 - balance) + wires * _decay(size, decay_s) * balance


def _snare_noise(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.02, 0.12) * kit.decay
    size = _samples(decay_s)
    hiss = _unit(_band(_noise(rng, size), _log(rng, 250, 1_600), _log(rng, 3_000, 13_000)))
    pop = _swept(size, 180 * kit.tuning, 330 * kit.tuning, 0.02) * _decay(size, 0.02)
    return hiss * _decay(size, decay_s) + pop * np.float32(rng.uniform(0, 0.35))


def _snare_rim(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.008, 0.035) * kit.decay
    size = _samples(3 * decay_s)
    base = _log(rng, 320, 1_000) * kit.tuning
    ring = _swept(size, base, base * 1.1, 0.004) + _swept(size, base * rng.uniform(1.5, 2.9), base * 3, 0.003)
    wires = _unit(_band(_noise(rng, size), 900, 9_000)) * _decay(size, decay_s * 2)
    return ring * _decay(size, decay_s) + wires * np.float32(rng.uniform(0.1, 0.8))


def _snare_fm(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.03, 0.13) * kit.decay
    size = _samples(decay_s)
    tone = _fm(size, _log(rng, 140, 320) * kit.tuning, rng.uniform(1.3, 4.7), _log(rng, 2, 20), _log(rng, 0.01, 0.08))
    hiss = _unit(_band(_noise(rng, size), 1_200, 11_000))
    return (tone + hiss * np.float32(rng.uniform(0.1, 1.0))) * _decay(size, decay_s)


# --- clap ------------------------------------------------------------------------------------


def _bursts(rng: np.random.Generator, count: int, spread_s: float, tail_s: float, tail: float) -> Signal:
    starts = np.cumsum(rng.uniform(0.5, 1.5, count)) * spread_s
    starts -= starts[0]
    size = int(starts[-1] * SAMPLE_RATE_HZ) + _samples(tail_s)
    envelope = np.zeros(size, dtype=np.float32)
    for number, start in enumerate(starts):
        at = int(start * SAMPLE_RATE_HZ)
        last = number == count - 1
        hit = _decay(size - at, tail_s if last else spread_s * rng.uniform(0.2, 0.6))
        envelope[at:] += hit * np.float32(tail if last else rng.uniform(0.6, 1.0))
    centre = _log(rng, 800, 2_600)
    return _band(_noise(rng, size), centre / _log(rng, 1.3, 3.0), centre * _log(rng, 1.3, 3.5)) * envelope


def _clap_bursts(rng: np.random.Generator, kit: Kit) -> Signal:
    count = int(rng.integers(3, 6))
    return _bursts(rng, count, _log(rng, 0.005, 0.016), _log(rng, 0.02, 0.11) * kit.decay, rng.uniform(0.5, 1.0))


def _clap_crowd(rng: np.random.Generator, kit: Kit) -> Signal:
    return _bursts(rng, int(rng.integers(7, 14)), _log(rng, 0.002, 0.008), _log(rng, 0.03, 0.12) * kit.decay, 0.8)


def _clap_single(rng: np.random.Generator, kit: Kit) -> Signal:
    return _bursts(rng, 2, _log(rng, 0.001, 0.006), _log(rng, 0.012, 0.08) * kit.decay, 1.0)


# --- hi-hat ----------------------------------------------------------------------------------


def _hat_decay(rng: np.random.Generator, kit: Kit) -> tuple[float, float]:
    """Return decay and attack, in seconds, of a closed, pedal or open hi-hat."""
    kinds = ((0.006, 0.03, 0.0), (0.012, 0.05, 0.006), (0.05, 0.16, 0.001))
    low, high, attack = kinds[rng.choice(3, p=(0.5, 0.15, 0.35))]
    return _log(rng, low, high) * kit.decay, attack


def _hat_squares(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s, attack_s = _hat_decay(rng, kit)
    size = _samples(decay_s)
    ring = _band(_metal(rng, size, kit.tuning), _log(rng, 4_000, 9_000), 18_000, 3)
    return ring * _decay(size, decay_s, attack_s)


def _hat_noise(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s, attack_s = _hat_decay(rng, kit)
    size = _samples(decay_s)
    return _band(_noise(rng, size), _log(rng, 2_500, 9_000), _log(rng, 9_000, 20_000)) * _decay(size, decay_s, attack_s)


def _hat_fm(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s, attack_s = _hat_decay(rng, kit)
    size = _samples(decay_s)
    ring = _fm(size, _log(rng, 900, 4_000) * kit.tuning, rng.uniform(1.2, 3.8), _log(rng, 5, 40), decay_s * 3)
    return _band(ring, _log(rng, 2_500, 7_000), 18_000) * _decay(size, decay_s, attack_s)


# --- cymbal ----------------------------------------------------------------------------------


def _cymbal_crash(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.28, 0.7) * kit.decay
    size = _samples(decay_s)
    wash = _shimmer(rng, size, _log(rng, 700, 5_000), rng.uniform(0.3, 1.2))
    return wash * (_decay(size, decay_s, _log(rng, 0.001, 0.02)) + np.float32(0.6) * _decay(size, decay_s * 0.15))


def _cymbal_splash(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.16, 0.32) * kit.decay
    size = _samples(decay_s)
    return _shimmer(rng, size, _log(rng, 1_500, 6_500), rng.uniform(0.3, 1.2)) * _decay(size, decay_s, 0.002)


def _cymbal_ride(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.22, 0.6) * kit.decay
    size = _samples(decay_s)
    time = _time(size)
    ping = np.zeros(size, dtype=np.float32)
    for frequency in np.exp(rng.uniform(np.log(500), np.log(9_000), 8)) * kit.tuning:
        ping += _sine(frequency * time) * _decay(size, decay_s * rng.uniform(0.3, 1.2))
    wash = _shimmer(rng, size, _log(rng, 1_500, 5_000), 0.8) * _decay(size, decay_s)
    return _unit(ping) * np.float32(rng.uniform(0.1, 0.8)) + wash


def _cymbal_squares(rng: np.random.Generator, kit: Kit) -> Signal:
    decay_s = _log(rng, 0.2, 0.6) * kit.decay
    size = _samples(decay_s)
    ring = _metal(rng, size, kit.tuning) + _noise(rng, size) * np.float32(rng.uniform(0.05, 0.4))
    return _band(ring, _log(rng, 1_500, 6_500), 15_000) * _decay(size, decay_s, 0.001)


METHODS: dict[str, dict[str, Method]] = {
    "clap": {"bursts": _clap_bursts, "crowd": _clap_crowd, "single": _clap_single},
    "cymbal": {"crash": _cymbal_crash, "splash": _cymbal_splash, "ride": _cymbal_ride, "squares": _cymbal_squares},
    "hihat": {"squares": _hat_squares, "noise": _hat_noise, "fm": _hat_fm},
    "kick": {"sweep": _kick_sweep, "long": _kick_long, "fm": _kick_fm, "acoustic": _kick_acoustic},
    "snare": {"shell": _snare_shell, "noise": _snare_noise, "rim": _snare_rim, "fm": _snare_fm},
    "tom": {"drop": _tom_drop, "acoustic": _tom_acoustic, "fm": _tom_fm},
}
"""Ways to make each class, by name."""


def _recorded(signal: Signal, rng: np.random.Generator, kit: Kit) -> Signal:
    """Return the voice as the kit's chain leaves it: saturation, room, tilt, noise, level, a gap before."""
    drive = kit.drive * _log(rng, 0.7, 1.4)
    fade = min(880, signal.size // 2)  # at most 20 ms, so that no voice ends in a click
    signal[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    signal = np.tanh(_unit(signal) * np.float32(drive)) / np.float32(np.tanh(drive))
    wet = kit.wet * rng.uniform(0.6, 1.2)
    length = signal.size + (kit.room.size if wet > 0.02 else 256)
    spectrum, frequency, size = _transform(signal, length)
    tilt_db = kit.tilt_db + rng.uniform(-0.7, 0.7)
    tilt = (np.clip(frequency, 40, 16_000) / 1_000) ** np.float32(tilt_db / 6.02)
    spectrum *= tilt / np.sqrt(1 + (frequency / np.float32(kit.top_hz)) ** 8)
    if wet > 0.02:
        spectrum *= 1 + np.float32(wet) * np.fft.rfft(kit.room, size)
    signal = _unit(_inverse(spectrum, size, min(length, int(_MAX_S * SAMPLE_RATE_HZ))))
    gap = round(rng.uniform(0, 0.06) * SAMPLE_RATE_HZ) if rng.random() < 0.25 else 0
    signal = np.concatenate((np.zeros(gap, dtype=np.float32), signal))
    hiss = rng.random(signal.size, dtype=np.float32) - np.float32(0.5)
    signal += hiss * np.float32(np.sqrt(12) * 10 ** (kit.noise_db / 20))
    level_db = float(np.clip(kit.level_db + rng.normal(0, 5), -30, 0))
    return _unit(signal) * np.float32(10 ** (level_db / 20))
