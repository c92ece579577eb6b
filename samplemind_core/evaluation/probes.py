"""The changes that a network is tried with, how harsh they get, and what training could do about each."""

from __future__ import annotations

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
    """What training could do about a probe: settings that go further, if there are any, and the reason in words."""

    settings: dict[str, float | int | str]
    about: str


def remedy(probe: str, level: float, augment: AugmentConfig, features: FeatureConfig) -> Remedy:
    """Return which setting comes nearest to a probe, where it goes beyond a run's own.

    Where nothing is of the kind, ``settings`` is empty and ``about`` says so.

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
    settings: dict[str, float | int | str] = {}
    if probe == "pitch":
        settings["warp_semitones"] = min(12.0, abs(float(level)))
        about = "The frequencies of spectra are moved up and down by up to this much."
    elif probe == "tempo":
        settings["stretch_percent"] = round(min(100.0, 100.0 * (max(level, 1.0 / level) - 1.0)))
        about = "Spectra are stretched and squeezed in time by up to this much."
    elif probe in ("low_pass", "mp3", "old_sampler"):
        lowest_hz = {"low_pass": level, "mp3": 250.0 * level, "old_sampler": _OLD_RATE_HZ / 2}[probe]
        settings["band_limit_hz"] = min(float(lowest_hz), 0.9 * features.max_hz)
        about = "Half of the sounds lose what lies above a frequency from here on up."
        if probe != "low_pass":
            about += " That is near to what is lost here, though not the same."
    elif probe == "high_pass":
        settings["eq_db"] = 15.0
        about = "The balance of bass and treble is changed at random. That is near to lost bass, though not the same."
    elif probe == "silence" and features.align != "onset":
        settings["align"] = "onset"
        about = "The window then starts where the sound does, so that silence before it makes no difference."
    elif probe == "silence":
        settings["time_shift_ms"] = min(1_000.0, 1_000.0 * level)
        about = "The window starts at the sound already. Sounds are moved earlier and later by up to this much."
    elif probe == "cut":
        settings["time_mask_ms"] = min(1_000.0, max(200.0, 500.0 * features.duration_s))
        about = "Stretches of time are hidden at random. That is near to a missing end, though not the same."
    elif probe == "reverb":
        settings["room_s"] = 1.0
        about = "Half of the sounds are put into rooms of up to so long a reverberation."
    elif probe == "noise":
        # The noise of training is told from the loudest cell of the picture, some 20 dB above the mean of its bands.
        settings["noise_snr_db"] = min(max(10.0, 20.0 - level), 0.75 * features.top_db)
        about = "Half of the sounds get noise, at least so far below their maximum."
    else:
        about = (
            "Level alone changes nothing, as each sound is measured against its own maximum. What is lost is lost to "
            "clipping, and no augmentation clips sounds."
        )
    current: dict[str, Any] = features.model_dump() | augment.model_dump()
    raised = {name: value for name, value in settings.items() if _goes_beyond(name, value, current[name])}
    if settings and not raised:
        about = "The run was trained with as much of the nearest augmentation already; other training samples may help."
    return Remedy(raised, about)


def _goes_beyond(name: str, value: Any, current: Any) -> bool:
    if name in ("noise_snr_db", "band_limit_hz"):  # the lower, the stronger; 0 is off
        return bool(not current or value < current)
    return bool(value != current) if isinstance(value, str) else bool(value > current)
