"""What PostgreSQL refuses and SQLite takes, or the other way round, is stored alike by both."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

from samplemind_core.store import Epoch, Run, Store
from samplemind_core.store.values import storable

Make = Callable[..., Run]
WORKER = {"host": "here", "pid": 1, "started": 2.5}
ODD = {"loss": nan, "best": -inf, "rows": [1, inf, {"deep": nan, "flag": True}], "text": "a\0b", "none": None}
PLAIN = {"loss": None, "best": None, "rows": [1, None, {"deep": None, "flag": True}], "text": "a\ufffdb", "none": None}


@pytest.fixture
def run(store: Store, make_run: Make) -> Run:
    made = make_run()
    assert store.runs.claim(WORKER, made.id) is not None
    return made


def test_progress(store: Store, run: Run) -> None:
    store.runs.heartbeat(run.id, WORKER, progress=ODD)
    assert store.runs.get(run.id).progress == PLAIN


def test_a_run_as_it_is_queued(store: Store, make_run: Make) -> None:
    made = make_run(progress=ODD, owner="a\0b")
    found = store.runs.get(made.id)
    assert (found.progress, found.owner) == (PLAIN, "a\ufffdb")


def test_a_worker_keeps_its_run(store: Store, make_run: Make) -> None:
    run = make_run()
    worker = WORKER | {"host": "h\0st"}
    store.runs.claim(worker, run.id)
    assert store.runs.heartbeat(run.id, worker) is False


def test_epochs(store: Store, run: Run, make_epoch: Callable[..., Epoch]) -> None:
    store.runs.add_epoch(run.id, make_epoch(1, health=ODD, recall=(0.5, nan, None)))
    (epoch,) = store.runs.epochs(run.id)
    assert epoch.health == PLAIN
    assert epoch.recall == (0.5, None, None)
    assert epoch.val_loss == 1.5


@pytest.mark.parametrize(
    ("text", "stored"),
    [("a\0b\0", "a\ufffdb\ufffd"), ("kick\udcff.wav", "kick\ufffd.wav"), ("plain – 🥁\n\t", "plain – 🥁\n\t")],
)
def test_texts(store: Store, run: Run, text: str, stored: str) -> None:
    store.runs.add_event(run.id, "note", text)
    assert store.runs.events(run.id)[-1].message == stored
    store.runs.end(run.id, "failed", f"It said {text}", error=text)
    found = store.runs.get(run.id)
    assert (found.end_reason, found.error) == (f"It said {stored}", stored)
    assert store.runs.events(run.id)[-1].message == f"It said {stored}"


def test_a_number_of_its_own_column_is_left_alone() -> None:
    columns: dict[str, Any] = {"val_loss": inf, "lr": 0.5, "recall": (inf, 0.5)}
    assert storable(columns) == {"val_loss": inf, "lr": 0.5, "recall": [None, 0.5]}
