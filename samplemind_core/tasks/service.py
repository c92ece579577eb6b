"""The tasks of a workspace, as pages and programs see them: ``workspace.tasks``."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from samplemind_core.files import make_folder
from samplemind_core.settings import Settings
from samplemind_core.store import Store, Task
from samplemind_core.store.records import TaskStatus
from samplemind_core.tasks import jobs
from samplemind_core.tasks.registry import check_kind

Prepare = Callable[[Path], Mapping[str, Any]]


class Tasks:
    """Submit, watch, stop, resume and dismiss the tasks of a workspace.

    Parameters
    ----------
    store : Store
        Database of the workspace.
    settings : Settings
        Where the workspace is.
    tend : callable
        Notices dead workers and starts one if tasks wait, now.
    """

    def __init__(self, store: Store, settings: Settings, tend: Callable[[], None]) -> None:
        self._store, self._settings, self._tend = store, settings, tend

    def submit(
        self,
        kind: str,
        title: str,
        params: Mapping[str, Any] | None = None,
        *,
        owner: str = "",
        prepare: Prepare | None = None,
        start: bool = True,
    ) -> Task:
        """Queue a task and see to it that a worker takes it.

        Parameters
        ----------
        kind : str
            A key of :data:`samplemind_core.tasks.registry.HANDLERS`.
        title : str
            What pages call it.
        params : mapping
            JSON-ready values for the handler.
        owner : str
            Who asked for it.
        prepare : callable, optional
            Given the task's folder before it is queued, to put in what it works on; returns further
            parameters. An error leaves nothing.
        start : bool
            Whether to start a worker if none is running.

        Raises
        ------
        JobError
            If no handler does this kind.
        """
        check_kind(kind)
        task_id, values = uuid.uuid4().hex[:12], dict(params or {})
        if prepare is not None:
            folder = jobs.task_folder(self._settings, task_id)
            try:
                make_folder(folder)
                values |= prepare(folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        now = time.time()
        task = Task(task_id, kind, title, values, "queued", owner, now, now)
        self._store.tasks.add(task)
        if start:
            self._tend()
        return self.get(task.id)

    def tend(self) -> None:
        """Notice dead workers and start one if tasks wait."""
        self._tend()

    def get(self, task_id: str) -> Task:
        """Return a task; raise :class:`NotFoundError` if there is none."""
        return self._store.tasks.get(task_id)

    def find(self, task_id: str) -> Task | None:
        """Return a task, or None if it was dismissed."""
        return self._store.tasks.find(task_id)

    def all(self, *, kind: str | None = None, statuses: Sequence[TaskStatus] | None = None) -> list[Task]:
        """Return tasks, newest first."""
        return self._store.tasks.all(kind=kind, statuses=statuses)

    def stop(self, task_id: str) -> Task:
        """Ask a task to stop at its next opportunity; a queued one leaves the queue."""
        task = self._store.tasks.request_stop(task_id)
        self._tend()
        return task

    def resume(self, task_id: str) -> Task:
        """Queue a stopped, failed or interrupted task again; it goes on from what its folder holds."""
        self._store.tasks.requeue(task_id)
        self._tend()
        return self.get(task_id)

    def dismiss(self, task_id: str) -> None:
        """Forget a task that has ended, with its scratch folder; what it made stays."""
        self._store.tasks.delete(task_id)
        shutil.rmtree(jobs.task_folder(self._settings, task_id), ignore_errors=True)

    def log_tail(self, task_id: str, lines: int = 40) -> str:
        """Return the end of a task's log; empty once it is done."""
        path = jobs.task_folder(self._settings, task_id) / "task.log"
        if not path.exists():
            return ""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
