"""Sounds for lessons: demo voices as the network hears them, and packs that repeat themselves.

Everything follows from its arguments, is made within seconds and kept for the process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.synth import CLASS_NAMES, NUM_KITS, SAMPLE_RATE_HZ, voice
from samplemind_core.config import FeatureConfig

LESSON = FeatureConfig(duration_s=0.75, n_mels=32)
"""A short, coarse front end: a lesson's network learns within seconds on one core."""

PER_CLASS = 48
"""Clips of each class in the lessons that train: enough to learn from, made within seconds."""
UNSEEN_KIT = 16
"""Kits from this one on are never trained on in a lesson."""
MAX_VARIATIONS = 4
"""How often a pack of :func:`pack_clips` repeats each of its sounds."""

_CHUNK = 32  # clips transformed at once; more would hold hundreds of megabytes of spectra


@dataclass(frozen=True, eq=False)
class Clips:
    """Labelled sounds with a source each.

    ``waveforms`` (N, num_samples) float32 at ``features.sample_rate_hz``; ``log_mel``
    (N, 1, n_mels, frames) float32 in dB; ``targets`` (N,) places in ``class_names``; ``sources`` (N,)
    the pack of each clip; ``variations`` (N,) which variation of a sound it is, 0 the sound itself.
    """

    waveforms: NDArray[np.float32]
    log_mel: NDArray[np.float32]
    targets: NDArray[np.int64]
    sources: NDArray[np.int64]
    variations: NDArray[np.int64]
    features: FeatureConfig
    class_names: tuple[str, ...] = CLASS_NAMES

    def __len__(self) -> int:
        return len(self.targets)


def demo_voice(target: int, index: int, rate_hz: int, seed: int = 0) -> NDArray[np.float32]:
    """Return a demo voice (T,) at a rate; see :func:`samplemind_core.audio.synth.voice`."""
    import soxr

    made = voice(target, index, seed)
    waveform: NDArray[np.float32] = soxr.resample(made.waveform, SAMPLE_RATE_HZ, rate_hz).astype(np.float32)
    return waveform


@lru_cache(maxsize=4)
def demo_clips(per_class: int, features: FeatureConfig = LESSON, seed: int = 0) -> Clips:
    """Return ``per_class`` demo voices of each class; clip ``i`` of a class comes from kit ``i`` modulo 24."""
    places = [(target, index) for index in range(per_class) for target in range(len(CLASS_NAMES))]
    waveforms = [demo_voice(target, index, features.sample_rate_hz, seed) for target, index in places]
    return _clips(
        waveforms,
        features,
        targets=[target for target, _ in places],
        sources=[index % NUM_KITS for _, index in places],
        variations=[0] * len(places),
    )


@lru_cache(maxsize=1)
def pack_clips(features: FeatureConfig = LESSON, seed: int = 0) -> Clips:
    """Return 24 packs that hold one sound of each class in :data:`MAX_VARIATIONS` variations.

    So packs are sold: the same snare shorter, brighter, a little lower. Each variation is the sound
    resampled by up to 3 %, cut shorter, tilted by up to 3 dB and set in level.
    """
    waveforms, targets, sources, variations = [], [], [], []
    for kit in range(NUM_KITS):
        for target in range(len(CLASS_NAMES)):
            sound = demo_voice(target, kit, features.sample_rate_hz, seed)
            rng = np.random.default_rng([seed, kit, target])
            for number in range(MAX_VARIATIONS):
                waveforms.append(sound if number == 0 else _variation(sound, features.sample_rate_hz, rng))
                targets.append(target)
                sources.append(kit)
                variations.append(number)
    return _clips(waveforms, features, targets, sources, variations)


def _variation(sound: NDArray[np.float32], rate_hz: int, rng: np.random.Generator) -> NDArray[np.float32]:
    stretch = rng.uniform(0.97, 1.03)
    places = np.arange(0, len(sound) - 1, stretch)
    varied = np.interp(places, np.arange(len(sound)), sound)
    decay_s = rng.uniform(0.3, 2.0) * len(sound) / rate_hz
    varied *= np.exp(-np.arange(len(varied)) / (decay_s * rate_hz))
    tilt_db = rng.uniform(-3, 3)  # at half the rate against 0 Hz
    spectrum = np.fft.rfft(varied)
    spectrum *= 10 ** (tilt_db * np.linspace(-0.5, 0.5, len(spectrum)) / 20)
    varied = np.fft.irfft(spectrum, len(varied))
    level = 10 ** (rng.uniform(-6, 0) / 20)
    return (varied * level / max(1.0, float(np.abs(varied).max()))).astype(np.float32)


def _clips(
    waveforms: list[NDArray[np.float32]],
    features: FeatureConfig,
    targets: Iterable[int],
    sources: Iterable[int],
    variations: Iterable[int],
) -> Clips:
    import torch

    from samplemind_core.audio.features import LogMel
    from samplemind_core.audio.window import fit_window

    windows = np.stack([fit_window(waveform, features)[0] for waveform in waveforms])
    front_end = LogMel(features)
    parts = [front_end(torch.from_numpy(windows[i : i + _CHUNK])) for i in range(0, len(windows), _CHUNK)]
    return Clips(
        waveforms=windows,
        log_mel=torch.cat(parts).numpy(),
        targets=np.array(list(targets), dtype=np.int64),
        sources=np.array(list(sources), dtype=np.int64),
        variations=np.array(list(variations), dtype=np.int64),
        features=features,
    )
