"""From a file to what a network is given: decoded, its window chosen, its spectrogram computed on a CPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
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

    ``signal`` is what goes on: the frames of the log-mel spectrogram that hold signal, (n_mels, at most
    frames) in dB, with all after them at ``silence_db``, or, for a GPU that computes it, the window
    (num_samples,). ``waveform`` (T,) is kept where asked for. ``start_s`` and ``duration_s`` say where the
    window lies in the file, ``seconds`` how long all this took.
    """

    name: str
    signal: npt.NDArray[np.float32] | None = None
    silence_db: float = 0.0
    waveform: npt.NDArray[np.float32] | None = None
    start_s: float = 0.0
    duration_s: float = 0.0
    seconds: float = 0.0
    error: str | None = None


_Begun = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None, float, float]
"""A decoded file: its window, its waveform where that is kept, the start of the window and the length, in seconds."""


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
    :func:`~samplemind_core.audio.decode.decode_all`; ``seconds`` is a file's share of that and
    its own spectrogram.
    """
    started = time.perf_counter()
    named = [
        (item, item.name, str(item)) if isinstance(item, Path) else (item[1], Path(item[0]).name, item[0])
        for item in items
    ]
    rate_hz = features.sample_rate_hz
    begun: list[_Begun | str] = []
    sources = ((source, shown) for source, shown, _ in named)
    for decoded in decode_all(sources, rate_hz, limits=limits, hashed=False):
        if isinstance(decoded, AudioError):
            begun.append(str(decoded))
            continue
        waveform = decoded.waveform
        window, start = (crop_window if spectrograms else fit_window)(waveform, features)
        kept = waveform if keep_waveforms else None
        begun.append((detached(window, waveform), kept, start / rate_hz, len(waveform) / rate_hz))
    share_s = (time.perf_counter() - started) / max(1, len(items))
    front = front_end(features) if spectrograms else None
    heard: list[Heard] = []
    with torch.inference_mode():
        for (_, _, name), one in zip(named, begun, strict=True):
            if isinstance(one, str):
                heard.append(Heard(name, error=one, seconds=share_s))
                continue
            began = time.perf_counter()
            window, kept, start_s, duration_s = one
            signal, silence_db = (window, 0.0) if front is None else front.sounding(window, features.num_samples)
            own_s = time.perf_counter() - began
            heard.append(Heard(name, signal, silence_db, kept, start_s, duration_s, share_s + own_s))
    return heard


def lost(item: Item) -> Heard:
    """Return what is said of a file that ended the process that listened to it, twice."""
    name = str(item) if isinstance(item, Path) else item[0]
    return Heard(name, error=str(lost_error(Path(name).name)))
