"""Clips per second of the trainer on a GPU, and how much of the time the GPU computes.

    python -m benchmarks.gpu

Each preset trains on noise of the right shape: epochs of ``--clips`` clips, kept on the device. Three ways:
kernel by kernel with a wait for the loss in each step; recorded as one piece of work and replayed
(:mod:`samplemind_core.training.graphs`), which is what runs do; and a whole epoch of that, with the
validation of a quarter as many clips and the checkpoint. "In kernels" is the share of the time, as
PyTorch's profiler saw it, in which at least one kernel ran on the GPU.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from torch.profiler import DeviceType, ProfilerActivity, profile

from benchmarks.loop import make_data
from benchmarks.machine import machine_line
from samplemind_core.config import PRESETS, RunConfig, build_config, parse_assignments
from samplemind_core.training import trainer as trainer_module
from samplemind_core.training.device import describe, pick_device
from samplemind_core.training.measuring import Totals
from samplemind_core.training.observer import Silent
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8_000, help="training clips of 2 s (8000)")
    parser.add_argument("--rounds", type=int, default=5, help="epochs timed of each way (5)")
    parser.add_argument("--presets", default=",".join(PRESETS), help="separated by commas (all)")
    parser.add_argument("--set", action="append", default=[], help="key=value, for every preset")
    options = parser.parse_args()
    device = pick_device("cuda")
    print(f"{machine_line()}; {describe(device)}, CUDA {torch.version.cuda}\n")
    print(
        "| preset | batch | precision | clips/s kernel by kernel | in kernels | clips/s recorded | spread | in kernels "
        "| times | clips/s of whole epochs | peak memory MiB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for preset in options.presets.split(","):
        config = build_config(preset, {"device": "cuda", "init": "random", **parse_assignments(options.set)})
        data = make_data(config, options.clips)
        rounds = options.rounds
        with kernel_by_kernel():
            plain, plain_share, _, _ = measure(config, data, max(1, rounds // 2))
        recorded, share, whole, memory = measure(config, data, rounds)
        speeds = [options.clips / seconds for seconds in recorded]
        middle, slow = statistics.median(speeds), options.clips / statistics.median(plain)
        precision = str(Trainer(config, data, Path(), Silent()).precision).removeprefix("torch.")
        row = (
            preset, config.train.batch_size, precision, f"{slow:,.0f}", f"{plain_share:.0%}", f"{middle:,.0f}",
            f"{min(speeds):,.0f} to {max(speeds):,.0f}", f"{share:.0%}", f"{middle / slow:.1f}",
            f"{options.clips / whole:,.0f}", f"{memory / 2**20:,.0f}",
        )  # fmt: skip
        print(f"| {' | '.join(map(str, row))} |", flush=True)


@contextmanager
def kernel_by_kernel() -> Iterator[None]:
    """Keep trainers from recording their steps."""
    with mock.patch.object(trainer_module, "recordable", return_value=False):
        yield


def measure(config: RunConfig, data: TrainingData, rounds: int) -> tuple[list[float], float, float, int]:
    """Return seconds of each epoch's steps, the share in kernels, seconds of a whole epoch and peak memory."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, data, Path(folder), Silent())

        def steps() -> None:
            trainer.step, trainer.totals = 0, Totals()
            trainer.run_epoch()
            trainer.epoch += 1

        trainer.epoch = 1
        steps()  # whatever is made once
        seconds = [timed(steps) for _ in range(rounds)]
        share = share_in_kernels(steps)
        trainer.epoch -= 1
        trainer.train_config = config.train.model_copy(update={"epochs": 10_000})
        trainer.run_epoch()
        trainer._end_epoch()
        whole = timed(lambda: (trainer.run_epoch(), trainer._end_epoch()))
        return seconds, share, whole, torch.cuda.max_memory_reserved()


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds work takes, the GPU's included."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def share_in_kernels(work: Callable[[], object]) -> float:
    """Return the share of the time between the first kernel and the last in which one ran."""
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
        torch.cuda.synchronize()
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in seen.events() or []
        if event.device_type == DeviceType.CUDA
    )
    busy, reached = 0.0, spans[0][0]
    for start, end in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return float(busy / (reached - spans[0][0]))


if __name__ == "__main__":
    main()
