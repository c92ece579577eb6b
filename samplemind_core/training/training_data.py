"""What a run learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from samplemind_core.config import RunConfig
from samplemind_core.errors import TrainingError

if TYPE_CHECKING:
    from samplemind_core.data.dataset import ClipData


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from.

    ``log_mel`` (N, 1, n_mels, frames) in dB; ``targets`` (N,) int64, or (N, C) of 0 and 1 where clips have
    several labels; rows of each split (n,) int64.
    ``description`` goes into every checkpoint: the dataset's id, name, fingerprint. ``variants``
    (V·n, 1, n_mels, frames), variant by variant of the n training clips, where a run asks for any; see
    :func:`~samplemind_core.training.variants.with_variants`.
    """

    log_mel: np.ndarray
    targets: np.ndarray
    train_rows: np.ndarray
    val_rows: np.ndarray
    class_names: tuple[str, ...]
    description: dict[str, Any]
    variants: np.ndarray | None = None

    @classmethod
    def of(cls, clips: ClipData) -> TrainingData:
        """Return the training and validation clips of a dataset's version."""
        return cls._of(clips, clips.indices("train"), clips.indices("val"), describe_dataset(clips.dataset.as_dict()))

    @classmethod
    def of_rows(cls, clips: ClipData, train_rows: np.ndarray, val_rows: np.ndarray, part: str) -> TrainingData:
        """Return clips of a dataset's version that are split otherwise than in it; ``part`` names the split."""
        about = {"fingerprint": f"{clips.dataset.fingerprint} {part}", "synthetic": clips.dataset.synthetic}
        return cls._of(clips, train_rows, val_rows, about)

    @classmethod
    def _of(
        cls, clips: ClipData, train_rows: np.ndarray, val_rows: np.ndarray, description: dict[str, Any]
    ) -> TrainingData:
        return cls(clips.log_mel, clips.targets, train_rows, val_rows, clips.class_names, description)

    @property
    def synthetic(self) -> bool:
        """Whether the sounds were made by rule, as those of the demo dataset are."""
        return bool(self.description.get("synthetic"))

    @property
    def several_labels(self) -> bool:
        """Whether clips may have several labels."""
        return self.targets.ndim == 2


def check(config: RunConfig, data: TrainingData) -> None:
    """Refuse data that a run of this configuration cannot learn from.

    Raises
    ------
    TrainingError
        If a split is empty, the spectrograms do not have the shape that the configuration says, or the variants
        that it asks for are not there.
    """
    expected = (len(data.targets), *config.features.shape)
    if data.log_mel.shape != expected:
        raise TrainingError(
            f"Expected spectrograms of shape {expected}, got {data.log_mel.shape}.",
            "The feature cache belongs to other settings; delete the dataset's cache folder and start again.",
        )
    wanted = (config.augment.variants * len(data.train_rows), *config.features.shape)
    found = (0, *config.features.shape) if data.variants is None else data.variants.shape
    if found != wanted:
        raise TrainingError(
            f"Expected variants of shape {wanted}, got {found}.",
            "Make them before the run starts, or set the number of variants to 0.",
        )
    for name, rows in (("training", data.train_rows), ("validation", data.val_rows)):
        if len(rows) == 0:
            raise TrainingError(
                f"The {name} split has no clips.", "Import the dataset again with more clips or another split."
            )


def describe_dataset(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint keeps of its dataset."""
    return {name: dataset[name] for name in ("id", "name", "version", "fingerprint", "num_clips", "synthetic")}
