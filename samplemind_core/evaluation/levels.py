"""How loud the clips of a dataset are: measured once for each clip, and kept beside the dataset's features."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from samplemind_core.errors import SampleMindError
from samplemind_core.evaluation.slices import rms_level_db
from samplemind_core.files import DAMAGED, open_arrays, write_atomic
from samplemind_core.store.records import Clip

if TYPE_CHECKING:
    from samplemind_core.tasks import TaskContext

Progress = Callable[[int, int | None, str], None]

QUICK = 200
"""So many files are measured in a moment."""

_KEEP_EVERY = 2_000


def stored_levels(root: Path, dataset_id: str) -> dict[int, float]:
    """Return the RMS levels in dB of full scale that were measured so far, by clip id; NaN for unreadable files."""
    try:
        with open_arrays(_file(root, dataset_id)) as kept:
            return dict(zip(kept["clip_ids"].tolist(), kept["levels_db"].tolist(), strict=True))
    except DAMAGED:
        return {}  # not measured yet, or damaged: measured anew


def measure_levels(root: Path, clips: Sequence[Clip], progress: Progress | None = None) -> dict[int, float]:
    """Return the RMS level in dB of full scale of clips of one dataset, by their ids: kept, or measured now and kept.

    Parameters
    ----------
    root : Path
        The workspace folder.
    clips : sequence of Clip
        NaN stands for a clip whose file is gone or damaged.
    progress : callable, optional
        Called with (clips done, clips in all, what); what it raises ends the work, and what was measured is kept.
    """
    if not clips:
        return {}
    from samplemind_core.data.cache import clip_waveform
    from samplemind_core.data.incoming import dataset_folder

    dataset_id = clips[0].dataset_id or ""
    folder, found = dataset_folder(root, dataset_id), stored_levels(root, dataset_id)
    missing = [clip for clip in clips if (clip.id or 0) not in found]
    measured: dict[int, float] = {}
    try:
        for done, clip in enumerate(missing, 1):
            try:
                level_db = rms_level_db(clip_waveform(folder, clip, clip.sample_rate_hz or 44_100))
            except SampleMindError:
                level_db = float("nan")  # gone or damaged since the import
            measured[clip.id or 0] = level_db
            if progress is not None and (done % 20 == 0 or done == len(missing)):
                progress(done, len(missing), "Measuring how loud the samples are")
            if done % _KEEP_EVERY == 0:
                _keep(root, dataset_id, measured)
    finally:
        if measured:
            found = _keep(root, dataset_id, measured)
    return {clip.id or 0: found[clip.id or 0] for clip in clips}


def run_levels(context: TaskContext) -> dict[str, Any]:
    """Do a task of the kind ``levels``: the loudness of every clip of ``dataset``."""
    workspace, dataset_id = context.workspace, context.params["dataset"]
    return {"num_clips": len(measure_levels(workspace.root, workspace.clips(dataset_id), context.advance))}


def _keep(root: Path, dataset_id: str, measured: dict[int, float]) -> dict[int, float]:
    file = _file(root, dataset_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):  # a page and the worker may both have measured some
        found = stored_levels(root, dataset_id) | measured
        buffer = io.BytesIO()
        np.savez(buffer, clip_ids=np.array(list(found), np.int64), levels_db=np.array(list(found.values()), np.float64))
        write_atomic(file, buffer.getvalue())
    return found


def _file(root: Path, dataset_id: str) -> Path:
    return root / "datasets" / dataset_id / "cache" / "levels.npz"
