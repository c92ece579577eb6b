"""A tiny task that a small network learns in a few epochs, and an observer that remembers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from samplemind_core.config import RunConfig, build_config
from samplemind_core.store import Epoch
from samplemind_core.training.training_data import TrainingData

TINY = {"n_mels": 16, "duration_s": 0.4, "model.width": 0.5, "device": "cpu"}


def tiny_config(preset: str = "quick", **changes: Any) -> RunConfig:
    return build_config(preset, TINY | {"epochs": 4, "batch_size": 8} | changes)


def tiny_data(config: RunConfig, per_class: int = 24, seed: int = 0, num_classes: int = 3) -> TrainingData:
    """Each class is a band of its own on a noisy floor."""
    rng = np.random.default_rng(seed)
    targets = np.repeat(np.arange(num_classes), per_class)
    log_mel = rng.uniform(-80, -45, (len(targets), *config.features.shape))
    for row, target in enumerate(targets):
        log_mel[row, 0, 4 * target : 4 * target + 4, : rng.integers(4, 17)] = rng.uniform(-20, 0)
    order = rng.permutation(len(targets))
    cut = len(order) * 2 // 3
    return TrainingData(
        log_mel=log_mel.astype(np.float16),
        targets=targets.astype(np.int64),
        train_rows=np.sort(order[:cut]),
        val_rows=np.sort(order[cut:]),
        class_names=tuple(f"class {index}" for index in range(num_classes)),
        description={"id": "tiny", "name": "tiny", "fingerprint": "tiny-1", "num_clips": len(targets)},
    )


class Memory:
    """Remembers what it was told; ``stop_when`` is asked between batches."""

    def __init__(self, stop_when: Callable[[Memory], bool] | None = None) -> None:
        self.epochs: list[Epoch] = []
        self.resumed: list[Epoch] | None = None
        self.checkpoints: list[tuple[str, int]] = []
        self.events: list[tuple[str, str]] = []
        self.progress: list[dict[str, Any]] = []
        self._stop_when = stop_when or (lambda memory: False)

    def on_start(self, device: str, num_parameters: int) -> None:
        self.device, self.num_parameters = device, num_parameters

    def on_progress(self, progress: dict[str, Any]) -> None:
        self.progress.append(progress)

    def on_epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)

    def on_resume(self, epochs: list[Epoch]) -> None:
        self.resumed = epochs

    def on_checkpoint(self, kind: str, epoch: int, path: Path, num_bytes: int, metrics: dict[str, float]) -> None:
        assert path.stat().st_size == num_bytes
        self.checkpoints.append((kind, epoch))

    def on_event(self, kind: str, message: str) -> None:
        self.events.append((kind, message))

    def should_stop(self) -> bool:
        return self._stop_when(self)


def measured(epoch: Epoch) -> dict[str, Any]:
    """Return an epoch without its timings."""
    return {name: value for name, value in epoch.as_dict().items() if name not in {"seconds", "clips_per_s"}}
