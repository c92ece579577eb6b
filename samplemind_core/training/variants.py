"""Variants: changed copies of training clips, made from their waveforms once, of which every epoch draws.

What the waveform knows and a spectrogram does not (phases, saturation, second sounds) cannot be changed anew in
every epoch at the speed at which networks learn. So each training clip gets a few changed copies before the first
epoch, and their spectrograms are kept beside the dataset's own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from torch import Tensor
from torch.nn import functional

from samplemind_core.audio.features import LogMel
from samplemind_core.audio.waveform_augment import augment_waveforms
from samplemind_core.audio.window import crop_window
from samplemind_core.config import AugmentConfig, FeatureConfig, RunConfig, fingerprint
from samplemind_core.data.cache import clip_waveform, new_cache, open_cache
from samplemind_core.data.dataset import ClipData, no_variants
from samplemind_core.data.incoming import dataset_folder, storage_errors
from samplemind_core.errors import DataError
from samplemind_core.store.records import Clip
from samplemind_core.training.places import place_seed
from samplemind_core.training.streaming import RowReader
from samplemind_core.training.training_data import TrainingData

if TYPE_CHECKING:
    from samplemind_core.store import Store

Progress = Callable[[int, int | None, str], None]
Floats = npt.NDArray[np.float32]

KEPT_FILES = 3
"""Files of variants that a dataset keeps; the ones that were used longest ago make room for new ones."""

WHAT = "Making variants"
_BATCH = 16
_THREADS = 2


def with_variants(
    data: TrainingData,
    config: RunConfig,
    root: Path,
    store: Store,
    clips: ClipData,
    progress: Progress | None = None,
) -> TrainingData:
    """Return data with the variants that a configuration asks for, made now if they are not on disk.

    They depend on the settings, the seed and the training clips alone, second sounds included, and the same are
    made again if their file is lost.

    Parameters
    ----------
    data : TrainingData
        ``train_rows`` says of which clips.
    config : RunConfig
    root : Path
        The workspace folder.
    store : Store
    clips : ClipData
        The dataset's version that ``data`` was taken from.
    progress : callable, optional
        Called with (variants done, variants in all, what) while making them; may raise to stop.

    Raises
    ------
    DataError
        If a clip's file is gone or has changed, or the dataset holds no audio.
    ConfigError
        If a setting is beyond what the sample rate has.
    StorageError
        If the file cannot be written.
    """
    num_variants = config.augment.variants
    if not num_variants:
        return data
    dataset = clips.dataset
    if dataset.kind != "audio":
        raise no_variants(dataset)
    records = {clip.row: clip for clip in store.versions.clips(dataset)}
    taken = [records[int(row)] for row in data.train_rows]
    file = variants_file(root, dataset.id, config, [clip.content_hash for clip in taken])
    shape = (num_variants * len(taken), *config.features.shape)
    ready = open_cache(file, shape)
    if ready is None:
        with storage_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{file}.lock"):
                ready = open_cache(file, shape)  # another process may have made it while this one waited
                if ready is None:
                    _make_room(file)
                    new_cache(file, shape, lambda array: _fill(array, dataset_folder(root, dataset.id), taken, config,
                                                               progress))  # fmt: skip
                    ready = open_cache(file, shape)
    if ready is None:
        raise DataError("The variants cannot be read back.", "Check the disk of the workspace.")
    file.touch()
    return replace(data, variants=ready)


def variants_file(root: Path, dataset_id: str, config: RunConfig, content_hashes: Sequence[str]) -> Path:
    """Return where the variants of clips are kept for one configuration."""
    augment = config.augment
    named = {name: value for name, value in augment.model_dump().items() if name.startswith("wave_")}
    settings = AugmentConfig(variants=augment.variants, **named)
    parts = [fingerprint(config.features), fingerprint(settings), str(config.train.seed), *content_hashes]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return dataset_folder(root, dataset_id) / "cache" / f"variants-{key}.npy"


class Stacked:
    """Two arrays of spectrograms as one, the second's rows after the first's; never copied as a whole.

    As much of an array as a feed asks for: ``shape``, ``dtype``, ``nbytes``, rows by an array of indexes, and
    a copy of everything by ``np.array``.
    """

    def __init__(self, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
        self._first, self._second = first, second
        self._readers = RowReader(first), RowReader(second)
        self.shape = (len(first) + len(second), *first.shape[1:])
        self.dtype = first.dtype
        self.nbytes = first.nbytes + second.nbytes
        self.ndim = first.ndim

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        later = rows >= len(self._first)
        result = np.empty((len(rows), *self.shape[1:]), self.dtype)
        result[~later] = self._readers[0].read(rows[~later])
        result[later] = self._readers[1].read(rows[later] - len(self._first))
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.concatenate([self._first, self._second]).astype(dtype or self.dtype, copy=False)


class Pool:
    """Every training clip with its variants, as rows of one array.

    Attributes
    ----------
    log_mel : array (N + V·n, 1, n_mels, frames)
        The dataset, then V variants of its n training clips, variant by variant.
    targets : ndarray of int64, shape (N + V·n,) or (N + V·n, C)
    """

    def __init__(self, data: TrainingData, num_variants: int) -> None:
        self.log_mel: Any = data.log_mel
        self.targets = data.targets
        self._num_variants = num_variants
        self._num_rows, self._num_train = len(data.targets), len(data.train_rows)
        if num_variants:
            assert data.variants is not None
            self.log_mel = Stacked(data.log_mel, data.variants)
            self.targets = np.concatenate([data.targets, *[data.targets[data.train_rows]] * num_variants])
            self._place = torch.full((self._num_rows,), -1, dtype=torch.int64)
            self._place[torch.from_numpy(data.train_rows)] = torch.arange(self._num_train)

    def drawn(self, rows: Tensor, seed: int, epoch: int) -> Tensor:
        """Return which rows of ``log_mel`` stand for training rows (n,) in an epoch: the clip or a variant of it.

        Each is as likely as the next, by seed, epoch and clip, wherever the clip comes in the epoch.
        """
        if not self._num_variants:
            return rows
        generator = torch.Generator().manual_seed(place_seed(seed, epoch, DRAWN))
        choices = torch.randint(0, self._num_variants + 1, (self._num_train,), generator=generator)
        place = self._place[rows]
        choice = choices[place]
        return torch.where(choice == 0, rows, self._num_rows + (choice - 1) * self._num_train + place)


DRAWN = -1
"""Last part of the place at which an epoch draws its variants; steps count from 1."""


def _make_room(file: Path) -> None:
    others = sorted(file.parent.glob("variants-*.npy"), key=lambda path: path.stat().st_mtime)
    for old in others[: max(0, len(others) - KEPT_FILES + 1)]:
        try:
            old.unlink()
        except PermissionError:
            continue  # Windows keeps a file that another run reads


def _fill(array: Any, folder: Path, taken: Sequence[Clip], config: RunConfig, progress: Progress | None) -> None:
    features, num_variants, seed = config.features, config.augment.variants, config.train.seed
    front_end = LogMel(features)
    total, done = num_variants * len(taken), 0
    # Clips of one length together: a batch is as long as its longest.
    order = sorted(range(len(taken)), key=lambda place: (taken[place].duration_s or 0.0, place))
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    with torch.inference_mode():
        for number, (places, sounds) in enumerate(_sounds(folder, taken, batches, features, config.augment)):
            for variant in range(num_variants):
                generator = torch.Generator().manual_seed(place_seed(seed, variant, number))
                log_mel = front_end(changed(sounds, config.augment, features, generator))
                for row, place in enumerate(places):
                    array[variant * len(taken) + place] = log_mel[row].numpy()
                done += len(places)
                if progress is not None:
                    progress(done, total, WHAT)


def changed(sounds: Tensor, augment: AugmentConfig, features: FeatureConfig, generator: torch.Generator) -> Tensor:
    """Return variants (B, num_samples) of sounds (B, T) that begin where their windows do.

    The second sound under one, where there is any, is another of the batch.
    """
    layers = sounds[torch.randperm(len(sounds), generator=generator)] if augment.wave_layer_db else None
    variants = augment_waveforms(sounds, augment, features.sample_rate_hz, generator, layers)
    short = features.num_samples - variants.shape[1]
    return functional.pad(variants, (0, short)) if short > 0 else variants[:, : features.num_samples]


def needed(waveform: Floats, augment: AugmentConfig, features: FeatureConfig) -> Floats:
    """Return the part of a clip (T,) that its variants are made from: its window, and what faster ones reach."""
    _, start = crop_window(waveform, features)
    reach = math.ceil(features.num_samples * 2.0 ** (augment.wave_pitch_semitones / 12.0))
    reach += round(augment.wave_shift_ms / 1_000.0 * features.sample_rate_hz)
    return waveform[start : start + reach]


def stacked(sounds: Sequence[Floats], augment: AugmentConfig, features: FeatureConfig) -> Tensor:
    """Return sounds as a batch (B, T), with room for what changes make longer."""
    rate = features.sample_rate_hz
    longest = max(len(sound) for sound in sounds) * 2.0 ** (augment.wave_pitch_semitones / 12.0)
    longest += (augment.wave_room_s + augment.wave_shift_ms / 1_000.0) * rate
    reach = max(len(sound) for sound in sounds)
    batch = torch.zeros(len(sounds), max(reach, min(math.ceil(longest), features.num_samples)))
    for row, sound in enumerate(sounds):
        batch[row, : len(sound)] = torch.from_numpy(sound)
    return batch


def _sounds(
    folder: Path, taken: Sequence[Clip], batches: Sequence[list[int]], features: FeatureConfig, augment: AugmentConfig
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield places and their sounds (B, T); the next batch is decoded while this one is in use."""

    def read(place: int) -> Floats:
        return needed(clip_waveform(folder, taken[place], features.sample_rate_hz), augment, features)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="variants") as pool:
        try:
            ahead = [pool.submit(read, place) for place in batches[0]] if batches else []
            for number, places in enumerate(batches):
                batch = ahead
                following = batches[number + 1] if number + 1 < len(batches) else []
                ahead = [pool.submit(read, place) for place in following]
                yield places, stacked([future.result() for future in batch], augment, features)
        finally:
            pool.shutdown(cancel_futures=True)
