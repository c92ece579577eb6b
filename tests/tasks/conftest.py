from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from samplemind_core.tasks.registry import HANDLERS

sys.path.insert(0, str(Path(__file__).parent))

import task_handlers


@pytest.fixture(autouse=True)
def _kinds() -> Iterator[None]:
    task_handlers.register()
    yield
    for kind in task_handlers.KINDS:
        HANDLERS.pop(kind)
