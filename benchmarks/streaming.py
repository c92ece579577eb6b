"""Training from the memory map: how much memory it takes, and what reading costs beside clips in memory.

    python -m benchmarks.streaming --clips 100000 --steps 300

Writes a float16 map of random spectrograms (1, 128, 87) into a temporary folder (22 kB a clip: 2.2 GB for
100,000 clips), trains ``quick`` from it in a fresh process, and removes it. Counted is that process's memory
above an interpreter with torch and the trainer imported: the peak of its resident set (everything that is
mapped into it) and of its unique set (what would come back if it ended). The kernel's page cache of the file
belongs to no process and is given back under pressure: it is not counted. The same steps on a set that fits
into memory give the pace to compare with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

SHAPE = (1, 128, 87)
NUM_CLASSES = 6
MIB = 1 << 20


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


def train(path: Path, steps: int, batch_size: int, resident: bool) -> dict[str, float]:
    """Train some steps in this process and return its memory and pace."""
    import torch

    from samplemind_core import build_config
    from samplemind_core.training import feed
    from samplemind_core.training.observer import Silent
    from samplemind_core.training.trainer import Trainer
    from samplemind_core.training.training_data import TrainingData

    torch.zeros(8).sum()
    process = psutil.Process()
    before = process.memory_full_info()
    peak = {"rss": 0, "uss": 0, "pss": 0}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            now = process.memory_full_info()
            for name in peak:
                peak[name] = max(peak[name], getattr(now, name))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    log_mel = np.load(path, mmap_mode="r")
    num_clips = len(log_mel)
    rows = np.random.default_rng(1).permutation(num_clips)
    num_train = min(num_clips - 512, steps * batch_size)

    class Until(Silent):
        """Takes how fast the steps were."""

        clips_per_s = 0.0

        def on_epoch(self, epoch: object) -> None:
            self.clips_per_s = float(epoch.clips_per_s)  # type: ignore[attr-defined]

    feed.RESIDENT_SHARE = 1.0 if resident else 0.0
    observer = Until()
    config = build_config("quick", {"epochs": 1, "train.batch_size": batch_size, "features.align": "none"})
    data = TrainingData(
        log_mel=log_mel,
        targets=np.arange(num_clips) % NUM_CLASSES,
        train_rows=rows[:num_train].astype(np.int64),
        val_rows=np.sort(rows[num_train : num_train + 512]).astype(np.int64),
        class_names=tuple(f"class {number}" for number in range(NUM_CLASSES)),
        description={"fingerprint": "streaming"},
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, data, Path(folder), observer, device="cpu")
        assert trainer.feed.resident == resident
        trainer.fit()
    over.set()
    watcher.join()
    above = {f"{name}_mib": (peak[name] - getattr(before, name)) / MIB for name in peak}
    return {
        "num_clips": num_clips, "steps": trainer.steps_per_epoch, "clips_per_s": observer.clips_per_s,
        "base_rss_mib": before.rss / MIB, **above,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--small", type=int, default=10_000, help="clips of the set that is kept in memory")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        path, way = given.child.split("|")
        print(json.dumps(train(Path(path), given.steps, given.batch_size, way == "resident")))
        return
    from benchmarks.machine import machine_line

    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large.npy", Path(folder) / "small.npy"
        began = time.perf_counter()
        write_map(large, given.clips)
        write_map(small, given.small)
        written_s = time.perf_counter() - began
        print(f"{given.clips:,} clips, {large.stat().st_size / 1e9:.2f} GB on disk, written in {written_s:.0f} s")
        found = {}
        for name, path, way in (
            ("from the map", large, "stream"),
            ("from a small map", small, "stream"),
            ("in memory", small, "resident"),
        ):
            command = [sys.executable, "-m", "benchmarks.streaming", "--child", f"{path}|{way}", "--steps",
                       str(given.steps), "--batch-size", str(given.batch_size)]  # fmt: skip
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[name] = one = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{name}: {one['num_clips']:,} clips, {one['steps']} steps, {one['clips_per_s']:,.0f} clips/s; above "
                f"the interpreter with torch ({one['base_rss_mib']:.0f} MiB): resident set {one['rss_mib']:.0f} MiB, "
                f"proportional {one['pss_mib']:.0f} MiB, unique {one['uss_mib']:.0f} MiB",
                flush=True,
            )
        pace = found["from the map"]["clips_per_s"] / found["in memory"]["clips_per_s"]
        print(f"pace from the map against memory: {pace:.2f}; bar for memory: 2,048 MiB")


if __name__ == "__main__":
    main()
