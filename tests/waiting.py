"""Waiting for what becomes true in its own time: asked again and again, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE_S = 60.0


def wait_until(fact: Callable[[], object], what: str = "what is waited for", deadline_s: float = DEADLINE_S) -> None:
    """Ask again until ``fact()`` holds; fail with ``what`` after the deadline."""
    deadline = time.monotonic() + deadline_s
    while not fact():
        assert time.monotonic() < deadline, f"After {deadline_s:.0f} s still not true: {what}"
        time.sleep(0.05)
