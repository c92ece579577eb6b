from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samplemind_core.config import TrainConfig
from samplemind_core.training.schedule import Plateau, scheduled_lr, should_stop_early

TUTORIAL = TrainConfig(early_stopping_patience=5, early_stopping_after=10)


def test_onecycle_rises_then_falls() -> None:
    config = TrainConfig(schedule="onecycle", lr=1.0, warmup=0.2)
    rates = [scheduled_lr(config, step, 101) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 25)
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 20
    assert rates[-1] == pytest.approx(1 / 2500)
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)


def test_cosine_and_constant() -> None:
    cosine = TrainConfig(schedule="cosine", lr=0.5)
    assert scheduled_lr(cosine, 0, 11) == 0.5
    assert scheduled_lr(cosine, 5, 11) == pytest.approx(0.25)
    assert scheduled_lr(cosine, 10, 11) == pytest.approx(0.0)
    assert scheduled_lr(TrainConfig(schedule="constant", lr=0.5), 7, 11) == 0.5
    assert scheduled_lr(TrainConfig(schedule="onecycle", lr=0.5), 0, 1) > 0


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=60), st.integers(0, 6), st.sampled_from([0.1, 0.5, 0.9]))
def test_plateau_does_what_pytorchs_scheduler_does(losses: list[float], patience: int, factor: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience, eps=0.0)
    ours = Plateau(factor, patience)
    for loss in losses:
        theirs.step(loss)
        ours.update(loss)
        assert ours.scale == pytest.approx(optimizer.param_groups[0]["lr"])
    assert Plateau(factor, patience, **ours.state()) == ours


def _end(losses: list[float], config: TrainConfig = TUTORIAL) -> int | None:
    best = 1
    for epoch, loss in enumerate(losses, start=1):
        if loss < losses[best - 1]:
            best = epoch
        if should_stop_early(config, epoch, best):
            return epoch
    return None


def test_a_run_that_keeps_improving_is_never_stopped_early() -> None:
    # Comparing the best loss with itself instead would stop every run at epoch 11.
    assert _end([1 / epoch for epoch in range(1, 51)]) is None


def test_early_stopping_waits_for_the_tenth_epoch_and_then_for_five_without_improvement() -> None:
    assert _end([1.0] + [2.0] * 49) == 11
    assert _end([1.0] * 12 + [0.5] + [0.6] * 37) == 11
    falling_until_20 = [1 - 0.01 * epoch for epoch in range(20)] + [2.0] * 30
    assert _end(falling_until_20) == 25


def test_without_patience_nothing_stops_early() -> None:
    assert _end([1.0] + [2.0] * 200, TrainConfig(early_stopping_patience=None)) is None
