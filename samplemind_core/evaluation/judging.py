"""A checkpoint's answers on some clips: from the store where they are, computed where not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import DataError
from samplemind_core.evaluation.metrics import softmax
from samplemind_core.store.records import SPLITS, Checkpoint, Clip, Dataset

if TYPE_CHECKING:
    from samplemind_core.settings import Settings
    from samplemind_core.store import Store

FOLD = "fold:"

Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True, eq=False)
class Judged:
    """What a checkpoint said about the clips of a split.

    ``logits`` (N, C) float32, ``targets`` (N,) places in ``class_names``, ``clip_ids`` (N,) int64,
    ``sources`` (N,) str. ``num_excluded`` clips have labels that the checkpoint does not know.

    Where clips have several labels, ``targets`` (N, C) uint8 holds 1 for each of them, and ``thresholds``
    (C,) is from which probability on each label is named; it is empty for one label.
    """

    logits: npt.NDArray[np.float32]
    targets: npt.NDArray[Any]
    clip_ids: npt.NDArray[np.int64]
    sources: npt.NDArray[np.str_]
    class_names: tuple[str, ...]
    num_excluded: int = 0
    thresholds: tuple[float, ...] = ()

    @property
    def several_labels(self) -> bool:
        """Whether each class is answered by itself."""
        return self.targets.ndim == 2

    def with_classes(self, class_names: tuple[str, ...]) -> Judged:
        """Return the same with its classes in another order.

        Raises
        ------
        DataError
            If the classes are not the same ones.
        """
        if set(class_names) != set(self.class_names):
            differ = sorted(set(class_names) ^ set(self.class_names))
            raise DataError(
                f"The two checkpoints know different classes; {', '.join(differ)} only one of them.",
                "Compare checkpoints that were trained on the same classes.",
            )
        order = [self.class_names.index(name) for name in class_names]
        place = np.argsort(order)
        return replace(self, logits=self.logits[:, order], targets=place[self.targets], class_names=class_names)

    def cell(self, label: str, predicted: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the clips of one class that were called another (or the same), the surest first.

        Returns
        -------
        clip_ids : ndarray of int64, shape (n,)
        confidences : ndarray of float64, shape (n,)
            Probability of the predicted class.

        Raises
        ------
        DataError
            If the checkpoint does not know one of the two classes.
        """
        for name in (label, predicted):
            if name not in self.class_names:
                raise DataError(f"There is no class '{name}'.", f"Choose one of: {', '.join(self.class_names)}.")
        probs = softmax(self.logits)
        true, called = self.class_names.index(label), self.class_names.index(predicted)
        rows = np.flatnonzero((self.targets == true) & (probs.argmax(axis=1) == called))
        confidences = probs[rows, called]
        order = np.argsort(-confidences, kind="stable")
        return self.clip_ids[rows][order], confidences[order]


def judge(
    store: Store,
    settings: Settings,
    checkpoint: Checkpoint,
    dataset: Dataset,
    split: str,
    progress: Progress | None = None,
) -> Judged:
    """Return a checkpoint's answers on some clips of a dataset.

    Answers are stored, so that asking again costs nothing. Classes are matched by name; clips whose
    label the checkpoint does not know are left out and counted.

    Parameters
    ----------
    split : str
        ``train``, ``val``, ``test``, ``all``, or ``fold:NAME`` for a fold of the manifest.
    progress : callable, optional
        Called with (clips done, clips in all, what) while answers are computed; what it raises ends that.

    Raises
    ------
    DataError
        If the split is unknown or holds no clip that the checkpoint could name, or if the checkpoint names
        one label and the clips have several, or the other way round.
    CheckpointError
        If the checkpoint file is missing or damaged.
    """
    parts = [_judge_split(store, settings, checkpoint, dataset, name, progress) for name in splits_of(split)]
    logits = np.concatenate([part[0] for part in parts])
    targets = np.concatenate([part[1] for part in parts])
    clip_ids = np.concatenate([part[2] for part in parts])
    judged = from_logits(logits, targets, clip_ids, parts[0][3], store.datasets.clips(dataset.id), split, dataset.name)
    if not dataset.multi_label:  # stored answers are enough, even where the checkpoint's file is gone
        return judged
    from samplemind_core.training.checkpoints import read_info

    return replace(judged, thresholds=read_info(settings.root / checkpoint.path).thresholds)


def check_kind(several_labels: bool, dataset: Dataset) -> None:
    """Raise :class:`DataError` where a checkpoint names several labels and the clips have one, or the other way round.

    Parameters
    ----------
    several_labels : bool
        Whether the checkpoint names any number of labels.
    dataset : Dataset
    """
    if several_labels == dataset.multi_label:
        return
    has = "several labels" if dataset.multi_label else "one label"
    names = "any number of labels" if several_labels else "one label"
    raise DataError(
        f"The clips of dataset '{dataset.name}' have {has} each, and this checkpoint names {names}.",
        "Choose a checkpoint that was trained on such clips, or a dataset like its own.",
    )


def splits_of(split: str) -> tuple[str, ...]:
    """Return the stored splits that ``split`` is made of.

    Raises
    ------
    DataError
        If there is no such split.
    """
    if split == "all" or split.startswith(FOLD):
        return SPLITS
    if split not in SPLITS:
        raise DataError(
            f"There is no split '{split}'.", f"Choose one of: {', '.join(SPLITS)}, all, or {FOLD}NAME for a fold."
        )
    return (split,)


def in_split(clip: Clip, split: str) -> bool:
    """Return whether a clip belongs to ``train``, ``val``, ``test``, ``all`` or ``fold:NAME``."""
    if split.startswith(FOLD):
        return clip.fold == split.removeprefix(FOLD)
    return clip.split in SPLITS if split == "all" else clip.split == split


def from_logits(
    logits: npt.NDArray[np.float32],
    targets: npt.NDArray[Any],
    clip_ids: npt.NDArray[np.int64],
    class_names: tuple[str, ...],
    clips: Sequence[Clip],
    split: str,
    dataset_name: str,
) -> Judged:
    """Return logits with the sources of their clips, without clips that are not asked for or cannot be named.

    Raises
    ------
    DataError
        If nothing is left.
    """
    by_id = {clip.id: clip for clip in clips}
    asked = np.array([int(i) in by_id and in_split(by_id[int(i)], split) for i in clip_ids], dtype=bool)
    known = asked & (targets >= 0 if targets.ndim == 1 else targets.any(axis=1))
    if not known.any():
        raise DataError(
            f"Dataset '{dataset_name}' has no clip in '{split}' that this checkpoint could name; it knows "
            f"{', '.join(class_names)}.",
            "Choose another split or dataset.",
        )
    kept = clip_ids[known]
    return Judged(
        logits=logits[known],
        targets=targets[known],
        clip_ids=kept,
        sources=np.array([by_id[int(clip)].source for clip in kept]),
        class_names=class_names,
        num_excluded=int((asked & ~known).sum()),
    )


def _judge_split(
    store: Store, settings: Settings, checkpoint: Checkpoint, dataset: Dataset, split: str, progress: Progress | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any], npt.NDArray[np.int64], tuple[str, ...]]:
    from samplemind_core.data.dataset import multi_hot
    from samplemind_core.training.predictions import stored_logits

    # Labels and splits may have been edited since the answers were given: what was said stays, what is right is new.
    clips = [clip for clip in store.versions.clips(dataset) if clip.split == split and not clip.excluded]
    clip_ids = np.array([clip.id for clip in clips], dtype=np.int64)
    found = stored_logits(store, settings.root, checkpoint, dataset.id, split)
    if found is None or not np.array_equal(found.clip_ids, clip_ids):
        _compute(store, settings, checkpoint, dataset, split, progress)
        found = stored_logits(store, settings.root, checkpoint, dataset.id, split)
        assert found is not None
    if dataset.multi_label:
        return found.logits, multi_hot([clip.labels for clip in clips], found.class_names), clip_ids, found.class_names
    places = {name: place for place, name in enumerate(found.class_names)}
    targets = np.array([places.get(clip.label, -1) for clip in clips], dtype=np.int64)
    return found.logits, targets, found.clip_ids, found.class_names


def _compute(
    store: Store, settings: Settings, checkpoint: Checkpoint, dataset: Dataset, split: str, progress: Progress | None
) -> None:
    from samplemind_core.data.dataset import load_clips
    from samplemind_core.training.checkpoints import read_info
    from samplemind_core.training.device import pick_device
    from samplemind_core.training.predictions import leave_predictions

    info = read_info(settings.root / checkpoint.path)
    check_kind(info.several_labels, dataset)
    clips = load_clips(settings.root, store, dataset, info.features, progress)
    device = pick_device(settings.device)
    leave_predictions(store, settings.root, checkpoint, clips, split, info.class_names, device, progress)
