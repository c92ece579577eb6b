"""What is minimised, and what is measured beside it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from samplemind_core.config import TrainConfig, build_config
from samplemind_core.errors import ConfigError
from samplemind_core.store.records import Epoch
from samplemind_core.training.health_several import assess_several
from samplemind_core.training.objective import OneLabel, SeveralLabels, objective_for

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [-3.0, 4.0, -0.5]])
TARGETS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])


def test_the_loss_fits_the_dataset():
    one, several = torch.tensor([0, 1, 1, 2]), TARGETS
    assert isinstance(objective_for(TrainConfig(), one, 3), OneLabel)
    assert objective_for(TrainConfig(class_balance="weights"), one, 3).weights is not None
    assert objective_for(TrainConfig(), several, 3) == SeveralLabels(asymmetric=False)
    assert objective_for(TrainConfig(loss="asymmetric"), several, 3) == SeveralLabels(asymmetric=True)
    with pytest.raises(ConfigError, match="several"):
        objective_for(TrainConfig(loss="cross_entropy"), several, 3)
    with pytest.raises(ConfigError, match="several"):
        objective_for(TrainConfig(class_balance="sampler"), several, 3)
    with pytest.raises(ConfigError, match="have one"):
        objective_for(TrainConfig(loss="bce"), one, 3)


def test_guessing_is_among_all_classes_even_where_validation_lacks_some():
    config = build_config("quick", {"epochs": 4})
    names = ("clap", "kick", "snare")
    health = {"probe_loss": 3.0, "probe_accuracy": 0.2, "val_loss_se": 0.1}
    epochs = [Epoch(n, 3.0, 3.0, 0.2, 0.2, 1e-3, 1.0, 1.0, health, (0.2, None, None)) for n in range(1, 5)]
    found = OneLabel().verdict(epochs, torch.zeros(20, dtype=torch.int64), 20, names, config)
    assert found.verdict == "diverging"
    assert "guessing at random would give 1.10" in found.reason  # ln 3


def test_binary_cross_entropy_is_how_unlikely_the_set_of_labels_is():
    probs = torch.sigmoid(LOGITS)
    likely = torch.where(TARGETS > 0, probs, 1 - probs).prod(1)
    torch.testing.assert_close(SeveralLabels().losses(LOGITS, TARGETS), -likely.log())
    even = SeveralLabels().losses(torch.zeros(1, 3), TARGETS[:1])
    assert even.item() == pytest.approx(3 * math.log(2))


def test_smoothing_moves_labels_towards_even_odds():
    smoothed = SeveralLabels().loss(LOGITS, TARGETS, 0.2)
    by_hand = functional.binary_cross_entropy_with_logits(LOGITS, TARGETS * 0.8 + 0.1, reduction="none").sum(1).mean()
    torch.testing.assert_close(smoothed, by_hand)


def test_the_asymmetric_loss_forgets_absent_labels_that_are_no_question():
    objective = SeveralLabels(asymmetric=True)
    absent = torch.zeros(1, 1)
    easy, hard = (objective.losses(torch.tensor([[logit]]), absent).item() for logit in (-3.5, 3.0))
    assert easy == 0.0  # below the margin
    shifted = 1 / (1 + math.exp(-3.0)) - 0.05
    assert hard == pytest.approx(-(shifted**4) * math.log(1 - shifted), rel=1e-5)
    present = objective.losses(torch.tensor([[1.0]]), torch.ones(1, 1))
    assert present.item() == pytest.approx(math.log(1 + math.exp(-1.0)), rel=1e-6)
    logits = torch.tensor([[60.0, -60.0]], requires_grad=True)
    objective.losses(logits, torch.zeros(1, 2)).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_right_is_the_whole_set_and_recall_is_by_label():
    objective = SeveralLabels()
    assert objective.correct(LOGITS, TARGETS).tolist() == [True, False]
    assert objective.recall(LOGITS, TARGETS) == (1.0, 1.0, 0.5)
    assert objective.recall(LOGITS[:1], TARGETS[:1] * torch.tensor([1, 0, 0])) == (1.0, None, None)
    assert objective.macro_f1(LOGITS, TARGETS) == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert objective.extras(LOGITS, TARGETS)["map"] == pytest.approx((1 + 1 + 1) / 3)


def epochs(val: list[float], probe: list[float], maps: list[float]) -> list[Epoch]:
    return [
        Epoch(
            number, 1.0, loss, 0.5, 0.5, 1e-3, 1.0, 1.0,
            {"probe_loss": train, "val_loss_se": 0.01, "probe_map": score, "val_map": score - 0.05},
        )
        for number, (loss, train, score) in enumerate(zip(val, probe, maps, strict=True), 1)
    ]  # fmt: skip


def judged(val: list[float], probe: list[float], maps: list[float], total: int = 40) -> str:
    config = build_config("quick", {"epochs": total})
    found = assess_several(epochs(val, probe, maps), guessing_loss=2.0, chance_map=0.3, config=config)
    assert found.reason
    return found.verdict


def test_the_epoch_to_take_is_the_one_that_is_kept():
    # Mean average precision goes on rising after the loss has turned, and decides what is kept.
    rows = epochs([1.5, 1.0, 0.8, 0.9, 1.0, 1.1, 1.2], [1.4, 1.1, 0.9, 0.7, 0.5, 0.4, 0.3],
                  [0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.85])  # fmt: skip
    rows = [replace(row, recall=(0.5, 0.6, 0.7)) for row in rows]
    for monitor, kept in (("val_map", 6), ("val_loss", 3)):
        config = build_config("quick", {"epochs": 40, "monitor": monitor})
        found = SeveralLabels().verdict(rows, TARGETS, 20, ("a", "b", "c"), config)
        assert found.verdict == "overfitting"
        assert found.remedies[0].title == f"Take epoch {kept}"


def test_verdicts_rest_on_losses_and_map():
    falling = [1.5, 1.2, 1.0, 0.9, 0.8, 0.75, 0.7, 0.7]
    good = [0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.9]
    assert judged(falling[:3], falling[:3], good[:3]) == "too_early"
    assert judged(falling, falling, good) == "healthy"
    rising = [1.5, 1.0, 0.8, 0.8, 0.9, 1.0, 1.1, 1.2]
    assert judged(rising, falling, good) == "overfitting"
    assert judged([2, 2.5, 3.2, 3.6, 4.2], falling[:5], good[:5]) == "diverging"
    assert judged([1.6] * 8, [1.6] * 8, [0.31] * 8) == "not_learning"
    assert judged(falling, falling, [0.5] * 8, total=8) == "underfitting"
