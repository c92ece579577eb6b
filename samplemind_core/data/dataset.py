"""A dataset as arrays: spectrograms, targets, splits and sources, row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.config import FeatureConfig, RunConfig
from samplemind_core.errors import DataError
from samplemind_core.store.records import SPLITS, Dataset

if TYPE_CHECKING:
    from samplemind_core.store import Store


@dataclass(frozen=True, eq=False)
class ClipData:
    """All clips of a dataset; row ``i`` of every array is the same clip.

    Parameters
    ----------
    log_mel : memmap of float16, shape (N, 1, n_mels, frames)
        dB in [-top_db, 0]; mapped, not loaded.
    targets : ndarray of int64, shape (N,), or of uint8, shape (N, C)
        Index into ``class_names``; -1 where the label of an excluded clip is none of them. In a
        multi-label dataset 1 for each label of the clip and 0 for the other classes.
    split : ndarray of str, shape (N,)
        ``train``, ``val`` or ``test``; ``none`` for a clip that is excluded.
    clip_ids : ndarray of int64, shape (N,)
        Ids in the database.
    sources : ndarray of str, shape (N,)
        Pack, machine or recording of each clip; its own name where none is known.
    class_names : tuple of str
        Sorted.
    dataset : Dataset
        The record.
    features : FeatureConfig
        How ``log_mel`` was computed.
    """

    log_mel: NDArray[np.float16]
    targets: NDArray[Any]
    split: NDArray[np.str_]
    clip_ids: NDArray[np.int64]
    sources: NDArray[Any]
    class_names: tuple[str, ...]
    dataset: Dataset
    features: FeatureConfig

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def multi_label(self) -> bool:
        """Whether clips may have several labels."""
        return self.targets.ndim == 2

    def indices(self, split: str) -> NDArray[np.int64]:
        """Return the rows of a split, ascending; raise :class:`DataError` for an unknown one."""
        if split not in SPLITS:
            raise DataError(f"There is no split '{split}'.", f"Choose one of: {', '.join(SPLITS)}.")
        return np.flatnonzero(self.split == split)


def require_one_label(dataset: Dataset, what: str) -> None:
    """Raise :class:`DataError` where clips have several labels and ``what`` works with one only."""
    if dataset.multi_label:
        raise DataError(
            f"{what} needs one label per clip; the clips of dataset '{dataset.name}' have several.",
            "Choose a dataset with one label per clip.",
        )


def fitted(config: RunConfig, dataset: Dataset, num_train: int) -> RunConfig:
    """Return settings as a run on a dataset takes them, with ``num_train`` clips to train on.

    Few clips may ask for more epochs, and ready-made spectrograms start where they start: they cannot be
    aligned anew.

    Raises
    ------
    ConfigError, DataError
        If no run on that dataset can take them, however long it waits in a queue.
    """
    config.train.check_loss(several_labels=dataset.multi_label)
    config.check()
    config = config.for_clips(num_train)
    if dataset.kind != "features":
        return config
    from samplemind_core.data.cache import other_features

    stored = FeatureConfig.model_validate(dataset.features)
    features = config.features.model_copy(update={"align": stored.align})
    if features != stored:
        raise other_features(dataset, features)
    if config.augment.variants:
        raise no_variants(dataset)
    return config.model_copy(update={"features": features})


def no_variants(dataset: Dataset) -> DataError:
    """Return the error for variants that are to be made of ready-made spectrograms."""
    return DataError(
        f"Dataset '{dataset.name}' holds ready-made spectrograms; variants are made from sounds.",
        "Set the number of variants to 0, or import the audio itself.",
    )


def multi_hot(labels: Sequence[Sequence[str]], class_names: Sequence[str]) -> NDArray[np.uint8]:
    """Return 1 for each label of each clip and 0 elsewhere, shape (N, C); labels that are no class are left out."""
    places = {name: place for place, name in enumerate(class_names)}
    found = np.zeros((len(labels), len(class_names)), np.uint8)
    for row, names in enumerate(labels):
        found[row, [places[name] for name in names if name in places]] = 1
    return found


def load_clips(
    root: Path,
    store: Store,
    dataset: Dataset,
    features: FeatureConfig,
    progress: Callable[[int, int | None, str], None] | None = None,
) -> ClipData:
    """Return the clips of a dataset's version as arrays, computing its feature cache if needed.

    Parameters and errors are those of :func:`~samplemind_core.data.cache.feature_cache`.
    """
    from samplemind_core.data.cache import feature_cache

    log_mel = feature_cache(root, store, dataset, features, progress)
    clips = store.versions.clips(dataset)
    return ClipData(
        log_mel=log_mel,
        targets=multi_hot([clip.labels for clip in clips], dataset.class_names)
        if dataset.multi_label
        else np.array([clip.target for clip in clips], dtype=np.int64),
        split=np.array(["none" if clip.excluded else clip.split for clip in clips], dtype="<U5"),
        clip_ids=np.array([clip.id for clip in clips], dtype=np.int64),
        sources=np.array([clip.source for clip in clips], dtype=object),
        class_names=dataset.class_names,
        dataset=dataset,
        features=features,
    )
