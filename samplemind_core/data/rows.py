"""A clip of a dataset becomes a row of a feature cache. Light enough to start a process with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.decode import decode
from samplemind_core.audio.listeners import lost_error
from samplemind_core.audio.window import crop_window
from samplemind_core.config import FeatureConfig
from samplemind_core.errors import AudioError, DataError
from samplemind_core.settings import Limits


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Where the audio of a clip lies, and what it was when it was imported."""

    path: Path
    name: str
    dataset_id: str
    content_hash: str


def make_row(file: StoredFile, *, features: FeatureConfig) -> bytes:
    """Return the log-mel spectrogram (1, n_mels, frames) of a clip as float16, little end first.

    Raises
    ------
    DataError
        If the file is gone or has changed.
    """
    import torch

    from samplemind_core.audio.features import front_end

    window, _ = crop_window(stored_waveform(file, features.sample_rate_hz), features)
    with torch.inference_mode():
        return front_end(features).of_clip(window).numpy().astype("<f2").tobytes()


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
    # The file passed the limits of its import; a limit lowered since then must not lock it out.
    limits = Limits(max_file_mb=4_096, max_clip_s=86_400)
    try:
        decoded = decode(file.path, sample_rate_hz, name=file.name, limits=limits)
    except AudioError as error:
        raise _unusable(file, error) from error
    if decoded.content_hash != file.content_hash:
        raise DataError(
            f"The stored file of clip '{file.name}' has changed since its import.", "Import the dataset again."
        )
    return decoded.waveform


def _unusable(file: StoredFile, error: AudioError) -> DataError:
    return DataError(
        f"The stored file of clip '{file.name}' in dataset '{file.dataset_id}' can no longer be used: {error.problem}",
        "Import the dataset again.",
    )
