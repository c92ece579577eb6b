"""What a run outlives: a full disk, a database that is away, a clock that jumps, a second dashboard."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from samplemind_core import files, workers
from samplemind_core.config import build_config
from samplemind_core.errors import StoreError
from samplemind_core.settings import Settings
from samplemind_core.store import Run
from samplemind_core.training import jobs, trainer
from samplemind_core.training.checkpoints import read_info
from samplemind_core.workspace import Workspace
from tests.waiting import wait_until

TINY = {"n_mels": 32, "duration_s": 0.5, "width": 0.25, "batch_size": 16, "device": "cpu"}


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(trainer, "SAVE_LAST_EVERY_S", 0.0)
    monkeypatch.setattr(workers, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(jobs, "AFTER_TRAINING", "builtins:len")  # of no interest here, and slow
    monkeypatch.setattr(jobs, "_call_after_training", lambda *_: None)
    workspace = Workspace(Settings(workspace=tmp_path / "ws", worker="external"))
    workspace.make_demo(per_class=8, name="demo")
    yield workspace
    workspace.close()


class FullDisk:
    """Every write to it fails while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        sync = os.fsync

        def fsync(handle: int) -> None:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(handle)

        monkeypatch.setattr(files.os, "fsync", fsync)


def again(ws: Workspace, run: Run) -> Run:
    ws.store.runs.requeue(run.id, ("failed", "interrupted"))
    claimed = ws.store.runs.claim(jobs.identity(), run.id)
    return jobs.execute(ws.store, ws.settings, claimed, jobs.identity())


def same_weights(ws: Workspace, one: str, other: str) -> bool:
    a, b = (load_file(ws.checkpoint_path(name)) for name in (one, other))
    return a.keys() == b.keys() and all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def test_a_full_disk_ends_a_run_in_words_and_leaves_its_checkpoints_whole(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = build_config("quick", TINY | {"epochs": 6})
    ws.train("demo", config, name="whole")
    disk = FullDisk(monkeypatch)

    def fill(kind: str, value: object) -> None:
        disk.full = disk.full or (kind == "epoch" and value.epoch == 3)

    run = ws.train("demo", config, name="crowded", listener=fill)
    assert run.status == "failed"
    assert "could not be written: No space left on device" in run.end_reason
    assert "resume goes on from there" in run.end_reason
    assert run.error is None
    folder = jobs.run_folder(ws.settings, run.id)
    assert read_info(folder / "checkpoints" / "last.safetensors").epoch == 3
    assert not list(folder.rglob(".*.part"))
    assert [epoch.epoch for epoch in ws.epochs(run.id)][:3] == [1, 2, 3]

    disk.full = False
    assert again(ws, run).status == "finished"
    assert [epoch.epoch for epoch in ws.epochs(run.id)] == [1, 2, 3, 4, 5, 6]
    assert same_weights(ws, "crowded:last", "whole:last")
    assert same_weights(ws, "crowded:best", "whole:best")


def test_half_a_file_that_a_kill_left_behind_is_cleared_away(ws: Workspace) -> None:
    run = ws.submit("demo", build_config("quick", TINY | {"epochs": 1}), start=False)
    left = jobs.run_folder(ws.settings, run.id) / "checkpoints" / ".best.safetensors.abc.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    claimed = ws.store.runs.claim(jobs.identity(), run.id)
    assert jobs.execute(ws.store, ws.settings, claimed, jobs.identity()).status == "finished"
    assert not left.exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=["of a GPU", "of this machine, for PyTorch", "of this machine"],
)
def test_memory_that_ran_out_is_called_so(ws: Workspace, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(trainer.Trainer, "fit", full)
    run = ws.train("demo", build_config("quick", TINY | {"epochs": 1}))
    assert (run.status, run.end_reason) == ("failed", "Memory ran out. Use a smaller batch size or network.")


def away(*_: object, **__: object) -> None:
    raise StoreError("The database did not answer.", "Wait.")


def test_a_database_that_is_away_when_training_ends_is_waited_for(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = ws.store.runs.put_checkpoint, []

    def flaky(run_id: str, values: dict) -> object:
        calls.append(values["epoch"])
        return away() if len(calls) < 12 else put(run_id, values)

    checkpoints, asked = ws.store.runs.checkpoints, []

    def hesitant(run_id: str) -> object:
        asked.append(run_id)
        return away() if len(asked) < 3 else checkpoints(run_id)

    monkeypatch.setattr(ws.store.runs, "put_checkpoint", flaky)
    monkeypatch.setattr(ws.store.runs, "checkpoints", hesitant)
    run = ws.train("demo", build_config("quick", TINY | {"epochs": 2}))
    assert run.status == "finished", run.end_reason
    assert [epoch.epoch for epoch in ws.epochs(run.id)] == [1, 2]
    for kept in ws.checkpoints(run.id):
        assert read_info(ws.root / kept.path).epoch == kept.epoch
        assert ws.store.runs.prediction(kept, run.dataset_id, "val") is not None


def test_a_database_that_stays_away_ends_the_process_and_the_run_can_go_on(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that lived on would hold a run for ever that it no longer trains."""
    monkeypatch.setattr(workers, "FLUSH_DEADLINE_S", 0.1)
    end = ws.store.runs.end
    monkeypatch.setattr(ws.store.runs, "end", away)
    run = ws.submit("demo", build_config("quick", TINY | {"epochs": 2}), start=False)
    claimed = ws.store.runs.claim(jobs.identity(), run.id)
    with pytest.raises(StoreError, match="counts as interrupted"):
        jobs.execute(ws.store, ws.settings, claimed, jobs.identity())
    monkeypatch.setattr(ws.store.runs, "end", end)
    assert ws.store.runs.interrupt(ws.run(run.id), "its worker is gone")
    assert again(ws, run).status == "finished"


def test_answers_that_were_cut_on_the_disk_are_given_again(ws: Workspace) -> None:
    run = ws.train("demo", build_config("quick", TINY | {"epochs": 1}))
    before = ws.evaluate(run.name)
    kept = ws.store.runs.prediction(ws.resolve(run.name)[1], run.dataset_id, "test")
    path = ws.root / kept.path
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:60] + bytes(40) + whole[100:]):
        path.write_bytes(damaged)
        assert ws.evaluate(run.name) == before
        assert path.read_bytes() != damaged


def test_a_file_newer_than_its_record_is_what_counts(ws: Workspace) -> None:
    run = ws.train("demo", build_config("quick", TINY | {"epochs": 3}))
    best = next(kept for kept in ws.checkpoints(run.id) if kept.kind == "last")
    values = {"kind": "last", "epoch": 2, "path": best.path, "val_loss": 9.0, "val_accuracy": 0.0, "num_bytes": 1}
    ws.store.runs.put_checkpoint(run.id, values)
    ws.store.runs.requeue(run.id, ("finished",))
    claimed = ws.store.runs.claim(jobs.identity(), run.id)
    assert jobs.execute(ws.store, ws.settings, claimed, jobs.identity()).status == "finished"
    assert next(kept for kept in ws.checkpoints(run.id) if kept.kind == "last").epoch == 3


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_clock_that_jumps_kills_no_living_run_and_keeps_no_dead_one(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        here = workers.identity()
        worker = here | {"pid": child.pid, "started": workers._birth(psutil.Process(child.pid))}
        living = ws.submit("demo", build_config("quick", TINY), start=False)
        ws.store.runs.claim(worker, living.id)
        elsewhere = ws.submit("demo", build_config("quick", TINY), start=False)
        far = {"host": "elsewhere", "pid": 1, "started": "then"}
        ws.store.runs.claim(far, elsewhere.id)
        jobs.tend(ws.store, ws.settings)

        born, clock = psutil.Process.create_time, time.time
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: born(process) + jump_s)
        monkeypatch.setattr(time, "time", lambda: clock() + jump_s)
        jobs.tend(ws.store, ws.settings)
        assert ws.run(living.id).status == "running"
        assert ws.run(elsewhere.id).status == "running"
        ws.store.runs.heartbeat(elsewhere.id, far)  # by the clock as it is now: later or earlier, it is a change
        assert not jobs.is_gone(ws.run(elsewhere.id), ws.settings.lease_s)
    finally:
        child.kill()
        child.communicate()
    jobs.tend(ws.store, ws.settings)
    assert ws.run(living.id).status == "interrupted"
    later = time.monotonic() + ws.settings.lease_s + 1
    monkeypatch.setattr(workers.time, "monotonic", lambda: later)
    jobs.tend(ws.store, ws.settings)
    assert ws.run(elsewhere.id).status == "interrupted"


def test_a_process_with_the_number_of_a_dead_worker_is_not_that_worker(ws: Workspace) -> None:
    run = ws.submit("demo", build_config("quick", TINY), start=False)
    ws.store.runs.claim(workers.identity() | {"started": "another boot/1"}, run.id)
    assert jobs.is_gone(ws.run(run.id), ws.settings.lease_s)


DASHBOARD = """
import sys, time
from pathlib import Path
from samplemind_core.settings import Settings
from samplemind_core.workspace import Workspace
workspace = Workspace(Settings(workspace=Path(sys.argv[1]), worker="auto"))
deadline = time.monotonic() + 90
while time.monotonic() < deadline and any(run.status != "finished" for run in workspace.runs()):
    workspace.tend(now=True)
    time.sleep(0.05)
"""


def test_two_dashboards_in_processes_of_their_own_start_each_run_once(ws: Workspace) -> None:
    config = build_config("quick", TINY | {"epochs": 2})
    runs = [ws.submit("demo", config, start=False) for _ in range(2)]
    dashboards = [subprocess.Popen([sys.executable, "-c", DASHBOARD, str(ws.root)]) for _ in range(2)]
    try:
        wait_until(lambda: all(ws.run(run.id).status == "finished" for run in runs), deadline_s=100)
    finally:
        for dashboard in dashboards:
            dashboard.kill()
            dashboard.wait()
    for run in runs:
        assert [event.kind for event in ws.events(run.id)].count("started") == 1
        assert [epoch.epoch for epoch in ws.epochs(run.id)] == [1, 2]
