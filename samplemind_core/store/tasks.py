"""Background tasks: their queue, their progress and how they ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from samplemind_core.errors import JobError, NotFoundError
from samplemind_core.store.database import Database
from samplemind_core.store.queue import ATTEMPTS, take_oldest
from samplemind_core.store.records import Task, TaskStatus
from samplemind_core.store.tables import TaskRow
from samplemind_core.store.values import storable

RESUMABLE: tuple[TaskStatus, ...] = ("stopped", "failed", "interrupted")


class Tasks:
    """The table of tasks of a database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, task: Task) -> Task:
        """Store a new task."""
        with self._db.write() as session:
            session.execute(insert(TaskRow), storable(asdict(task)))
        return task

    def all(self, *, statuses: Sequence[TaskStatus] | None = None, kind: str | None = None) -> list[Task]:
        """Return tasks, newest first."""
        query = select(TaskRow).order_by(TaskRow.created_at.desc(), TaskRow.id)
        if statuses is not None:
            query = query.where(TaskRow.status.in_(statuses))
        if kind is not None:
            query = query.where(TaskRow.kind == kind)
        with self._db.read() as session:
            return [_task(row) for row in session.scalars(query)]

    def find(self, task_id: str) -> Task | None:
        """Return the task of that id, or None."""
        with self._db.read() as session:
            row = session.get(TaskRow, task_id)
            return None if row is None else _task(row)

    def get(self, task_id: str) -> Task:
        """Return the task of that id; raise :class:`NotFoundError` if there is none."""
        task = self.find(task_id)
        if task is None:
            raise _gone(task_id)
        return task

    def delete(self, task_id: str) -> None:
        """Forget a task that is not under way; the caller deletes its folder."""
        with self._db.write() as session:
            row = _locked(session, task_id)
            if row.status in ("queued", "running"):
                raise JobError(f"'{row.title}' is {row.status}.", "Stop it first.")
            session.delete(row)

    # -- the queue -------------------------------------------------------------------------------

    def claim(self, worker: dict[str, Any], task_id: str | None = None) -> Task | None:
        """Take the oldest queued task (or the one named) for a worker; None if there is none to take.

        Two workers never get the same task: the row changes hands in one statement.
        """
        for _ in range(ATTEMPTS):
            with self._db.write() as session:
                candidate, taken = take_oldest(session, TaskRow, worker, task_id)
                if candidate is None:
                    return None
                if taken:
                    return _task(session.get_one(TaskRow, candidate))
        return None

    def heartbeat(self, task_id: str, worker: dict[str, Any], progress: dict[str, Any]) -> bool:
        """Renew a worker's lease with the latest progress; return whether Stop was asked for.

        Raises
        ------
        JobError
            If the task is no longer this worker's: it was declared interrupted meanwhile.
        """
        with self._db.write() as session:
            row = _locked(session, task_id)
            if row.status != "running" or row.worker != storable(worker):
                raise JobError(f"'{row.title}' no longer belongs to this worker (it is {row.status}).", "Resume it.")
            row.heartbeat_at, row.progress = time.time(), _json(progress)
            return row.stop_requested

    def request_stop(self, task_id: str) -> Task:
        """Ask a task to stop; a queued one stops at once."""
        with self._db.write() as session:
            row = _locked(session, task_id)
            if row.status == "queued":
                row.status, row.ended_at = "stopped", time.time()
            elif row.status == "running":
                row.stop_requested = True
            else:
                raise JobError(f"'{row.title}' is already {row.status}.", "There is nothing to stop.")
            session.flush()
            return _task(row)

    def requeue(self, task_id: str) -> Task:
        """Put an ended task back into the queue, to go on from what it has kept."""
        with self._db.write() as session:
            row = _locked(session, task_id)
            if row.status not in RESUMABLE:
                raise JobError(
                    f"'{row.title}' is {row.status}; only {', '.join(RESUMABLE)} tasks can be resumed.",
                    "Start it anew instead.",
                )
            row.status, row.queued_at, row.stop_requested, row.worker = "queued", time.time(), False, None
            row.ended_at = row.error = None
            session.flush()
            return _task(row)

    def end(
        self,
        task: Task,
        status: TaskStatus,
        *,
        result: dict[str, Any] | None = None,
        error: dict[str, str] | None = None,
        progress: dict[str, Any] | None = None,
    ) -> None:
        """Record how a worker's task ended; raise :class:`JobError` if it is no longer that worker's."""
        with self._db.write() as session:
            row = _locked(session, task.id)
            if row.status != "running" or row.worker != task.worker:
                raise JobError(f"'{row.title}' no longer belongs to this worker (it is {row.status}).", "Resume it.")
            _end(row, status, error)
            row.result = None if result is None else _json(result)
            if progress is not None:
                row.progress = _json(progress)

    def interrupt(self, task: Task, error: dict[str, str]) -> bool:
        """Mark a task whose worker is gone; return False if it changed since ``task`` was read."""
        with self._db.write() as session:
            row = _locked(session, task.id)
            if row.status != "running" or row.heartbeat_at != task.heartbeat_at or row.worker != task.worker:
                return False
            _end(row, "interrupted", error)
            return True


def _locked(session: Session, task_id: str) -> TaskRow:
    row = session.get(TaskRow, task_id, with_for_update=True)
    if row is None:
        raise _gone(task_id)
    return row


def _end(row: TaskRow, status: TaskStatus, error: dict[str, str] | None) -> None:
    row.status, row.ended_at, row.stop_requested = status, time.time(), False
    row.error = None if error is None else _json(error)


def _json(values: dict[str, Any]) -> dict[str, Any]:
    stored: dict[str, Any] = storable({"values": values})["values"]
    return stored


def _gone(task_id: str) -> NotFoundError:
    return NotFoundError(f"There is no task '{task_id}'.", "It may have been dismissed.")


def _task(row: TaskRow) -> Task:
    return Task(**{field.name: getattr(row, field.name) for field in fields(Task)})
