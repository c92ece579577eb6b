"""A run on several devices, from the queue to its end: one process's figures, a stop, a dead process, a dead worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from samplemind_core import workers
from samplemind_core.config import build_config
from samplemind_core.settings import Settings
from samplemind_core.store import Epoch, Run
from samplemind_core.training import jobs
from samplemind_core.workspace import Workspace
from tests.waiting import wait_until

# Whatever depends on how a batch is cut: batch norms, dropout, mixup, an ensemble, class weights, an odd last batch.
CONFIG = {
    "n_mels": 32, "duration_s": 0.5, "width": 0.25, "device": "cpu", "precision": "float32", "epochs": 2_000,
    "members": 2, "dropout": 0.3, "mixup_alpha": 0.3, "time_shift_ms": 20, "class_balance": "weights",
    "optimizer": "sgd", "lr": 0.01, "schedule": "constant", "average": "ema", "grad_clip": 1.0, "save_every": 2,
}  # fmt: skip
pytestmark = pytest.mark.skipif(os.name == "nt", reason="ends processes by signals")


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bursts: Callable[..., Path]) -> Iterator[Workspace]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(workers, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(jobs, "_call_after_training", lambda *_: None)
    workspace = Workspace(Settings(workspace=tmp_path / "ws", worker="external"))
    workspace.import_dataset(bursts(("high", "mid", "low"), 8), name="bursts")
    yield workspace
    for process in ranks():
        process.kill()
    workspace.close()


def ranks(pid: int | None = None) -> list[psutil.Process]:
    """Return the processes that train together and were started below a process."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        try:
            if "samplemind_core.training.rank" in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue
    return found


def again(ws: Workspace, run: Run, listener: Callable[[str, Any], None]) -> Run:
    ws.store.runs.requeue(run.id, ("stopped", "failed"))
    claimed = ws.store.runs.claim(jobs.identity(), run.id)
    return jobs.execute(ws.store, ws.settings, claimed, jobs.identity(), listener)


def figures(epochs: list[Epoch]) -> np.ndarray:
    return np.array([(row.train_loss, row.val_loss, row.health["probe_loss"], row.train_accuracy) for row in epochs])


def test_two_processes_train_as_one_stop_fail_and_resume_as_one(ws: Workspace) -> None:
    num_train = ws.store.datasets.counts(ws.dataset("bursts").id)
    clips = sum(splits.get("train", 0) for splits in num_train.values())
    batch_size = next(size for size in range(5, clips) if clips % size % 2 and clips % size > 1)

    def stop_after(count: int) -> Callable[[str, Any], None]:
        def listener(kind: str, value: Any) -> None:
            if kind == "epoch" and value.epoch == count:
                ws.stop(ws.runs()[0].id)

        return listener

    config = build_config("quick", CONFIG | {"batch_size": batch_size})
    one = ws.train("bursts", config, name="one", listener=stop_after(3))
    config = build_config("quick", CONFIG | {"batch_size": batch_size, "num_devices": 2})
    run = ws.train("bursts", config, name="two", listener=stop_after(3))

    assert (run.status, one.status) == ("stopped", "stopped")
    assert run.device.startswith("2 × cpu")
    assert ranks() == []
    alone, both = ws.epochs(one.id), ws.epochs(run.id)
    assert figures(both[:3]) == pytest.approx(figures(alone[:3]), abs=2e-5)
    a, b = (load_file(jobs.run_folder(ws.settings, found.id) / "checkpoints/epoch-0002.safetensors")
            for found in (one, run))  # fmt: skip
    assert a.keys() == b.keys()  # a checkpoint does not depend on how many trained it
    assert all(torch.allclose(tensor, b[name], rtol=1e-4, atol=1e-5) for name, tensor in a.items())

    seen: list[Epoch] = []

    def kill_the_second(kind: str, value: Any) -> None:
        if kind == "epoch":
            seen.append(value)
            if len(seen) == 1:
                max(ranks(), key=lambda process: process.environ()["RANK"]).send_signal(signal.SIGKILL)

    failed = again(ws, run, kill_the_second)
    assert failed.status == "failed"
    assert "process 2 of 2 ended before its time (SIGKILL), and the run with it" in failed.end_reason
    assert "Resume goes on from the last checkpoint." in failed.end_reason
    assert failed.error is None
    assert ranks() == []
    assert seen[0].epoch == len(both) + 1

    # A worker of its own this time, which is killed in its turn.
    ws.store.runs.requeue(run.id, ("failed",))
    worker = jobs.start_worker(ws.settings)
    wait_until(lambda: len(ws.epochs(run.id)) > seen[-1].epoch, "the resumed run has gone on", 120)
    started = ranks(worker)
    assert len(started) == 2
    psutil.Process(worker).kill()
    wait_until(lambda: not any(process.is_running() for process in started), "its processes have ended too")
    ws.tend(now=True)
    assert ws.run(run.id).status == "interrupted"
    resumed = {row.epoch: row for row in ws.epochs(run.id)}
    assert all(resumed[row.epoch].train_loss == row.train_loss for row in seen)  # to the bit
    assert all(resumed[row.epoch].val_loss == row.val_loss for row in seen)
