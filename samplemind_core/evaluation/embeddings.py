"""Where a network puts clips: its penultimate layer, kept per checkpoint, and the clips that lie nearest.

Two clips that the network finds alike have embeddings of about the same direction. Distances are
therefore cosine distances, 1 - cos: 0 for the same direction, 1 for nothing in common.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import ConfigError, DataError, NotFoundError, StoppedError
from samplemind_core.files import DAMAGED, open_arrays, write_atomic

if TYPE_CHECKING:
    import torch

    from samplemind_core.config import FeatureConfig
    from samplemind_core.models import AudioClassifier
    from samplemind_core.settings import Settings
    from samplemind_core.store import Checkpoint, Dataset, Store

Progress = Callable[[int, int | None, str], None]
ShouldStop = Callable[[], bool]

BATCH = 256
_BLOCK = 1_024
"""Queries compared at a time: 1,024 x 20,000 distances are 80 MB."""
_MANY = 4_000_000


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Clips as a network's penultimate layer has them; row ``i`` of every array is the same clip.

    Attributes
    ----------
    vectors : ndarray of float32, shape (N, D)
    logits : ndarray of float32, shape (N, num_classes)
        What the same pass through the network says of the clips.
    clip_ids : ndarray of int64, shape (N,)
    labels, splits, sources, folds : ndarray of str, shape (N,)
        As the dataset has them today; a fold is empty where there is none.
    class_names : tuple of str
        The checkpoint's classes, in the order of the logits.
    """

    vectors: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    clip_ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.str_]
    splits: npt.NDArray[np.str_]
    sources: npt.NDArray[np.str_]
    folds: npt.NDArray[np.str_]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.clip_ids)

    @property
    def predicted(self) -> npt.NDArray[np.str_]:
        """Names of the classes with the largest logit, shape (N,)."""
        names: npt.NDArray[np.str_] = np.array(self.class_names)[self.logits.argmax(axis=1)]
        return names

    def of(self, split: str) -> Embeddings:
        """Return the clips of a split, or of a fold (``fold:NAME``); ``all`` returns every clip."""
        if split == "all":
            return self
        kind, _, fold = split.partition(":")
        return self.take(np.flatnonzero(self.folds == fold if kind == "fold" else self.splits == split))

    def vector(self, clip_id: int) -> npt.NDArray[np.float32]:
        """Return the embedding (D,) of a clip.

        Raises
        ------
        NotFoundError
            If it is not among these.
        """
        rows = np.flatnonzero(self.clip_ids == clip_id)
        if not len(rows):
            raise NotFoundError(f"Clip {clip_id} is not in this dataset.", "Choose a clip of the dataset shown.")
        found: npt.NDArray[np.float32] = self.vectors[rows[0]]
        return found

    def take(self, rows: npt.NDArray[np.int64]) -> Embeddings:
        """Return some of the clips."""
        return replace(
            self,
            vectors=self.vectors[rows],
            logits=self.logits[rows],
            clip_ids=self.clip_ids[rows],
            labels=self.labels[rows],
            splits=self.splits[rows],
            sources=self.sources[rows],
            folds=self.folds[rows],
        )


@dataclass(frozen=True)
class Neighbour:
    """A clip near another sound. ``label`` is all of several; ``distance`` is a cosine distance in [0, 2]."""

    clip_id: int
    name: str
    label: str
    source: str
    distance: float


def embeddings_file(root: Path, checkpoint: Checkpoint, dataset_id: str) -> Path:
    """Return where the embeddings of a dataset are kept for one checkpoint."""
    name = f"{checkpoint.kind}-{checkpoint.epoch:04d}-{dataset_id}.npz"
    return root / "runs" / checkpoint.run_id / "embeddings" / name


def embed_dataset(
    store: Store,
    settings: Settings,
    checkpoint: Checkpoint,
    dataset: Dataset,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Embeddings:
    """Return the embeddings of all clips of a dataset, from the workspace or computed now.

    Parameters
    ----------
    progress : callable, optional
        Called with (clips done, clips in all, what) while computing.
    should_stop : callable, optional
        Asked between batches.

    Raises
    ------
    CheckpointError
        If the checkpoint file is missing or damaged.
    DataError
        If the dataset's sounds are gone, have changed or do not fit the checkpoint.
    StoppedError
        If it was stopped.
    """
    clips = store.datasets.clips(dataset.id)
    path = embeddings_file(settings.root, checkpoint, dataset.id)
    ids = np.array([clip.id for clip in clips], dtype=np.int64)
    stored = _read(path, checkpoint, ids)
    if stored is None:
        stored = _compute(store, settings, checkpoint, dataset, progress, should_stop)
        _write(path, checkpoint, *stored, ids)
    vectors, logits, class_names = stored
    return Embeddings(
        vectors=vectors,
        logits=logits,
        clip_ids=ids,
        labels=np.array([clip.label for clip in clips]),
        splits=np.array([clip.split for clip in clips]),
        sources=np.array([clip.source for clip in clips]),
        folds=np.array([clip.fold or "" for clip in clips]),
        class_names=class_names,
    )


_Stored = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], tuple[str, ...]]


def _compute(
    store: Store,
    settings: Settings,
    checkpoint: Checkpoint,
    dataset: Dataset,
    progress: Progress | None,
    should_stop: ShouldStop | None,
) -> _Stored:
    from samplemind_core.data.dataset import load_clips
    from samplemind_core.training.checkpoints import load_model
    from samplemind_core.training.device import pick_device

    device = pick_device(settings.device)
    model, info = load_model(settings.root / checkpoint.path, device)
    clips = load_clips(settings.root, store, dataset, info.features, progress)
    vectors, logits = [], []
    for start in range(0, len(clips), BATCH):
        if should_stop is not None and should_stop():
            raise StoppedError("Placing the samples was stopped.", "Start it again when you like.")
        part = embed_log_mel(model, np.asarray(clips.log_mel[start : start + BATCH]), device)
        vectors.append(part[0])
        logits.append(part[1])
        if progress is not None:
            progress(min(start + BATCH, len(clips)), len(clips), "Placing samples")
    return np.concatenate(vectors), np.concatenate(logits), info.class_names


def embed_log_mel(
    model: AudioClassifier, log_mel: npt.NDArray[np.floating], device: str | torch.device = "cpu"
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return embeddings (B, D) and logits (B, num_classes) of spectrograms.

    Parameters
    ----------
    model : AudioClassifier
        In evaluation mode, on ``device``.
    log_mel : ndarray, shape (B, 1, n_mels, frames)
        In dB.
    """
    import torch

    from samplemind_core.training.device import pick_memory_format

    where = torch.device(device)
    layout = pick_memory_format(where)
    with torch.inference_mode():
        batch = torch.from_numpy(np.array(log_mel, np.float32)).to(where).contiguous(memory_format=layout)
        vectors = model.features(batch)
        logits = model.head(vectors)
    return vectors.float().cpu().numpy(), logits.float().cpu().numpy()


def _write(
    path: Path,
    checkpoint: Checkpoint,
    vectors: npt.NDArray[np.float32],
    logits: npt.NDArray[np.float32],
    class_names: tuple[str, ...],
    clip_ids: npt.NDArray[np.int64],
) -> None:
    buffer = io.BytesIO()
    made_from = np.array([checkpoint.created_at])
    names = np.array(class_names)
    np.savez(buffer, vectors=vectors, logits=logits, clip_ids=clip_ids, class_names=names, made_from=made_from)
    write_atomic(path, buffer.getvalue())


def _read(path: Path, checkpoint: Checkpoint, clip_ids: npt.NDArray[np.int64]) -> _Stored | None:
    """Return what is stored, or None where nothing is, or it belongs to other weights or clips."""
    try:
        with open_arrays(path) as file:
            same = float(file["made_from"][0]) == checkpoint.created_at and np.array_equal(file["clip_ids"], clip_ids)
            if not same:
                return None
            return file["vectors"], file["logits"], tuple(str(name) for name in file["class_names"])
    except DAMAGED:
        return None  # a damaged cache is computed anew


def nearest(
    queries: npt.NDArray[np.floating], among: npt.NDArray[np.floating], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the ``k`` rows of ``among`` nearest to each query, the nearest first.

    Parameters
    ----------
    queries : ndarray, shape (Q, D)
    among : ndarray, shape (N, D)
    k : int
        At least 1; fewer come back where there are fewer rows.

    Returns
    -------
    rows : ndarray of int64, shape (Q, min(k, N))
    distances : ndarray of float32, shape (Q, min(k, N))
        Cosine distances, ascending; equal ones in the order of their rows.

    Raises
    ------
    ConfigError
        If ``k`` is below 1.
    DataError
        If the two have embeddings of different lengths, or there is nothing to search.
    """
    if k < 1:
        raise ConfigError(f"Expected at least 1 neighbour, got {k}.", "Five is a good choice.")
    if queries.ndim != 2 or among.ndim != 2 or queries.shape[1] != among.shape[1] or len(among) == 0:
        raise DataError(
            f"Expected embeddings (Q, D) and (N, D) with N above 0, got {queries.shape} and {among.shape}.",
            "Take both from the same checkpoint.",
        )
    k = min(k, len(among))
    wanted, stock = unit(queries), unit(among)
    rows = np.empty((len(wanted), k), np.int64)
    distances = np.empty((len(wanted), k), np.float32)
    for start in range(0, len(wanted), _BLOCK):
        block = 1.0 - wanted[start : start + _BLOCK] @ stock.T
        # Sorting twenty thousand distances to keep five costs more than finding the five first.
        found = np.sort(_smallest(block, k), axis=1)
        close = np.take_along_axis(block, found, axis=1)
        order = np.argsort(close, axis=1, kind="stable")
        rows[start : start + _BLOCK] = np.take_along_axis(found, order, axis=1)
        distances[start : start + _BLOCK] = np.take_along_axis(close, order, axis=1)
    return rows, np.maximum(distances, 0.0)


def _smallest(block: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Return the places (Q, k) of the smallest values in each row, in any order."""
    if block.size < _MANY:
        return np.argpartition(block, k - 1, axis=1)[:, :k]
    import torch  # worth its import from here on: all cores, and a third of the time on one

    places: npt.NDArray[np.int64] = torch.topk(torch.from_numpy(block), k, largest=False, sorted=False).indices.numpy()
    return places


def unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Return vectors (N, D) scaled to length 1; a vector of zeros stays one."""
    plain = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    scaled: npt.NDArray[np.float32] = np.divide(plain, lengths, out=np.zeros_like(plain), where=lengths > 0)
    return scaled


def nearest_clips(
    store: Store,
    embeddings: Embeddings,
    vector: npt.NDArray[np.floating],
    k: int = 5,
    *,
    split: str = "train",
    label: str | None = None,
    without: Collection[str] = (),
) -> list[Neighbour]:
    """Return the clips of a split that lie nearest to an embedding, the nearest first.

    Parameters
    ----------
    store : Store
        Where the clips are described.
    embeddings : Embeddings
        What is searched.
    vector : ndarray, shape (D,)
    k : int
        At most so many.
    split : {'train', 'val', 'test', 'all'}
    label : str, optional
        Only clips of this class.
    without : collection of str
        Content hashes of sounds to pass over, such as the one that is asked about.

    Raises
    ------
    ConfigError
        If ``k`` is below 1.
    DataError
        If no such clip is there.
    """
    among = embeddings.of(split)
    if label is not None:
        among = among.take(np.flatnonzero(among.labels == label))
    if not len(among):
        of = f" of class '{label}'" if label else ""
        raise DataError(f"The dataset has no clip{of} in '{split}' to search.", "Choose another split or class.")
    (rows,), (distances,) = nearest(vector[None, :], among.vectors, k if not without else len(among))
    found: list[Neighbour] = []
    for row, distance in zip(rows, distances, strict=True):
        clip = store.datasets.clip(int(among.clip_ids[row]))
        if clip.content_hash not in without:
            found.append(Neighbour(clip.id or 0, clip.name, clip.shown_label, clip.source, float(distance)))
        if len(found) == k:
            break
    return found


def embed_sound(
    model: AudioClassifier,
    features: FeatureConfig,
    sound: npt.NDArray[np.floating],
    device: str | torch.device = "cpu",
) -> npt.NDArray[np.float32]:
    """Return the embedding (D,) of a waveform (T,) at the features' rate, or of a log-mel (n_mels, frames) in dB.

    Raises
    ------
    DataError
        If the array is neither.
    """
    if sound.ndim == 1:
        import torch

        from samplemind_core.audio.features import LogMel
        from samplemind_core.audio.window import fit_window

        window, _ = fit_window(sound, features)
        log_mel = LogMel(features)(torch.from_numpy(window)[None]).numpy()
    elif sound.shape == features.shape[1:]:
        log_mel = np.asarray(sound, dtype=np.float32)[None, None]
    else:
        raise DataError(
            f"Expected a waveform (T,) or a log-mel spectrogram {features.shape[1:]}, got shape {sound.shape}.",
            "Use the features of the same checkpoint.",
        )
    vector: npt.NDArray[np.float32] = embed_log_mel(model, log_mel, device)[0][0]
    return vector
