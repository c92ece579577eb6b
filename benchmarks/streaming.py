"""Training from a file larger than memory should hold: whether memory stays constant, and what reading costs.

    python -m benchmarks.streaming --clips 100000 --epochs 2

Writes a float16 map of random spectrograms (1, 128, 87) into a temporary folder (22 kB a clip: 2.2 GB for
100,000 clips), trains ``quick`` from it for whole epochs in a fresh process, and removes it. Before each epoch the
kernel is asked to forget the file, so that every epoch is read from the disk. Counted is that process's memory above
an interpreter with torch and the trainer imported, as the median around a tenth, half and the end of the time: its
resident set (everything that is mapped into it) and its unique set (what would come back if it ended), and the peaks
of both. The kernel's page cache of the file belongs to no process and is given back under pressure: it is not counted.

Then a smaller map, once streamed and once kept in memory, in turns: clips per second, and CPU time per clip.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

SHAPE = (1, 128, 87)
NUM_CLASSES = 6
NUM_VAL = 512
MIB = 1 << 20
EVERY_S = 0.5
WINDOW = 0.05
"""Share of the samples around a point in time whose median counts."""


def write_map(path: Path, num_clips: int) -> None:
    """Write spectrograms that have a class to learn: a louder band each."""
    rng = np.random.default_rng(0)
    log_mel = np.lib.format.open_memmap(path, "w+", np.float16, (num_clips, *SHAPE))
    pool = rng.uniform(-80, -30, (64, *SHAPE)).astype(np.float16)
    for start in range(0, num_clips, 1_000):
        count = min(1_000, num_clips - start)
        block = pool[rng.integers(0, len(pool), count)]
        for row in range(count):
            band = 20 * ((start + row) % NUM_CLASSES)
            block[row, 0, band : band + 8, :20] = -5.0
        log_mel[start : start + count] = block
    log_mel.flush()


def forget(path: Path) -> None:
    """Ask the kernel to drop a file from its page cache; nothing happens where it cannot be asked."""
    if hasattr(os, "posix_fadvise"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


@dataclass
class Memory:
    """Memory of the process above what it had at first, in MiB, looked at twice a second by a thread."""

    rss: list[float] = field(default_factory=list)
    uss: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._process, self._over = psutil.Process(), threading.Event()
        self.before = self._process.memory_full_info()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        now = self._process.memory_full_info()
        self.rss.append((now.rss - self.before.rss) / MIB)
        self.uss.append((now.uss - self.before.uss) / MIB)

    def told(self) -> dict[str, Any]:
        """Return the figures of both sets at a tenth, half and the end, and their peaks."""
        return {
            "base_mib": self.before.rss / MIB,
            **{name: [*(at(values, share) for share in (0.1, 0.5, 1.0)), max(values)]
               for name, values in (("rss", self.rss), ("uss", self.uss))},
        }  # fmt: skip


def at(values: list[float], share: float) -> float:
    """Return the median of the values around a share of the time."""
    reach = max(1, round(WINDOW * len(values)))
    middle = min(max(round(share * len(values)), reach), len(values) - 1)
    return statistics.median(values[max(0, middle - reach) : middle + reach])


def train(path: Path, epochs: int, batch_size: int, *, resident: bool, cold: bool) -> dict[str, Any]:
    """Train whole epochs in this process and return its memory and pace."""
    import torch

    from samplemind_core import build_config
    from samplemind_core.store import Epoch
    from samplemind_core.training import feed
    from samplemind_core.training.observer import Silent
    from samplemind_core.training.trainer import Trainer
    from samplemind_core.training.training_data import TrainingData

    torch.zeros(8).sum()
    paces: list[float] = []

    class Paces(Silent):
        """Takes how fast each epoch was."""

        def on_epoch(self, epoch: Epoch) -> None:
            paces.append(epoch.clips_per_s)
            if cold:
                forget(path)

    with Memory() as memory, tempfile.TemporaryDirectory() as folder:
        log_mel = np.load(path, mmap_mode="r")
        rows = np.random.default_rng(1).permutation(len(log_mel))
        feed.RESIDENT_SHARE = 1.0 if resident else 0.0
        changes = {"epochs": epochs, "train.batch_size": batch_size, "train.min_steps": 0, "features.align": "none"}
        data = TrainingData(
            log_mel=log_mel,
            targets=np.arange(len(log_mel)) % NUM_CLASSES,
            train_rows=rows[NUM_VAL:].astype(np.int64),
            val_rows=np.sort(rows[:NUM_VAL]).astype(np.int64),
            class_names=tuple(f"class {number}" for number in range(NUM_CLASSES)),
            description={"fingerprint": "streaming"},
        )
        if cold:
            forget(path)
        trainer = Trainer(build_config("quick", changes), data, Path(folder), Paces(), device="cpu")
        assert trainer.feed.resident == resident
        began = time.process_time()
        trainer.fit()
        cpu_s = time.process_time() - began
    steps = epochs * trainer.steps_per_epoch
    return {"steps": steps, "paces": paces, "cpu_us": 1e6 * cpu_s / (epochs * len(data.train_rows)), **memory.told()}


def child(path: Path, epochs: int, batch_size: int, *ways: str) -> dict[str, Any]:
    """Train in a process of its own and return what it tells."""
    command = [sys.executable, "-m", "benchmarks.streaming", "--child", str(path), "--epochs", str(epochs),
               "--batch-size", str(batch_size), "--ways", ",".join(ways)]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Write the maps, train from them and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000, help="clips of the large map (100000)")
    parser.add_argument("--epochs", type=int, default=1, help="epochs over the large map (1)")
    parser.add_argument("--batch-size", type=int, default=256, help="clips per step (256)")
    parser.add_argument(
        "--small", type=int, default=10_000, help="clips of the map that is also kept in memory (10000)"
    )
    parser.add_argument("--rounds", type=int, default=2, help="epochs over it, from the map and in memory in turns (2)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--ways", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        ways = given.ways.split(",")
        told = train(
            Path(given.child), given.epochs, given.batch_size, resident="resident" in ways, cold="cold" in ways
        )
        print(json.dumps(told))
        return
    from benchmarks.machine import machine_line
    from benchmarks.measure import table

    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large.npy", Path(folder) / "small.npy"
        write_map(large, given.clips)
        found = child(large, given.epochs, given.batch_size, "cold")
        paces = ", ".join(f"{pace:,.0f}" for pace in found["paces"])
        print(
            f"\n{given.clips:,} clips ({large.stat().st_size / 1e9:.2f} GB) from the disk, batches of "
            f"{given.batch_size}, {found['steps']:,} steps; clips/s by epoch: {paces}\n"
        )
        rows = [
            (name, *(f"{value:,.0f}" for value in found[key]))
            for name, key in (("resident set", "rss"), ("unique set", "uss"))
        ]
        print(table((f"MiB above {found['base_mib']:,.0f}", "at a tenth", "half way", "at the end", "peak"), rows))
        print("bar for the peak of the resident set: 2,048 MiB\n", flush=True)
        large.unlink()
        write_map(small, given.small)
        both: dict[str, list[dict[str, Any]]] = {"from the map": [], "in memory": []}
        for turn in range(given.rounds):
            for name in sorted(both, reverse=bool(turn % 2)):
                way = "resident" if name == "in memory" else "streamed"
                both[name].append(child(small, 1, given.batch_size, way))
        print(
            table(
                (f"{given.small:,} clips, one epoch, {given.rounds} rounds", "clips/s", "CPU µs a clip"),
                [
                    (name, f"{statistics.median(one['paces'][0] for one in told):,.0f}",
                     f"{statistics.median(one['cpu_us'] for one in told):,.0f}")
                    for name, told in both.items()
                ],
            )
        )  # fmt: skip
        ratios = [
            (streamed["paces"][0] / kept["paces"][0], kept["cpu_us"] / streamed["cpu_us"])
            for streamed, kept in zip(both["from the map"], both["in memory"], strict=True)
        ]
        pace, cpu = (statistics.median(values) for values in zip(*ratios, strict=True))
        print(f"pace from the map against memory: {pace:.2f}, by CPU time {cpu:.2f}")


if __name__ == "__main__":
    main()
