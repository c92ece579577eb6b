"""Searches and their journals, which several processes may write at once."""

from __future__ import annotations

import threading

import pytest

from samplemind_core.errors import NotFoundError
from samplemind_core.store import Dataset, Search, Store


@pytest.fixture
def search(store: Store, dataset: Dataset) -> Search:
    return store.searches.add(Search("s1", "first", dataset.id, 1, {"objective": "val_loss"}, 10, "me", 1.0))


def test_a_search_is_found_by_id_and_name(store: Store, search: Search) -> None:
    assert store.searches.get("s1") == store.searches.get("first") == search
    assert store.searches.all() == [search]
    with pytest.raises(NotFoundError, match="no search 's2'"):
        store.searches.get("s2")


def test_a_search_can_have_more_trials(store: Store, search: Search) -> None:
    store.searches.extend("s1", 20, "t1")
    store.searches.extend("s1", 30)
    found = store.searches.get("s1")
    assert (found.num_trials, found.task_id) == (30, "t1")


def test_the_journal_keeps_its_order(store: Store, search: Search) -> None:
    assert store.searches.num_entries("s1") == 0
    store.searches.append("s1", [{"op": 0}, {"op": 1}])
    store.searches.append("s1", [])
    store.searches.append("s1", [{"op": 2, "values": [0.5]}])
    assert store.searches.entries("s1") == [{"op": 0}, {"op": 1}, {"op": 2, "values": [0.5]}]
    assert store.searches.entries("s1", 2) == [{"op": 2, "values": [0.5]}]
    assert store.searches.entries("s1", 3) == []
    assert store.searches.num_entries("s1") == 3


def test_two_who_append_at_once_lose_nothing(store: Store, search: Search) -> None:
    start, failures = threading.Barrier(8), []

    def write(who: int) -> None:
        try:
            start.wait()
            for number in range(10):
                store.searches.append("s1", [{"who": who, "number": number}])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    entries = store.searches.entries("s1")
    assert len(entries) == 80
    for who in range(8):
        assert [entry["number"] for entry in entries if entry["who"] == who] == list(range(10))


def test_a_search_goes_with_its_dataset(store: Store, search: Search) -> None:
    store.searches.append("s1", [{"op": 0}])
    store.datasets.delete(search.dataset_id)
    assert store.searches.all() == []
    assert store.searches.num_entries("s1") == 0
    with pytest.raises(NotFoundError, match="no search 's1'"):
        store.searches.append("s1", [{"op": 1}])
    assert store.searches.num_entries("s1") == 0
