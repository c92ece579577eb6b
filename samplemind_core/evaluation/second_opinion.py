"""A second opinion on labels, from sounds of the same packs: what networks that never heard a pack cannot know.

A network that is judged on packs it never heard is honest about accuracy and therefore often wrong, and
its honest mistakes bury the labels that are wrong. Whether a label is wrong is another question: there,
the sounds beside it in its pack are welcome witnesses. So trees are grown on all other clips, pack-mates
included, and their probabilities are averaged with the networks'.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.evaluation.label_errors import LabelErrors, find_label_errors

if TYPE_CHECKING:
    from pathlib import Path

    from samplemind_core.evaluation.judging import Judged
    from samplemind_core.store import Dataset, Store

FOLDS, TREES = 5, 200
MOST_THREADS = 4
_BATCH = 512


def band_levels(log_mel: NDArray[np.floating[Any]], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return mean, standard deviation and maximum over time of each mel band.

    Parameters
    ----------
    log_mel : ndarray, shape (N, 1, n_mels, frames)
        dB; may be mapped, it is read in batches.
    rows : ndarray of int64, shape (M,)

    Returns
    -------
    ndarray of float32, shape (M, 3 x n_mels)
    """
    parts = []
    for start in range(0, len(rows), _BATCH):
        bands = np.asarray(log_mel[rows[start : start + _BATCH], 0], dtype=np.float32)
        parts.append(np.concatenate([bands.mean(axis=2), bands.std(axis=2), bands.max(axis=2)], axis=1))
    return np.concatenate(parts) if parts else np.zeros((0, 3 * log_mel.shape[2]), np.float32)


def second_opinion(
    features: NDArray[np.float32], targets: NDArray[np.int64], hashes: Sequence[str], num_classes: int, seed: int = 0
) -> NDArray[np.float64] | None:
    """Return what trees that were not grown on a clip give each class.

    Clips are dealt into five folds at random, so that others of a clip's pack stand beside it in
    training; only identical sounds stay together, as a copy would vouch for its own label.

    Parameters
    ----------
    features : ndarray of float32, shape (N, F)
    targets : ndarray of int64, shape (N,)
        The labels in doubt.
    hashes : sequence of str, length N
        Equal for identical sounds.
    num_classes : int
    seed : int
        Of the folds and the trees.

    Returns
    -------
    ndarray of float64, shape (N, C), or None
        None where no class has as many clips as there are folds.

    References
    ----------
    P. Geurts, D. Ernst, L. Wehenkel (2006), "Extremely randomized trees", Machine Learning 63.
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import StratifiedKFold

    if len(targets) == 0 or np.bincount(targets).max() < FOLDS:
        return None
    folds = np.zeros(len(targets), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes with fewer clips than folds: known and fine
        dealt = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, targets)
        for fold, (_, left_out) in enumerate(dealt):
            folds[left_out] = fold
    _, first, copies = np.unique(np.asarray(hashes), return_index=True, return_inverse=True)
    folds = folds[first[copies]]
    probs = np.zeros((len(targets), num_classes))
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    for fold in np.unique(folds):
        inside = folds == fold
        trees = ExtraTreesClassifier(TREES, random_state=seed, n_jobs=threads)
        trees.fit(features[~inside], targets[~inside])
        probs[np.ix_(inside, trees.classes_)] = trees.predict_proba(features[inside])
    return probs


def second_opinion_on(
    root: Path, store: Store, dataset: Dataset, clip_ids: NDArray[np.int64], targets: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Return :func:`second_opinion` on clips of a dataset, in the order of ``clip_ids``; None where there is none.

    Parameters
    ----------
    root : Path
        The workspace folder.
    clip_ids : ndarray of int64, shape (N,)
    targets : ndarray of int64, shape (N,)
        Their labels as the networks' answers count them.
    """
    from samplemind_core.data.cache import feature_cache, usual_features
    from samplemind_core.errors import DataError

    clips = {clip.id: clip for clip in store.datasets.clips(dataset.id)}
    found = [clips.get(int(clip_id)) for clip_id in clip_ids]
    known = [clip for clip in found if clip is not None]
    if len(known) < len(found):
        return None  # judged on clips of another dataset
    try:
        log_mel = feature_cache(root, store, dataset, usual_features(dataset))
    except DataError:
        return None  # a file is gone; the networks' answers stand by themselves
    rows = np.array([clip.row for clip in known], dtype=np.int64)
    return second_opinion(
        band_levels(log_mel, rows), targets, [clip.content_hash for clip in known], int(targets.max()) + 1
    )


def doubt_labels(root: Path, store: Store, dataset: Dataset, judged: Judged) -> LabelErrors:
    """Return the doubtful labels of clips, by the networks' answers on them and by :func:`second_opinion_on`.

    Raises
    ------
    DataError
        As :func:`~samplemind_core.evaluation.label_errors.find_label_errors`.
    """
    second = second_opinion_on(root, store, dataset, judged.clip_ids, judged.targets)
    return find_label_errors(judged.logits, judged.targets, judged.class_names, judged.clip_ids, second)
