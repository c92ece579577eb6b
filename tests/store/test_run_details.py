"""What hangs on a run: epochs, events, checkpoints, predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from samplemind_core.store import Checkpoint, Dataset, Epoch, Run, Store

Make = Callable[..., Run]
MakeEpoch = Callable[..., Epoch]


@pytest.fixture
def put(store: Store) -> Callable[..., Checkpoint]:
    def put(run_id: str, kind: str, epoch: int, **changes: Any) -> Checkpoint:
        path = f"runs/{run_id}/checkpoints/{kind if kind != 'epoch' else f'epoch-{epoch:04d}'}.safetensors"
        values = {"kind": kind, "epoch": epoch, "path": path, "val_loss": 0.5, "val_accuracy": 0.75, "num_bytes": 2**33}
        return store.runs.put_checkpoint(run_id, values | changes)

    return put


def test_epochs_come_back_in_order(store: Store, make_run: Make, make_epoch: MakeEpoch) -> None:
    run, other = make_run(), make_run()
    stored = [make_epoch(number) for number in (3, 1, 2)]
    for epoch in stored:
        store.runs.add_epoch(run.id, epoch)
    store.runs.add_epoch(other.id, make_epoch(1))
    assert store.runs.epochs(run.id) == sorted(stored, key=lambda epoch: epoch.epoch)
    assert [epoch.epoch for epoch in store.runs.epochs(run.id, after=1)] == [2, 3]
    assert store.runs.epochs(run.id, after=3) == []


def test_an_epoch_computed_again_replaces_the_first(store: Store, make_run: Make, make_epoch: MakeEpoch) -> None:
    run = make_run()
    store.runs.add_epoch(run.id, make_epoch(1, val_loss=2.0))
    store.runs.add_epoch(run.id, make_epoch(1, val_loss=1.0))
    assert [epoch.val_loss for epoch in store.runs.epochs(run.id)] == [1.0]


def test_truncate_forgets_later_epochs(store: Store, make_run: Make, make_epoch: MakeEpoch) -> None:
    run, other = make_run(), make_run()
    for number in range(1, 6):
        store.runs.add_epoch(run.id, make_epoch(number))
        store.runs.add_epoch(other.id, make_epoch(number))
    store.runs.truncate_epochs(run.id, 2)
    assert [epoch.epoch for epoch in store.runs.epochs(run.id)] == [1, 2]
    store.runs.truncate_epochs(run.id, 0)
    assert store.runs.epochs(run.id) == []
    assert len(store.runs.epochs(other.id)) == 5


def test_events_come_in_order_after_an_id(store: Store, make_run: Make) -> None:
    run, other = make_run(), make_run()
    for number in range(4):
        store.runs.add_event(run.id, "note", f"message {number} – ünï")
        store.runs.add_event(other.id, "note", "another run's")
    events = store.runs.events(run.id)
    assert [event.message for event in events[1:]] == [f"message {number} – ünï" for number in range(4)]
    assert {event.run_id for event in events} == {run.id}
    assert store.runs.events(run.id, after=events[2].id) == events[3:]


def test_checkpoints_are_best_last_then_epochs(store: Store, make_run: Make, put: Callable[..., Checkpoint]) -> None:
    run, other = make_run(), make_run()
    for kind, epoch in (("epoch", 10), ("last", 12), ("epoch", 5), ("best", 7)):
        put(run.id, kind, epoch)
    put(other.id, "best", 1)
    found = [(row.kind, row.epoch) for row in store.runs.checkpoints(run.id)]
    assert found == [("best", 7), ("last", 12), ("epoch", 5), ("epoch", 10)]


def test_a_checkpoint_at_the_same_path_is_replaced(
    store: Store, make_run: Make, put: Callable[..., Checkpoint]
) -> None:
    run = make_run()
    first = put(run.id, "best", 1, val_loss=0.5)
    second = put(run.id, "best", 4, val_loss=0.25)
    assert second.id == first.id
    assert store.runs.checkpoints(run.id) == [second]
    assert (second.epoch, second.val_loss) == (4, 0.25)


def test_predictions_belong_to_the_epoch_they_were_made_with(
    store: Store, make_run: Make, dataset: Dataset, put: Callable[..., Checkpoint]
) -> None:
    run = make_run()
    old = put(run.id, "best", 1)
    key = {"checkpoint_id": old.id, "dataset_id": dataset.id, "split": "test"}
    made = store.runs.put_prediction(key | {"epoch": 1, "path": "a.npz", "num_clips": 10})
    assert store.runs.prediction(old, dataset.id, "test") == made
    assert store.runs.prediction(old, dataset.id, "val") is None
    assert store.runs.prediction(old, "another", "test") is None

    new = put(run.id, "best", 3)
    assert store.runs.prediction(new, dataset.id, "test") is None
    later = store.runs.put_prediction(key | {"epoch": 3, "path": "b.npz", "num_clips": 10})
    assert store.runs.prediction(new, dataset.id, "test") == later
    assert store.runs.prediction(old, dataset.id, "test") == made


def test_what_other_weights_of_the_same_epoch_said_is_forgotten(
    store: Store, make_run: Make, dataset: Dataset, put: Callable[..., Checkpoint]
) -> None:
    # A run that is stopped twice within one epoch leaves two sets of weights that count as the epoch before.
    last = put(make_run().id, "last", 1)
    key = {"checkpoint_id": last.id, "epoch": 1, "dataset_id": dataset.id, "split": "test"}
    store.runs.put_prediction(key | {"path": "a.npz", "num_clips": 10})
    again = put(last.run_id, "last", 1)
    assert again.id == last.id
    assert store.runs.prediction(again, dataset.id, "test") is None


def test_a_prediction_made_again_replaces_the_first(
    store: Store, make_run: Make, dataset: Dataset, put: Callable[..., Checkpoint]
) -> None:
    checkpoint = put(make_run().id, "best", 1)
    key = {"checkpoint_id": checkpoint.id, "epoch": 1, "dataset_id": dataset.id, "split": "test"}
    first = store.runs.put_prediction(key | {"path": "a.npz", "num_clips": 10})
    second = store.runs.put_prediction(key | {"path": "b.npz", "num_clips": 12})
    assert second.id == first.id
    assert store.runs.prediction(checkpoint, dataset.id, "test") == second


def test_deleting_a_run_takes_everything_along(
    store: Store, make_run: Make, dataset: Dataset, make_epoch: MakeEpoch, put: Callable[..., Checkpoint]
) -> None:
    gone, kept = make_run(), make_run()
    checkpoints = []
    for run in (gone, kept):
        checkpoint = put(run.id, "best", 1)
        checkpoints.append(checkpoint)
        key = {"checkpoint_id": checkpoint.id, "epoch": 1, "dataset_id": dataset.id, "split": "test"}
        store.runs.put_prediction(key | {"path": "a.npz", "num_clips": 1})
        store.runs.add_epoch(run.id, make_epoch(1))
    store.runs.delete(gone.id)
    assert store.runs.find(gone.id) is None
    assert store.runs.epochs(gone.id) == []
    assert store.runs.events(gone.id) == []
    assert store.runs.checkpoints(gone.id) == []
    assert store.runs.prediction(checkpoints[0], dataset.id, "test") is None
    assert (
        len(store.runs.epochs(kept.id)) == len(store.runs.events(kept.id)) == len(store.runs.checkpoints(kept.id)) == 1
    )
    assert store.runs.prediction(checkpoints[1], dataset.id, "test") is not None
