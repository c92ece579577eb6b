"""Values as both databases take them."""

from __future__ import annotations

import math
from typing import Any


def storable(columns: dict[str, Any]) -> dict[str, Any]:
    """Return the values of columns as both databases take them.

    PostgreSQL refuses NaN and infinity in JSON, which has no such numbers: they become null. It
    refuses NUL in text, and neither database takes half of a surrogate pair (a file name that is
    not UTF-8 holds them): both become U+FFFD. A number that is a column of its own is left alone.
    """
    return {name: value if isinstance(value, float) else _storable(value) for name, value in columns.items()}


def _storable(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case str():
            return "".join("\ufffd" if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in value)
        case dict():
            return {_storable(key): _storable(item) for key, item in value.items()}
        case list() | tuple():
            return [_storable(item) for item in value]
        case _:
            return value
