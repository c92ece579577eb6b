"""Embeddings drawn in two or three dimensions, and which clips lie apart from the others.

PCA keeps the directions in which the clips differ most: at once, the same each time, and distances
mean what they say, as far as few dimensions can. UMAP (L. McInnes, J. Healy, J. Melville, 2018,
arXiv:1802.03426) keeps who is near whom: clusters show, but their sizes and the gaps between them say
little. Its seed is fixed, so that a map stays the map that a colleague was sent.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation.embeddings import Embeddings, embed_dataset, embeddings_file, nearest, unit
from samplemind_core.files import DAMAGED, open_arrays, write_atomic

if TYPE_CHECKING:
    from samplemind_core.settings import Settings
    from samplemind_core.store import Checkpoint, Dataset, Store
    from samplemind_core.tasks import TaskContext

Method = Literal["pca", "umap"]
Points = npt.NDArray[np.float32]

SEED = 0
NUM_NEIGHBOURS = 15
OUTLIER_NEIGHBOURS = 10
_PCA_FIRST = 30
"""Dimensions that UMAP searches for neighbours in: more cost time and add noise."""


@dataclass(frozen=True, eq=False)
class Map:
    """Where clips lie in a picture; row ``i`` belongs to the embeddings' row ``i``.

    Attributes
    ----------
    points : ndarray of float32, shape (N, 2 or 3)
    method : {'pca', 'umap'}
    kept : float or None
        Share of the differences between clips that the picture keeps; PCA alone knows it.
    """

    points: Points
    method: Method
    kept: float | None


def pca_map(vectors: npt.NDArray[np.floating], dims: int) -> Map:
    """Return the clips along the directions in which they differ most (K. Pearson, 1901).

    Parameters
    ----------
    vectors : ndarray, shape (N, D)
        Directions count, lengths do not.
    dims : int
        2 or 3.

    Raises
    ------
    DataError
        If there are fewer than three clips.
    """
    _check(vectors, dims)
    points, kept = _pca(vectors, dims)
    return Map(points, "pca", kept)


def umap_map(vectors: npt.NDArray[np.floating], dims: int, *, seed: int = SEED) -> Map:
    """Return the clips so that neighbours stay neighbours; the same clips and seed give the same map.

    Parameters are those of :func:`pca_map`. Takes seconds for hundreds of clips and a minute or more
    for twenty thousand: tasks compute it, see :func:`run_umap`.

    Raises
    ------
    DataError
        If there are fewer than three clips.
    """
    _check(vectors, dims)
    if len(vectors) <= dims + 2:  # UMAP needs more points than it has dimensions
        return Map(_pca(vectors, dims)[0], "umap", None)
    import umap

    reduced, _ = _pca(vectors, min(_PCA_FIRST, *vectors.shape))
    # One thread: with a fixed seed UMAP would set it itself, with a warning.
    reducer = umap.UMAP(
        n_components=dims,
        n_neighbors=min(NUM_NEIGHBOURS, len(vectors) - 1),
        min_dist=0.1,
        metric="euclidean",
        init="pca",
        random_state=seed,
        n_jobs=1,
    )
    points = np.asarray(reducer.fit_transform(reduced), dtype=np.float32)
    return Map(points - points.mean(axis=0), "umap", None)


def _pca(vectors: npt.NDArray[np.floating], dims: int) -> tuple[Points, float]:
    directions = unit(vectors)
    centred = directions - directions.mean(axis=0)
    # The covariance is D x D, however many clips there are.
    values, axes = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(values)[::-1][:dims]
    chosen = axes[:, order]
    # The sign of an axis is arbitrary: its largest part points up, so that maps can be compared.
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])])
    points = (centred @ chosen).astype(np.float32)
    if points.shape[1] < dims:
        points = np.pad(points, ((0, 0), (0, dims - points.shape[1])))
    total = float(np.maximum(values, 0).sum())
    return points, float(np.maximum(values[order], 0).sum()) / total if total else 1.0


def _check(vectors: npt.NDArray[np.floating], dims: int) -> None:
    if dims not in (2, 3):
        raise ConfigError(f"Expected 2 or 3 dimensions, got {dims}.", "Choose one of the two.")
    if vectors.ndim != 2 or len(vectors) < 3:
        raise DataError(f"A map needs at least 3 clips, got {len(vectors)}.", "Choose more samples.")


def turned(points: Points, towards: Points) -> Points:
    """Return a map turned, mirrored and scaled so that it lies best over another map of the same clips.

    Orthogonal Procrustes (P. H. Schönemann, Psychometrika 31, 1966): the maps of two epochs can then
    be looked at one after the other without the picture spinning.
    """
    centre = towards.mean(axis=0)
    a, b = points - points.mean(axis=0), towards - centre
    left, strengths, right = np.linalg.svd(a.T @ b)
    size = float(np.square(a).sum())
    scale = float(strengths.sum()) / size if size else 1.0
    result: Points = (scale * (a @ (left @ right)) + centre).astype(np.float32)
    return result


@dataclass(frozen=True, eq=False)
class Apartness:
    """How far clips lie from the others; row ``i`` belongs to the embeddings' row ``i``.

    Attributes
    ----------
    distance : ndarray of float32, shape (N,)
        Mean cosine distance to the nearest :data:`OUTLIER_NEIGHBOURS` other clips.
    agreement : ndarray of float32, shape (N,)
        Share of these neighbours that carry the clip's own label.
    """

    distance: npt.NDArray[np.float32]
    agreement: npt.NDArray[np.float32]


def apartness(vectors: npt.NDArray[np.floating], labels: Sequence[str] | npt.NDArray[Any]) -> Apartness:
    """Return how far each clip lies from its neighbours, and how many of them share its label.

    The distance to the nearest neighbours is the oldest score of outliers (S. Ramaswamy, R. Rastogi,
    K. Shim, SIGMOD 2000) and hard to beat on embeddings.

    Parameters
    ----------
    vectors : ndarray, shape (N, D)
    labels : sequence of str, length N

    Raises
    ------
    DataError
        If there are fewer than three clips.
    """
    _check(vectors, 2)
    names = np.asarray(labels)
    k = min(OUTLIER_NEIGHBOURS, len(vectors) - 1)
    rows, distances = nearest(vectors, vectors, k + 1)
    own = rows == np.arange(len(vectors))[:, None]
    # Among many equal clips a clip may miss itself; then the farthest is left out in its place.
    own[~own.any(axis=1), -1] = True
    others = rows[~own].reshape(-1, k)
    far = distances[~own].reshape(-1, k).mean(axis=1)
    same = (names[others] == names[:, None]).mean(axis=1)
    return Apartness(far.astype(np.float32), same.astype(np.float32))


def stored_apartness(
    root: Path, checkpoint: Checkpoint, dataset_id: str, split: str, embeddings: Embeddings
) -> Apartness | None:
    """Return how far clips lie apart, if that was computed before for these very clips and weights."""
    try:
        with open_arrays(_apartness_file(root, checkpoint, dataset_id, split)) as file:
            same = np.array_equal(file["clip_ids"], embeddings.clip_ids)
            same = same and float(file["made_from"][0]) == checkpoint.created_at
            same = same and np.array_equal(file["labels"], embeddings.labels)
            return Apartness(file["distance"], file["agreement"]) if same else None
    except DAMAGED:
        return None


def make_apartness(
    root: Path, checkpoint: Checkpoint, dataset_id: str, split: str, embeddings: Embeddings
) -> Apartness:
    """Return how far the clips of a split lie apart, stored or computed now and stored; see :func:`apartness`."""
    found = stored_apartness(root, checkpoint, dataset_id, split, embeddings)
    if found is not None:
        return found
    found = apartness(embeddings.vectors, embeddings.labels)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        distance=found.distance,
        agreement=found.agreement,
        clip_ids=embeddings.clip_ids,
        labels=embeddings.labels,
        made_from=np.array([checkpoint.created_at]),
    )
    write_atomic(_apartness_file(root, checkpoint, dataset_id, split), buffer.getvalue())
    return found


def _apartness_file(root: Path, checkpoint: Checkpoint, dataset_id: str, split: str) -> Path:
    stem = embeddings_file(root, checkpoint, dataset_id)
    return stem.with_name(f"{stem.stem}-{split.replace(':', '-')}-apart.npz")


def umap_file(root: Path, checkpoint: Checkpoint, dataset_id: str, split: str, dims: int) -> Path:
    """Return where a checkpoint's UMAP of some clips is kept."""
    stem = embeddings_file(root, checkpoint, dataset_id)
    return stem.with_name(f"{stem.stem}-{split.replace(':', '-')}-umap{dims}.npz")


def stored_umap(
    root: Path, checkpoint: Checkpoint, dataset_id: str, split: str, dims: int, embeddings: Embeddings
) -> Map | None:
    """Return a UMAP that was computed before for these very clips and weights, or None."""
    try:
        with open_arrays(umap_file(root, checkpoint, dataset_id, split, dims)) as file:
            same = np.array_equal(file["clip_ids"], embeddings.clip_ids)
            same = same and float(file["made_from"][0]) == checkpoint.created_at
            return Map(file["points"], "umap", None) if same else None
    except DAMAGED:
        return None


def make_umap(store: Store, settings: Settings, checkpoint: Checkpoint, dataset: Dataset, split: str, dims: int) -> Map:
    """Return a checkpoint's UMAP of the clips of a split, stored or computed now and stored."""
    embeddings = embed_dataset(store, settings, checkpoint, dataset).of(split)
    found = stored_umap(settings.root, checkpoint, dataset.id, split, dims, embeddings)
    if found is not None:
        return found
    found = umap_map(embeddings.vectors, dims)
    buffer = io.BytesIO()
    made_from = np.array([checkpoint.created_at])
    np.savez(buffer, points=found.points, clip_ids=embeddings.clip_ids, made_from=made_from)
    write_atomic(umap_file(settings.root, checkpoint, dataset.id, split, dims), buffer.getvalue())
    return found


def run_umap(context: TaskContext) -> dict[str, Any]:
    """Do a task of the kind ``umap``: ``ref``, ``dataset``, ``split`` and ``dims`` say of what."""
    workspace, params = context.workspace, context.params
    _, checkpoint = workspace.resolve(params["ref"])
    dataset = workspace.dataset(params["dataset"])
    embed_dataset(
        workspace.store, workspace.settings, checkpoint, dataset, context.progress, should_stop=context.should_stop
    )
    context.check()
    context.progress(0, None, "Arranging the samples")
    found = make_umap(workspace.store, workspace.settings, checkpoint, dataset, params["split"], int(params["dims"]))
    return {"num_clips": len(found.points)}


def run_apartness(context: TaskContext) -> dict[str, Any]:
    """Do a task of the kind ``apartness``: which clips of ``split`` in ``dataset`` lie apart for ``ref``."""
    workspace, params = context.workspace, context.params
    _, checkpoint = workspace.resolve(params["ref"])
    dataset = workspace.dataset(params["dataset"])
    embeddings = embed_dataset(
        workspace.store, workspace.settings, checkpoint, dataset, context.progress, should_stop=context.should_stop
    ).of(params["split"])
    context.check()
    context.progress(0, None, "Comparing each sample with all others")
    found = make_apartness(workspace.root, checkpoint, dataset.id, params["split"], embeddings)
    return {"num_clips": len(found.distance)}
