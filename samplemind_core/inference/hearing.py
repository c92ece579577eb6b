"""From a file to what a network is given: decoded, its window chosen, its spectrogram computed on a CPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from samplemind_core.audio.decode import decode_all
from samplemind_core.audio.features import front_end
from samplemind_core.audio.listeners import lost_error
from samplemind_core.audio.window import crop_window, detached, fit_window
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
    items: Sequence[Item],
    *,
    features: FeatureConfig,
    limits: Limits,
    spectrograms: bool = True,
    keep_waveforms: bool = False,
) -> list[Heard]:
    """Return what becomes of each of a few files; a bad one has ``error`` set.

    All are decoded before the first spectrogram is computed, for the same reason as in
    :func:`~samplemind_core.audio.decode.decode_all`; ``seconds`` is the mean of those that were heard together.
    """
    started = time.perf_counter()
    names = [str(item) if isinstance(item, Path) else item[0] for item in items]
    sources = (
        (item if isinstance(item, Path) else item[1], Path(name).name) for item, name in zip(items, names, strict=True)
    )
    rate_hz = features.sample_rate_hz
    found: list[Heard] = []
    for name, decoded in zip(names, decode_all(sources, rate_hz, limits=limits, hashed=False), strict=True):
        if isinstance(decoded, AudioError):
            found.append(Heard(name, error=str(decoded)))
            continue
        waveform = decoded.waveform
        window, start = (crop_window if spectrograms else fit_window)(waveform, features)
        if keep_waveforms:
            kept = waveform
        else:
            window, kept = detached(window, waveform), None
        found.append(Heard(name, window, kept, start / rate_hz, len(waveform) / rate_hz))
    if spectrograms:
        with torch.inference_mode():
            found = [
                one if one.signal is None else replace(one, signal=front_end(features).of_clip(one.signal).numpy())
                for one in found
            ]
    share = (time.perf_counter() - started) / max(1, len(items))
    return [replace(one, seconds=share) for one in found]


def lost(item: Item) -> Heard:
    """Return what is said of a file that ended the process that listened to it, twice."""
    name = str(item) if isinstance(item, Path) else item[0]
    return Heard(name, error=str(lost_error(Path(name).name)))
