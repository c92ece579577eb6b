"""How a task is done: claimed, executed with a heartbeat, ended; and what happens when its worker dies."""

from __future__ import annotations

import shutil
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplemind_core.errors import SampleMindError, StoppedError
from samplemind_core.files import make_folder
from samplemind_core.settings import Settings
from samplemind_core.store import Store, Task
from samplemind_core.store.records import TaskStatus
from samplemind_core.tasks.context import TaskContext
from samplemind_core.tasks.registry import handler
from samplemind_core.workers import Crew, Lease, file_log, forget, is_gone, ran_out_of_memory

if TYPE_CHECKING:
    from samplemind_core.workspace import Workspace

TASK_WORKERS = Crew("samplemind_core.tasks.worker", "tasks", "Another worker is doing tasks in this workspace.")


def task_folder(settings: Settings, task_id: str) -> Path:
    """Return the scratch folder of a task."""
    return settings.root / "tasks" / task_id


def tend(store: Store, settings: Settings) -> None:
    """Mark tasks whose worker is gone as interrupted, and see to it that queued tasks find a worker."""
    for task in store.tasks.all(statuses=("running",)):
        lost = {"problem": "Its process ended without a word.", "advice": "Resume goes on where it was."}
        if is_gone(task, settings.lease_s) and store.tasks.interrupt(task, lost):
            forget(task)
    if settings.worker == "auto" and store.tasks.all(statuses=("queued",)):
        TASK_WORKERS.ensure(settings)


def execute(workspace: Workspace, task: Task) -> Task:
    """Do a claimed task to its end and record how it ended; errors end the task, not the worker."""
    store, worker = workspace.store, task.worker or {}
    folder = task_folder(workspace.settings, task.id)
    make_folder(folder)
    with file_log(f"samplemind.task.{task.id}", folder / "task.log") as log:
        log.info("%s (%s %s) claimed by pid %s on %s", task.title, task.kind, task.id, worker["pid"], worker["host"])
        lease = Lease(lambda: store.tasks.heartbeat(task.id, worker, context.state), log)
        context = TaskContext(workspace, task, folder, lease.should_stop)
        status: TaskStatus = "failed"
        result: dict[str, Any] | None = None
        error: dict[str, str] | None = None
        with lease:
            began = time.monotonic()
            try:
                result = handler(task.kind)(context) or {}
                status = "done"
            except StoppedError:
                status = "stopped"
            except SampleMindError as problem:
                error = {"problem": problem.problem, "advice": problem.advice}
                log.error("failed: %s", problem)
            except Exception as problem:
                error = {
                    "problem": f"Something unexpected went wrong: {problem!r}.",
                    "advice": "The technical detail below helps those who maintain SampleMind.",
                }
                if ran_out_of_memory(problem):
                    error = {"problem": "Memory ran out.", "advice": "Close other programs, or take less at a time."}
                error["detail"] = traceback.format_exc()
                log.exception("failed")
        if lease.lost:
            log.warning("the task was declared interrupted meanwhile; nothing more is recorded")
        else:
            state = context.state
            lease.finish(lambda: store.tasks.end(task, status, result=result, error=error, progress=state))
            log.info("%s after %.1f s", status, time.monotonic() - began)
    if status == "done" and not lease.lost:
        shutil.rmtree(folder, ignore_errors=True)
    return store.tasks.get(task.id)
