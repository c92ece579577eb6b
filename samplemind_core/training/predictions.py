"""Logits that a checkpoint leaves behind: comparing and error-hunting need no network afterwards."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import CheckpointError
from samplemind_core.files import DAMAGED, open_arrays, write_atomic
from samplemind_core.store.records import SPLITS

if TYPE_CHECKING:
    import torch

    from samplemind_core.data.dataset import ClipData
    from samplemind_core.store import Checkpoint, Store

BATCH = 256

Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class Logits:
    """What a checkpoint said about some clips.

    ``logits`` (N, num_classes) float32; ``targets`` (N,) int64 are places in ``class_names``, -1 where
    the clip's label is none of them, or (N, num_classes) uint8 with 1 for each of several labels;
    ``clip_ids`` (N,) int64.
    """

    logits: npt.NDArray[np.float32]
    targets: npt.NDArray[Any]
    clip_ids: npt.NDArray[np.int64]
    class_names: tuple[str, ...]


def compute_logits(
    checkpoint: Path,
    log_mel: npt.NDArray[np.floating],
    rows: npt.NDArray[np.int64],
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> npt.NDArray[np.float32]:
    """Return a checkpoint's logits (n, num_classes) of some rows of a feature cache, in float32."""
    import torch

    from samplemind_core.training.checkpoints import load_model
    from samplemind_core.training.device import pick_memory_format

    model, info = load_model(checkpoint, device)
    layout = pick_memory_format(torch.device(device))
    model = model.to(memory_format=layout)  # type: ignore[call-overload]
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            batch = torch.from_numpy(np.asarray(log_mel[rows[start : start + BATCH]])).to(device).float()
            parts.append(model(batch.contiguous(memory_format=layout)).float().cpu().numpy())
            if progress is not None:
                progress(min(start + BATCH, len(rows)), len(rows), "Asking the network")
    return np.concatenate(parts) if parts else np.zeros((0, len(info.class_names)), np.float32)


def write_logits(path: Path, logits: Logits) -> None:
    """Write logits whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        logits=logits.logits,
        targets=logits.targets,
        clip_ids=logits.clip_ids,
        class_names=np.array(logits.class_names),
    )
    write_atomic(path, buffer.getvalue())


def read_logits(path: Path) -> Logits:
    """Return stored logits.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged.
    """
    try:
        with open_arrays(path) as file:
            return Logits(
                file["logits"], file["targets"], file["clip_ids"], tuple(str(name) for name in file["class_names"])
            )
    except DAMAGED as error:
        raise CheckpointError(
            f"The stored predictions '{path.name}' cannot be read: {error}.", "Evaluate the checkpoint again."
        ) from error


def accuracy(found: Logits) -> float | None:
    """Return the share of clips that are named rightly, among those with a class that the checkpoint knows.

    Where clips have several labels, the share that is given exactly its labels, each from 50 % on.
    """
    if found.targets.ndim == 2:
        known = found.targets.any(axis=1)
        right = ((found.logits > 0) == (found.targets > 0)).all(axis=1)
        return float(right[known].mean()) if known.any() else None
    known = found.targets >= 0
    return float((found.logits[known].argmax(axis=1) == found.targets[known]).mean()) if known.any() else None


def stored_logits(store: Store, root: Path, checkpoint: Checkpoint, dataset_id: str, split: str) -> Logits | None:
    """Return the logits that a checkpoint left on a split as it was then; None where there are none, or no whole ones.

    What is damaged is computed anew by whoever needs it.
    """
    known = store.runs.prediction(checkpoint, dataset_id, split)
    try:
        return None if known is None else read_logits(root / known.path)
    except CheckpointError:
        return None


def leave_predictions(
    store: Store,
    root: Path,
    checkpoint: Checkpoint,
    clips: ClipData,
    split: str,
    class_names: tuple[str, ...],
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> None:
    """Store a checkpoint's logits on one split of a dataset, unless they are there already.

    Clips change sides when a dataset is edited. What was computed for a clip in another split stays
    good, so that only clips without any answer go through the network.

    Parameters
    ----------
    root : Path
        The workspace folder.
    clips : ClipData
        The dataset, with the checkpoint's features.
    class_names : tuple of str
        The checkpoint's classes; clips are matched to them by label.
    progress : callable, optional
        Called with (clips done, clips in all, what); what it raises ends the work, and nothing is stored.
    """
    rows = clips.indices(split)
    wanted = clips.clip_ids[rows]
    there = stored_logits(store, root, checkpoint, clips.dataset.id, split)
    if there is not None and np.array_equal(there.clip_ids, wanted):
        return
    logits = np.zeros((len(rows), len(class_names)), np.float32)
    known = np.zeros(len(rows), bool)
    for side in SPLITS:
        found = stored_logits(store, root, checkpoint, clips.dataset.id, side)
        if found is not None and found.class_names == class_names:
            _, mine, theirs = np.intersect1d(wanted, found.clip_ids, return_indices=True)
            logits[mine], known[mine] = found.logits[theirs], True
    if not known.all():
        logits[~known] = compute_logits(root / checkpoint.path, clips.log_mel, rows[~known], device, progress)
    name = f"{checkpoint.kind}-{checkpoint.epoch:04d}-{clips.dataset.id}-{split}.npz"
    path = root / "runs" / checkpoint.run_id / "predictions" / name
    left = Logits(logits, _placed(clips, rows, class_names), wanted, class_names)
    write_logits(path, left)
    store.runs.put_prediction(
        {
            "checkpoint_id": checkpoint.id,
            "epoch": checkpoint.epoch,
            "dataset_id": clips.dataset.id,
            "split": split,
            "path": path.relative_to(root).as_posix(),
            "num_clips": len(rows),
            "accuracy": accuracy(left),
        }
    )


def _placed(clips: ClipData, rows: npt.NDArray[np.int64], class_names: tuple[str, ...]) -> npt.NDArray[Any]:
    """Return the targets of clips among a checkpoint's classes."""
    if not clips.multi_label:
        places = np.array([class_names.index(name) if name in class_names else -1 for name in clips.class_names])
        return np.asarray(places[clips.targets[rows]])
    placed = np.zeros((len(rows), len(class_names)), np.uint8)
    for column, name in enumerate(clips.class_names):
        if name in class_names:
            placed[:, class_names.index(name)] = clips.targets[rows, column]
    return placed
