from __future__ import annotations

import math

import numpy as np
import pytest

from samplemind_core.training.health import Point, Verdict, _median3, assess

SIX = [1 / 6] * 6


def judge(points: list[Point], *, num_probe: int = 500, num_val: int = 200, total: int = 20, shares=SIX) -> Verdict:
    return assess(points, num_probe=num_probe, num_val=num_val, class_shares=shares, total_epochs=total)


def curve(train_loss, val_loss, train_accuracy, val_accuracy, se: float = 0.02) -> list[Point]:
    rows = zip(train_loss, val_loss, train_accuracy, val_accuracy, strict=True)
    return [Point(epoch, a, c, b, se, d) for epoch, (a, b, c, d) in enumerate(rows, start=1)]


def healthy(epochs: int = 12) -> list[Point]:
    t = np.linspace(0, 1, epochs)
    return curve(1.8 - 1.5 * t, 1.8 - 1.4 * t, 0.2 + 0.7 * t, 0.2 + 0.68 * t)


def test_train_loss_below_validation_loss_alone_is_healthy() -> None:
    points = healthy()
    assert points[-1].probe_loss < points[-1].val_loss
    assert judge(points).verdict == "healthy"


def test_nothing_is_said_before_the_fourth_epoch() -> None:
    assert judge(healthy(3)).verdict == "too_early"


def test_rising_validation_loss_with_falling_training_loss_is_overfitting_from_its_onset() -> None:
    val = [1.5, 1.2, 0.9, 0.8, 0.7, 0.75, 0.85, 1.0, 1.1, 1.2]
    train = np.linspace(1.5, 0.02, 10)
    accuracy = np.linspace(0.4, 1.0, 10)
    verdict = judge(curve(train, val, accuracy, [min(a, 0.78) for a in accuracy]))
    assert verdict.verdict == "overfitting"
    assert verdict.onset == 6
    assert "Since epoch 5 " in verdict.reason
    assert verdict.generalisation_loss > 5
    assert "memorises" in verdict.reason


def test_a_rise_inside_the_noise_is_no_finding() -> None:
    val = [1.5, 1.2, 0.9, 0.8, 0.7, 0.72, 0.75, 0.76]
    train = np.linspace(1.5, 0.4, 8)
    accuracy = np.linspace(0.4, 0.8, 8)
    points = curve(train, val, accuracy, accuracy - 0.02, se=0.08)
    assert judge(points, num_val=40).verdict == "healthy"


def test_a_large_gap_with_stalled_validation_is_overfitting() -> None:
    val = [1.5, 1.0, 0.8] + [0.82] * 6
    points = curve(np.linspace(1.5, 0.05, 9), val, np.linspace(0.4, 1.0, 9), [0.4, 0.6, 0.7] + [0.72] * 6, se=0.05)
    verdict = judge(points)
    assert verdict.verdict == "overfitting"
    assert verdict.gap == pytest.approx(0.28)
    assert verdict.gap > verdict.gap_noise


def test_the_same_gap_on_few_clips_is_no_finding() -> None:
    val = [1.5, 1.0, 0.8] + [0.79] * 6
    points = curve(np.linspace(1.5, 0.5, 9), val, np.linspace(0.4, 0.85, 9), [0.4, 0.6, 0.7] + [0.72] * 6, se=0.2)
    assert judge(points, num_probe=20, num_val=15).verdict == "healthy"


def test_poor_on_both_sides_late_in_the_run_is_underfitting() -> None:
    points = curve(np.linspace(1.7, 1.2, 15), np.linspace(1.7, 1.22, 15), [0.5] * 15, [0.49] * 15)
    assert judge(points, total=20).verdict == "underfitting"
    assert judge(points, total=100).verdict == "healthy"  # early in a long run


def test_always_answering_the_commonest_class_is_not_learning() -> None:
    points = curve([1.79] * 9, [1.79] * 9, [0.17] * 9, [0.16] * 9)
    assert judge(points).verdict == "not_learning"
    imbalanced = curve([0.8] * 9, [0.8] * 9, [0.6] * 9, [0.6] * 9)
    assert judge(imbalanced, shares=[0.6, 0.2, 0.2]).verdict == "not_learning"


def test_a_loss_worse_than_guessing_and_rising_is_diverging() -> None:
    val = [1.5, 2.0, 2.9, 4.0, 6.0]
    assert math.log(6) < val[-1]
    assert judge(curve([1.5] * 5, val, [0.3] * 5, [0.3] * 5)).verdict == "diverging"


def test_perfect_scores_do_not_divide_by_zero() -> None:
    verdict = judge(curve([0.0] * 6, [0.0] * 6, [1.0] * 6, [1.0] * 6))
    assert verdict.verdict == "healthy"
    assert verdict.gap == 0


def test_the_verdict_is_json_ready() -> None:
    import json

    assert json.loads(json.dumps(judge(healthy()).as_dict()))["title"] == "Healthy"


def test_smoothing_never_looks_ahead() -> None:
    values = [3.0, 1.0, 2.0, 9.0, 4.0]
    for end in range(1, 6):
        assert _median3(values[:end]) == _median3(values)[:end]
