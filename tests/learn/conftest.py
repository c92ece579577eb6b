"""The pages' own fixtures: an empty workspace, and opening a page by its name."""

from __future__ import annotations

import pytest

from tests.pages.conftest import seeded, space, visit

__all__ = ["seeded", "space", "visit"]


@pytest.fixture(scope="session", autouse=True)
def _lessons() -> None:
    """What chapters make once for everybody is made before a page with a time limit asks for it."""
    from samplemind_core.learn.inside import small_network
    from samplemind_core.learn.kits import pack_clips

    small_network()
    pack_clips()
