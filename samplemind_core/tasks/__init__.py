"""Background tasks: long work that survives leaving the page, can be stopped and goes on where it was.

A task has a kind, whose handler is in :mod:`~samplemind_core.tasks.registry`, and parameters. It is
done by a worker process of its own, beside the one that trains.
"""

from __future__ import annotations

from samplemind_core.tasks.context import TaskContext
from samplemind_core.tasks.service import Tasks

__all__ = ["TaskContext", "Tasks"]
