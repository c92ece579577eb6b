"""Runs in processes of their own: started, stopped, killed, resumed."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from samplemind_core import workers
from samplemind_core.config import build_config
from samplemind_core.errors import JobError
from samplemind_core.settings import Settings
from samplemind_core.store import Run
from samplemind_core.training import jobs
from samplemind_core.workspace import Workspace
from tests.waiting import wait_until

TINY = {"n_mels": 32, "duration_s": 0.5, "width": 0.5, "batch_size": 16, "device": "cpu"}
LONG = TINY | {"epochs": 400}


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("SAMPLEMIND_DATABASE_URL", raising=False)
    workspace = Workspace(Settings(workspace=tmp_path / "ws", lease_s=3))
    workspace.make_demo(per_class=8, name="demo")
    yield workspace
    for run in workspace.runs():
        if run.worker and psutil.pid_exists(run.worker["pid"]) and run.worker["pid"] != os.getpid():
            psutil.Process(run.worker["pid"]).kill()
    workspace.close()


def status(ws: Workspace, run: Run) -> str:
    ws.tend(now=True)
    return ws.run(run.id).status


def test_a_run_trains_in_its_own_process_and_leaves_everything_behind(ws: Workspace) -> None:
    run = ws.submit("demo", build_config("quick", TINY | {"epochs": 3}), owner="ana")
    wait_until(lambda: status(ws, run) == "finished")
    ended = ws.run(run.id)
    assert ended.worker["pid"] != os.getpid()
    assert ended.owner == "ana"
    assert ended.num_parameters > 0
    assert ended.device.startswith("cpu")
    assert [epoch.epoch for epoch in ws.epochs(run.id)] == [1, 2, 3]
    assert {checkpoint.kind for checkpoint in ws.checkpoints(run.id)} == {"best", "last"}
    assert {event.kind for event in ws.events(run.id)} >= {"queued", "started", "finished"}
    assert "epoch 3" in ws.log_tail(run.id)
    evaluation = ws.evaluate(run.name)
    counts = ws.store.datasets.counts(run.dataset_id)
    assert evaluation.num_clips == sum(splits.get("test", 0) for splits in counts.values())
    comparison = ws.compare(f"{run.name}:best", f"{run.name}:last")
    assert comparison.num_clips == evaluation.num_clips


def test_stop_finishes_the_batch_saves_and_resume_goes_on(ws: Workspace) -> None:
    run = ws.submit("demo", build_config("quick", LONG))
    wait_until(lambda: len(ws.epochs(run.id)) >= 2)
    ws.stop(run.id, by="ben")
    wait_until(lambda: status(ws, run) == "stopped")
    assert "Stopped on request" in ws.run(run.id).end_reason
    done = len(ws.epochs(run.id))
    assert (ws.root / "runs" / run.id / "checkpoints" / "last.safetensors").exists()
    ws.resume(run.id)
    wait_until(lambda: len(ws.epochs(run.id)) > done)
    assert [epoch.epoch for epoch in ws.epochs(run.id)] == list(range(1, len(ws.epochs(run.id)) + 1))
    ws.stop(run.id)
    wait_until(lambda: status(ws, run) == "stopped")


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_a_killed_worker_is_noticed_and_the_resumed_run_equals_an_undisturbed_one(ws: Workspace) -> None:
    config = build_config("quick", TINY | {"epochs": 12})
    whole = ws.submit("demo", config, name="whole")  # by a worker too: the number of threads shapes the last digits
    wait_until(lambda: status(ws, whole) == "finished")

    run = ws.submit("demo", config, name="killed")
    wait_until(lambda: len(ws.epochs(run.id)) >= 2)
    os.kill(ws.run(run.id).worker["pid"], signal.SIGKILL)
    wait_until(lambda: status(ws, run) == "interrupted", deadline_s=10)
    assert "resume" in ws.run(run.id).end_reason
    ws.resume(run.id)
    wait_until(lambda: status(ws, run) == "finished")

    def measured(name: str) -> list[tuple]:
        rows = ws.epochs(ws.run(name).id)
        return [(row.epoch, row.train_loss, row.val_loss, row.val_accuracy, row.recall) for row in rows]

    assert measured("killed") == measured("whole")
    for kind in ("best", "last"):
        a = load_file(ws.checkpoint_path(f"whole:{kind}"))
        b = load_file(ws.checkpoint_path(f"killed:{kind}"))
        assert all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def test_queued_runs_train_one_after_the_other_and_two_dashboards_start_each_once(ws: Workspace) -> None:
    other = Workspace(ws.settings)
    config = build_config("quick", TINY | {"epochs": 2})
    queued = [(ws if number % 2 else other).submit("demo", config, start=False) for number in range(4)]
    assert [ws.queue_position(run.id) for run in queued] == [1, 2, 3, 4]
    for workspace in (ws, other, ws, other):
        workspace.tend(now=True)
    wait_until(lambda: all(status(ws, run) == "finished" for run in queued), deadline_s=120)
    ended = [ws.run(run.id) for run in queued]
    for before, after in itertools.pairwise(ended):
        assert before.ended_at <= after.started_at + 0.01
    for run in queued:
        assert [event.kind for event in ws.events(run.id)].count("started") == 1
    other.close()


def test_a_queued_run_leaves_the_queue_when_stopped(ws: Workspace) -> None:
    run = ws.submit("demo", build_config("quick", TINY), start=False)
    ws.store.runs.request_stop(run.id, "ana")
    assert ws.run(run.id).status == "stopped"
    assert ws.queue_position(run.id) is None


def test_a_run_that_cannot_work_fails_with_the_reason_in_words(ws: Workspace) -> None:
    run = ws.train("demo", build_config("quick", TINY | {"device": "cuda:7"}))
    assert run.status == "failed"
    assert "no device 'cuda:7'" in run.end_reason
    assert ws.resume(run.id).status in {"queued", "running"}
    wait_until(lambda: status(ws, run) == "failed")


def test_training_here_is_refused_while_a_worker_trains(ws: Workspace) -> None:
    with jobs.as_worker(ws.settings), pytest.raises(JobError, match="Another worker"):
        ws.train("demo", build_config("quick", TINY))


def test_tending_again_and_again_starts_one_worker(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = workers.Crew.start
    monkeypatch.setattr(workers.Crew, "start", lambda crew, settings: started.append(start(crew, settings)))
    run = ws.submit("demo", build_config("quick", TINY | {"epochs": 1}))
    wait_until(lambda: status(ws, run) == "finished")
    assert len(started) == 1


def test_a_stale_heartbeat_from_another_machine_counts_only_after_the_lease(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ws.submit("demo", build_config("quick", TINY), start=False)
    ws.store.runs.claim({"host": "elsewhere", "pid": 1, "started": 0.0}, run.id)
    clock = [100.0]
    monkeypatch.setattr(workers.time, "monotonic", lambda: clock[0])
    assert not jobs.is_gone(ws.run(run.id), 3)
    clock[0] += 2.9
    assert not jobs.is_gone(ws.run(run.id), 3)
    ws.store.runs.heartbeat(run.id, {"host": "elsewhere", "pid": 1, "started": 0.0})
    clock[0] += 2.9
    assert not jobs.is_gone(ws.run(run.id), 3)
    clock[0] += 3.1
    assert jobs.is_gone(ws.run(run.id), 3)


def test_a_worker_that_lost_its_run_records_nothing_more(ws: Workspace) -> None:
    run = ws.submit("demo", build_config("quick", LONG), start=False)
    worker = jobs.identity()
    claimed = ws.store.runs.claim(worker, run.id)

    def steal(kind: str, value: object) -> None:
        if kind == "epoch" and value.epoch == 2:
            assert ws.store.runs.interrupt(ws.run(run.id), "taken for dead")

    ended = jobs.execute(ws.store, ws.settings, claimed, worker, steal)
    assert ended.status == "interrupted"
    assert ended.end_reason == "taken for dead"


def test_the_database_being_away_for_a_moment_does_not_stop_training(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from samplemind_core.errors import StoreError

    add_epoch, failures = ws.store.runs.add_epoch, []

    def flaky(run_id: str, epoch: object) -> None:
        if len(failures) < 3:
            failures.append(epoch)
            raise StoreError("The database did not answer.", "Wait.")
        add_epoch(run_id, epoch)

    monkeypatch.setattr(ws.store.runs, "add_epoch", flaky)
    run = ws.train("demo", build_config("quick", TINY | {"epochs": 3}))
    assert run.status == "finished"
    assert len(failures) == 3
    assert [epoch.epoch for epoch in ws.epochs(run.id)] == [1, 2, 3]
