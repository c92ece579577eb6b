"""From a file to what a network is given: decoded, its window chosen, its spectrogram computed on a CPU."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from samplemind_core.audio.decode import decode
from samplemind_core.audio.features import front_end
from samplemind_core.audio.listeners import lost_error
from samplemind_core.audio.window import crop_window, fit_window
from samplemind_core.config import FeatureConfig
from samplemind_core.errors import AudioError
from samplemind_core.settings import Limits

Item = Path | tuple[str, bytes]
"""A file, or the name and the content of an upload."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A decoded file, or the reason why it could not be heard.

    ``signal`` is what goes on: the log-mel spectrogram (1, n_mels, frames) in dB or, for a GPU that
    computes it, the window (num_samples,). ``waveform`` (T,) is kept where asked for. ``start_s`` and
    ``duration_s`` say where the window lies in the file, ``seconds`` how long all this took.
    """

    name: str
    signal: npt.NDArray[np.float32] | None = None
    waveform: npt.NDArray[np.float32] | None = None
    start_s: float = 0.0
    duration_s: float = 0.0
    seconds: float = 0.0
    error: str | None = None


def hear(
    item: Item, *, features: FeatureConfig, limits: Limits, spectrograms: bool = True, keep_waveforms: bool = False
) -> Heard:
    """Return what becomes of one file; a bad one has ``error`` set."""
    started = time.perf_counter()
    source, name = (item, str(item)) if isinstance(item, Path) else (item[1], item[0])
    rate_hz = features.sample_rate_hz
    try:
        waveform = decode(source, rate_hz, name=Path(name).name, limits=limits, hashed=False).waveform
    except AudioError as error:
        return Heard(name, error=str(error), seconds=time.perf_counter() - started)
    if spectrograms:
        window, start = crop_window(waveform, features)
        with torch.inference_mode():
            signal = front_end(features).of_clip(window).numpy()
    else:
        signal, start = fit_window(waveform, features)
    return Heard(
        name,
        signal,
        waveform if keep_waveforms else None,
        start / rate_hz,
        len(waveform) / rate_hz,
        time.perf_counter() - started,
    )


def lost(item: Item) -> Heard:
    """Return what is said of a file that ended the process that listened to it, twice."""
    name = str(item) if isinstance(item, Path) else item[0]
    return Heard(name, error=str(lost_error(Path(name).name)))
