"""Clips read from a file ahead of time: the very batches that memory would have given."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Memory, measured, tiny_config, tiny_data

from samplemind_core.errors import StorageError
from samplemind_core.training import feed as feed_module
from samplemind_core.training.feed import Feed
from samplemind_core.training.streaming import RowReader, prefetched
from samplemind_core.training.trainer import Trainer


@pytest.fixture
def mapped(tmp_path: Path) -> np.memmap:
    rng = np.random.default_rng(0)
    path = tmp_path / "clips.npy"
    np.save(path, rng.normal(size=(50, 1, 8, 5)).astype(np.float16))
    return np.load(path, mmap_mode="r")


def alive() -> int:
    return sum(thread.name == "samplemind-prefetch" for thread in threading.enumerate())


@pytest.mark.parametrize("rows", [[3, 1, 2], [49, 0, 49, 7], [5], []])
def test_rows_come_in_the_order_asked_for(mapped: np.memmap, rows: list[int]) -> None:
    asked = np.array(rows, dtype=np.int64)
    for array in (mapped, mapped[10:], np.array(mapped), np.asfortranarray(mapped)):
        some = asked[asked < len(array)]
        np.testing.assert_array_equal(RowReader(array).read(some), np.array(array)[some])


def test_a_file_that_became_shorter_is_told(mapped: np.memmap) -> None:
    reader = RowReader(mapped)
    with Path(mapped.filename).open("r+b") as file:
        file.truncate(1_000)
    with pytest.raises(StorageError, match="shorter than it was"):
        reader.read(np.array([49]))


def test_streamed_batches_equal_resident_ones(mapped: np.memmap) -> None:
    targets = np.arange(50, dtype=np.int64)
    rows = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    resident = Feed(mapped, targets, torch.device("cpu"), resident=True)
    streamed = Feed(mapped, targets, torch.device("cpu"), resident=False)
    pairs = list(zip(resident.batches(rows, 16), streamed.batches(rows, 16), strict=True))
    assert len(pairs) == 4
    for (clips, labels), (clips_read, labels_read) in pairs:
        assert clips_read.dtype == torch.float32
        assert torch.equal(clips, clips_read)
        assert torch.equal(labels, labels_read)
    assert torch.equal(resident.batch(rows)[0], streamed.batch(rows)[0])
    assert alive() == 0


def test_a_run_from_the_file_is_the_run_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(time_shift_ms=20.0)
    data = tiny_data(config)
    np.save(tmp_path / "map.npy", data.log_mel)
    runs = []
    for share in (0.4, 0.0):
        monkeypatch.setattr(feed_module, "RESIDENT_SHARE", share)
        log_mel = np.load(tmp_path / "map.npy", mmap_mode="r")
        memory = Memory()
        given = type(data)(**{**vars(data), "log_mel": log_mel})
        trainer = Trainer(config, given, tmp_path / f"run-{share}", memory)
        assert trainer.feed.resident == (share > 0)
        trainer.fit()
        runs.append([measured(epoch) for epoch in memory.epochs])
    assert runs[0] == runs[1]
    assert alive() == 0


def test_no_more_is_read_ahead_than_may_wait() -> None:
    made: list[int] = []
    full = threading.Event()

    def make(item: int) -> int:
        made.append(item)
        if len(made) == 4:
            full.set()
        return item * item

    ahead = prefetched(make, range(100), depth=2)
    assert next(ahead) == 0
    assert full.wait(30)  # one taken, two waiting, one in hand
    assert len(made) == 4
    assert next(ahead) == 1
    ahead.close()
    assert alive() == 0
    assert len(made) <= 6


def test_what_goes_wrong_ahead_is_raised_in_its_turn() -> None:
    def make(item: int) -> int:
        if item == 2:
            raise StorageError("The disk is gone.", "Look for it.")
        return item

    ahead = prefetched(make, range(5))
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(StorageError, match="disk is gone"):
        next(ahead)
    assert alive() == 0
    assert list(prefetched(make, range(2))) == [0, 1]
