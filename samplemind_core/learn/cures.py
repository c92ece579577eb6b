"""Overfitting on purpose, and what helps against it: each cure is a setting of the product."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from samplemind_core.config import RunConfig, apply_changes
from samplemind_core.errors import ConfigError
from samplemind_core.learn.kits import LESSON, PER_CLASS, UNSEEN_KIT, demo_clips

if TYPE_CHECKING:
    from samplemind_core.store.records import Epoch
    from samplemind_core.training.training_data import TrainingData

FEW, MANY = 5, 24
"""Training clips of each class, without and with the cure ``more``."""

DISEASE: dict[str, Any] = {
    "train.epochs": 40,
    "train.batch_size": 15,
    "train.lr": 1e-3,
    "train.weight_decay": 0.0,
    "train.schedule": "constant",
    "model.dropout": 0.0,
}
"""Settings of a network that is free to memorise."""


@dataclass(frozen=True)
class Cure:
    """One thing that helps, and the settings that are it."""

    name: str
    title: str
    why: str
    changes: Mapping[str, Any]


CURES: dict[str, Cure] = {
    cure.name: cure
    for cure in (
        Cure("more", "More clips", "There is more to learn than to remember.", {"train.batch_size": 36}),
        Cure(
            "augment",
            "Augmentation",
            "Each epoch hears every clip a little changed: shifted, louder or softer, a part of it hidden.",
            {
                "augment.time_shift_ms": 60.0,
                "augment.freq_mask_bins": 4,
                "augment.time_mask_ms": 80.0,
                "augment.gain_db": 4.0,
            },
        ),
        Cure(
            "decay",
            "Weight decay",
            "Each step pulls every weight a little towards zero, so that nothing is weighed more than it must be.",
            {"train.weight_decay": 0.3},
        ),
        Cure(
            "dropout",
            "Dropout",
            "A random part of what the network found is hidden at each step, so it cannot lean on one detail.",
            {"model.dropout": 0.3},
        ),
        Cure(
            "stop",
            "Early stopping",
            "Training ends when the validation loss has stopped improving.",
            {"train.early_stopping_patience": 8},
        ),
    )
}


def lesson_config(cures: Collection[str], epochs: int | None = None) -> RunConfig:
    """Return the settings of a run with some cures taken.

    Raises
    ------
    ConfigError
        If there is no cure of a name.
    """
    unknown = sorted(set(cures) - set(CURES))
    if unknown:
        raise ConfigError(f"There is no cure '{unknown[0]}'.", f"Choose from: {', '.join(CURES)}.")
    changes = dict(DISEASE)
    for name, cure in CURES.items():
        if name in cures:
            changes |= cure.changes
    if epochs is not None:
        changes["train.epochs"] = epochs
    return apply_changes(RunConfig(features=LESSON), changes)


def lesson_data(cures: Collection[str]) -> TrainingData:
    """Return the clips of a run: few or many for training, always the same ones for validation.

    Validation clips come from kits that training never hears.
    """
    from samplemind_core.training.training_data import TrainingData

    clips = demo_clips(PER_CLASS)
    unseen = clips.sources >= UNSEEN_KIT
    kept = []
    for target in range(len(clips.class_names)):
        rows = np.flatnonzero((clips.targets == target) & ~unseen)
        kept.append(rows[: MANY if "more" in cures else FEW])
    return TrainingData(
        log_mel=clips.log_mel,
        targets=clips.targets,
        train_rows=np.sort(np.concatenate(kept)),
        val_rows=np.flatnonzero(unseen),
        class_names=clips.class_names,
        description={"name": "Made-up kits", "synthetic": True},
    )


def curve_rows(history: Sequence[Epoch]) -> list[dict[str, float]]:
    """Return the epochs of a run for curves that may be compared: training clips measured as validation clips are."""
    return [
        {
            "epoch": epoch.epoch,
            "train_loss": epoch.health["probe_loss"],
            "val_loss": epoch.val_loss,
            "train_accuracy": epoch.health["probe_accuracy"],
            "val_accuracy": epoch.val_accuracy,
        }
        for epoch in history
    ]
