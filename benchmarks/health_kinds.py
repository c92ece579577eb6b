"""Runs whose fault is known, because it was built in: what they learn from and with which settings."""

from __future__ import annotations

import csv
import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr

from samplemind_core.config import RunConfig, apply_changes, build_config
from samplemind_core.learn.kits import LESSON, UNSEEN_KIT, demo_clips
from samplemind_core.training.training_data import TrainingData

PER_CLASS = 72  # made-up clips of each class; two thirds of them from kits that may be trained on
POOLS = 2  # made-up collections; a run's seed chooses one
TEST_POOL = 9
CACHE = Path(tempfile.gettempdir()) / "samplemind-health-pools"
MOST_REAL, MOST_TEST = 240, 120
DRUMS = ("clap", "cymbal", "hihat", "kick", "snare", "tom")
SMALL_INPUT = {f"features.{name}": getattr(LESSON, name) for name in ("duration_s", "n_mels")}
PLAIN = {
    "augment.time_shift_ms": 0.0,
    "augment.freq_mask_bins": 0,
    "augment.time_mask_ms": 0.0,
    "train.weight_decay": 0.0,
    "train.ema_decay": 0.0,
    "train.schedule": "constant",
    "train.lr": 1e-3,
    "model.dropout": 0.0,
}


@dataclass(frozen=True)
class Pool:
    """Clips with a source each: ``log_mel`` (N, 1, n_mels, frames) in dB, ``targets`` (N,), ``sources`` (N,)."""

    log_mel: np.ndarray
    targets: np.ndarray
    sources: np.ndarray


@dataclass(frozen=True)
class Material:
    """What a run learns from, and the rows that only the study looks at."""

    data: TrainingData
    test_rows: np.ndarray


@dataclass(frozen=True)
class Kind:
    """Runs of one known kind.

    Parameters
    ----------
    accepted : frozenset of str
        The verdicts that are right for it; every other one is wrong.
    variants : mapping
        Name of a recipe to its data (by the name of a function below) and its settings.
    """

    accepted: frozenset[str]
    variants: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)


def kind(accepted: str, **variants: tuple[str, Mapping[str, Any]]) -> Kind:
    return Kind(frozenset(accepted.split()), variants)


LONG = PLAIN | {"train.epochs": 24, "train.batch_size": 24, "model.width": 0.5}
SHORT = {"train.epochs": 16, "train.batch_size": 24, "model.width": 0.5}
KINDS: dict[str, Kind] = {
    "healthy": kind(
        "healthy",
        quick=("demo", SHORT),
        quick_long=("demo", SHORT | {"train.epochs": 26}),
        tutorial=("demo", {"preset": "tutorial", "train.epochs": 18, "model.width": 0.25}),
        wide=("demo", SHORT | {"model.width": 1.0}),
        three=("three", SHORT),
        real=("real", SHORT),
        real_augmented=("real", SHORT | {"train.epochs": 20, "augment.gain_db": 4.0, "augment.mixup_alpha": 0.2}),
    ),
    "overfit by size": kind(
        "overfitting overconfident",
        wide=("wrong", LONG | {"model.width": 1.0, "train.epochs": 36}),
        wider=("eight", LONG | {"model.width": 1.25, "train.epochs": 36}),
        real=("real", LONG | {"model.width": 0.75}),
    ),
    "overfit without augmentation": kind(
        "overfitting overconfident",
        wrong=("wrong", LONG | {"train.epochs": 40}),
        wrong_adam=("wrong", LONG | {"train.optimizer": "adam", "train.lr": 2e-3, "train.epochs": 36}),
        real=("real", LONG),
    ),
    "overfit on few clips": kind(
        "overfitting overconfident",
        five=("five", LONG | {"train.epochs": 40, "train.batch_size": 15}),
        eight=("eight", LONG | {"train.epochs": 36, "train.batch_size": 16, "train.lr": 2e-3}),
        real=("real_few", LONG | {"train.epochs": 36, "train.batch_size": 16}),
    ),
    "underfit": kind(
        "underfitting plateau",
        tiny=("demo", SHORT | {"model.width": 0.125, "train.lr": 3e-4}),
        short=("demo", {"train.epochs": 5, "train.batch_size": 128, "train.lr": 5e-4}),
        drowned=(
            "demo",
            SHORT | {"model.width": 0.125, "model.dropout": 0.8, "augment.mixup_alpha": 2.0, "train.lr": 1e-3},
        ),
        real=("real", {"train.epochs": 6, "train.batch_size": 128, "model.width": 0.25, "train.lr": 1e-3}),
    ),
    "rate too low": kind(
        "underfitting plateau not_learning",
        low=("demo", SHORT | {"train.lr": 3e-5}),
        lowest=("demo", SHORT | {"train.lr": 5e-6, "train.ema_decay": 0.0}),
        sgd=("demo", SHORT | {"train.optimizer": "sgd", "train.lr": 1e-4, "train.ema_decay": 0.0}),
        real=("real", SHORT | {"train.lr": 3e-5}),
    ),
    "rate too high": kind(
        "diverging unstable not_learning",
        adamw=("demo", PLAIN | SHORT | {"train.lr": 0.3, "model.width": 0.5}),
        adam=("demo", PLAIN | SHORT | {"train.optimizer": "adam", "train.lr": 0.1}),
        sgd=("demo", PLAIN | SHORT | {"train.optimizer": "sgd", "train.lr": 1.0}),
        real=("real", PLAIN | SHORT | {"train.lr": 0.3}),
    ),
    "shuffled labels": kind(
        "suspicious not_learning",
        plain=("shuffled", LONG | {"train.lr": 2e-3}),
        quick=("shuffled", SHORT | {"train.epochs": 24}),
        few=("shuffled_few", LONG | {"train.epochs": 40, "train.batch_size": 16}),
    ),
    "leaky split": kind(
        "suspicious",
        copies=("copies", SHORT),
        half=("half_copies", SHORT),
        edited=("edited", SHORT),
        plain=("copies", LONG),
    ),
}


def config_of(changes: Mapping[str, Any], seed: int) -> RunConfig:
    """Return the settings of a recipe."""
    rest = {name: value for name, value in changes.items() if name != "preset"}
    config = build_config(changes.get("preset", "quick"), SMALL_INPUT | {"train.seed": seed, "train.device": "cpu"})
    return apply_changes(config, rest)


def material(name: str, seed: int, manifest: Path | None) -> Material:
    """Return what a run of that seed learns from."""
    if name.startswith("real"):
        if manifest is None:
            raise SystemExit("Runs on real clips need --manifest.")
        return real(manifest, seed, 8 if name == "real_few" else None)
    return MADE_UP[name](seed)


# -- made-up kits ----------------------------------------------------------------------------------


@lru_cache(maxsize=POOLS + 1)
def pool(number: int) -> Pool:
    def make() -> Pool:
        clips = demo_clips(PER_CLASS, LESSON, seed=number)
        return Pool(clips.log_mel.astype(np.float16), clips.targets, clips.sources)

    return kept(f"kits-{number}-{PER_CLASS}", make)


def demo(seed: int, per_class: int = 32, classes: int = 6) -> Material:
    """Kits to learn from, others to validate with, and a third collection to test on."""
    made, test = pool(seed % POOLS), pool(TEST_POOL)
    rng = np.random.default_rng(seed)
    train, val = [], []
    for target in range(classes):
        known = np.flatnonzero((made.targets == target) & (made.sources < UNSEEN_KIT))
        unknown = np.flatnonzero((made.targets == target) & (made.sources >= UNSEEN_KIT))
        train.append(rng.permutation(known)[:per_class])
        val.append(rng.permutation(unknown)[: (24, 12, 16)[seed % 3]])
    tested = rng.permutation(np.flatnonzero(test.targets < classes))[:MOST_TEST]
    rows = [np.concatenate(train), np.concatenate(val), tested]
    return assembled(made, test, rows, DRUMS[:classes])


def wrong(seed: int) -> Material:
    """Return fewer clips with some training labels dealt anew, as in collections sorted by file names."""
    return relabelled(demo(seed, per_class=16), 0.25, seed, val_too=False)


def shuffled(seed: int, per_class: int = 24) -> Material:
    """All labels dealt anew, on both sides."""
    return relabelled(demo(seed, per_class), 1.0, seed, val_too=True)


def copies(seed: int, share: float = 1.0, *, edited: bool = False) -> Material:
    """Return clips where a share of those to validate with are training clips once more, as they are or edited."""
    base = demo(seed)
    data = base.data
    rng = np.random.default_rng(seed)
    log_mel, targets = data.log_mel.copy(), data.targets.copy()
    chosen = rng.permutation(data.val_rows)[: round(share * len(data.val_rows))]
    for row, twin in zip(chosen, rng.choice(data.train_rows, len(chosen), replace=False), strict=True):
        log_mel[row], targets[row] = log_mel[twin], targets[twin]
        if edited:  # a little softer in the highs, and noise of half a decibel
            tilt = np.linspace(0, -2 * rng.uniform(), log_mel.shape[2])[:, None]
            log_mel[row] = np.clip(log_mel[row] + tilt + rng.normal(0, 0.5, log_mel[row].shape), -80, 0)
    return Material(replaced(data, log_mel=log_mel, targets=targets), base.test_rows)


MADE_UP: dict[str, Callable[[int], Material]] = {
    "demo": demo,
    "three": lambda seed: demo(seed, classes=3),
    "five": lambda seed: demo(seed, per_class=5),
    "eight": lambda seed: demo(seed, per_class=8),
    "wrong": wrong,
    "shuffled": shuffled,
    "shuffled_few": lambda seed: shuffled(seed, per_class=12),
    "copies": copies,
    "half_copies": lambda seed: copies(seed, 0.5),
    "edited": lambda seed: copies(seed, edited=True),
}


# -- real one-shots --------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def real_pool(manifest: Path) -> Pool:
    """Return the clips of a manifest with the columns path, label and fold; ``sources`` are the folds."""
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()[:16]
    return kept(f"real-{digest}", lambda: read_real(manifest))


def read_real(manifest: Path) -> Pool:
    from samplemind_core.audio.features import LogMel
    from samplemind_core.audio.window import fit_window

    with manifest.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in DRUMS]
    windows = []
    for row in rows:
        waveform, rate_hz = sf.read(manifest.parent / row["path"], dtype="float32", always_2d=True)
        waveform = soxr.resample(waveform.mean(1), rate_hz, LESSON.sample_rate_hz)
        windows.append(fit_window(waveform.astype(np.float32), LESSON)[0])
    import torch

    front_end = LogMel(LESSON)
    parts = [front_end(torch.from_numpy(np.stack(windows[i : i + 32]))) for i in range(0, len(windows), 32)]
    return Pool(
        torch.cat(parts).numpy().astype(np.float16),
        np.array([DRUMS.index(row["label"]) for row in rows]),
        np.array([int(row["fold"]) for row in rows]),
    )


def real(manifest: Path, seed: int, per_class: int | None) -> Material:
    """One fold of packs to validate with, the next to test on, the rest to learn from."""
    clips = real_pool(manifest)
    rng = np.random.default_rng(seed)
    folds = np.unique(clips.sources)
    val, test = folds[seed % len(folds)], folds[(seed + 1) % len(folds)]
    rest = rng.permutation(np.flatnonzero((clips.sources != val) & (clips.sources != test)))
    if per_class is None:
        train = rest[:MOST_REAL]
    else:
        train = np.concatenate([rest[clips.targets[rest] == target][:per_class] for target in range(len(DRUMS))])
    tested = rng.permutation(np.flatnonzero(clips.sources == test))[:MOST_TEST]
    rows = [train, np.flatnonzero(clips.sources == val), tested]
    return assembled(clips, clips, rows, DRUMS)


# -- parts -----------------------------------------------------------------------------------------


def kept(name: str, make: Callable[[], Pool]) -> Pool:
    """Return clips that were made before, or make them."""
    file = CACHE / f"{name}.npz"
    if not file.exists():
        CACHE.mkdir(exist_ok=True)
        part = CACHE / f"{name}.part.npz"
        np.savez(part, **vars(make()))
        part.replace(file)
    with np.load(file) as arrays:
        return Pool(**arrays)


def assembled(made: Pool, test: Pool, rows: list[np.ndarray], class_names: tuple[str, ...]) -> Material:
    train, val, tested = (np.sort(part) for part in rows)
    sizes = np.cumsum([0, len(train), len(val), len(tested)])
    train_rows, val_rows, test_rows = (np.arange(a, b) for a, b in pairwise(sizes))
    data = TrainingData(
        log_mel=np.concatenate([made.log_mel[train], made.log_mel[val], test.log_mel[tested]]),
        targets=np.concatenate([made.targets[train], made.targets[val], test.targets[tested]]).astype(np.int64),
        train_rows=train_rows,
        val_rows=val_rows,
        class_names=class_names,
        description={"id": "study", "name": "study", "fingerprint": "study", "num_clips": int(sizes[-1])},
    )
    return Material(data, test_rows)


def relabelled(base: Material, share: float, seed: int, *, val_too: bool) -> Material:
    data = base.data
    rng = np.random.default_rng(seed)
    targets = data.targets.copy()
    for rows in (data.train_rows, data.val_rows) if val_too else (data.train_rows,):
        chosen = rng.permutation(rows)[: round(share * len(rows))]
        targets[chosen] = rng.permutation(targets[chosen])
    return Material(replaced(data, targets=targets), base.test_rows)


def replaced(data: TrainingData, **values: np.ndarray) -> TrainingData:
    return TrainingData(**vars(data) | values)
