"""The pages' own fixtures: an empty workspace, and opening a page by its name."""

from __future__ import annotations

from tests.pages.conftest import space, visit

__all__ = ["space", "visit"]
