"""How much sooner a preset reaches what the tutorial's loop reaches at its best.

    python -m benchmarks.time_to_accuracy --manifest PATH/MANIFEST.csv --fold-column official_split --test test
    python -m benchmarks.time_to_accuracy

The tutorial's loop is written here by hand as one writes it: a ``DataLoader`` with its default settings
over the same spectrograms, float32, contiguous, the four-block network, Adam, ReduceLROnPlateau, its own
early stopping. Its clock stops at the end of the epoch with the highest validation accuracy. Then each
preset trains with the product's trainer on the same rows; its clock stops at the end of the first epoch
that reaches that accuracy. Making the spectrograms is on neither clock. Without a manifest the demo
dataset is used, by its own split; of a manifest, a tenth of the clips outside the fold to test, which is
not looked at, validates.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.folds import chosen_by, folds_of
from benchmarks.machine import machine_line
from samplemind_core import Workspace, build_config
from samplemind_core.config import RunConfig, parse_assignments
from samplemind_core.data.dataset import ClipData, load_clips
from samplemind_core.data.sources import ImportOptions
from samplemind_core.models import build_model
from samplemind_core.store import Dataset, Epoch
from samplemind_core.training.observer import Silent
from samplemind_core.training.schedule import should_stop_early
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData

Places = NDArray[np.int64]
Rows = tuple[Places, Places]
"""Clips to train on and to validate on."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, help="real clips; the demo dataset without it")
    parser.add_argument("--fold-column", default="fold")
    parser.add_argument("--test", default="test", help="fold that is left out (test)")
    parser.add_argument("--presets", default="quick", help="separated by commas")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each preset (3)")
    parser.add_argument("--per-class", type=int, default=200, help="clips of each class of the demo dataset (200)")
    parser.add_argument("--set", action="append", default=[], help="key=value, for every preset")
    arguments = parser.parse_args()
    print(machine_line(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder))
        if arguments.manifest:
            dataset = workspace.import_dataset(arguments.manifest, name="clips", options=ImportOptions())
        else:
            dataset = workspace.make_demo(per_class=arguments.per_class, name="clips")
        tutorial = build_config("tutorial")
        clips = load_clips(workspace.root, workspace.store, dataset, tutorial.features)
        rows = clips.indices("train"), clips.indices("val")
        if arguments.manifest:
            folds = folds_of(workspace.store.datasets.clips(dataset.id), arguments.fold_column)
            val = chosen_by("clips", clips.targets, folds, folds, arguments.test, None)
            rows = np.flatnonzero(~val & (folds != arguments.test)), np.flatnonzero(val)
        best, loop_s, epochs, all_s = tutorial_loop(tutorial, clips, rows)
        print(
            f"\n{len(rows[0]):,} clips to train on, {len(rows[1]):,} to validate on, {len(clips.class_names)} classes"
        )
        print(
            f"tutorial's loop: best validation accuracy {best:.1%} in epoch {epochs[0]}, after {loop_s:.1f} s; "
            f"stopped after epoch {epochs[1]}, {all_s:.1f} s, {len(rows[0]) * epochs[1] / all_s:,.0f} clips/s\n"
        )
        print("| preset | seed | s to that accuracy | epoch | times sooner | its best | s in all | clips/s |")
        print("|---|---|---|---|---|---|---|---|")
        for preset in arguments.presets.split(","):
            for seed in range(arguments.seeds):
                changes: dict[str, Any] = {"seed": seed, **parse_assignments(arguments.set)}
                config = build_config(preset, changes)
                judge(workspace, dataset, rows, config, best, loop_s, Path(folder) / f"{preset}-{seed}")
        workspace.close()


def tutorial_loop(config: RunConfig, clips: ClipData, rows: Rows) -> tuple[float, float, tuple[int, int], float]:
    """Return the best validation accuracy, the seconds to it, its epoch and the last, and all seconds."""
    torch.manual_seed(0)
    train, recipe = config.train, config.train

    def loader(own: Places, shuffle: bool) -> DataLoader[tuple[torch.Tensor, ...]]:
        log_mel = torch.from_numpy(np.array(clips.log_mel[own], dtype=np.float32))
        return DataLoader(TensorDataset(log_mel, torch.from_numpy(clips.targets[own])), recipe.batch_size, shuffle)

    train_loader, val_loader = loader(rows[0], True), loader(rows[1], False)
    model = build_model(config.model, len(clips.class_names), config.features)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=train.lr, weight_decay=train.weight_decay)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=train.plateau_factor, patience=train.plateau_patience
    )
    best, best_s, best_epoch, lowest, lowest_epoch = 0.0, 0.0, 0, float("inf"), 0
    started = time.perf_counter()
    epoch = 0
    for epoch in range(1, train.epochs + 1):
        model.train()
        for log_mel, targets in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(log_mel), targets)
            loss.backward()
            optimizer.step()
        model.eval()
        total, correct, count = 0.0, 0, 0
        with torch.no_grad():
            for log_mel, targets in val_loader:
                logits = model(log_mel)
                total += criterion(logits, targets).item() * len(targets)
                correct += int((logits.argmax(1) == targets).sum())
                count += len(targets)
        plateau.step(total / count)
        if correct / count > best:
            best, best_s, best_epoch = correct / count, time.perf_counter() - started, epoch
        if total / count < lowest:
            lowest, lowest_epoch = total / count, epoch
        if should_stop_early(train, epoch, lowest_epoch):
            break
    return best, best_s, (best_epoch, epoch), time.perf_counter() - started


def judge(
    workspace: Workspace, dataset: Dataset, rows: Rows, config: RunConfig, wanted: float, loop_s: float, folder: Path
) -> None:
    """Train with a preset and print its line."""
    clips = load_clips(workspace.root, workspace.store, dataset, config.features)
    data = TrainingData.of_rows(clips, *rows, "clips")
    config = config.for_clips(len(data.train_rows))
    clock = Clock()
    Trainer(config, data, folder, clock).fit()
    reached = next(((epoch, at) for epoch, at in clock.epochs if epoch.val_accuracy >= wanted), None)
    all_s = clock.epochs[-1][1]
    speed = len(data.train_rows) * len(clock.epochs) / all_s
    best = max(epoch.val_accuracy for epoch, _ in clock.epochs)
    found = (
        ("never", "-", "-")
        if reached is None
        else (f"{reached[1]:.1f}", reached[0].epoch, f"{loop_s / reached[1]:.1f}")
    )
    row = (config.preset, config.train.seed, *found, f"{best:.1%}", f"{all_s:.1f}", f"{speed:,.0f}")
    print(f"| {' | '.join(map(str, row))} |", flush=True)


class Clock(Silent):
    """An observer that notes when each epoch ended, in seconds since training began."""

    def __init__(self) -> None:
        self.epochs: list[tuple[Epoch, float]] = []
        self.started = 0.0

    def on_start(self, device: str, num_parameters: int) -> None:
        """Start the clock: the network is built."""
        self.started = time.perf_counter()

    def on_epoch(self, epoch: Epoch) -> None:
        """Note an epoch."""
        self.epochs.append((epoch, time.perf_counter() - self.started))


if __name__ == "__main__":
    main()
