"""The changes that a network is tried with, how harsh they get, and what training could do about each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samplemind_core.config import AugmentConfig, FeatureConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_ROOM_S = 0.8
_RANDOM = ("noise", "reverb")
_OLD_RATE_HZ = 12_000
_MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

Apply = Callable[["Tensor", int, float, "torch.Generator"], "Tensor"]


@dataclass(frozen=True)
class Probe:
    """One kind of change.

    Attributes
    ----------
    name, title, unit : str
        ``unit`` stands behind the level.
    levels : tuple of float
        From one end to the other.
    apply : callable
        From waveforms (B, T), their rate, a level and a generator to waveforms (B, T').
    clean_at : int
        Before which level the clean clip belongs: 0 where every level is harsher than the last.
    about : str
        What is done, or what the level means.
    """

    name: str
    title: str
    unit: str
    levels: tuple[float, ...]
    apply: Apply = field(repr=False)
    clean_at: int
    about: str

    def levels_at(self, sample_rate_hz: int) -> tuple[float, ...]:
        """Return the levels that make sense at a sample rate; none where the probe does not."""
        if self.name == "mp3":
            return self.levels if sample_rate_hz in _MP3_RATES_HZ else ()
        if self.name in ("low_pass", "high_pass"):
            return tuple(level for level in self.levels if level < sample_rate_hz / 2)
        if self.name == "old_sampler":
            return self.levels if sample_rate_hz >= _OLD_RATE_HZ else ()
        return self.levels

    def label(self, level: float) -> str:
        """Return a level with its unit: ``−3 semitones``."""
        sign = "+" if self.clean_at and self.unit != "×" and level > 0 else ""
        return f"{sign}{level:,g} {self.unit}".replace("-", "−")


def _gain(clips: Tensor, rate: int, level: float, generator: torch.Generator) -> Tensor:
    from samplemind_core.audio import transforms

    return transforms.gain(clips, level)


def _pitch(clips: Tensor, rate: int, level: float, generator: torch.Generator) -> Tensor:
    from samplemind_core.audio import transforms

    return transforms.pitch_shift(clips, rate, level)


def _tempo(clips: Tensor, rate: int, level: float, generator: torch.Generator) -> Tensor:
    from samplemind_core.audio import transforms

    return transforms.time_stretch(clips, level)


def _mp3(clips: Tensor, rate: int, level: float, generator: torch.Generator) -> Tensor:
    from samplemind_core.audio import transforms

    return transforms.mp3(clips, rate, round(level))


def _low_pass(clips: Tensor, rate: int, level: float, generator: torch.Generator) -> Tensor:
    from samplemind_core.audio import transforms

    return transforms.low_pass(clips, rate, level)


def _high_pass(clips: Tensor, rate: int, level: float, generator: torch.Generator) -> Tensor:
    from samplemind_core.audio import transforms

    return transforms.high_pass(clips, rate, level)


def _old_sampler(clips: Tensor, rate: int, level: float, generator: torch.Generator) -> Tensor:
    from samplemind_core.audio import transforms

    return transforms.old_sampler(clips, rate, _OLD_RATE_HZ, round(level))


def _noise(clips: Tensor, rate: int, level: float, generator: torch.Generator) -> Tensor:
    from samplemind_core.audio import transforms

    return transforms.add_noise(clips, rate, level, generator)


def _reverb(clips: Tensor, rate: int, level: float, generator: torch.Generator) -> Tensor:
    from samplemind_core.audio import transforms

    return transforms.reverb(clips, rate, _ROOM_S, level, generator)


def _silence(clips: Tensor, rate: int, level: float, generator: torch.Generator) -> Tensor:
    from samplemind_core.audio import transforms

    return transforms.lead_silence(clips, rate, level)


def _cut(clips: Tensor, rate: int, level: float, generator: torch.Generator) -> Tensor:
    from samplemind_core.audio import transforms

    return transforms.truncate(clips, rate, level)


PROBES: dict[str, Probe] = {
    probe.name: probe
    for probe in (
        Probe("gain", "Gain", "dB", (-40, -20, 6, 12, 24), _gain, 2, "Louder or quieter; cut at full scale."),
        Probe("pitch", "Pitch", "semitones", (-6, -3, -1, 1, 3, 6), _pitch, 3, "Higher or lower at the same tempo."),
        Probe("tempo", "Time stretch", "×", (0.5, 0.75, 0.9, 1.1, 1.5, 2), _tempo, 3, "So many times as fast."),
        Probe("mp3", "MP3", "kbit/s", (128, 64, 32, 16), _mp3, 0, "Coded as MP3 and decoded again."),
        Probe("low_pass", "Low pass", "Hz", (8_000, 4_000, 2_000, 1_000), _low_pass, 0, "Without what lies above."),
        Probe("high_pass", "High pass", "Hz", (50, 100, 200, 400), _high_pass, 0, "Without what lies below."),
        Probe("old_sampler", "Old sampler", "bits", (12, 8, 6, 4), _old_sampler, 0, "Stored at 12 kHz with few bits."),
        Probe("noise", "White noise", "dB", (-40, -30, -20, -10, 0), _noise, 0, "Relative to the loudest 50 ms."),
        Probe("reverb", "Reverb", "dB", (-20, -10, -5, 0), _reverb, 0, "0.8 s, relative to the direct sound."),
        Probe("silence", "Leading silence", "s", (0.02, 0.05, 0.1, 0.25, 0.5), _silence, 0, "Before the sound begins."),
        Probe("cut", "Cut short", "s", (0.5, 0.2, 0.1, 0.05), _cut, 0, "Only the beginning is left."),
    )
}
"""All probes by name, in the order in which they are tried."""


def changed(
    probe: Probe, windows: npt.NDArray[np.float32], features: FeatureConfig, level: float, seeds: Sequence[int]
) -> npt.NDArray[np.float32]:
    """Return clips (B, num_samples) as the network gets them after a change.

    A sound that has become longer is cropped, a shorter one padded, by the front end's own rule.

    Parameters
    ----------
    probe : Probe
    windows : ndarray of float32, shape (B, num_samples)
    features : FeatureConfig
    level : float
    seeds : sequence of int, length B
        Of each clip's own noise, so that what was measured can be heard again.
    """
    import torch

    from samplemind_core.audio.window import fit_window

    clips = torch.from_numpy(windows)
    rate = features.sample_rate_hz
    if probe.name in _RANDOM:
        rows = [
            probe.apply(clip[None], rate, level, torch.Generator().manual_seed(seed))[0].numpy()
            for clip, seed in zip(clips, seeds, strict=True)
        ]
    else:
        rows = list(probe.apply(clips, rate, level, torch.Generator()).numpy())
    return np.stack([fit_window(sound, features)[0] for sound in rows])


@dataclass(frozen=True)
class Remedy:
    """What training could do about a probe: settings to raise, if there are any, and the reason in words."""

    settings: dict[str, float | int]
    about: str


def remedy(probe: str, level: float, augment: AugmentConfig, features: FeatureConfig) -> Remedy:
    """Return which augmentation comes nearest to a probe, as settings that go beyond a run's own.

    Where no augmentation is of the kind, ``settings`` is empty and ``about`` says so.

    Parameters
    ----------
    probe : str
        Name of a probe.
    level : float
        The level to withstand, in the probe's unit.
    augment : AugmentConfig
        What the run was trained with.
    features : FeatureConfig
    """
    settings: dict[str, float | int] = {}
    if probe == "pitch":
        settings["freq_shift_bins"] = min(16, max(1, math.ceil(_bands(abs(level), features))))
        about = "Spectra are moved up and down by some bands, which is near to a change of pitch."
    elif probe in ("low_pass", "high_pass", "mp3", "old_sampler"):
        settings["freq_mask_bins"] = min(64, max(8, features.n_mels // 4))
        about = "Bands of frequencies are hidden at random. That is near to a lost band, though not the same."
    elif probe == "silence":
        settings["time_shift_ms"] = min(1_000.0, 1_000.0 * level)
        about = "Sounds are moved earlier and later by up to this much."
    elif probe == "cut":
        settings["time_mask_ms"] = min(1_000.0, max(200.0, 500.0 * features.duration_s))
        about = "Stretches of time are hidden at random. That is near to a missing end, though not the same."
    elif probe in ("reverb", "tempo"):
        settings["gain_db"] = min(12.0, 0.4 * features.top_db)
        about = "Decays are bent longer and shorter. That is near to a room or another tempo, though not the same."
    elif probe == "gain":
        about = (
            "Level alone changes nothing, as each sound is measured against its own maximum. What is lost is lost to "
            "clipping, and no augmentation clips sounds."
        )
    else:
        about = "No augmentation adds noise to the sounds. Training samples with noise in them would help."
    current: dict[str, Any] = augment.model_dump()
    raised = {name: value for name, value in settings.items() if value > current[name]}
    if settings and not raised:
        about = "The run was trained with as much of the nearest augmentation already; other training samples may help."
    return Remedy(raised, about)


def _bands(semitones: float, features: FeatureConfig) -> float:
    """Return how many mel bands a change of pitch spans at 1 kHz."""
    from samplemind_core.audio.features import mel_frequencies

    centres = mel_frequencies(features.n_mels + 2, features.fmin_hz, features.max_hz)
    ends = np.interp([1_000.0, 1_000.0 * 2 ** (semitones / 12)], centres, np.arange(len(centres)))
    return float(ends[1] - ends[0])
