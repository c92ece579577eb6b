"""One file becomes a clip: decoded, checked, kept, transformed. Light enough to start a process with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.decode import AudioInfo, decode_all
from samplemind_core.audio.listeners import lost_error
from samplemind_core.audio.window import crop_window, detached
from samplemind_core.config import FeatureConfig
from samplemind_core.data.rows import rows_of
from samplemind_core.errors import AudioError
from samplemind_core.settings import Limits

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of one file: a clip in ``file`` with its spectrogram in ``row``, or the reason why not."""

    name: str
    reason: str = ""
    file: str = ""
    row: int = -1
    content_hash: str = ""
    silent: bool = False
    info: AudioInfo | None = None


@dataclass(frozen=True, slots=True)
class RawFile:
    """The content of a candidate, and the name that it gets in the dataset."""

    name: str
    file: str
    data: bytes


Outcome = tuple[Reading, bytes]
"""What became of a file, and its spectrogram (float16) where it became a clip."""


def make_clips(files: Sequence[RawFile], *, folder: str, features: FeatureConfig, limits: Limits) -> list[Outcome]:
    """Decode and check a few files, and keep in the folder those that are clips.

    All are decoded before the first spectrogram is computed, for the same reason as in
    :func:`~samplemind_core.audio.decode.decode_all`; what waits is a window of each.
    """
    readings: list[Reading] = []
    windows: list[NDArray[np.float32]] = []
    sources = ((file.data, file.name.rpartition("/")[2]) for file in files)
    for file, decoded in zip(files, decode_all(sources, features.sample_rate_hz, limits=limits), strict=True):
        if isinstance(decoded, AudioError):
            readings.append(Reading(file.name, str(decoded)))
            continue
        waveform = decoded.waveform
        silent = not (waveform.max() or waveform.min())
        readings.append(Reading(file.name, "", file.file, -1, decoded.content_hash, silent, decoded.info))
        windows.append(detached(crop_window(waveform, features)[0], waveform))
    rows = iter(rows_of(windows, features))
    outcomes = [(reading, next(rows) if reading.info else b"") for reading in readings]
    for file, reading in zip(files, readings, strict=True):
        if reading.info:
            write_new(f"{folder}/{file.file}", file.data)
    return outcomes


def lost(file: RawFile) -> Outcome:
    """Return what is said of a file that ended the process that decoded it, twice."""
    return Reading(file.name, str(lost_error(file.name.rpartition("/")[2]))), b""


def write_new(path: str, data: bytes) -> None:
    """Write a file whole; a buffered stream costs as much again as the write itself."""
    descriptor = os.open(path, _NEW_FILE, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)
