"""Which function does which kind of task.

Handlers are named by import path and imported when a task of their kind starts, so that knowing
them costs nothing and a fresh worker process finds them all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from samplemind_core.errors import JobError

if TYPE_CHECKING:
    from samplemind_core.tasks.context import TaskContext

Handler = Callable[["TaskContext"], "dict[str, Any] | None"]

HANDLERS: dict[str, str] = {
    "import": "samplemind_core.data.import_task:run",
    "demo": "samplemind_core.data.import_task:run_demo",
    "classify": "samplemind_core.batches.work:run",
    "robustness": "samplemind_core.evaluation.robustness:run_robustness",
    "judge": "samplemind_core.evaluation.work_ahead:run_judging",
    "embed": "samplemind_core.evaluation.work_ahead:run_embedding",
    "levels": "samplemind_core.evaluation.levels:run_levels",
    "apartness": "samplemind_core.evaluation.embedding_map:run_apartness",
    "umap": "samplemind_core.evaluation.embedding_map:run_umap",
    "health": "samplemind_core.data.health:health_task",
    "cross_validate": "samplemind_core.evaluation.cross_validation:run_task",
    "search": "samplemind_core.search.work:run_task",
    "find_lr": "samplemind_core.training.lr_finder:run",
    "sort": "samplemind_core.batches.sort_task:run",
}
"""``module:function`` by kind. The function takes a :class:`TaskContext` and returns the task's result.

It may be called again after the process was killed in the middle, with the same parameters and
folder: what it writes elsewhere must be whole or not there at all.
"""


def check_kind(kind: str) -> None:
    """Raise :class:`JobError` if no handler does a kind of task; nothing is imported."""
    if kind not in HANDLERS:
        raise JobError(
            f"This version knows no task of the kind '{kind}'; it knows {', '.join(sorted(HANDLERS)) or 'none'}.",
            "Start the newer SampleMind that queued it, or dismiss the task.",
        )


def handler(kind: str) -> Handler:
    """Return the function of a kind of task.

    Raises
    ------
    JobError
        If there is none, as when the task was queued by a newer version.
    """
    check_kind(kind)
    module, _, name = HANDLERS[kind].partition(":")
    function: Handler = getattr(importlib.import_module(module), name)
    return function
