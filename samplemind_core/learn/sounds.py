"""The handful of sounds that the chapters train on, and their spectrograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from samplemind_core.config import FeatureConfig
from samplemind_core.errors import DataError

SMALL = FeatureConfig(duration_s=1.0, n_mels=64)
"""A front end half as tall and half as long as the default, so that a step takes about 10 ms."""

NUM_TRAIN_KITS = 16
"""Kits that are trained on; the other eight are only asked about."""


@dataclass(frozen=True)
class Sounds:
    """A few labelled sounds, ready to be learned.

    ``waveforms`` (N, T) float32 at ``features.sample_rate_hz``; ``log_mel`` (N, 1, n_mels, frames)
    float16 in dB; ``targets`` (N,) int64; ``train_rows`` and ``val_rows`` (n,) int64, never of one
    source; ``names`` of length N.
    """

    features: FeatureConfig
    class_names: tuple[str, ...]
    waveforms: npt.NDArray[np.float32]
    log_mel: npt.NDArray[np.float16]
    targets: npt.NDArray[np.int64]
    names: tuple[str, ...]
    train_rows: npt.NDArray[np.int64]
    val_rows: npt.NDArray[np.int64]


def demo_sounds(
    class_names: Sequence[str] = ("kick", "hihat"),
    num_train: int = 64,
    num_val: int = 24,
    features: FeatureConfig = SMALL,
    seed: int = 0,
) -> Sounds:
    """Return demo voices, training and validation of different kits.

    Parameters
    ----------
    class_names : sequence of str
        Of :data:`samplemind_core.audio.synth.CLASS_NAMES`.
    num_train, num_val : int
        Sounds of all classes together; rounded down to a multiple of their number.
    features : FeatureConfig
    seed : int
    """
    import soxr

    from samplemind_core.audio.synth import CLASS_NAMES, NUM_KITS, SAMPLE_RATE_HZ, voice

    def indices(num: int, first: int, last: int) -> list[int]:
        kits = range(first, last)
        return [index for index in range(10_000) if index % NUM_KITS in kits][: num // len(class_names)]

    found, targets, names, splits = [], [], [], []
    for split, num, kits in (("train", num_train, (0, NUM_TRAIN_KITS)), ("val", num_val, (NUM_TRAIN_KITS, NUM_KITS))):
        for index in indices(num, *kits):
            for target, label in enumerate(class_names):
                made = voice(CLASS_NAMES.index(label), index, seed)
                found.append(soxr.resample(made.waveform, SAMPLE_RATE_HZ, features.sample_rate_hz))
                targets.append(target)
                names.append(f"{label}, {made.source}")
                splits.append(split)
    return _sounds(features, class_names, found, targets, names, splits)


def read_sounds(
    files: Sequence[tuple[Path, str, str]], class_names: Sequence[str], features: FeatureConfig = SMALL
) -> Sounds:
    """Return sounds of your own.

    Parameters
    ----------
    files : sequence of (path, class, split)
        Split is ``train`` or ``val``.
    class_names : sequence of str
    features : FeatureConfig

    Raises
    ------
    AudioError
        If a file cannot be read.
    DataError
        If a split has no sound.
    """
    from samplemind_core.audio.decode import decode

    found = [decode(path, features.sample_rate_hz).waveform for path, _, _ in files]
    targets = [list(class_names).index(label) for _, label, _ in files]
    names = [f"{label}, {path.stem}" for path, label, _ in files]
    return _sounds(features, class_names, found, targets, names, [split for _, _, split in files])


def _sounds(
    features: FeatureConfig,
    class_names: Sequence[str],
    waveforms: Sequence[npt.NDArray[np.float32]],
    targets: Sequence[int],
    names: Sequence[str],
    splits: Sequence[str],
) -> Sounds:
    import torch

    from samplemind_core.audio.features import LogMel
    from samplemind_core.audio.window import fit_window

    chosen = np.array(splits)
    rows = {split: np.flatnonzero(chosen == split).astype(np.int64) for split in ("train", "val")}
    for split, here in rows.items():
        if len(here) == 0:
            raise DataError(f"Expected sounds in the split '{split}', got none.", "Choose a dataset with more sounds.")
    windows = np.stack([fit_window(waveform, features)[0] for waveform in waveforms])
    log_mel = LogMel(features)(torch.from_numpy(windows)).numpy().astype(np.float16)
    return Sounds(
        features=features,
        class_names=tuple(class_names),
        waveforms=windows,
        log_mel=log_mel,
        targets=np.array(targets, dtype=np.int64),
        names=tuple(names),
        train_rows=rows["train"],
        val_rows=rows["val"],
    )
