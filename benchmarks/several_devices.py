"""Clips per second of a training run by one process and by several that share its batches.

Both sides take the same steps on the same noise, in turns; the figures are those that the runs record of their own
epochs, the first of each run left out. On the CPU one process uses all threads and several share them, so that the
ratio is what speaking to each other costs. CPU seconds, of all processes, count no time in which others had the cores.
On GPUs (``--device cuda``) each process has one of its own.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import torch

from benchmarks.loop import make_data
from benchmarks.machine import machine_line
from benchmarks.measure import table
from samplemind_core.config import build_config
from samplemind_core.store import Epoch
from samplemind_core.training.launch import fit_on_several
from samplemind_core.training.observer import Silent
from samplemind_core.training.trainer import Trainer


class Speeds(Silent):
    """Keeps what each epoch but the first of each run took: clips per second, and CPU seconds from its end on."""

    def __init__(self) -> None:
        self.found: list[float] = []
        self.cpu_s: list[float] = []
        self._before = 0.0

    def on_epoch(self, epoch: Epoch) -> None:
        """Keep the figures."""
        now = cpu_seconds()
        if epoch.epoch > 1:
            self.found.append(epoch.clips_per_s)
            self.cpu_s.append(now - self._before)
        self._before = now


def cpu_seconds() -> float:
    """Return what this process and those that it started have taken of all cores."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=512, help="training clips of 2 s (512)")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of each run (4)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side (3)")
    parser.add_argument("--processes", type=int, default=2, help="how many share a batch (2)")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[32, 128], help="clips in a step (32 128)")
    parser.add_argument("--preset", nargs="+", default=["quick", "balanced"], help="presets (quick balanced)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="cpu or cuda (cpu)")
    options = parser.parse_args()

    print(f"{machine_line()}; device {options.device}\n")
    sides = "one process", f"{options.processes} processes"
    header = [f"{side}, {figure}" for figure in ("clips/s", "CPU s an epoch") for side in sides]
    print(table(("preset, clips in a step", *header), []), flush=True)
    device = torch.device(options.device)
    for preset in options.preset:
        for size in options.batch_size:
            changes = {"device": options.device, "batch_size": size, "epochs": options.epochs, "init": "random"}
            config = build_config(preset, changes)
            data = make_data(config, options.clips)
            one, several = Speeds(), Speeds()
            for _ in range(options.rounds):
                with tempfile.TemporaryDirectory() as folder:
                    Trainer(config, data, Path(folder), one).fit()
                with tempfile.TemporaryDirectory() as folder:
                    fit_on_several(config, data, Path(folder), several, options.processes, device)
            speeds = [f"{statistics.median(side.found):,.0f}" for side in (one, several)]
            cpu = [f"{statistics.median(side.cpu_s):.2f}" for side in (one, several)]
            row = (f"{preset}, {size}", *speeds, *cpu)
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
