from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_config, tiny_data

from samplemind_core.errors import ConfigError, StoppedError, TrainingError
from samplemind_core.training import trainer as trainer_module
from samplemind_core.training.batch_finder import find_batch_size, search
from samplemind_core.training.lr_finder import LrCurve, find_lr, steepest


@pytest.fixture(scope="module")
def curve() -> LrCurve:
    config = tiny_config()
    return find_lr(config, tiny_data(config), num_steps=60)


def test_a_range_test_finds_a_rate_between_too_low_and_too_high(curve: LrCurve) -> None:
    assert curve.lrs[0] == pytest.approx(1e-6)
    assert np.allclose(np.diff(np.log(curve.lrs)), np.log(curve.lrs[1] / curve.lrs[0]))
    assert curve.losses[0] == pytest.approx(curve.guessing, abs=0.5)
    assert min(curve.losses) < 0.9 * curve.losses[0]
    assert 1e-5 < curve.suggestion < 0.3
    assert curve.suggestion <= curve.lrs[int(np.argmin(curve.losses))]
    assert LrCurve.from_dict(curve.as_dict()) == curve


def test_the_same_settings_give_the_same_curve_and_leave_no_trace(
    curve: LrCurve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tiny_config(average="swa", schedule="cosine")  # what a run does over epochs plays no part
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    again = find_lr(config, tiny_data(config), num_steps=60)
    assert torch.equal(torch.rand(3), expected)
    assert again == curve
    assert list(tmp_path.iterdir()) == []


def test_a_range_test_tells_how_far_it_is_and_can_be_stopped() -> None:
    config = tiny_config()
    told: list[tuple[int, int | None, str]] = []
    with pytest.raises(StoppedError):
        find_lr(
            config,
            tiny_data(config),
            num_steps=20,
            progress=lambda *state: told.append(state),
            should_stop=lambda: len(told) == 3,
        )
    assert told == [(step, 20, "Raising the learning rate") for step in (1, 2, 3)]


def test_a_range_test_ends_where_the_loss_leaves_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config()
    forward, calls = trainer_module.Trainer._forward, []

    def breaking(self, model, log_mel):
        calls.append(1)
        return forward(self, model, log_mel) * (np.inf if len(calls) > 12 else 1)

    monkeypatch.setattr(trainer_module.Trainer, "_forward", breaking)
    assert len(find_lr(config, tiny_data(config), num_steps=20).losses) == 12
    calls.extend([1] * 20)
    with pytest.raises(TrainingError, match="from the first step"):
        find_lr(config, tiny_data(config), num_steps=20)


def test_an_empty_range_is_refused() -> None:
    config = tiny_config()
    with pytest.raises(ConfigError, match="two rates above 0"):
        find_lr(config, tiny_data(config), ends=(0.1, 0.01))
    with pytest.raises(ConfigError, match="at least 10 steps"):
        find_lr(config, tiny_data(config), num_steps=9)


def test_no_rate_is_named_where_the_loss_never_falls() -> None:
    lrs = np.geomspace(1e-6, 1, 20).tolist()
    assert steepest(lrs, [1.0] * 20) is None
    assert steepest(lrs, np.linspace(1, 3, 20).tolist()) is None
    falling = [*([2.0] * 8), 1.9, 1.4, 1.2, 1.1, *np.linspace(1.2, 6, 8)]
    assert steepest(lrs, falling) in lrs[8:10]


# -- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [8, 9, 100, 128, 129, 1000, 5000])
def test_doubling_and_backing_off_end_near_the_largest_that_fits(memory: int) -> None:
    found = search(lambda size: size <= memory, 4096)
    assert found.largest <= memory
    assert (found.largest, True) in found.tried
    if memory < 4096:
        assert found.largest >= min(memory - 7, 0.75 * memory)
    else:
        assert found.largest == 4096
        assert all(fitted for _, fitted in found.tried)
    assert len({size for size, _ in found.tried}) == len(found.tried) < 20


def test_a_device_that_holds_nothing_is_said() -> None:
    with pytest.raises(TrainingError, match="Not even 8 clips"):
        search(lambda size: False, 4096)


def test_batches_are_not_searched_on_a_cpu() -> None:
    config = tiny_config()
    with pytest.raises(ConfigError, match="CUDA devices only; this one is 'cpu'"):
        find_batch_size(config, tiny_data(config), device="cpu")


def test_a_memory_error_means_that_a_batch_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    from samplemind_core.training import batch_finder

    config = tiny_config()
    step = trainer_module.Trainer.train_step

    def limited(self, log_mel, targets):
        if len(targets) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        step(self, log_mel, targets)

    monkeypatch.setattr(trainer_module.Trainer, "train_step", limited)
    monkeypatch.setattr(batch_finder, "require_cuda", lambda config, device: "cpu")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    found = find_batch_size(config, tiny_data(config))
    assert found.tried == ((8, True), (16, True), (32, False), (24, False))
    assert found.largest == 16
