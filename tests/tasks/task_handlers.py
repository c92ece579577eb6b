"""Handlers of the tests' own tasks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from samplemind_core.errors import DataError
from samplemind_core.tasks import TaskContext
from samplemind_core.tasks.registry import HANDLERS

KINDS = {name: f"task_handlers:{name}" for name in ("count", "refuse", "break_down")}


def register() -> None:
    HANDLERS.update(KINDS)


def count(context: TaskContext) -> dict[str, Any]:
    """Make one file after the other, and never one that is there; wait at ``hold`` until released."""
    made = 0
    for number in range(context.params["files"]):
        context.check()
        file = context.folder / f"{number}.txt"
        if not file.exists():
            file.write_text(str(number))
            made += 1
        context.progress(number + 1, context.params["files"], "Counting")
        while number == context.params.get("hold") and not Path(context.params["release"]).exists():
            context.check()
            time.sleep(0.02)
    return {"made": made}


def refuse(context: TaskContext) -> None:
    raise DataError("There is nothing to do.", "Choose something else.")


def break_down(context: TaskContext) -> None:
    raise ZeroDivisionError("oh")
