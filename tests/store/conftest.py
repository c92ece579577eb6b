from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from samplemind_core.config import RunConfig
from samplemind_core.store import Clip, Dataset, Epoch, Run, Store


@pytest.fixture
def make_dataset() -> Callable[..., Dataset]:
    numbers = itertools.count(1)

    def make(**changes: Any) -> Dataset:
        number = next(numbers)
        values: dict[str, Any] = {
            "id": f"d{number}",
            "name": f"drums {number}",
            "kind": "audio",
            "class_names": ("kick", "snare"),
            "num_clips": 0,
            "num_rejected": 0,
            "fingerprint": "f" * 64,
            "origin": "a folder",
            "seed": 7,
            "created_at": float(number),
        }
        return Dataset(**values | changes)

    return make


@pytest.fixture
def make_clip() -> Callable[..., Clip]:
    def make(row: int, **changes: Any) -> Clip:
        target = row % 2
        values: dict[str, Any] = {
            "row": row,
            "name": f"clip-{row:03d}.wav",
            "label": ("kick", "snare")[target],
            "target": target,
            "source": f"pack{row // 2 % 3}",
            "split": ("train", "train", "val", "test")[row // 2 % 4],
            "content_hash": f"{row:064x}",
            "file": f"audio/clip-{row:03d}.wav",
        }
        return Clip(**values | changes)

    return make


@pytest.fixture
def dataset(store: Store, make_dataset: Callable[..., Dataset], make_clip: Callable[..., Clip]) -> Dataset:
    """A stored dataset of forty clips."""
    return store.datasets.add(make_dataset(num_clips=40), [make_clip(row) for row in range(40)])


@pytest.fixture
def make_run(store: Store, dataset: Dataset) -> Callable[..., Run]:
    """Store a run; each one is queued a second after the one before."""
    numbers = itertools.count(1)

    def make(**changes: Any) -> Run:
        number = next(numbers)
        values: dict[str, Any] = {
            "id": f"r{number}",
            "name": f"run {number}",
            "dataset_id": dataset.id,
            "status": "queued",
            "config": RunConfig().model_dump(mode="json"),
            "owner": "ada",
            "created_at": float(number),
            "queued_at": float(number),
        }
        return store.runs.add(Run(**values | changes))

    return make


@pytest.fixture
def make_epoch() -> Callable[..., Epoch]:
    def make(epoch: int, **changes: Any) -> Epoch:
        values: dict[str, Any] = {
            "epoch": epoch,
            "train_loss": 1.0 / epoch,
            "val_loss": 1.5 / epoch,
            "train_accuracy": 0.5,
            "val_accuracy": 0.25,
            "lr": 1e-3,
            "seconds": 0.75,
            "clips_per_s": 321.0,
            "health": {"verdict": "healthy", "onset": None},
            "recall": (1.0, None),
        }
        return Epoch(**values | changes)

    return make


@pytest.fixture
def together() -> Callable[..., list[str]]:
    """Run code in several fresh interpreters that wait for each other; return the lines they print.

    The code sees ``Store``, ``url``, its ``number``, and ``go()``, which returns once all are there;
    it is called before the code unless the code calls it.
    """

    def together(code: str, url: str, processes: int) -> list[str]:
        prelude = (
            "import sys\nfrom samplemind_core.store import Store\nurl, number = sys.argv[1], int(sys.argv[2])\n"
            "def go():\n    print('ready', flush=True)\n    sys.stdin.readline()\n"
        )
        program = prelude + ("" if "go()" in code else "go()\n") + code
        started = [
            subprocess.Popen(
                [sys.executable, "-c", program, url, str(number)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for number in range(processes)
        ]  # fmt: skip
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        lines = []
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in started:
            output, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            lines += output.split()
        return lines

    return together
