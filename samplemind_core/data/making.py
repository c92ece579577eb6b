"""One file becomes a clip: decoded, checked, kept, transformed. Light enough to start a process with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePosixPath

from samplemind_core.audio.decode import AudioInfo, decode
from samplemind_core.audio.listeners import lost_error
from samplemind_core.audio.window import crop_window
from samplemind_core.config import FeatureConfig
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


def make_clip(file: RawFile, *, folder: str, features: FeatureConfig, limits: Limits) -> Outcome:
    """Decode and check a file, and keep it in the folder if it is a clip."""
    import torch

    from samplemind_core.audio.features import front_end

    try:
        name = PurePosixPath(file.name).name
        decoded = decode(file.data, features.sample_rate_hz, name=name, limits=limits)
    except AudioError as error:
        return Reading(file.name, str(error)), b""
    write_new(f"{folder}/{file.file}", file.data)
    window, _ = crop_window(decoded.waveform, features)
    with torch.inference_mode():
        log_mel = front_end(features).of_clip(window).half().numpy().astype("<f2", copy=False)
    silent = not (decoded.waveform.max() or decoded.waveform.min())
    return Reading(file.name, "", file.file, -1, decoded.content_hash, silent, decoded.info), log_mel.tobytes()


def lost(file: RawFile) -> Outcome:
    """Return what is said of a file that ended the process that decoded it, twice."""
    return Reading(file.name, str(lost_error(PurePosixPath(file.name).name))), b""


def write_new(path: str, data: bytes) -> None:
    """Write a file whole; a buffered stream costs as much again as the write itself."""
    descriptor = os.open(path, _NEW_FILE, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)
