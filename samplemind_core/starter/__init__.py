"""The starter model: a checkpoint that the package brings along, so that sounds have names before any training.

It has only ever heard drums that SampleMind synthesised. How well it does on kits that it never heard, and on
real drums, stands in its card; ``python -m benchmarks.starter`` makes both.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samplemind_core.errors import CheckpointError, NotFoundError
from samplemind_core.store.records import Checkpoint, Run

if TYPE_CHECKING:
    from samplemind_core.evaluation.judging import Judged
    from samplemind_core.settings import Settings
    from samplemind_core.store import Dataset, Store

Progress = Callable[[int, int | None, str], None]

STARTER = "starter"
"""What a reference calls it: it is no run of any workspace."""
STARTER_NAME = "Starter: trained on synthesised drums only"
STARTER_FILE = Path(__file__).with_name("starter.safetensors")
CARD = Path(__file__).with_name("card.json")


@dataclass(frozen=True)
class Measured:
    """How often the starter was right. Shares are fractions; the interval is Wilson's at 95 %."""

    num_clips: int
    num_sources: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    recall: dict[str, float | None]
    name: str = ""


@dataclass(frozen=True)
class StarterCard:
    """What the starter was trained on and what it gets: on kits it never heard, and on real drums where measured."""

    class_names: tuple[str, ...]
    num_clips: int
    num_kits: int
    num_parameters: int
    held_out_kits: Measured
    real: Measured | None


def is_starter(ref: str) -> bool:
    """Return whether a reference names the starter."""
    return ref.partition(":")[0] == STARTER


@functools.cache
def starter_card() -> StarterCard:
    """Return the starter's card.

    Raises
    ------
    NotFoundError
        If this copy of the package was made without one.
    """
    if not CARD.exists() or not STARTER_FILE.exists():
        raise NotFoundError("This copy of SampleMind has no starter model.", "Install it whole, or train a network.")
    card = json.loads(CARD.read_text(encoding="utf-8"))
    return StarterCard(
        class_names=tuple(card["class_names"]),
        num_clips=card["trained_on"]["num_clips"],
        num_kits=card["trained_on"]["num_kits"],
        num_parameters=card["num_parameters"],
        held_out_kits=_measured(card["held_out_kits"]),
        real=None if card["real"] is None else _measured(card["real"]),
    )


def starter_checkpoint() -> tuple[Run, Checkpoint]:
    """Return the starter as the run and checkpoint that it would be; neither is in any database."""
    from samplemind_core.training.checkpoints import read_info

    card = starter_card()
    info = read_info(STARTER_FILE)
    run = Run(
        id=STARTER,
        name=STARTER_NAME,
        dataset_id="",
        status="finished",
        config=info.config.model_dump(mode="json"),
        owner="SampleMind",
        created_at=0.0,
        queued_at=0.0,
        num_parameters=card.num_parameters,
        best_epoch=info.epoch,
    )
    checkpoint = Checkpoint(
        id=0,
        run_id=STARTER,
        kind="best",
        epoch=info.epoch,
        path=str(STARTER_FILE),  # absolute, so that it is found from any workspace
        val_loss=info.metrics["val_loss"],
        val_accuracy=info.metrics["val_accuracy"],
        num_bytes=STARTER_FILE.stat().st_size,
        created_at=0.0,
    )
    return run, checkpoint


def has_answered(root: Path, dataset: Dataset) -> bool:
    """Return whether the starter's answers on the clips of a dataset, as it is now, are stored."""
    return _answers_file(root, dataset).exists()


def judge_starter(
    store: Store, settings: Settings, dataset: Dataset, split: str, progress: Progress | None = None
) -> Judged:
    """Return the starter's answers on some clips of a dataset, kept beside the dataset's features.

    Raises
    ------
    DataError
        If the split is unknown or holds no clip of a class that the starter knows.
    """
    from samplemind_core.data.dataset import load_clips, require_one_label
    from samplemind_core.evaluation.judging import from_logits, splits_of
    from samplemind_core.training.checkpoints import read_info
    from samplemind_core.training.device import pick_device
    from samplemind_core.training.predictions import Logits, compute_logits, read_logits, write_logits

    require_one_label(dataset, "The starter")
    info = read_info(STARTER_FILE)
    taken = [clip for clip in store.versions.clips(dataset) if not clip.excluded and clip.split in splits_of(split)]
    places = {name: place for place, name in enumerate(info.class_names)}
    kept = _answers_file(settings.root, dataset)
    try:
        answers = read_logits(kept)
    except CheckpointError:  # not asked yet, or by another starter or of another version of the dataset
        clips = load_clips(settings.root, store, dataset, info.features, progress)
        rows = np.arange(len(clips))
        logits = compute_logits(STARTER_FILE, clips.log_mel, rows, pick_device(settings.device), progress)
        answers = Logits(logits, clips.targets, clips.clip_ids, info.class_names)
        write_logits(kept, answers)
    row_of = {int(clip_id): row for row, clip_id in enumerate(answers.clip_ids)}
    rows = np.array([row_of[clip.id or 0] for clip in taken], dtype=np.int64)
    targets = np.array([places.get(clip.label, -1) for clip in taken], dtype=np.int64)
    every = store.datasets.clips(dataset.id)
    return from_logits(
        answers.logits[rows], targets, answers.clip_ids[rows], info.class_names, every, split, dataset.name
    )


def _answers_file(root: Path, dataset: Dataset) -> Path:
    stamp = f"{STARTER_FILE.stat().st_size}-{dataset.fingerprint[:12]}"
    return root / "datasets" / dataset.id / "cache" / f"{STARTER}-{stamp}.npz"


def _measured(fields: dict[str, Any]) -> Measured:
    low, high = fields["accuracy_interval"]
    return Measured(**{**fields, "accuracy_interval": (low, high)})
