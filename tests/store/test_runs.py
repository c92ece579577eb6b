from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from samplemind_core.config import RunConfig, build_config
from samplemind_core.errors import JobError, NameTakenError, NotFoundError
from samplemind_core.store import Dataset, Run, Store
from samplemind_core.store.records import ENDED, RESUMABLE

Make = Callable[..., Run]
HERE = {"host": "here", "pid": 1}
THERE = {"host": "there", "pid": 2}


def test_a_run_comes_back_as_it_went_in(store: Store, make_run: Make) -> None:
    config = build_config("tutorial", {"lr": 3e-4, "features.fmax_hz": 8_000})
    run = make_run(
        name="Lauf – 1 🥁", config=config.model_dump(mode="json"), progress={"epoch": 3, "eta_s": None}, worker=HERE
    )
    assert store.runs.get(run.id) == run
    assert store.runs.get(run.name) == run
    assert RunConfig.model_validate(store.runs.get(run.id).config) == config
    assert [event.message for event in store.runs.events(run.id)] == ["ada queued this run"]


def test_a_taken_name_is_refused(store: Store, make_run: Make) -> None:
    make_run(name="mine")
    with pytest.raises(NameTakenError, match="already a run named 'mine'"):
        make_run(name="mine")
    assert len(store.runs.all()) == 1


def test_an_unknown_run_is_not_found(store: Store, make_run: Make) -> None:
    assert store.runs.find("mine") is None
    with pytest.raises(NotFoundError, match="none yet"):
        store.runs.get("mine")
    make_run(name="yours")
    with pytest.raises(NotFoundError, match="Newest runs: 'yours'"):
        store.runs.get("mine")


@pytest.mark.parametrize(
    "act",
    [
        lambda runs: runs.heartbeat("gone", HERE),
        lambda runs: runs.request_stop("gone"),
        lambda runs: runs.requeue("gone", RESUMABLE),
        lambda runs: runs.end("gone", "finished", ""),
        lambda runs: runs.delete("gone"),
        lambda runs: runs.queue_position("gone"),
    ],
)
def test_every_change_names_a_missing_run(store: Store, act: Callable[[Any], object]) -> None:
    with pytest.raises(NotFoundError, match="no run 'gone'"):
        act(store.runs)


def test_lists_are_filtered_and_newest_first(store: Store, make_run: Make, dataset: Dataset) -> None:
    for status in ("queued", "running", "finished"):
        make_run(status=status)
    assert [run.id for run in store.runs.all()] == ["r3", "r2", "r1"]
    assert [run.id for run in store.runs.all(statuses=("running", "queued"))] == ["r2", "r1"]
    assert store.runs.all(statuses=()) == []
    assert len(store.runs.all(dataset_id=dataset.id)) == 3
    assert store.runs.all(dataset_id="another") == []


def test_the_queue_is_first_come_first_served(store: Store, make_run: Make) -> None:
    for _ in range(3):
        make_run()
    assert [store.runs.queue_position(run) for run in ("r1", "r2", "r3")] == [1, 2, 3]
    taken = [store.runs.claim(HERE) for _ in range(4)]
    assert [run and run.id for run in taken] == ["r1", "r2", "r3", None]
    assert store.runs.queue_position("r1") is None


def test_runs_queued_in_the_same_instant_start_in_the_order_shown(store: Store, make_run: Make) -> None:
    for _ in range(3):
        make_run(queued_at=5.0)
    shown = sorted(("r1", "r2", "r3"), key=lambda run: store.runs.queue_position(run) or 0)
    assert [store.runs.claim(HERE).id for _ in range(3)] == shown  # type: ignore[union-attr]


def test_claim_gives_the_run_to_the_worker(store: Store, make_run: Make) -> None:
    make_run()
    before = time.time()
    run = store.runs.claim(HERE)
    assert run == store.runs.get("r1")
    assert run is not None
    assert (run.status, run.worker, run.stop_requested) == ("running", HERE, False)
    assert run.started_at is not None
    assert before <= run.started_at <= time.time()
    assert run.heartbeat_at == run.started_at
    assert store.runs.events("r1")[-1].message == "Training started on here"


def test_claim_takes_a_named_run_past_the_queue(store: Store, make_run: Make) -> None:
    make_run()
    make_run()
    assert store.runs.claim(HERE, "r2").id == "r2"  # type: ignore[union-attr]
    assert store.runs.claim(HERE, "r2") is None
    assert store.runs.claim(HERE, "unknown") is None


def test_threads_never_claim_the_same_run(store: Store, make_run: Make) -> None:
    for _ in range(12):
        make_run()
    start = threading.Barrier(8)
    taken: list[str] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            start.wait()
            while (run := store.runs.claim({"thread": number})) is not None:
                taken.append(run.id)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert sorted(taken) == sorted(run.id for run in store.runs.all())


CLAIM_ALL = """
store = Store(url)
store.runs.all()
go()
while (run := store.runs.claim({"process": number})) is not None:
    print(run.id)
store.close()
"""


def test_processes_never_claim_the_same_run(
    store: Store, store_url: str, make_run: Make, together: Callable[..., list[str]]
) -> None:
    for _ in range(20):
        make_run()
    taken = together(CLAIM_ALL, store_url, processes=2)
    assert sorted(taken) == sorted(run.id for run in store.runs.all())
    assert {run.status for run in store.runs.all()} == {"running"}


def test_a_heartbeat_renews_the_lease_and_brings_columns(store: Store, make_run: Make) -> None:
    make_run()
    claimed = store.runs.claim(HERE)
    assert claimed is not None
    values = {"progress": {"epoch": 2}, "device": "cpu", "num_parameters": 123, "best_epoch": 1}
    assert store.runs.heartbeat("r1", HERE, **values) is False
    run = store.runs.get("r1")
    assert (run.progress, run.device, run.num_parameters, run.best_epoch) == tuple(values.values())
    assert run.heartbeat_at is not None
    assert claimed.heartbeat_at is not None
    assert run.heartbeat_at >= claimed.heartbeat_at


def test_a_heartbeat_cannot_bring_an_unknown_column(store: Store, make_run: Make) -> None:
    make_run()
    store.runs.claim(HERE)
    with pytest.raises(TypeError, match="speed"):
        store.runs.heartbeat("r1", HERE, speed=3)


def test_a_heartbeat_tells_of_a_stop(store: Store, make_run: Make) -> None:
    make_run()
    store.runs.claim(HERE)
    store.runs.request_stop("r1", "bob")
    assert store.runs.heartbeat("r1", HERE) is True


@pytest.mark.parametrize("status", ["queued", *ENDED])
def test_a_heartbeat_needs_an_active_run(store: Store, make_run: Make, status: str) -> None:
    make_run(status=status, worker=HERE)
    with pytest.raises(JobError, match=f"no longer belongs to this worker .it is {status}"):
        store.runs.heartbeat("r1", HERE, device="cpu")
    assert store.runs.get("r1").device is None


def test_a_heartbeat_by_another_worker_is_refused(store: Store, make_run: Make) -> None:
    make_run()
    store.runs.claim(HERE)
    with pytest.raises(JobError, match="no longer belongs to this worker"):
        store.runs.heartbeat("r1", THERE, device="cpu")
    assert store.runs.get("r1").device is None


@pytest.mark.parametrize(("status", "then"), [("queued", "stopped"), ("running", "stopping"), ("stopping", "stopping")])
def test_stop_acts_on_what_has_not_ended(store: Store, make_run: Make, status: str, then: str) -> None:
    make_run(status=status)
    assert store.runs.request_stop("r1", "bob") == then
    run = store.runs.get("r1")
    assert run.status == then
    assert (run.ended_at is not None) == (then == "stopped")
    assert store.runs.events("r1")[-1].message == "bob asked this run to stop"


@pytest.mark.parametrize("status", ENDED)
def test_stop_refuses_what_has_ended(store: Store, make_run: Make, status: str) -> None:
    make_run(status=status)
    with pytest.raises(JobError, match=status):
        store.runs.request_stop("r1")
    assert [event.kind for event in store.runs.events("r1")] == ["queued"]


@pytest.mark.parametrize("status", ["queued", "running", "stopping", *ENDED])
def test_only_resumable_runs_return_to_the_queue(store: Store, make_run: Make, status: str) -> None:
    make_run(status=status, ended_at=9.0, end_reason="why", error="trace", worker=HERE, started_at=5.0)
    if status not in RESUMABLE:
        with pytest.raises(JobError, match=f"is {status}"):
            store.runs.requeue("r1", RESUMABLE)
        assert store.runs.get("r1").status == status
        return
    run = store.runs.requeue("r1", RESUMABLE, "bob")
    assert run == store.runs.get("r1")
    assert (run.status, run.worker, run.ended_at, run.end_reason, run.error) == ("queued", None, None, None, None)
    assert run.queued_at > 9.0
    again = store.runs.claim(THERE)
    assert again is not None
    assert again.started_at == 5.0  # the first start counts
    assert store.runs.events("r1")[1].message == "bob asked this run to go on"


def test_a_resumed_run_waits_behind_the_others(store: Store, make_run: Make) -> None:
    make_run(status="stopped")
    make_run()
    store.runs.requeue("r1", RESUMABLE)
    assert store.runs.queue_position("r1") == 2


def test_a_stop_before_the_resume_is_forgotten(store: Store, make_run: Make) -> None:
    make_run()
    store.runs.claim(HERE)
    store.runs.request_stop("r1")
    store.runs.end("r1", "stopped", "Stopped by bob")
    store.runs.requeue("r1", RESUMABLE)
    store.runs.claim(HERE)
    assert store.runs.heartbeat("r1", HERE) is False


@pytest.mark.parametrize("status", ENDED)
def test_end_records_how(store: Store, make_run: Make, status: Any) -> None:
    make_run()
    store.runs.claim(HERE)
    store.runs.end("r1", status, "Because.", "a trace")
    run = store.runs.get("r1")
    assert (run.status, run.end_reason, run.error) == (status, "Because.", "a trace")
    assert run.ended_at is not None
    last = store.runs.events("r1")[-1]
    assert (last.kind, last.message) == (status, "Because.")


def test_interrupt_marks_a_run_whose_worker_is_gone(store: Store, make_run: Make) -> None:
    make_run()
    seen = store.runs.claim(HERE)
    assert seen is not None
    assert store.runs.interrupt(seen, "The worker is gone.") is True
    run = store.runs.get("r1")
    assert (run.status, run.end_reason) == ("interrupted", "The worker is gone.")
    assert store.runs.interrupt(seen, "The worker is gone.") is False
    assert [event.kind for event in store.runs.events("r1")].count("interrupted") == 1


def test_interrupt_leaves_a_run_alone_that_changed(store: Store, make_run: Make) -> None:
    make_run()
    seen = store.runs.claim(HERE)
    assert seen is not None
    store.runs.heartbeat("r1", HERE)
    assert store.runs.interrupt(seen, "gone") is False
    store.runs.end("r1", "stopped", "why")
    store.runs.requeue("r1", RESUMABLE)
    store.runs.claim(THERE)
    assert store.runs.interrupt(seen, "gone") is False
    assert store.runs.get("r1").status == "running"


def test_an_old_worker_finds_its_run_taken_over(store: Store, make_run: Make) -> None:
    make_run()
    seen = store.runs.claim(HERE)
    assert seen is not None
    store.runs.interrupt(seen, "asleep")
    store.runs.requeue("r1", RESUMABLE)
    store.runs.claim(THERE)
    with pytest.raises(JobError, match="no longer belongs"):
        store.runs.heartbeat("r1", HERE)
    assert store.runs.heartbeat("r1", THERE) is False


@pytest.mark.parametrize("status", ["running", "stopping"])
def test_an_active_run_is_not_deleted(store: Store, make_run: Make, status: str) -> None:
    make_run(status=status)
    with pytest.raises(JobError, match=f"is {status}. Stop it first"):
        store.runs.delete("r1")
    assert len(store.runs.all()) == 1
