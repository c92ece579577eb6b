"""Work on single items as work on several, by a name that processes of other programs can look up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def one_by_one(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Return ``function(item)`` of each item."""
    return [function(item) for item in items]
