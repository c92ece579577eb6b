"""From which probability on each label is named, chosen on validation clips after training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import CheckpointError
from samplemind_core.ranking import Floats, ends_of_ties, sigmoid
from samplemind_core.training.checkpoints import UNCHOSEN, read_info, rewrite_info
from samplemind_core.training.predictions import read_logits

if TYPE_CHECKING:
    from samplemind_core.store import Checkpoint, Store

# With fewer validation clips of a label a threshold would be a guess: the label keeps UNCHOSEN.
MIN_POSITIVES = 5
# No label is named that the network all but rules out, nor held back where it is all but certain.
LOWEST, HIGHEST = 0.05, 0.95


def best_f1_threshold(probs: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """Return the threshold of one label with the highest F1 on some clips.

    It lies halfway between the lowest probability that is accepted and the highest that is not, and within
    0.05 and 0.95; of equally good ones the strictest is taken. Labels with fewer than
    :data:`MIN_POSITIVES` clips get 0.5.

    Parameters
    ----------
    probs : array_like, shape (N,)
    positive : array_like of bool, shape (N,)

    References
    ----------
    Z. C. Lipton, C. Elkan, B. Naryanaswamy (2014), "Optimal thresholding of classifiers to maximize F1
    measure", ECML PKDD: why the best threshold of a weak classifier is low.
    """
    values, truth = np.asarray(probs, dtype=np.float64), np.asarray(positive, dtype=bool)
    if truth.sum() < MIN_POSITIVES:
        return UNCHOSEN
    order = np.argsort(-values, kind="stable")
    ordered, last = values[order], ends_of_ties(values[order])
    f1 = 2.0 * np.cumsum(truth[order])[last] / (last + 1 + truth.sum())
    place = last[int(np.argmax(f1))]
    below = ordered[place + 1] if place + 1 < len(ordered) else 0.0
    return float(np.clip((ordered[place] + below) / 2.0, LOWEST, HIGHEST))


def fit_label_thresholds(logits: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[float, ...]:
    """Return the best threshold of each label; see :func:`best_f1_threshold`.

    Parameters
    ----------
    logits : array_like, shape (N, C)
        On validation clips.
    targets : array_like of 0 and 1, shape (N, C)
    """
    probs: Floats = sigmoid(logits)
    truth = np.asarray(targets, dtype=bool)
    return tuple(best_f1_threshold(probs[:, place], truth[:, place]) for place in range(truth.shape[1]))


def choose_label_thresholds(
    store: Store, root: Path, checkpoint: Checkpoint, dataset_id: str
) -> tuple[float, ...] | None:
    """Choose a checkpoint's thresholds on its stored validation logits and write them into its file.

    Parameters and errors are those of :func:`~samplemind_core.training.temperature.calibrate_checkpoint`.

    Returns
    -------
    tuple of float or None
        One per class; None where there are no stored logits of this checkpoint as it is now.
    """
    stored = store.runs.prediction(checkpoint, dataset_id, "val")
    if stored is None:
        return None
    found = read_logits(root / stored.path)
    path = root / checkpoint.path
    info = read_info(path)
    if info.epoch != checkpoint.epoch:
        raise CheckpointError(
            f"'{path.name}' holds epoch {info.epoch}, expected {checkpoint.epoch}.",
            "Choose thresholds once training has ended.",
        )
    thresholds = fit_label_thresholds(found.logits, found.targets)
    num_clips = dict(zip(found.class_names, found.targets.sum(axis=0).tolist(), strict=True))
    about = {"dataset": dataset_id, "split": "val", "num_clips": len(found.targets), "by_class": num_clips}
    rewrite_info(path, info.model_copy(update={"label_thresholds": thresholds, "thresholds_from": about}))
    return thresholds
