"""Checkpoints from elsewhere: a file that another SampleMind wrote becomes a run that ended there."""

from __future__ import annotations

import shutil
import time
import uuid
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from samplemind_core.errors import CheckpointError, NameTakenError
from samplemind_core.files import write_atomic
from samplemind_core.store.records import Run
from samplemind_core.training.control import TAKEN
from samplemind_core.training.jobs import run_folder

if TYPE_CHECKING:
    from samplemind_core.settings import Settings
    from samplemind_core.store import Store

MAX_BYTES = 512 << 20


def import_checkpoint(
    store: Store, settings: Settings, content: bytes, file_name: str, dataset_id: str, owner: str = ""
) -> Run:
    """Take in a checkpoint file; nothing in it is unpickled, and its weights must fit its own description.

    Parameters
    ----------
    content : bytes
        A ``.safetensors`` file.
    file_name : str
        What it was called: the run is named after it. Never used as a path.
    dataset_id : str
        The dataset that it belongs to here, for its lists; where the checkpoint's own dataset is
        there, that one.
    owner : str
        Who brought it.

    Raises
    ------
    CheckpointError
        If it is too large, damaged, not SampleMind's, or was saved before its first epoch ended.
    """
    if len(content) > MAX_BYTES:
        raise CheckpointError(
            f"The checkpoint has {len(content) / 1e6:,.0f} MB, at most {MAX_BYTES / 1e6:,.0f} MB are read.",
            "Export a smaller one.",
        )
    from samplemind_core.training.checkpoints import load_model

    now, shown = time.time(), f"{_stem(file_name)}.safetensors"
    run_id = uuid.uuid4().hex[:12]
    folder = run_folder(settings, run_id)
    path = folder / "checkpoints" / "best.safetensors"
    try:
        write_atomic(path, content)
        try:
            _, info = load_model(path)
        except CheckpointError as error:
            # It goes by the name that its owner knows.
            raise CheckpointError(error.problem.replace(path.name, shown), error.advice) from error
        if not {"val_loss", "val_accuracy"} <= set(info.metrics):
            raise CheckpointError(
                "This checkpoint was saved before its first epoch ended.", "Choose 'best' or a later one."
            )
        known = store.datasets.find(str(info.dataset.get("id", "")))
        config = info.config.model_dump(mode="json")
        run = _add(
            store,
            _stem(file_name),
            Run(
                id=run_id,
                name="",
                dataset_id=known.id if known else dataset_id,
                status="finished",
                config=config,
                owner=owner,
                created_at=now,
                queued_at=now,
                num_parameters=info.num_parameters,
                best_epoch=info.epoch,
                progress={"epoch": info.epoch, "epochs": info.config.train.epochs},
            ),
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    store.runs.put_checkpoint(
        run.id,
        {
            "kind": "best",
            "epoch": info.epoch,
            "path": path.relative_to(settings.root).as_posix(),
            "val_loss": info.metrics["val_loss"],
            "val_accuracy": info.metrics["val_accuracy"],
            "num_bytes": len(content),
        },
    )
    return store.runs.get(run.id)


def _stem(file_name: str) -> str:
    name = PurePath(file_name.replace("\\", "/")).name.removesuffix(".safetensors").replace(":", "-")
    name = "".join(char for char in name if char.isprintable())[:80].strip() or "checkpoint"
    return f"imported {name}" if TAKEN.fullmatch(name) else name


def _add(store: Store, stem: str, run: Run) -> Run:
    """Store the run under the first free name and end it, so that no worker ever trains it."""
    for number in range(1, 1_000):
        name = stem if number == 1 else f"{stem}-{number}"
        try:
            store.runs.add(replace(run, name=name, end_reason="Imported from a file."))
        except NameTakenError:
            continue
        return store.runs.get(run.id)
    raise NameTakenError(f"There are too many runs named '{stem}'.", "Rename the file.")
