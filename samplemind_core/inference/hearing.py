"""From a file to what a network is given: decoded, its window chosen, its spectrogram computed on a CPU."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from samplemind_core.audio.decode import decode_all
from samplemind_core.audio.features import Sounding, front_end
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
    :func:`~samplemind_core.audio.decode.decode_all`; ``seconds`` is a file's share of that.
    """
    started = time.perf_counter()
    named = [
        (item, item.name, str(item)) if isinstance(item, Path) else (item[1], Path(item[0]).name, item[0])
        for item in items
    ]
    rate_hz = features.sample_rate_hz
    heard: list[Heard] = []
    windows: list[npt.NDArray[np.float32]] = []
    sources = ((source, shown) for source, shown, _ in named)
    decoded_all = decode_all(sources, rate_hz, limits=limits, hashed=None)
    for (_, _, name), decoded in zip(named, decoded_all, strict=True):
        if isinstance(decoded, AudioError):
            heard.append(Heard(name, error=str(decoded)))
            continue
        waveform = decoded.waveform
        window, start = (crop_window if spectrograms else fit_window)(waveform, features)
        kept = waveform if keep_waveforms else None
        start_s, duration_s = start / rate_hz, len(waveform) / rate_hz
        heard.append(Heard(name, waveform=kept, start_s=start_s, duration_s=duration_s))
        windows.append(detached(window, waveform))
    signals: Iterable[Sounding] = ((window, 0.0) for window in windows)
    if spectrograms:
        with torch.inference_mode():
            signals = front_end(features).sounding(windows, features.num_samples)
    share_s = (time.perf_counter() - started) / max(1, len(items))
    rest = iter(signals)
    done: list[Heard] = []
    for one in heard:
        signal, silence_db = (None, 0.0) if one.error is not None else next(rest)
        done.append(replace(one, signal=signal, silence_db=silence_db, seconds=share_s))
    return done


def lost(item: Item) -> Heard:
    """Return what is said of a file that ended the process that listened to it, twice."""
    name = str(item) if isinstance(item, Path) else item[0]
    return Heard(name, error=str(lost_error(Path(name).name)))
