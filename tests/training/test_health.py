from __future__ import annotations

import math

import numpy as np
import pytest

from samplemind_core.training.health import TITLES, Point, Verdict, assess
from samplemind_core.training.trends import generalisation_loss, jitter, median3, progress, rises, slope

SIX = [1 / 6] * 6


def judge(
    points: list[Point], *, num_probe: int = 500, num_val: int = 200, total: int = 20, shares=SIX, **facts: float
) -> Verdict:
    return assess(points, num_probe=num_probe, num_val=num_val, class_shares=shares, total_epochs=total, **facts)


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


def test_clips_known_by_heart_beside_a_stalled_validation_are_overfitting() -> None:
    val = [1.5, 1.0, 0.8] + [0.8] * 8
    points = curve(np.linspace(1.5, 0.02, 11), val, [0.4, 0.7, 0.9] + [0.99] * 8, [0.4, 0.6, 0.7] + [0.72] * 8, se=0.05)
    verdict = judge(points)
    assert verdict.verdict == "overfitting"
    assert "by heart" in verdict.reason
    assert verdict.gap == pytest.approx(0.27)
    assert verdict.gap > verdict.gap_noise
    assert verdict.confidence > 0.99


def test_the_same_gap_while_validation_still_gets_better_is_healthy() -> None:
    val = np.linspace(1.5, 0.5, 11)
    points = curve(np.linspace(1.5, 0.02, 11), val, [0.4, 0.7, 0.9] + [0.99] * 8, [0.4, 0.6, 0.7] + [0.72] * 8)
    assert judge(points).verdict == "healthy"


def test_the_same_gap_on_few_clips_is_no_finding() -> None:
    val = [1.5, 1.0, 0.8] + [0.8] * 8
    points = curve(np.linspace(1.5, 0.02, 11), val, [0.4, 0.7, 0.9] + [0.99] * 8, [0.4, 0.6, 0.7] + [0.72] * 8, se=0.3)
    assert judge(points, num_probe=20, num_val=12).verdict == "healthy"


def test_a_loss_that_rises_while_accuracy_holds_is_overconfidence() -> None:
    val = [1.2, 0.6, 0.4, 0.34, 0.3, 0.3, 0.32, 0.34, 0.36, 0.38, 0.4, 0.42]
    accuracy = [0.5, 0.8, 0.88] + [0.93] * 9
    verdict = judge(curve(np.linspace(1.2, 0.01, 12), val, [0.5, 0.8, 0.9] + [0.98] * 9, accuracy))
    assert verdict.verdict == "overconfident"
    assert verdict.onset == 6
    assert "ever surer of its mistakes" in verdict.reason


def test_a_slow_rise_counts_once_it_has_lasted() -> None:
    """Within the noise of the clips, but the same clips each time: the noise from epoch to epoch is what matters."""
    val = [1.5, 1.2, 1.0, 0.9, 0.85] + [0.85 + 0.012 * n for n in range(1, 15)]
    points = curve(np.linspace(1.5, 0.02, 19), val, np.linspace(0.4, 1, 19), [0.7] * 19, se=0.1)
    assert judge(points[:9]).verdict == "healthy"
    assert judge(points).verdict == "overfitting"


def test_poor_on_both_sides_late_in_the_run_is_underfitting() -> None:
    points = curve(np.linspace(1.7, 1.0, 15), np.linspace(1.7, 1.05, 15), [0.5] * 15, [0.49] * 15)
    assert judge(points, total=20).verdict == "underfitting"
    assert judge(points, total=100).verdict == "healthy"  # early in a long run


def test_losses_that_no_longer_move_at_a_low_accuracy_are_a_plateau() -> None:
    loss = [1.7, 1.5, 1.3] + [1.2] * 9
    verdict = judge(curve(loss, loss, [0.5] * 12, [0.49] * 12), total=40)
    assert verdict.verdict == "plateau"
    assert verdict.title == "Stuck"
    assert verdict.confidence > 0.99


def test_always_answering_the_commonest_class_is_not_learning() -> None:
    points = curve([1.79] * 9, [1.79] * 9, [0.17] * 9, [0.16] * 9)
    assert judge(points).verdict == "not_learning"
    imbalanced = curve([0.8] * 9, [0.8] * 9, [0.6] * 9, [0.6] * 9)
    assert judge(imbalanced, shares=[0.6, 0.2, 0.2]).verdict == "not_learning"


def test_a_training_loss_far_above_guessing_is_diverging() -> None:
    val = [1.5, 2.0, 4.0, 6.0, 9.0]
    assert 2 * math.log(6) < val[-1]
    assert judge(curve(val, val, [0.3] * 5, [0.3] * 5)).verdict == "diverging"
    memorised = curve(np.linspace(1.5, 0.1, 8), np.linspace(1, 9, 8), np.linspace(0.4, 1, 8), [0.3] * 8)
    assert judge(memorised).verdict == "overfitting"  # however high validation loss gets


def test_a_network_that_was_thrown_and_never_recovered_is_unstable() -> None:
    loss = [1.7, 40.0, 9.0] + [1.3] * 6
    verdict = judge(curve(loss, loss, [0.3] * 9, [0.3] * 9))
    assert verdict.verdict == "unstable"
    assert "In epoch 2 training loss was 40" in verdict.reason
    recovered = curve([*loss, 0.4, 0.4, 0.4], [*loss, 0.4, 0.4, 0.4], [0.3] * 9 + [0.9] * 3, [0.3] * 9 + [0.88] * 3)
    assert judge(recovered).verdict == "healthy"


def test_accuracy_that_breaks_down_again_and_again_is_unstable() -> None:
    accuracy = [0.3, 0.5, 0.6, 0.4, 0.6, 0.45, 0.65, 0.5, 0.6]
    loss = np.linspace(1.7, 1.2, 9)
    assert judge(curve(loss, loss, accuracy, accuracy)).verdict == "unstable"


def test_validation_at_chance_beside_a_training_that_learns_is_suspicious() -> None:
    points = curve(np.linspace(1.8, 0.2, 12), np.linspace(1.8, 3.0, 12), np.linspace(0.2, 0.95, 12), [0.17] * 12)
    verdict = judge(points)
    assert verdict.verdict == "suspicious"
    assert "Do the labels belong" in verdict.reason
    assert verdict.onset is None


def test_validation_better_than_training_by_more_than_noise_is_suspicious() -> None:
    points = curve(np.linspace(1.5, 0.8, 8), np.linspace(1.5, 0.2, 8), np.linspace(0.3, 0.75, 8), [0.95] * 8)
    assert judge(points).verdict == "suspicious"
    few = judge(points, num_probe=20, num_val=10)
    assert few.verdict != "suspicious"


def test_twins_across_the_split_are_told_from_the_first_epoch_on() -> None:
    verdict = judge(healthy(1), twin_share=0.4)
    assert verdict.verdict == "suspicious"
    assert "40 % of the validation clips" in verdict.reason
    assert judge(healthy(), twin_share=0.04).verdict == "healthy"
    assert judge(healthy(), twin_share=0.2, num_val=10).verdict != "suspicious"  # two clips


def test_perfect_scores_do_not_divide_by_zero() -> None:
    verdict = judge(curve([0.0] * 6, [0.0] * 6, [1.0] * 6, [1.0] * 6))
    assert verdict.verdict == "healthy"
    assert verdict.gap == 0


def test_the_verdict_is_json_ready() -> None:
    import json

    assert json.loads(json.dumps(judge(healthy()).as_dict()))["title"] == "Healthy"


def test_stored_verdicts_of_before_still_have_a_title() -> None:
    assert {"too_early", "healthy", "overfitting", "underfitting", "not_learning", "diverging"} <= set(TITLES)


def test_smoothing_never_looks_ahead() -> None:
    values = [3.0, 1.0, 2.0, 9.0, 4.0]
    for end in range(1, 6):
        assert median3(values[:end]) == median3(values)[:end]


def test_what_is_measured_on_curves() -> None:
    assert generalisation_loss([1.0, 0.5, 0.6]) == pytest.approx(20)
    assert progress([1.0, 1.0, 1.0]) == 0
    assert progress([9.0, 2.0, 1.0], strip=2) == pytest.approx(500)
    assert rises([3, 1, 2, 3, 4]) == 3
    assert rises([1, 2, 1]) == 0
    assert slope([0, 1, 2, 99, 4]) == pytest.approx(1)
    assert jitter(np.linspace(0, 1, 9).tolist()) == pytest.approx(0)
    rng = np.random.default_rng(0)
    assert jitter(rng.normal(0, 1, 4000).tolist()) == pytest.approx(1, rel=0.1)
