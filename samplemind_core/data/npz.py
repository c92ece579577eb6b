"""Ready-made spectrograms: ``train.npz``, ``validation.npz`` and ``test.npz`` with ``X`` and ``y``.

Each ``X`` is (N, n_mels, frames) of floats, each ``y`` (N,) of integers or strings. Headers are
checked before anything is read, rows are read block by block, and nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from samplemind_core.audio.decode import printable
from samplemind_core.config import FeatureConfig
from samplemind_core.data.arrays import ADVICE, Part, as_text, block_sizes, blocks, open_parts
from samplemind_core.data.cache import cache_file, write_cache
from samplemind_core.data.incoming import incoming_folder
from samplemind_core.data.npz_work import Checked, NpzWork
from samplemind_core.data.quality import duplicate_warnings, fingerprint_clips
from samplemind_core.data.sources import ImportOptions, label_fault, quoted
from samplemind_core.errors import DataError
from samplemind_core.settings import Limits
from samplemind_core.store.records import SPLITS, Clip, Dataset

if TYPE_CHECKING:
    from samplemind_core.store import Store

_MIN_SPAN_DB = 20.0


def import_npz(
    store: Store,
    root: Path,
    source: Path,
    name: str,
    *,
    options: ImportOptions,
    limits: Limits,
    progress: Callable[[int, int | None, str], None] | None = None,
    check: Callable[[], None] = lambda: None,
    dataset_id: str | None = None,
    keep: Path | None = None,
) -> Dataset:
    """Import ready-made spectrograms; the three files are the split.

    Values in dB from -80 to 0 are stored as they are; any other range is mapped linearly so that
    the training set spans -80 to 0, with a warning that gives the numbers. Class names come from an
    array ``classes`` or ``class_names``, else from the labels.

    Parameters
    ----------
    store, root, source, name, options, limits, progress
        As for :func:`~samplemind_core.data.importer.import_dataset`; ``source`` is a folder or zip.
    check : callable
        Called between blocks; raises to end the import.
    dataset_id : str, optional
        Id of the new dataset.
    keep : Path, optional
        Folder for what is finished: the same call goes on from there. Without it an import that ends
        early leaves nothing.

    Raises
    ------
    DataError
        Naming the file and what is wrong: pickled objects, shapes, values that are not numbers,
        numbers of rows that differ, no rows.
    StorageError
        If the workspace cannot be written.
    """
    report = progress or (lambda _done, _total, _what: None)
    dataset_id = dataset_id or uuid.uuid4().hex[:16]
    with ExitStack() as stack:
        parts = list(open_parts(source, stack, limits))
        features = _features(parts)
        labels, class_names = _labels(parts)
        total = sum(part.count for part in parts)
        own = None
        if keep is None:  # all work is done inside the folder that vanishes with its process
            own = stack.enter_context(incoming_folder(root, store, dataset_id))
            keep = own[0] / "work"
        work = NpzWork(keep, _stamp(source, parts))
        hashes = _check_all(parts, work, lambda done: report(done, 2 * total, "Checking spectrograms"), check)
        scale, shift, warnings = _mapping(parts, features)
        clips, row = [], 0
        places = {label: target for target, label in enumerate(class_names)}
        for part in parts:
            for i in range(part.count):
                title = f"{part.split}/{i:06d}"
                label = labels[row]
                clips.append(Clip(row, title, label, places[label], title, part.split, hashes[row]))
                row += 1
        warnings += duplicate_warnings(labels, [clip.name for clip in clips], hashes)
        warnings += _shared(clips)
        warnings += _absent(clips, class_names)
        dataset = Dataset(
            id=dataset_id,
            name=name,
            kind="features",
            class_names=class_names,
            num_clips=total,
            num_rejected=0,
            fingerprint=fingerprint_clips(clips),
            origin=options.origin or f"Spectrograms imported from '{printable(source.name or str(source))}'",
            seed=options.seed,
            created_at=time.time(),
            synthetic=options.synthetic,
            features=features.model_dump(mode="json"),
            warnings=tuple(warnings),
        )
        _store_all(
            parts, work, scale, shift, lambda done: report(total + done, 2 * total, "Storing spectrograms"), check
        )
        folder, publish = own or stack.enter_context(incoming_folder(root, store, dataset_id))
        file = folder / "cache" / cache_file(root, dataset_id, features).name
        file.parent.mkdir()
        write_cache(file, (total, *features.shape), work.rows(features.shape))
        shutil.rmtree(work.folder)
        publish()
        return store.datasets.add(dataset, clips)


def _check_all(parts: list[Part], work: NpzWork, report: Callable[[int], None], check: Callable[[], None]) -> list[str]:
    """Look at every value that was not looked at before; set the range of each part, return the hash of each row."""
    known, done = deque(work.checked), 0
    for part in parts:
        skipped = 0
        for count in block_sizes(part):
            if not known:
                break
            block = known.popleft()
            skipped, done = skipped + count, done + count
            part.low, part.high = min(part.low, block.low), max(part.high, block.high)
        for values in blocks(part, skipped):
            check()
            low, high = _range(part, values)
            part.low, part.high = min(part.low, low), max(part.high, high)
            rows = tuple(hashlib.sha256(row.astype("<f4").tobytes()).hexdigest() for row in values)
            work.check(Checked(low, high, rows))
            done += len(rows)
            report(done)
    return [digest for block in work.checked for digest in block.hashes]


def _store_all(
    parts: list[Part],
    work: NpzWork,
    scale: float,
    shift: float,
    report: Callable[[int], None],
    check: Callable[[], None],
) -> None:
    """Store every row that was not stored before, in dB."""
    done = work.stored(2 * math.prod(parts[0].image))
    first = 0
    for part in parts:
        for values in blocks(part, min(max(0, done - first), part.count)):
            check()
            work.store((values * scale + shift).astype(np.float16))
            done += len(values)
            report(done)
        first += part.count


def _stamp(source: Path, parts: list[Part]) -> str:
    """Return what tells these files, and how they are read, from others that take their places."""
    files = sorted(source.glob("*.npz")) if source.is_dir() else [source]
    facts = [f"{file.resolve()} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return " ".join([*facts, *(f"{part.split} {block_sizes(part)[0]}" for part in parts)])


def _features(parts: list[Part]) -> FeatureConfig:
    """Return the feature configuration that has the shape of the arrays."""
    images = {part.image for part in parts}
    if len(images) > 1:
        shown = "; ".join(f"{part.title} {part.image}" for part in parts)
        raise DataError(f"The spectrograms differ in shape: {shown}.", "Make all three files with one setting.")
    (n_mels, frames) = images.pop()
    config = FeatureConfig()
    if (n_mels, frames) == config.shape[1:]:
        return config
    duration_s = (frames - 1) * config.hop_length / config.sample_rate_hz
    try:
        return FeatureConfig(n_mels=n_mels, duration_s=duration_s)
    except ValidationError:
        raise DataError(
            f"Spectrograms of {n_mels} mel bands and {frames} frames cannot be used; expected 8 to 256 bands and "
            f"3 to {int(30 * config.sample_rate_hz / config.hop_length)} frames.",
            "X must be (clips, mel bands, frames).",
        ) from None


def _labels(parts: list[Part]) -> tuple[list[str], tuple[str, ...]]:
    """Return the label of every row, and the sorted class names."""
    names = next((part.names for part in parts if part.names is not None), None)
    if any(part.names not in (None, names) for part in parts):
        raise DataError("The files disagree on the class names.", "Store the same class_names in each.")
    labels: list[str] = []
    for part in parts:
        targets = as_text(part.targets)
        if targets.dtype.kind == "f" and np.equal(targets, np.round(targets)).all():
            targets = targets.astype(np.int64)
        if targets.dtype.kind not in "iubU":
            raise DataError(f"y in {part.title} holds {targets.dtype}, expected integers or strings.", ADVICE)
        if targets.dtype.kind == "U" or names is None:
            labels += [str(value) for value in (targets if targets.dtype.kind == "U" else targets.astype(np.int64))]
        else:
            numbers = targets.astype(np.int64)
            if numbers.min() < 0 or numbers.max() >= len(names):
                raise DataError(
                    f"y in {part.title} goes from {numbers.min()} to {numbers.max()}, but there are {len(names)} "
                    "class names.",
                    "Number the classes from 0.",
                )
            labels += [names[number] for number in numbers]
    fault = next((fault for label in sorted(set(labels)) if (fault := label_fault(label))), None)
    if fault:
        raise DataError(f"A label in y cannot name a class. {fault}", "Correct it.")
    class_names = tuple(sorted(set(labels)))
    if len(class_names) < 2:
        raise DataError(f"Training needs at least two classes; y holds only {quoted(class_names)}.", "Add another.")
    return labels, class_names


def _mapping(parts: list[Part], features: FeatureConfig) -> tuple[float, float, list[str]]:
    """Return (scale, shift, warnings) of the map to dB."""
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    if -features.top_db - 1 <= low and high <= 1 and high - low >= _MIN_SPAN_DB:
        return 1.0, 0.0, []
    train = next(part for part in parts if part.split == "train")
    if train.high - train.low < 1e-9:
        raise DataError(f"All values of X in {train.title} are {train.low:g}.", "Compute the spectrograms again.")
    scale = features.top_db / (train.high - train.low)
    shift = -train.high * scale
    if max(abs(low * scale + shift), abs(high * scale + shift)) > np.finfo(np.float16).max:
        raise DataError(
            f"X goes from {low:g} to {high:g}, far beyond the training set's {train.low:g} to {train.high:g}.",
            "Scale all three files alike.",
        )
    return (
        scale,
        shift,
        [
            f"The values are not dB from -{features.top_db:g} to 0: the training set goes from {train.low:g} to "
            f"{train.high:g}. All values were mapped linearly (times {scale:.6g}, plus {shift:.6g}). A model trained "
            "on these classifies audio files well only if they were made from audio in the same way."
        ],
    )


def _range(part: Part, block: NDArray[np.float32]) -> tuple[float, float]:
    low, high = float(block.min()), float(block.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DataError(f"X in {part.title} holds values that are not numbers (NaN or infinity).", "Compute it again.")
    return low, high


def _shared(clips: list[Clip]) -> list[str]:
    sides: dict[str, set[str]] = {}
    for clip in clips:
        sides.setdefault(clip.content_hash, set()).add(clip.split)
    count = sum(len(found) > 1 for found in sides.values())
    if not count:
        return []
    return [f"{count:,} identical spectrograms are on more than one side of the split; scores will flatter."]


def _absent(clips: list[Clip], class_names: tuple[str, ...]) -> list[str]:
    present = {(clip.label, clip.split) for clip in clips}
    return [
        f"No clips in {split}: {quoted(absent)}."
        for split in SPLITS
        if (absent := [name for name in class_names if (name, split) not in present])
    ]
