"""The log-mel spectrograms of a dataset in one memory-mapped file per feature configuration.

float16 keeps a level of -80 dB to within 0.03 dB, and half the bytes move faster than the bits it saves would help.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from samplemind_core.audio.listeners import listeners
from samplemind_core.config import USUAL_FEATURES, FeatureConfig, fingerprint
from samplemind_core.data.incoming import dataset_folder, storage_errors
from samplemind_core.data.rows import StoredFile, lost_row, make_rows, stored_waveform
from samplemind_core.errors import DataError
from samplemind_core.store.records import Clip, Dataset

if TYPE_CHECKING:
    from samplemind_core.store import Store

Progress = Callable[[int, int | None, str], None]
Float16 = NDArray[np.float16]

_BATCH, _AHEAD = 64, 2  # clips written at a time, and batches that are made meanwhile


def cache_file(root: Path, dataset_id: str, features: FeatureConfig) -> Path:
    """Return where the spectrograms of a dataset are kept for one feature configuration."""
    return dataset_folder(root, dataset_id) / "cache" / f"{fingerprint(features)}.npy"


def usual_features(dataset: Dataset) -> FeatureConfig:
    """Return the front end of a dataset where no network is chosen: its own where it came as spectrograms."""
    return FeatureConfig.model_validate(dataset.features) if dataset.features else USUAL_FEATURES


def feature_cache(
    root: Path, store: Store, dataset: Dataset, features: FeatureConfig, progress: Progress | None = None
) -> np.memmap[Any, np.dtype[np.float16]]:
    """Return the spectrograms of all clips of a dataset, computing them if they are not there yet.

    Parameters
    ----------
    root : Path
        The workspace folder.
    store : Store
        Database of the workspace.
    dataset : Dataset
        An imported dataset.
    features : FeatureConfig
        Front end.
    progress : callable, optional
        Called with (clips done, clips in all, what) while computing.

    Returns
    -------
    memmap of float16, shape (N, 1, n_mels, frames)
        dB in [-top_db, 0], in the order of ``Clip.row``, excluded clips included; read-only.

    Raises
    ------
    DataError
        If a clip's file is gone or has changed, or ready-made features of another configuration are
        asked for.
    StorageError
        If the cache cannot be written.
    """
    file = cache_file(root, dataset.id, features)
    shape = (store.datasets.num_rows(dataset.id), *features.shape)
    ready = open_cache(file, shape)
    if ready is not None:
        return ready
    if dataset.kind == "features":
        raise other_features(dataset, features)
    with storage_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            ready = open_cache(file, shape)  # another process may have finished it while this one waited
            if ready is None:
                for left in file.parent.glob(f".{file.name}.*.part"):  # by a process that was killed
                    left.unlink(missing_ok=True)
                _build(file, shape, root, store.versions.clips(dataset), dataset, features, progress)
                ready = open_cache(file, shape)
    if ready is None:
        raise DataError("The feature cache cannot be read back.", "Check the disk of the workspace.")
    return ready


def new_cache(file: Path, shape: tuple[int, ...], fill: Callable[[Any], None]) -> None:
    """Write a cache file whole: under a temporary name, flushed, then renamed.

    Parameters
    ----------
    file : Path
        Final name; its folder must exist.
    shape : tuple of int
        Shape of the float16 array.
    fill : callable
        Writes the array it is given.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
        try:
            # A sparse file on a full disk would end the process at the first write to its mapping.
            if hasattr(os, "posix_fallocate"):
                with partial.open("r+b") as stream:
                    os.posix_fallocate(stream.fileno(), 0, partial.stat().st_size)
            fill(array)
            array.flush()
        finally:
            del array
        with partial.open("r+b") as stream:
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def write_cache(file: Path, shape: tuple[int, ...], blocks: Iterable[Float16]) -> None:
    """Write a cache file in a folder that is not public yet, block after block, in little memory.

    Parameters
    ----------
    file : Path
        Its folder must exist.
    shape : tuple of int
        Shape of the whole array.
    blocks : iterable of ndarray of float16
        Its rows, in order.
    """
    with file.open("wb") as stream:
        stream.write(cache_header(shape))
        for block in blocks:
            stream.write(np.ascontiguousarray(block, dtype="<f2").data)
        stream.flush()
        os.fsync(stream.fileno())


def cache_header(shape: tuple[int, ...]) -> bytes:
    """Return the first bytes of a cache file, which are as many for any number of rows."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f2", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def open_cache(file: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.float16]] | None:
    """Return a cache file that is whole and of the right shape, or None."""
    array = _load(file)
    return array if array is not None and array.shape == shape else None


def _load(file: Path) -> np.memmap[Any, np.dtype[np.float16]] | None:
    """Return a cache file that is whole, or None."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if isinstance(array, np.memmap) and array.dtype == np.float16 else None


def _build(
    file: Path,
    shape: tuple[int, ...],
    root: Path,
    clips: Sequence[Clip],
    dataset: Dataset,
    features: FeatureConfig,
    progress: Progress | None,
) -> None:
    # Clips that came later have the later rows: the earlier ones are there already.
    earlier = _load(file)
    kept = earlier if earlier is not None and earlier.shape[1:] == shape[1:] else np.empty((0, *shape[1:]), np.float16)
    first = min(len(kept), len(clips))
    files = [_stored(dataset_folder(root, dataset.id), clip) for clip in clips[first:]]

    def fill(array: Float16) -> None:
        array[:first] = kept[:first]
        done = first
        batches = (files[start : start + _BATCH] for start in range(0, len(files), _BATCH))
        make = partial(make_rows, features=features)
        made = listeners().stream(make, batches, lost_row, ahead=_AHEAD, expected=len(files))
        with closing(made):  # at once where progress ends the work
            for rows, _ in made:
                array[done : done + len(rows)] = np.frombuffer(b"".join(rows), "<f2").reshape(-1, *features.shape)
                done += len(rows)
                if progress is not None:
                    progress(done, len(clips), "Computing spectrograms")

    new_cache(file, shape, fill)


def clip_waveform(folder: Path, clip: Clip, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return the stored audio (T,) of a clip in a dataset's folder, at a sample rate.

    Raises
    ------
    DataError
        If the file is gone or has changed.
    """
    return stored_waveform(_stored(folder, clip), sample_rate_hz)


def _stored(folder: Path, clip: Clip) -> StoredFile:
    return StoredFile(folder / (clip.file or ""), clip.name, str(clip.dataset_id), clip.content_hash)


def other_features(dataset: Dataset, features: FeatureConfig) -> DataError:
    """Return the error for asking ready-made spectrograms for these features."""
    stored = FeatureConfig.model_validate(dataset.features)
    if stored == features:
        return DataError(
            f"The spectrograms of dataset '{dataset.name}' are missing or damaged.", "Import the dataset again."
        )
    mine, theirs = stored.model_dump(), features.model_dump()
    changes = ", ".join(f"{key} {mine[key]} (not {theirs[key]})" for key in mine if mine[key] != theirs[key])
    return DataError(
        f"Dataset '{dataset.name}' holds ready-made spectrograms, which cannot be computed anew; they have {changes}.",
        "Use these feature settings, or import the audio itself.",
    )
