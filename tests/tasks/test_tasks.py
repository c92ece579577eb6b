"""Tasks end as they should, whatever happens to them or their process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from samplemind_core.errors import JobError, NotFoundError
from samplemind_core.store import Task
from samplemind_core.tasks import TaskContext, jobs, worker
from samplemind_core.training import worker as trainer
from samplemind_core.workers import identity
from samplemind_core.workspace import Workspace
from tests.waiting import wait_until

DEADLINE_S = 60.0
ROOT = Path(__file__).resolve().parents[2]
Worker = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def start_worker(workspace: Workspace) -> Iterator[Worker]:
    """Start a real worker process that knows the tests' handlers."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        code = (
            "import task_handlers; task_handlers.register(); from samplemind_core.tasks import worker; worker.main([])"
        )
        environment = os.environ | {
            "SAMPLEMIND_WORKSPACE": str(workspace.root),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
        }
        started.append(subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=workspace.root))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def submit(workspace: Workspace, kind: str = "count", **params: object) -> Task:
    return workspace.tasks.submit(kind, f"Try {kind}", params)


def test_a_task_is_done_and_leaves_its_result(workspace: Workspace) -> None:
    task = submit(workspace, files=3)
    assert (task.status, task.active) == ("queued", True)
    worker.work(workspace)
    done = workspace.tasks.get(task.id)
    assert (done.status, done.result, done.error) == ("done", {"made": 3}, None)
    assert (done.progress["done"], done.progress["total"], done.progress["what"]) == (3, 3, "Counting")
    assert not jobs.task_folder(workspace.settings, task.id).exists()


def test_tasks_are_done_in_the_order_they_came(workspace: Workspace) -> None:
    ids = [submit(workspace, files=1).id for _ in range(3)]
    worker.work(workspace)
    ended = sorted(workspace.tasks.all(), key=lambda task: task.ended_at or 0)
    assert [task.id for task in ended] == ids


def test_an_error_of_ours_ends_the_task_with_its_advice(workspace: Workspace) -> None:
    bad, good = submit(workspace, "refuse"), submit(workspace, files=1)
    worker.work(workspace)
    failed = workspace.tasks.get(bad.id)
    assert failed.status == "failed"
    assert failed.error == {"problem": "There is nothing to do.", "advice": "Choose something else."}
    assert workspace.tasks.get(good.id).status == "done"


def test_any_other_error_keeps_its_detail(workspace: Workspace) -> None:
    task = submit(workspace, "break_down")
    worker.work(workspace)
    error = workspace.tasks.get(task.id).error
    assert error is not None
    assert "ZeroDivisionError" in error["problem"]
    assert "Traceback" in error["detail"]
    assert "ZeroDivisionError" in workspace.tasks.log_tail(task.id)


def test_an_unknown_kind_is_refused_at_the_door(workspace: Workspace) -> None:
    with pytest.raises(JobError, match="no task of the kind 'dance'"):
        submit(workspace, "dance")
    assert workspace.tasks.all() == []


def test_a_kind_that_a_newer_version_queued_fails_with_words(workspace: Workspace) -> None:
    workspace.store.tasks.add(Task("t1", "dance", "Dance", {}, "queued", "", 1.0, 1.0))
    worker.work(workspace)
    error = workspace.tasks.get("t1").error
    assert error is not None
    assert "dance" in error["problem"]


def test_a_queued_task_is_stopped_at_once_and_resumed(workspace: Workspace) -> None:
    task = submit(workspace, files=1)
    assert workspace.tasks.stop(task.id).status == "stopped"
    with pytest.raises(JobError, match="already stopped"):
        workspace.tasks.stop(task.id)
    assert workspace.tasks.resume(task.id).status == "queued"
    worker.work(workspace)
    assert workspace.tasks.get(task.id).status == "done"
    with pytest.raises(JobError, match="only stopped, failed, interrupted"):
        workspace.tasks.resume(task.id)


def test_a_running_task_stops_and_goes_on_with_what_it_kept(workspace: Workspace, tmp_path: Path) -> None:
    release = tmp_path / "release"
    task = submit(workspace, files=5, hold=2, release=str(release))
    thread = threading.Thread(target=worker.work, args=(workspace,))
    thread.start()
    wait_until(lambda: workspace.tasks.get(task.id).progress.get("done") == 3)
    with pytest.raises(JobError, match="Stop it first"):
        workspace.tasks.dismiss(task.id)
    assert workspace.tasks.stop(task.id).stop_requested
    thread.join(DEADLINE_S)
    stopped = workspace.tasks.get(task.id)
    assert (stopped.status, stopped.error, stopped.stop_requested) == ("stopped", None, False)
    release.touch()
    workspace.tasks.resume(task.id)
    worker.work(workspace)
    assert workspace.tasks.get(task.id).result == {"made": 2}


def test_a_killed_worker_is_noticed_and_its_task_goes_on(
    workspace: Workspace, tmp_path: Path, start_worker: Worker
) -> None:
    release = tmp_path / "release"
    task = submit(workspace, files=6, hold=3, release=str(release))
    process = start_worker()
    wait_until(lambda: workspace.tasks.get(task.id).progress.get("done") == 4)
    assert jobs.TASK_WORKERS.running(workspace.settings)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    workspace.tend(now=True)
    lost = workspace.tasks.get(task.id)
    assert lost.status == "interrupted"
    assert lost.error is not None
    assert "ended without a word" in lost.error["problem"]
    release.touch()
    workspace.tasks.resume(task.id)
    start_worker()
    wait_until(lambda: not workspace.tasks.get(task.id).active)
    done = workspace.tasks.get(task.id)
    assert (done.status, done.result) == ("done", {"made": 2})


def test_a_dashboard_starts_a_worker_of_its_own(workspace: Workspace) -> None:
    auto = Workspace(workspace.settings.model_copy(update={"worker": "auto"}))
    task = auto.tasks.submit("count", "Not for a fresh process", {"files": 1})
    try:
        # The fresh process does not know the tests' handlers: it takes the task and says so.
        wait_until(lambda: auto.tasks.get(task.id).status == "failed")
    finally:
        pid = int((auto.root / "tasks.pid").read_text())
        wait_until(lambda: not psutil.pid_exists(pid))
        auto.close()


def test_one_worker_at_a_time(workspace: Workspace) -> None:
    with (
        jobs.TASK_WORKERS.hold(workspace.settings),
        pytest.raises(JobError, match="Another worker"),
        jobs.TASK_WORKERS.hold(workspace.settings),
    ):
        pass


@pytest.mark.parametrize("process", [worker, trainer], ids=["tasks", "training"])
def test_a_worker_that_cannot_begin_says_why(
    process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        process.main(["--sever"])
    assert ended.value.code == 2
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("SAMPLEMIND_DATABASE_URL", "mysql://here")
    assert process.main(["--serve"]) == 1
    assert "must be SQLite or PostgreSQL" in capsys.readouterr().err


def test_a_worker_that_lost_its_task_records_nothing(workspace: Workspace) -> None:
    task = submit(workspace, files=1)
    claimed = workspace.store.tasks.claim(identity(), task.id)
    assert claimed is not None
    assert workspace.store.tasks.interrupt(claimed, {"problem": "gone", "advice": ""})
    ended = jobs.execute(workspace, claimed)
    assert (ended.status, ended.error) == ("interrupted", {"problem": "gone", "advice": ""})


def test_dismissing_forgets_the_task_and_its_folder(workspace: Workspace) -> None:
    task = submit(workspace, "refuse")
    worker.work(workspace)
    folder = jobs.task_folder(workspace.settings, task.id)
    assert folder.is_dir()
    workspace.tasks.dismiss(task.id)
    assert not folder.exists()
    with pytest.raises(NotFoundError):
        workspace.tasks.get(task.id)


def test_the_time_to_go_is_told_per_stage(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("samplemind_core.tasks.context.time.monotonic", lambda: now[0])
    context = TaskContext(workspace, Task("t", "count", "", {}, "running", "", 0, 0), workspace.root, lambda: False)
    context.progress(50, 100, "Going on")  # where an earlier attempt ended
    assert context.state["eta_s"] is None
    now[0] += 10
    context.progress(60, 100, "Going on")
    assert context.state["eta_s"] == pytest.approx(40)
    context.progress(0, None, "Another stage")
    assert context.state == {"done": 0, "total": None, "what": "Another stage", "eta_s": None}
