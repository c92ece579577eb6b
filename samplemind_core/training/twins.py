"""How many validation clips a run knows already: sounds that stand on both sides of the split.

Curves cannot tell: a validation clip that is also trained on follows training as closely as an easy one.
The spectrograms can.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from samplemind_core.training.streaming import RowReader

NEAR = 0.035
"""Relative distance below which two spectrograms are one sound."""
MOST_VAL, MOST_TRAIN = 512, 20_000
"""Clips beyond which a random part is looked at."""

_BANDS, _FRAMES = 32, 48
_CHUNK = 1_024
_READ = 64  # whole spectra in memory at once

Array = npt.NDArray[np.floating]


def twin_share(
    log_mel: Array, train_rows: npt.NDArray[np.int64], val_rows: npt.NDArray[np.int64], seed: int = 0
) -> float:
    """Return the share of validation clips whose very sound, or one that hardly differs, is in training.

    Parameters
    ----------
    log_mel : ndarray, shape (N, 1, n_mels, frames)
        dB below each clip's own maximum, so that a copy at another level is the same; may be mapped.
    train_rows, val_rows : ndarray of int64
    seed : int
        Of the part that is looked at where there are too many clips.
    """
    nearest = nearest_distance(log_mel, _part(train_rows, MOST_TRAIN, seed), _part(val_rows, MOST_VAL, seed))
    return float((nearest < NEAR).mean())


def nearest_distance(
    log_mel: Array, train_rows: npt.NDArray[np.int64], val_rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return each validation clip's distance (n_val,) to the nearest training clip.

    The distance of spectra a and b, in dB above the quietest level, is |a - b| / sqrt(|a|² + |b|²): 0 for
    the same sound, 1 for two that never sound in the same place.
    """
    reader = RowReader(log_mel)  # pages of a map that are touched here and there would stay with this process
    floor = float(np.min(reader.read(val_rows[:1]))) if len(val_rows) else 0.0
    floor = min(floor, *(float(np.min(reader.read(rows[:64]))) for rows in (train_rows, val_rows)))
    val = _outlines(reader, val_rows, floor)
    power = (val**2).sum(axis=1)
    best = np.full(len(val), np.inf, np.float32)
    for start in range(0, len(train_rows), _CHUNK):
        part = _outlines(reader, train_rows[start : start + _CHUNK], floor)
        both = power[:, None] + (part**2).sum(axis=1)
        apart = 1 - 2 * (val @ part.T) / np.maximum(both, 1e-6)
        best = np.minimum(best, apart.min(axis=1))
    return np.sqrt(np.maximum(best, 0.0))


def _outlines(reader: RowReader, rows: npt.NDArray[np.int64], floor_db: float) -> npt.NDArray[np.float32]:
    """Return coarse spectra (n, bands x frames) in dB above the floor."""
    return np.concatenate(
        [_outline(reader.read(rows[at : at + _READ])[:, 0], floor_db) for at in range(0, len(rows), _READ)]
    )


def _outline(spectra: Array, floor_db: float) -> npt.NDArray[np.float32]:
    block = np.asarray(spectra, np.float32) - floor_db
    for axis, most in ((1, _BANDS), (2, _FRAMES)):
        step = -(-block.shape[axis] // most)
        block = np.add.reduceat(block, np.arange(0, block.shape[axis], step), axis=axis) / step
    return block.reshape(len(block), -1)


def _part(rows: npt.NDArray[np.int64], most: int, seed: int) -> npt.NDArray[np.int64]:
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
