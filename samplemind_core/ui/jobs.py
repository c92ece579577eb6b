"""Imports that are under way in this process: they outlive page switches, refreshes and their viewer."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from samplemind_core.errors import SampleMindError

log = logging.getLogger(__name__)

Progress = Callable[[int, int | None, str], None]
JobStatus = Literal["running", "cancelling", "done", "cancelled", "failed"]
KEPT_S = 3600.0


class JobCancelledError(Exception):
    """Raised inside a job's work, at its next report of progress, once somebody cancelled it."""


@dataclass
class Job:
    """One piece of work in a thread. Fields are replaced whole, so a reader never sees half a change."""

    name: str
    owner: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    status: JobStatus = "running"
    done: int = 0
    total: int | None = None
    what: str = "Starting"
    result: str | None = None
    error: SampleMindError | None = None
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None
    _cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def active(self) -> bool:
        """Whether the work goes on."""
        return self.status in {"running", "cancelling"}

    @property
    def share(self) -> float | None:
        """How much is done, from 0 to 1; None where nobody knows."""
        return min(1.0, self.done / self.total) if self.total else None

    def left_s(self, now: float | None = None) -> float | None:
        """Return the seconds still to go at the pace so far; None where nobody knows."""
        share, spent = self.share, (time.time() if now is None else now) - self.started_at
        return spent * (1 - share) / share if share and spent > 2 else None

    def cancel(self) -> None:
        """Ask the work to end at its next report."""
        if self.active:
            self.status = "cancelling"
            self._cancelled.set()

    def report(self, done: int, total: int | None, what: str) -> None:
        """Take in progress; the work's side calls this."""
        if self._cancelled.is_set():
            raise JobCancelledError
        self.done, self.total, self.what = done, total, what


class Jobs:
    """All jobs of this process."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(
        self, name: str, owner: str, work: Callable[[Progress], str], cleanup: Callable[[], None] | None = None
    ) -> Job:
        """Do ``work(progress)`` in a thread; its answer becomes ``Job.result``. ``cleanup`` runs at any end."""
        job = Job(name=name, owner=owner)
        with self._lock:
            self._jobs[job.id] = job
        threading.Thread(target=_work, args=(job, work, cleanup), name=f"job-{job.id}", daemon=True).start()
        return job

    def all(self) -> list[Job]:
        """Return what runs and what ended within the last hour, newest first."""
        oldest = time.time() - KEPT_S
        with self._lock:
            self._jobs = {k: job for k, job in self._jobs.items() if job.ended_at is None or job.ended_at > oldest}
            return sorted(self._jobs.values(), key=lambda job: job.started_at, reverse=True)

    def dismiss(self, job_id: str) -> None:
        """Forget a job that has ended."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is not None and not job.active:
                del self._jobs[job_id]


def _work(job: Job, work: Callable[[Progress], str], cleanup: Callable[[], None] | None) -> None:
    status: JobStatus = "failed"
    try:
        job.result = work(job.report)
        status = "done"
    except JobCancelledError:
        status = "cancelled"
    except SampleMindError as error:
        job.error = error
    except Exception as error:
        log.exception("Job %s (%s) failed", job.id, job.name)
        job.error = SampleMindError(
            f"Something unexpected went wrong: {type(error).__name__}: {error}.", "The server's log tells more."
        )
    finally:
        if cleanup is not None:
            cleanup()
        job.ended_at = time.time()
        job.status = status


jobs = Jobs()
