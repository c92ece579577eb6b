"""Several processes that train together: their parts, their words, and how many there are."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import Memory, tiny_config, tiny_data
from torch import nn

from samplemind_core.audio.augment import augment
from samplemind_core.config import build_config
from samplemind_core.errors import ConfigError, NonFiniteLossError
from samplemind_core.training.device import count_processes
from samplemind_core.training.distributed import Ranks, SharedDropout
from samplemind_core.training.feed import Feed
from samplemind_core.training.handover import (
    Job,
    Listener,
    Teller,
    read_job,
    read_trouble,
    write_job,
    write_trouble,
)
from samplemind_core.training.observer import Outcome
from samplemind_core.training.trainer import Trainer

CPU = torch.device("cpu")


def test_a_job_is_handed_over_whole(tmp_path: Path) -> None:
    config = tiny_config(num_devices=2)
    data = tiny_data(config)
    whole = np.concatenate([data.log_mel, data.log_mel])
    np.save(tmp_path / "map.npy", whole)
    part = np.load(tmp_path / "map.npy", mmap_mode="r")[len(data.log_mel) :]
    place = tmp_path / "place"
    place.mkdir()
    given = Job(config, replace(data, log_mel=part), tmp_path, "cpu", 1, None, tmp_path / "record")
    write_job(place, given)
    found, parent = read_job(place)
    assert parent == os.getpid()
    assert not (place / "log_mel.npy").exists()  # it is read where it lies
    assert np.array_equal(found.data.log_mel, part)
    assert np.array_equal(found.data.train_rows, data.train_rows)
    for name in ("config", "folder", "device", "threads", "last", "record"):
        assert getattr(found, name) == getattr(given, name)
    assert (found.data.class_names, found.data.description) == (data.class_names, data.description)


def test_what_is_told_arrives_and_a_wish_to_stop_goes_back(tmp_path: Path) -> None:
    config = tiny_config(epochs=2)
    told, direct = Memory(lambda memory: bool(memory.epochs)), Memory()
    listener, teller = Listener(tmp_path, told), Teller(tmp_path)
    listener.look()
    trainer = Trainer(config, tiny_data(config), tmp_path, direct)
    trainer.fit()
    teller.on_start("2 × cpu", 17)
    teller.on_resume(direct.epochs[:1])
    teller.on_epoch(direct.epochs[1])
    teller.on_progress(direct.progress[-1])
    teller.on_event("lr", "lower")
    teller.end(Outcome("finished", "done", 2))
    listener.look()
    assert (told.device, told.num_parameters) == ("2 × cpu", 17)
    assert (told.resumed, told.epochs) == (direct.epochs[:1], direct.epochs[1:])
    assert (told.progress, told.events) == (direct.progress[-1:], [("lr", "lower")])
    assert listener.outcome == Outcome("finished", "done", 2)
    assert not teller.should_stop()
    listener.look()
    assert teller.should_stop()


def test_the_cause_of_an_end_is_told_and_not_what_followed_from_it(tmp_path: Path) -> None:
    assert read_trouble(tmp_path) is None
    write_trouble(tmp_path, 1, RuntimeError("Connection closed by peer"))
    assert str(read_trouble(tmp_path)) == "RuntimeError in process 2: Connection closed by peer"
    write_trouble(tmp_path, 0, NonFiniteLossError("The loss became nan.", "Start again."))
    found = read_trouble(tmp_path)
    assert isinstance(found, NonFiniteLossError)
    assert (found.problem, found.advice) == ("The loss became nan.", "Start again.")
    (tmp_path / "trouble-0.json").unlink()
    write_trouble(tmp_path, 1, MemoryError())
    assert isinstance(read_trouble(tmp_path), MemoryError)


@pytest.mark.parametrize("layer", [nn.Dropout(0.3), nn.Dropout2d(0.3)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_parts_of_a_shared_mask_are_those_of_the_whole(layer: nn.Module, layout: torch.memory_format) -> None:
    values = torch.rand(7, 4, 3, 5).contiguous(memory_format=layout)
    torch.manual_seed(1)
    whole = layer(values)
    parts = []
    for own in (slice(0, 4), slice(4, 7), slice(7, 7)):
        torch.manual_seed(1)
        parts.append(SharedDropout(layer, SimpleNamespace(whole=7, own=own))(values[own]))
    assert torch.equal(torch.cat(parts), whole)


def test_a_part_of_a_batch_is_augmented_as_it_is_among_the_others() -> None:
    config = tiny_config("balanced")
    clips = torch.from_numpy(tiny_data(config).log_mel[:9]).float()
    whole, *parts = (
        augment(clips[own], config.augment, config.features, torch.Generator().manual_seed(3), (9, own))
        for own in (slice(0, 9), slice(0, 5), slice(5, 9))
    )
    assert not torch.equal(whole, clips)
    assert torch.allclose(torch.cat(parts), whole, atol=1e-3)  # dB
    assert torch.equal(whole, augment(clips, config.augment, config.features, torch.Generator().manual_seed(3)))


@pytest.mark.parametrize(("count", "size"), [(9, 2), (1, 2), (3, 4), (64, 3)])
def test_parts_are_even_and_make_up_the_whole(count: int, size: int) -> None:
    parts = []
    for rank in range(size):
        process = Ranks.__new__(Ranks)
        process.rank, process.size = rank, size
        parts.append(process.part(count))
    assert [place for part in parts for place in range(part.start, part.stop)] == list(range(count))
    assert max(part.stop - part.start for part in parts) - min(part.stop - part.start for part in parts) <= 1


def test_how_many_processes_a_machine_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(place: str = "auto", **changes: object) -> int:
        return count_processes(build_config("quick", changes).train, place)

    assert count("cpu") == 1
    assert count("cpu", num_devices="all") == 1
    assert count("cpu", num_devices=3) == 3
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert count() == 1
    assert count(num_devices="all") == 4
    assert count(num_devices=2) == 2
    assert count("cuda:1", num_devices=2, device="cuda") == 2
    with pytest.raises(ConfigError, match="Expected 5 GPUs, this machine has 4"):
        count(num_devices=5)
    with pytest.raises(ConfigError, match="'cuda:1' is one device"):
        count(num_devices=2, device="cuda:1")


def test_processes_that_share_a_memory_count_all_their_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    log_mel, targets = np.zeros((4, 1, 8, 8), np.float16), np.zeros(4, np.int64)
    monkeypatch.setattr("samplemind_core.training.feed.fits", lambda num_bytes, device: num_bytes <= log_mel.nbytes)
    assert Feed(log_mel, targets, CPU).resident
    assert not Feed(log_mel, targets, CPU, copies=2).resident
