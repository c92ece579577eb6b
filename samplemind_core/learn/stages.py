"""From waveform to picture, one stage at a time, and back to sound from what each stage keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samplemind_core.config import FeatureConfig

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stages:
    """A sound on its way to the network.

    ``waveform`` (num_samples,) float32; ``power`` (1 + n_fft // 2, frames) of the STFT; ``mel``
    (n_mels, frames), the power gathered into bands; ``log_mel`` (n_mels, frames) in dB, what the
    network gets. ``num_empty_bands`` mel bands fall between two frequencies of the STFT.
    """

    waveform: Floats
    power: Floats
    mel: Floats
    log_mel: Floats
    num_empty_bands: int
    features: FeatureConfig


def stages(waveform: Floats, features: FeatureConfig) -> Stages:
    """Return what the front end makes of a waveform (T,) at its rate, stage by stage.

    Raises
    ------
    EmptyAudioError, AudioError
        No samples; not of shape (T,).
    """
    import torch

    from samplemind_core.audio.features import LogMel, mel_filters, power_spectrum
    from samplemind_core.audio.window import fit_window

    window, _ = fit_window(waveform, features)
    power = power_spectrum(torch.from_numpy(window)[None], features)
    filters = torch.from_numpy(mel_filters(features))
    mel = filters @ power[0]
    return Stages(
        waveform=window,
        power=power[0].numpy(),
        mel=mel.numpy(),
        log_mel=LogMel(features)(torch.from_numpy(window)[None])[0, 0].numpy(),
        num_empty_bands=int((filters.amax(dim=1) == 0).sum()),
        features=features,
    )


@dataclass(frozen=True, eq=False)
class Sounds:
    """A sound made again from what each stage keeps, each (num_samples,) float32 and as loud as the original."""

    from_power: Floats
    from_mel: Floats
    from_log_mel: Floats


def sounds(seen: Stages) -> Sounds:
    """Return what each stage would sound like: the phase is lost first, then fine pitch, then what is very quiet."""
    from samplemind_core.data.hearing import resynthesise, with_phases

    # Without a floor (as far below as can be asked for) the decibels are the mel bands themselves.
    deep = seen.features.model_copy(update={"top_db": 160.0})
    level = 10.0 * np.log10(np.maximum(seen.mel, 1e-30))
    unfloored = np.maximum(level - level.max(), -deep.top_db).astype(np.float32)
    return Sounds(
        from_power=_as_loud(with_phases(np.sqrt(seen.power, dtype=np.float64), seen.features), seen.waveform),
        from_mel=_as_loud(resynthesise(unfloored, deep), seen.waveform),
        from_log_mel=_as_loud(resynthesise(seen.log_mel, seen.features), seen.waveform),
    )


def _as_loud(made: Floats, original: Floats) -> Floats:
    loud, quiet = (float(np.sqrt(np.square(x, dtype=np.float64).mean())) for x in (original, made))
    return made * np.float32(loud / quiet) if quiet > 0 else made
