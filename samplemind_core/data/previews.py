"""Small pictures of clips: outlines of their waveforms for lists, and the log-mel spectrogram of one.

Outlines are measured once and kept beside the feature cache, a few bytes per clip. Where a feature
cache has a clip's spectrogram, it is read from there, without torch.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from samplemind_core.config import FeatureConfig
from samplemind_core.data.cache import cache_file
from samplemind_core.data.incoming import dataset_folder, storage_errors
from samplemind_core.errors import AudioError, NotFoundError
from samplemind_core.settings import NO_LIMITS
from samplemind_core.store.records import Clip, Dataset

NUM_PEAKS = 64
_RATE_HZ = 22_050
_THREADS = 2
_LEVELS = 255

if TYPE_CHECKING:
    Bytes = NDArray[np.uint8]


def waveform_peaks(root: Path, dataset: Dataset, clips: Sequence[Clip]) -> dict[int, list[int]]:
    """Return the outline of each clip's waveform, measured now where it is not known yet.

    Parameters
    ----------
    root : Path
        The workspace folder.
    dataset : Dataset
    clips : sequence of Clip
        Clips of this dataset.

    Returns
    -------
    dict of int to list of int
        By clip id, :data:`NUM_PEAKS` heights from 0 to 255 relative to the clip's own peak; an empty
        list where the clip has no audio that can be read.

    Raises
    ------
    StorageError
        If the outlines cannot be kept.
    """
    file = dataset_folder(root, dataset.id) / "cache" / "peaks.npy"
    # Every row of the newest version; an older one may ask for clips that came after it.
    rows = max(dataset.num_clips + dataset.num_excluded, 1 + max((clip.row for clip in clips), default=0))
    known = _opened(file, rows)
    missing = [clip for clip in clips if not known[clip.row, 0] and clip.file]
    if missing:
        folder = dataset_folder(root, dataset.id)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="peaks") as pool:
            measured = list(pool.map(lambda clip: _measure(folder / str(clip.file), clip), missing))
        for clip, peaks in zip(missing, measured, strict=True):
            if peaks is not None:
                # The mark is written last: a reader in another process sees a whole row or none.
                known[clip.row, 1:] = peaks
                known[clip.row, 0] = 1
    return {
        clip.id: known[clip.row, 1:].tolist() if known[clip.row, 0] else [] for clip in clips if clip.id is not None
    }


def clip_log_mel(root: Path, dataset: Dataset, clip: Clip, features: FeatureConfig) -> NDArray[np.float32]:
    """Return the spectrogram of a clip, shape (n_mels, frames), in dB.

    Raises
    ------
    NotFoundError
        If the clip has neither audio nor a stored spectrogram of these features.
    AudioError
        If its file was damaged since the import.
    """
    file = cache_file(root, dataset.id, features)
    try:
        stored = np.load(file, mmap_mode="r", allow_pickle=False)
        if stored.shape[1:] == features.shape and clip.row < len(stored):
            return np.asarray(stored[clip.row, 0], dtype=np.float32)
    except (OSError, ValueError, EOFError):
        pass  # not made yet, or not whole: computed below
    if clip.file is None:
        raise NotFoundError(f"'{clip.name}' has no spectrogram with these settings.", "It was imported without audio.")
    import torch

    from samplemind_core.audio.decode import decode
    from samplemind_core.audio.features import LogMel
    from samplemind_core.audio.window import fit_window

    path = dataset_folder(root, dataset.id) / clip.file
    decoded = decode(path, features.sample_rate_hz, name=clip.name, limits=NO_LIMITS)
    window = torch.from_numpy(fit_window(decoded.waveform, features)[0])
    with torch.inference_mode():
        return np.asarray(LogMel(features)(window[None])[0, 0].numpy(), dtype=np.float32)


def _opened(file: Path, num_rows: int) -> np.memmap[Any, np.dtype[np.uint8]]:
    """Return the outlines of a dataset, (rows, 1 + NUM_PEAKS): whether it is known, then the heights."""
    shape = (num_rows, 1 + NUM_PEAKS)
    with storage_errors(file):
        for _ in range(2):
            try:
                found = np.load(file, mmap_mode="r+", allow_pickle=False)
                if found.shape == shape and found.dtype == np.uint8:
                    return found  # type: ignore[no-any-return]
            except (OSError, ValueError, EOFError):
                pass  # the first look at this dataset
            file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{file}.lock"):
                partial = file.with_name(f".{file.name}.{os.getpid()}.part")
                with partial.open("wb") as stream:
                    np.lib.format.write_array(stream, np.zeros(shape, np.uint8), allow_pickle=False)
                partial.replace(file)
        return np.load(file, mmap_mode="r+", allow_pickle=False)  # type: ignore[no-any-return]


def _measure(path: Path, clip: Clip) -> Bytes | None:
    from samplemind_core.audio.decode import decode

    try:
        waveform = decode(path, clip.sample_rate_hz or _RATE_HZ, name=clip.name, limits=NO_LIMITS).waveform
    except AudioError:
        return None  # playing it says why
    edges = np.linspace(0, len(waveform), NUM_PEAKS + 1).astype(np.int64)
    level = np.abs(waveform)
    peaks = np.array([level[a : max(b, a + 1)].max(initial=0.0) for a, b in itertools.pairwise(edges)])
    top = float(peaks.max(initial=0.0))
    return np.round(peaks * (_LEVELS / top) if top > 0 else peaks).astype(np.uint8)
