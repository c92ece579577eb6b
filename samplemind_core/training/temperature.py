"""One number that makes a network's confidence mean what it says, found on validation clips after training.

Dividing all logits by a temperature keeps every answer and changes only how sure it is. Modern
networks are too sure, so the temperature is mostly above 1.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import CheckpointError
from samplemind_core.training.checkpoints import read_info, rewrite_info
from samplemind_core.training.predictions import read_logits

if TYPE_CHECKING:
    from samplemind_core.store import Checkpoint, Store

# Confidence is never sharpened or flattened beyond these, however few clips say so.
LOWEST, HIGHEST = 0.05, 20.0
# Below this many clips a temperature would be a guess.
MIN_CLIPS = 20
_TOLERANCE = 1e-6


def fit_temperature(logits: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Return the temperature that minimises the cross-entropy of logits divided by it.

    The loss is convex in 1 / temperature, so a search by golden section finds the one minimum.
    Half a virtual clip that is answered wrongly by a typical lead is added: a network that is right
    on every clip would otherwise want to be infinitely sure.

    Parameters
    ----------
    logits : array_like, shape (N, C)
        On validation clips: on training clips the network is right too often.
    targets : array_like of int, shape (N,)

    Returns
    -------
    float
        Between 0.05 and 20; 1 for fewer than 20 clips.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger (2017), "On calibration of modern neural networks",
    ICML. The virtual clip follows the smoothed targets of J. Platt (1999), "Probabilistic outputs
    for support vector machines".
    """
    scores = np.asarray(logits, dtype=np.float64)
    labels = np.asarray(targets, dtype=np.int64)
    if len(labels) < MIN_CLIPS:
        return 1.0
    scores = scores - scores.max(axis=1, keepdims=True)
    mine = scores[np.arange(len(labels)), labels]
    # How far the answer typically leads over the second class.
    lead = float(np.median(-np.partition(scores, -2, axis=1)[:, -2])) if scores.shape[1] > 1 else 0.0

    def loss(log_temperature: float) -> float:
        beta = math.exp(-log_temperature)
        rows = np.log(np.exp(scores * beta).sum(axis=1)) - mine * beta
        return float(rows.sum() + 0.5 * lead * beta)

    low, high = math.log(LOWEST), math.log(HIGHEST)
    golden = (math.sqrt(5) - 1) / 2
    a, b = high - golden * (high - low), low + golden * (high - low)
    loss_a, loss_b = loss(a), loss(b)
    while high - low > _TOLERANCE:
        if loss_a < loss_b:
            high, b, loss_b = b, a, loss_a
            a = high - golden * (high - low)
            loss_a = loss(a)
        else:
            low, a, loss_a = a, b, loss_b
            b = low + golden * (high - low)
            loss_b = loss(b)
    return math.exp((low + high) / 2)


def calibrate_checkpoint(store: Store, root: Path, checkpoint: Checkpoint, dataset_id: str) -> float | None:
    """Fit a checkpoint's temperature on its stored validation logits and write it into its file.

    Parameters
    ----------
    root : Path
        The workspace folder.
    dataset_id : str
        The dataset whose validation split is used.

    Returns
    -------
    float or None
        The temperature; None where there are no stored logits of this checkpoint as it is now.

    Raises
    ------
    CheckpointError
        If the checkpoint or its predictions cannot be read, or belong to different epochs.
    StorageError
        If the checkpoint cannot be written; it stays as it was.
    """
    stored = store.runs.prediction(checkpoint, dataset_id, "val")
    if stored is None:
        return None
    found = read_logits(root / stored.path)
    known = found.targets >= 0
    temperature = fit_temperature(found.logits[known], found.targets[known])
    path = root / checkpoint.path
    info = read_info(path)
    if info.epoch != checkpoint.epoch:
        raise CheckpointError(
            f"'{path.name}' holds epoch {info.epoch}, expected {checkpoint.epoch}.",
            "Calibrate once training has ended.",
        )
    calibrated_on = {"dataset": dataset_id, "split": "val", "num_clips": int(known.sum())}
    rewrite_info(path, info.model_copy(update={"temperature": temperature, "calibrated_on": calibrated_on}))
    return temperature
