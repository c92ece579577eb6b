from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator

import pytest
from starlette.applications import Starlette

from samplemind_core import server
from samplemind_core.store import Dataset, Epoch, Run
from samplemind_core.workspace import Workspace

with warnings.catch_warnings():
    # Starlette asks for the successor of httpx, which nothing else here needs.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


@pytest.fixture
def space(tmp_path, monkeypatch) -> Iterator[Workspace]:
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("SAMPLEMIND_WORKER", "external")
    monkeypatch.setattr(server, "POLL_S", 0.01)
    monkeypatch.setattr(server, "ENDED_POLL_S", 0.01)
    server.workspace.cache_clear()
    opened = server.workspace()
    opened.store.datasets.add(
        Dataset("d1", "drums", "audio", ("kick", "snare"), 0, 0, "print", "a test", 0, time.time()), ()
    )
    yield opened
    opened.close()
    server.workspace.cache_clear()


@pytest.fixture
def run(space) -> Run:
    now = time.time()
    return space.store.runs.add(Run("r1", "first", "d1", "queued", {}, "me", now, now))


@pytest.fixture
def client(space) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=server.routes, lifespan=server.lifespan)) as opened:
        yield opened


@pytest.fixture
def epoch() -> Callable[..., Epoch]:
    def make(number: int, **changes) -> Epoch:
        values = {"train_loss": 1 / number, "val_loss": 1.1 / number, "train_accuracy": 0.5, "val_accuracy": 0.4}
        return Epoch(number, **values | {"lr": 0.001, "seconds": 1.5, "clips_per_s": 100.0} | changes)

    return make
