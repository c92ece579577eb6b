"""A clip of a dataset becomes a row of a feature cache. Light enough to start a process with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.content_hash import kind_of
from samplemind_core.audio.decode import Decoded, decode, decode_all
from samplemind_core.audio.listeners import lost_error
from samplemind_core.audio.window import crop_window, detached
from samplemind_core.config import FeatureConfig
from samplemind_core.errors import AudioError, DataError
from samplemind_core.settings import NO_LIMITS


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Where the audio of a clip lies, and what it was when it was imported."""

    path: Path
    name: str
    dataset_id: str
    content_hash: str


def make_rows(files: Sequence[StoredFile], *, features: FeatureConfig) -> list[bytes]:
    """Return the log-mel spectrograms (1, n_mels, frames) of a few clips as float16, little end first.

    Raises
    ------
    DataError
        If a file is gone or has changed.
    """
    windows = []
    for hashed, alike in groupby(files, key=lambda file: kind_of(file.content_hash)):
        group = list(alike)
        sources = ((file.path, file.name) for file in group)
        sounds = decode_all(sources, features.sample_rate_hz, limits=NO_LIMITS, hashed=hashed)
        for file, sound in zip(group, sounds, strict=True):
            waveform = _checked(file, sound)
            windows.append(detached(crop_window(waveform, features)[0], waveform))
    return rows_of(windows, features)


def rows_of(windows: Sequence[NDArray[np.float32]], features: FeatureConfig) -> list[bytes]:
    """Return the log-mel spectrograms of a few windows (at most num_samples,) as a cache holds them."""
    import torch

    from samplemind_core.audio.features import front_end, put_together

    rows = []
    with torch.inference_mode():
        for sounding in front_end(features).sounding(windows, features.num_samples):
            row = np.empty(features.shape, "<f2")
            put_together(*sounding, out=row[0])
            rows.append(row.tobytes())
    return rows


def lost_row(file: StoredFile) -> bytes:
    """Raise the error of a file that ended the process that decoded it, twice."""
    raise _unusable(file, lost_error(file.name))


def stored_waveform(file: StoredFile, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return the stored audio (T,) of a clip at a sample rate.

    Raises
    ------
    DataError
        If the file is gone or has changed.
    """
    try:
        sound: Decoded | AudioError = decode(
            file.path, sample_rate_hz, name=file.name, limits=NO_LIMITS, hashed=kind_of(file.content_hash)
        )
    except AudioError as error:
        sound = error
    return _checked(file, sound)


def _checked(file: StoredFile, sound: Decoded | AudioError) -> NDArray[np.float32]:
    if isinstance(sound, AudioError):
        raise _unusable(file, sound) from sound
    if sound.content_hash != file.content_hash:
        raise DataError(
            f"The stored file of clip '{file.name}' has changed since its import.", "Import the dataset again."
        )
    return sound.waveform


def _unusable(file: StoredFile, error: AudioError) -> DataError:
    return DataError(
        f"The stored file of clip '{file.name}' in dataset '{file.dataset_id}' can no longer be used: {error.problem}",
        "Import the dataset again.",
    )
