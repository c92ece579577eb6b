"""Clips per second of the training loop beside a bare loop over the same network, batches and optimizer.

The bare loop is what one writes by hand: forward, loss, backward, step. It has no progress, no check
of the loss, no schedule, no accuracy; so the ratio is what all of that costs. The last column is a
whole epoch of ours: its steps, the validation of a quarter as many clips, and the checkpoint.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.machine import machine_line
from benchmarks.measure import Timings, in_turns, ratio, table
from samplemind_core.config import RunConfig, build_config
from samplemind_core.models import build_model
from samplemind_core.training.measuring import Totals
from samplemind_core.training.observer import Silent
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData

PLAIN = {"time_shift_ms": 0, "freq_mask_bins": 0, "time_mask_ms": 0, "mixup_alpha": 0}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "quick, no augmentation": ("quick", PLAIN),
    "quick, no augmentation, no moving average": ("quick", PLAIN | {"average": "none"}),
    "tutorial": ("tutorial", {}),
}
CLASSES = tuple("abcdef")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=96, help="training clips of 2 s (96)")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of both sides, an epoch each (6)")
    parser.add_argument("--device", default="cpu", help="cpu, mps, cuda or cuda:N (cpu)")
    options = parser.parse_args()

    print(f"{machine_line()}; device {options.device}\n")
    header = ("SampleMind", "bare loop", "ratio", "ratio by CPU time", "s per whole epoch")
    first = f"clips/s, {options.clips} clips in batches of 32"
    print(table((first, *header), []), flush=True)
    for title, (preset, changes) in RECIPES.items():
        config = build_config(preset, changes | {"device": options.device})
        ours, bare, whole = measure(config, make_data(config, options.clips), options.rounds)
        wall, cpu = ratio(ours, bare)
        speeds = (f"{options.clips / times.wall:,.0f}" for times in (ours, bare))
        row = (title, *speeds, f"{wall:.3f}", f"{cpu:.3f}", f"{whole.wall:.2f}")
        print(f"| {' | '.join(row)} |", flush=True)


def measure(config: RunConfig, data: TrainingData, rounds: int) -> tuple[Timings, Timings, Timings]:
    """Return the timings of an epoch's steps by the trainer and by the bare loop, and of whole epochs."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, data, Path(folder), Silent())

        def steps() -> None:
            trainer.step, trainer.totals = 0, Totals()
            trainer.run_epoch()

        ours, bare = in_turns((steps, bare_epoch(trainer)), rounds)
        whole = Timings()
        whole.add(lambda: (steps(), trainer._end_epoch()))
    return ours, bare, whole


def bare_epoch(trainer: Trainer) -> Callable[[], None]:
    """Return a function that trains a network of its own for an epoch, on the trainer's batches."""
    config, data, device = trainer.config, trainer.data, trainer.device
    model = build_model(config.model, len(data.class_names), config.features)
    model = model.to(device, memory_format=trainer.layout).train()
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.train.optimizer]
    optimizer = kind(model.parameters(), lr=1e-4, weight_decay=config.train.weight_decay, fused=True)
    clips = torch.from_numpy(data.log_mel).to(device)
    targets = torch.from_numpy(data.targets).to(device)
    train_rows = torch.from_numpy(data.train_rows)
    low_precision = trainer.precision is not torch.float32

    def epoch() -> None:
        for batch in train_rows[torch.randperm(len(train_rows))].split(config.train.batch_size):
            rows = batch.to(device)
            log_mel = clips[rows].float().contiguous(memory_format=trainer.layout)
            with torch.autocast(device.type, trainer.precision, enabled=low_precision):
                logits = model(log_mel)
            loss = functional.cross_entropy(logits.float(), targets[rows], label_smoothing=config.train.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        loss.item()  # wait for the device

    return epoch


def make_data(config: RunConfig, num_clips: int) -> TrainingData:
    """Return noise of the right shape; a quarter as many clips again are for validation."""
    rng = np.random.default_rng(0)
    total = num_clips + num_clips // 4
    return TrainingData(
        log_mel=rng.uniform(-80, 0, (total, *config.features.shape)).astype(np.float16),
        targets=np.arange(total) % len(CLASSES),
        train_rows=np.arange(num_clips),
        val_rows=np.arange(num_clips, total),
        class_names=CLASSES,
        description={"id": "noise", "name": "noise", "fingerprint": "noise", "num_clips": total, "synthetic": True},
    )


if __name__ == "__main__":
    main()
