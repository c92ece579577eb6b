"""The queue of tasks, on both databases."""

from __future__ import annotations

import pytest

from samplemind_core.errors import JobError, NotFoundError
from samplemind_core.store import Store, Task

ME = {"host": "here", "pid": 1, "started": 1.5}
OTHER = {"host": "there", "pid": 2, "started": 2.5}


def add(store: Store, name: str = "t1", at: float = 1.0, **values: object) -> Task:
    return store.tasks.add(Task(name, "count", f"Task {name}", {"n": 1}, "queued", "me", at, at, **values))  # type: ignore[arg-type]


def test_a_task_comes_back_as_it_went(store: Store) -> None:
    task = add(store)
    assert store.tasks.get("t1") == task
    assert store.tasks.all() == store.tasks.all(kind="count", statuses=("queued",)) == [task]
    assert store.tasks.all(kind="other") == []


def test_the_oldest_is_claimed_once(store: Store) -> None:
    add(store, "late", 2.0)
    add(store, "early", 1.0)
    first, second = store.tasks.claim(ME), store.tasks.claim(OTHER)
    assert first is not None
    assert second is not None
    assert (first.id, first.status, first.worker, second.id) == ("early", "running", ME, "late")
    assert store.tasks.claim(ME) is None


def test_a_heartbeat_carries_progress_and_brings_back_the_wish_to_stop(store: Store) -> None:
    add(store)
    store.tasks.claim(ME)
    assert store.tasks.heartbeat("t1", ME, {"done": 1, "eta_s": float("nan")}) is False
    assert store.tasks.get("t1").progress == {"done": 1, "eta_s": None}
    store.tasks.request_stop("t1")
    assert store.tasks.heartbeat("t1", ME, {}) is True
    with pytest.raises(JobError, match="no longer belongs"):
        store.tasks.heartbeat("t1", OTHER, {})


def test_an_end_is_recorded_for_its_worker_only(store: Store) -> None:
    add(store)
    claimed = store.tasks.claim(ME)
    assert claimed is not None
    assert not store.tasks.interrupt(add(store, "t2"), {"problem": "x"})
    store.tasks.end(claimed, "done", result={"id": "d\0"}, progress={"done": 2})
    ended = store.tasks.get("t1")
    assert (ended.status, ended.result, ended.progress) == ("done", {"id": "d\ufffd"}, {"done": 2})
    assert ended.ended_at is not None
    with pytest.raises(JobError, match="no longer belongs"):
        store.tasks.end(claimed, "failed")


def test_interrupted_work_is_queued_again(store: Store) -> None:
    add(store)
    claimed = store.tasks.claim(ME)
    assert claimed is not None
    assert store.tasks.interrupt(claimed, {"problem": "gone"})
    assert not store.tasks.interrupt(claimed, {"problem": "gone"})
    again = store.tasks.requeue("t1")
    assert (again.status, again.worker, again.error, again.started_at) == ("queued", None, None, claimed.started_at)


def test_a_task_under_way_is_not_deleted(store: Store) -> None:
    add(store)
    with pytest.raises(JobError, match="Stop it first"):
        store.tasks.delete("t1")
    store.tasks.request_stop("t1")
    store.tasks.delete("t1")
    assert store.tasks.find("t1") is None
    for act in (store.tasks.get, store.tasks.request_stop, store.tasks.requeue, store.tasks.delete):
        with pytest.raises(NotFoundError):
            act("t1")
