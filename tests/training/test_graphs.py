from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Memory, tiny_config, tiny_data

from samplemind_core.audio.augment import augment
from samplemind_core.config import AUGMENT_PRESETS, FeatureConfig
from samplemind_core.errors import NonFiniteLossError
from samplemind_core.models.samplemind_cnn import SampleMindCNN
from samplemind_core.training import graphs
from samplemind_core.training import trainer as trainer_module
from samplemind_core.training.averaging import MovingAverage
from samplemind_core.training.feed import Feed
from samplemind_core.training.graphs import LOOK_EVERY, StepGraphs, recordable
from samplemind_core.training.trainer import Trainer


def on_gpu(test):
    return pytest.mark.gpu(pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")(test))


def gpu_config(**changes):
    # float32, so that two ways to the same numbers differ by rounding of one kind only
    return tiny_config(**{"device": "cuda", "precision": "float32", "epochs": 4, **changes})


def run(folder: Path, config, data=None, *, recorded: bool = True, monkeypatch=None):
    memory = Memory()
    if not recorded:
        monkeypatch.setattr(trainer_module, "recordable", lambda trainer: False)
    trainer = Trainer(config, data or tiny_data(config), folder, memory)
    outcome = trainer.fit()
    if not recorded:
        monkeypatch.undo()
    return outcome, memory, trainer


RECIPES = {
    "plain": {},
    "adam": {"optimizer": "adam"},
    "sgd": {"optimizer": "sgd", "lr": 0.005},
    "strong": {**AUGMENT_PRESETS["strong"].config.model_dump(), "grad_clip": 1.0, "label_smoothing": 0.1},
    "ensemble": {"members": 2, "average": "ema"},
    "swa": {"average": "swa"},
    "weights": {"class_balance": "weights"},
    "last batch of one": {"batch_size": 47},
}


@on_gpu
@pytest.mark.parametrize("name", RECIPES)
def test_recorded_steps_learn_what_single_kernels_learn(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = gpu_config(**RECIPES[name])
    _, plain, slow = run(tmp_path / "a", config, recorded=False, monkeypatch=monkeypatch)
    _, fast, trainer = run(tmp_path / "b", config)
    assert trainer._graphs is not None
    assert all(trainer._graphs._recorded.values())
    assert slow._graphs is None
    for ours, theirs in zip(fast.epochs, plain.epochs, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=5e-3)
        assert ours.val_loss == pytest.approx(theirs.val_loss, rel=5e-2, abs=5e-3)
        assert ours.lr == theirs.lr


@on_gpu
def test_a_loss_that_is_no_number_leaves_weights_alone_and_is_said_with_its_step(tmp_path: Path) -> None:
    config = gpu_config(epochs=3)
    data = tiny_data(config)
    trainer = Trainer(config, data, tmp_path, Memory())
    assert trainer.run_epoch()
    trainer._end_epoch()
    weights = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    assert trainer.feed._all is not None
    trainer.feed._all[trainer.order(2)[: config.train.batch_size].to(trainer.device)] = float("nan")
    with pytest.raises(NonFiniteLossError, match=r"in epoch 2, step 1, at learning rate"):
        trainer.run_epoch()
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(weights, trainer.model.parameters(), strict=True))


@on_gpu
def test_a_network_that_asks_for_values_trains_kernel_by_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = SampleMindCNN.embed

    def asking(self, scaled):
        assert scaled.mean().item() < 2.0
        return embed(self, scaled)

    config = gpu_config()
    _, plain, _ = run(tmp_path / "a", config, recorded=False, monkeypatch=monkeypatch)
    monkeypatch.setattr(SampleMindCNN, "embed", asking)
    outcome, memory, trainer = run(tmp_path / "b", config)
    assert outcome.status == "finished"
    assert trainer._graphs is not None
    assert not any(trainer._graphs._recorded.values())
    assert [epoch.train_loss for epoch in memory.epochs] == pytest.approx(
        [epoch.train_loss for epoch in plain.epochs], rel=5e-3
    )


@on_gpu
def test_a_recorded_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    config = gpu_config(epochs=5, batch_size=8)
    data = tiny_data(config)
    _, whole, _ = run(tmp_path / "whole", config, data)
    first = Memory(stop_when=lambda memory: len(memory.progress) == 2 * 6 + 4)
    Trainer(config, data, tmp_path / "parts", first).fit()
    rest = Memory()
    trainer = Trainer(config, data, tmp_path / "parts", rest)
    trainer.restore(tmp_path / "parts" / "last.safetensors")
    assert (trainer.epoch, trainer.step) == (3, 4)
    assert trainer.totals.clips == 32
    trainer.fit()
    assert rest.epochs[-1].val_loss == pytest.approx(whole.epochs[-1].val_loss, rel=5e-2, abs=5e-3)


@on_gpu
def test_augmentation_starts_without_waiting_for_the_device() -> None:
    features = FeatureConfig()
    generator = torch.Generator("cuda").manual_seed(0)
    clips = -80 * torch.rand(4, *features.shape, device="cuda")
    augment(clips, AUGMENT_PRESETS["strong"].config, features, generator)  # makes its tables
    torch.cuda.set_sync_debug_mode("error")
    try:
        changed = augment(clips, AUGMENT_PRESETS["strong"].config, features, generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(changed).all()
    assert not torch.equal(changed, clips)


@on_gpu
def test_clips_read_from_a_file_arrive_on_the_device_as_resident_ones_do() -> None:
    clips = np.random.default_rng(0).uniform(-80, 0, (50, 1, 16, 9)).astype(np.float16)
    targets = np.arange(50) % 3
    rows = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    device = torch.device("cuda")
    resident = list(Feed(clips, targets, device, resident=True).batches(rows, 8))
    streamed = list(Feed(clips, targets, device, resident=False).batches(rows, 8))
    torch.cuda.synchronize()
    for (ours, labels), (theirs, their_labels) in zip(streamed, resident, strict=True):
        assert ours.device.type == "cuda"
        assert torch.equal(ours, theirs)
        assert torch.equal(labels, their_labels)


class Here(StepGraphs):
    """Steps taken as recorded ones are, by a device that needs no recording."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._lr, self._decay = torch.zeros(()), torch.zeros(())
        self._sums = torch.zeros(2, dtype=torch.float64)
        self._done = torch.zeros((), dtype=torch.int64)
        self._bad_step = torch.full((), -1, dtype=torch.int64)
        self._bad_loss = torch.zeros(())
        self._clips = self.pending = 0

    def take(self, log_mel, targets, count, mixed, lr, decay) -> None:
        self._decay.fill_(decay)
        self._step(log_mel, targets, count, mixed)
        self._clips += count
        self.pending += 1


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "StepGraphs", Here)
    monkeypatch.setattr(trainer_module, "recordable", lambda trainer: True)


@pytest.mark.parametrize("name", sorted(RECIPES.keys() - {"sgd"}))  # on CPUs it cannot be told to skip a step
def test_steps_without_a_wait_add_up_to_the_same(
    name: str, tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(epochs=3, **RECIPES[name])
    data = tiny_data(config)
    ours = Memory()
    Trainer(config, data, tmp_path / "a", ours).fit()
    monkeypatch.setattr(trainer_module, "recordable", lambda trainer: False)
    theirs = Memory()
    Trainer(config, data, tmp_path / "b", theirs).fit()
    for one, other in zip(ours.epochs, theirs.epochs, strict=True):
        assert (one.train_accuracy, one.val_accuracy, one.lr) == (other.train_accuracy, other.val_accuracy, other.lr)
        assert (one.train_loss, one.val_loss) == pytest.approx((other.train_loss, other.val_loss), rel=1e-3)


def test_the_first_loss_that_is_no_number_is_said_and_its_step_is_not_taken(tmp_path: Path, here: None) -> None:
    config = tiny_config(epochs=2, batch_size=16, average="none", dropout=0.0)
    data = tiny_data(config)
    trainer = Trainer(config, data, tmp_path, Memory())
    assert trainer.feed._all is not None
    trainer.feed._all[trainer.order(1)[16:32]] = float("nan")
    with pytest.raises(NonFiniteLossError, match=r"became nan in epoch 1, step 2, at learning rate"):
        trainer.run_epoch()
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())


def test_a_stop_between_looks_keeps_what_the_steps_added_up_to(tmp_path: Path, here: None) -> None:
    config = tiny_config(epochs=2, batch_size=8)
    trainer = Trainer(config, tiny_data(config), tmp_path, Memory(stop_when=lambda memory: len(memory.progress) == 4))
    trainer.fit()
    assert (trainer.step, trainer.totals.clips) == (4, 32)
    assert trainer.totals.loss > 0


def test_a_long_epoch_is_looked_at_in_between(tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "LOOK_EVERY", 2)
    config = tiny_config(epochs=1, batch_size=8)
    data = tiny_data(config)
    trainer = Trainer(config, data, tmp_path, Memory())
    assert trainer.feed._all is not None
    trainer.feed._all[trainer.order(1)[8:16]] = float("nan")
    with pytest.raises(NonFiniteLossError, match="step 2,"):
        trainer.run_epoch()
    assert trainer.step < trainer.steps_per_epoch - 1
    assert LOOK_EVERY > 2


def test_changed_settings_are_recorded_anew(tmp_path: Path, here: None) -> None:
    config = tiny_config(epochs=2)
    trainer = Trainer(config, tiny_data(config), tmp_path, Memory())
    trainer.run_epoch()
    before = trainer._graphs
    trainer.train_config = trainer.train_config.model_copy(update={"grad_clip": 1.0})
    trainer.step = 0
    trainer.run_epoch()
    assert before is not None
    assert trainer._graphs is not before


def test_only_cuda_records_and_only_where_bits_need_not_repeat(tmp_path: Path) -> None:
    config = tiny_config()
    trainer = Trainer(config, tiny_data(config), tmp_path, Memory())
    assert not recordable(trainer)
    trainer.device = torch.device("cuda")
    assert recordable(trainer)
    trainer.train_config = config.train.model_copy(update={"deterministic": True})
    assert not recordable(trainer)
    trainer.train_config = config.train.model_copy(update={"optimizer": "rmsprop"})
    assert not recordable(trainer)
    assert "rmsprop" not in graphs.FUSED


def test_a_decay_on_the_device_averages_as_a_number_does() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    one, other = (torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)) for _ in range(2))
    other.load_state_dict(one.state_dict())
    MovingAverage(one, model).move(0.9)
    MovingAverage(other, model).move(torch.tensor(0.9))
    for ours, theirs in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs)
