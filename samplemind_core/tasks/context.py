"""What a task's handler is given: parameters, a folder that outlives a kill, a voice and an ear."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplemind_core.errors import StoppedError

if TYPE_CHECKING:
    from samplemind_core.store import Task
    from samplemind_core.workspace import Workspace

ETA_AFTER_S = 2.0
"""Seconds of a stage after which its pace says something about its end."""


class TaskContext:
    """The world of one task.

    Parameters
    ----------
    workspace : Workspace
        The workspace that the task belongs to.
    task : Task
        As it was claimed.
    folder : Path
        Scratch folder of the task: there, possibly with what an interrupted attempt left in it;
        removed once the task is done or dismissed.
    should_stop : callable
        Returns whether the task was asked to stop.
    """

    def __init__(self, workspace: Workspace, task: Task, folder: Path, should_stop: Callable[[], bool]) -> None:
        self.workspace = workspace
        self.task = task
        self.folder = folder
        self.should_stop = should_stop
        self.state: dict[str, Any] = dict(task.progress)
        self._stage = ("", 0, 0.0)

    @property
    def params(self) -> dict[str, Any]:
        """What the task was submitted with."""
        return self.task.params

    def progress(self, done: int, total: int | None = None, what: str = "") -> None:
        """Tell how far the task is; cheap, as the next heartbeat carries it.

        Parameters
        ----------
        done, total : int
            Of the current stage; None where the total is not known.
        what : str
            The stage in words, such as 'Reading samples'. The time to go is told per stage.
        """
        now = time.monotonic()
        stage, first, since = self._stage
        if stage != what or done < first:
            # Begun where an earlier attempt ended, perhaps: the pace counts from here.
            self._stage = (what, done, now)
            first, since = done, now
        spent, gained = now - since, done - first
        eta_s = None if not total or not gained or spent < ETA_AFTER_S else spent * (total - done) / gained
        self.state = {"done": done, "total": total, "what": what, "eta_s": eta_s}

    def advance(self, done: int, total: int | None = None, what: str = "") -> None:
        """Tell how far the task is as :meth:`progress` does, and end it as :meth:`check` does."""
        self.progress(done, total, what)
        self.check()

    def check(self) -> None:
        """Raise :class:`StoppedError` if the task was asked to stop; handlers let it pass."""
        if self.should_stop():
            raise StoppedError("Stopped on request.", "Resume goes on where it was.")
