from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from samplemind_core import server
from samplemind_core.config import build_config
from samplemind_core.store import Clip, Dataset, Epoch, Reject, Run
from samplemind_core.workspace import Workspace

ROUTER = Path(server.__file__).with_name("router.py")


@pytest.fixture
def space(tmp_path, monkeypatch) -> Iterator[Workspace]:
    """An empty workspace that the pages open."""
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("SAMPLEMIND_WORKER", "external")
    server.workspace.cache_clear()
    opened = server.workspace()
    yield opened
    opened.close()
    server.workspace.cache_clear()


@pytest.fixture
def seeded(space) -> Workspace:
    """A workspace with a dataset of 60 clips and a finished run."""
    now = time.time()
    splits = ("train", "train", "train", "val", "test")
    clips = [
        Clip(
            row=i,
            name=f"pack/{label}-{i:02d}.wav",
            label=label,
            target=i % 2,
            source=f"pack{i % 5}",
            split=splits[i % 5],
            content_hash=f"hash{i}",
            file="x.wav",
            duration_s=0.3,
        )
        for i, label in enumerate(("kick", "snare") * 30)
    ]
    rejects = [Reject("broken.wav", "It is not *audio*.")]
    found = Dataset("d1", "drums", "audio", ("kick", "snare"), 60, 1, "p", "a test", 0, now)
    space.store.datasets.add(replace(found, warnings=("Two clips are equal.",)), clips, rejects)
    config = build_config("quick", {"epochs": 3}).model_dump(mode="json")
    run = space.store.runs.add(Run("r1", "first", "d1", "queued", config, "me", now, now))
    space.store.runs.claim({"host": "here"}, run.id)
    for number in (1, 2, 3):
        health = {"verdict": "healthy", "title": "Healthy", "reason": "The gap is small."}
        space.store.runs.add_epoch(run.id, Epoch(number, 1.0, 1.1, 0.5, 0.4, 0.001, 1.0, 100.0, health))
    space.store.runs.end(run.id, "finished", "All 3 epochs are done.")
    return space


@pytest.fixture
def visit(space) -> Callable[..., AppTest]:
    """Open a page by its name, as a browser that starts at its address."""

    def open_page(page: str = "home", **query: str) -> AppTest:
        app = AppTest.from_file(ROUTER, default_timeout=20)
        for name, value in query.items():
            app.query_params[name] = value
        if page != "home":
            app.switch_page(f"../pages/{page}.py")
        return app.run()

    return open_page
