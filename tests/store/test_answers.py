"""Classified files and their answers, on both databases."""

from __future__ import annotations

import pytest

from samplemind_core.errors import NotFoundError
from samplemind_core.store import Answer, AnswerFilter, Batch, Store
from samplemind_core.store.answers import NUM_BINS


@pytest.fixture
def batch(store: Store) -> Batch:
    added = store.answers.add(
        Batch("b1", "My pack", "folder", "/pack", "ann", 1.0, {"run": "r-1", "epoch": 3}, {"windows": False})
    )
    store.answers.append(
        "b1",
        [
            Answer(0, "Kick_01.wav", "Kick_01.wav", "kick", 1.0, 1, 0.5, details={"probs": {"kick": 1.0}}),
            Answer(1, "kick 100%.wav", "a/kick 100%.wav", "kick", 0.55, 2, 0.5),
            Answer(2, "snare.wav", "snare.wav", "snare", 0.05, 3, 0.5),
            Answer(3, "hum.wav", "hum.wav", None, 0.5, 0, 4.0),
            Answer(4, "notes.wav", "notes.wav", error="Not audio."),
        ],
    )
    return added


def test_a_batch_comes_back_as_it_went(store: Store, batch: Batch) -> None:
    assert store.answers.batch("b1") == batch
    store.answers.describe("b1", num_files=5, task_id="t")
    assert (store.answers.batch("b1").num_files, store.answers.batch("b1").task_id) == (5, "t")
    answer = store.answers.answer("b1", 0)
    assert (answer.label, answer.confidence, answer.details) == ("kick", 1.0, {"probs": {"kick": 1.0}})
    with pytest.raises(NotFoundError, match="no file 9"):
        store.answers.answer("b1", 9)


@pytest.mark.parametrize(
    ("where", "positions"),
    [
        (AnswerFilter(), [0, 1, 2, 3, 4]),
        (AnswerFilter(labels=("kick",)), [0, 1]),
        (AnswerFilter(labels=("snare", None)), [2, 3]),
        (AnswerFilter(labels=()), []),
        (AnswerFilter(min_confidence=0.5, max_confidence=0.55), [1, 3]),
        (AnswerFilter(set_sizes=(2, 3)), [1, 2]),
        (AnswerFilter(failed=True), [4]),
        (AnswerFilter(failed=False, text="KICK"), [0, 1]),
        (AnswerFilter(text="100%"), [1]),
        (AnswerFilter(text="k_"), [0]),
    ],
)
def test_filters(store: Store, batch: Batch, where: AnswerFilter, positions: list[int]) -> None:
    assert [answer.position for answer in store.answers.page(batch.id, where)] == positions
    assert [answer.position for answer in store.answers.iterate(batch.id, where, chunk=2)] == positions
    assert store.answers.count(batch.id, where) == len(positions)


def test_orders_and_pages(store: Store, batch: Batch) -> None:
    def places(order: str, **page: int) -> list[int]:
        return [answer.position for answer in store.answers.page(batch.id, order=order, **page)]  # type: ignore[arg-type]

    assert places("confidence") == [2, 3, 1, 0, 4]
    assert places("-confidence") == [0, 1, 3, 2, 4]
    assert places("-confidence", limit=2, offset=1) == [1, 3]


def test_a_summary_counts_everything_once(store: Store, batch: Batch) -> None:
    summary = store.answers.summary(batch.id)
    assert (summary.num_answers, summary.num_failed) == (5, 1)
    assert summary.by_label == {"kick": 2, "snare": 1, None: 1}
    assert sum(summary.histogram) == 4
    assert [index for index, count in enumerate(summary.histogram) if count] == [1, 10, 11, NUM_BINS - 1]
    assert store.answers.summary(batch.id, AnswerFilter(labels=("kick",))).by_label == {"kick": 2}


def test_a_tally_of_several_batches_agrees_with_their_summaries(store: Store, batch: Batch) -> None:
    store.answers.add(Batch("b2", "Other", "page", "", "bob", 2.0, {}))
    summary, found = store.answers.summary("b1"), store.answers.tally(["b1", "b2"])
    assert set(found) == {"b1"}
    assert found["b1"].by_label == summary.by_label
    assert (found["b1"].num_failed, found["b1"].num_answers) == (summary.num_failed, summary.num_answers)


def test_a_position_is_answered_once(store: Store, batch: Batch) -> None:
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.answers.append(batch.id, [Answer(5, "new.wav"), Answer(0, "again.wav")])
    assert store.answers.count(batch.id) == 5


def test_history_is_searched_and_deleted(store: Store, batch: Batch) -> None:
    store.answers.add(Batch("b2", "Other", "page", "", "bob", 2.0, {}))
    assert [row.id for row in store.answers.batches()] == ["b2", "b1"]
    assert [row.id for row in store.answers.batches(text="hum.WAV")] == ["b1"]
    assert [row.id for row in store.answers.batches(text="other")] == ["b2"]
    assert [row.id for row in store.answers.batches(owner="ann")] == ["b1"]
    assert [row.id for row in store.answers.batches(text="KICK")] == ["b1"]
    assert [row.id for row in store.answers.batches(text="bob")] == ["b2"]
    assert [row.id for row in store.answers.batches(text=batch.checkpoint["run"])] == ["b1"]
    store.answers.delete("b1")
    assert store.answers.count("b1") == 0
    with pytest.raises(NotFoundError, match="no batch"):
        store.answers.batch("b1")
