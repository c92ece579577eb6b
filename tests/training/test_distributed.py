"""Several processes that train together: what one would have trained, how they stop, and what becomes of a dead one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from helpers import Memory, measured, tiny_config, tiny_data
from safetensors.torch import load_file
from torch import nn

from samplemind_core.config import RunConfig, build_config
from samplemind_core.errors import ConfigError, NonFiniteLossError, TrainingError
from samplemind_core.store import Epoch
from samplemind_core.training.device import count_processes
from samplemind_core.training.distributed import Ranks, SharedDropout
from samplemind_core.training.feed import Feed
from samplemind_core.training.launch import fit_on_several
from samplemind_core.training.observer import Outcome
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData
from tests.waiting import wait_until

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="ends processes by signals")


def fit_both(folder: Path, config: RunConfig, data: TrainingData, memory: Memory | None = None, **how) -> Outcome:
    return fit_on_several(config, data, folder, memory or Memory(), 2, CPU, **how)


def losses(epochs: list[Epoch]) -> list[tuple[float, ...]]:
    return [(row.train_loss, row.val_loss, row.health["probe_loss"], row.val_accuracy) for row in epochs]


def ranks_below(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children(recursive=True) if _is_rank(child)]


def _is_rank(process: psutil.Process) -> bool:
    try:
        return "samplemind_core.training.rank" in process.cmdline()
    except psutil.Error:
        return False


def test_two_processes_take_the_steps_of_one_and_resume_to_the_bit(tmp_path: Path) -> None:
    """Batch norms, dropout, augmentation, mixup, an ensemble, an average, class weights and an odd last batch."""
    config = tiny_config(
        epochs=3, batch_size=9, members=2, mixup_alpha=0.3, dropout=0.3, average="swa", swa_share=0.6, grad_clip=1.0,
        class_balance="weights", optimizer="sgd", lr=0.01, time_shift_ms=50, precision="float32",
    )  # fmt: skip
    data = tiny_data(config)
    assert len(data.train_rows) % 9 == 3  # two clips for the first process, one for the second
    alone = Memory()
    with one_thread():
        Trainer(config, data, tmp_path / "one", alone).fit()
    both = Memory()
    outcome = fit_both(tmp_path / "two", config, data, both)
    assert outcome.status == "finished"
    assert both.device.startswith("2 × cpu")
    assert np.array(losses(both.epochs)) == pytest.approx(np.array(losses(alone.epochs)), abs=2e-5)
    assert [row.train_accuracy for row in both.epochs] == [row.train_accuracy for row in alone.epochs]
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()  # a checkpoint says nothing of how many trained it
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], atol=1e-4, rtol=1e-4), name

    stopped = Memory(lambda memory: len(memory.epochs) == 1)
    assert fit_both(tmp_path / "parts", config, data, stopped).status == "stopped"
    resumed = Memory()
    fit_both(tmp_path / "parts", config, data, resumed, last=tmp_path / "parts" / "last.safetensors")
    assert resumed.resumed is not None
    whole = [measured(row) for row in both.epochs]
    assert [measured(row) for row in resumed.resumed + resumed.epochs] == whole
    parts = load_file(tmp_path / "parts" / "last.safetensors")
    assert all(torch.equal(tensor, parts[name]) for name, tensor in two.items())


def test_a_killed_process_ends_the_run_with_a_reason_and_nobody_is_left(tmp_path: Path) -> None:
    config = tiny_config(epochs=10_000, save_every=1_000)
    data = tiny_data(config)
    before = {process.pid for process in psutil.Process().children(recursive=True)}

    class Killer(Memory):
        def on_epoch(self, epoch: Epoch) -> None:
            super().on_epoch(epoch)
            if len(self.epochs) == 2:
                self.ranks = [child for child in ranks_below(os.getpid()) if child.pid not in before]
                max(self.ranks, key=lambda child: child.environ()["RANK"]).send_signal(signal.SIGKILL)

    memory = Killer()
    with pytest.raises(TrainingError, match=r"process 2 of 2 ended before its time \(SIGKILL\).*Resume goes on"):
        fit_both(tmp_path, config, data, memory)
    assert len(memory.ranks) == 2
    wait_until(lambda: not any(child.is_running() for child in memory.ranks), "all processes have ended")


def test_what_a_process_runs_into_is_said_in_its_own_words(tmp_path: Path) -> None:
    config = tiny_config(epochs=2, optimizer="sgd", average="none")
    data = tiny_data(config)
    broken = data.log_mel.copy()
    broken[data.train_rows[0]] = np.nan  # one process meets it, both are told
    handler = signal.getsignal(signal.SIGTERM)
    environment = dict(os.environ)
    with pytest.raises(NonFiniteLossError, match="The loss became nan in epoch 1"):
        fit_both(tmp_path, config, replace(data, log_mel=broken))
    assert signal.getsignal(signal.SIGTERM) == handler
    assert dict(os.environ) == environment


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
    with pytest.raises(ConfigError, match="num_devices must be at most batch_size"):
        build_config("quick", {"num_devices": 4, "batch_size": 3})


def test_processes_that_share_a_memory_count_all_their_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    log_mel, targets = np.zeros((4, 1, 8, 8), np.float16), np.zeros(4, np.int64)
    monkeypatch.setattr("samplemind_core.training.feed.fits", lambda num_bytes, device: num_bytes <= log_mel.nbytes)
    assert Feed(log_mel, targets, CPU).resident
    assert not Feed(log_mel, targets, CPU, copies=2).resident


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
