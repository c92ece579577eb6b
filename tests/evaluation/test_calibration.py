"""Confidence that means what it says, and the temperature that makes it so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from samplemind_core.config import build_config
from samplemind_core.errors import CheckpointError, ConfigError
from samplemind_core.evaluation.calibration import (
    adaptive_ece,
    brier_score,
    calibrate_checkpoint,
    fit_temperature,
    measure_calibration,
    tempered,
)
from samplemind_core.evaluation.metrics import cross_entropy, softmax
from samplemind_core.training.checkpoints import read_info, rewrite_info


def honest(num_clips: int, seed: int = 0, num_classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the true probability of each class, and targets drawn from it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2.0, size=(num_clips, num_classes))
    probs = softmax(logits)
    targets = (probs.cumsum(axis=1) < rng.random((num_clips, 1))).sum(axis=1)
    return logits, targets


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_the_temperature_undoes_what_made_a_network_too_sure(factor: float) -> None:
    logits, targets = honest(20_000)
    assert fit_temperature(factor * logits, targets) == pytest.approx(factor, rel=0.04)


def test_the_temperature_is_the_best_one() -> None:
    logits, targets = honest(3_000, seed=1)
    best = minimize_scalar(lambda t: cross_entropy(3 * logits / t, targets), bounds=(0.1, 10), method="bounded").x
    assert fit_temperature(3 * logits, targets) == pytest.approx(best, rel=0.02)


def test_a_network_that_is_always_right_stays_below_certainty() -> None:
    targets = np.arange(300) % 3
    logits = 8.0 * np.eye(3)[targets]
    probs = tempered(logits, fit_temperature(logits, targets))
    assert 0.99 < probs.max(axis=1).min() < 0.99999


def test_few_clips_say_nothing() -> None:
    logits, targets = honest(19)
    assert fit_temperature(9 * logits, targets) == 1.0


def test_ece_against_its_definition() -> None:
    rng = np.random.default_rng(3)
    sure = rng.uniform(0.3, 1.0, 600)
    right = rng.random(600) < sure**2
    order = np.argsort(sure)
    expected = sum(abs(sure[part].mean() - right[part].mean()) * 40 / 600 for part in np.split(order, 15))
    assert adaptive_ece(sure, right) == pytest.approx(expected)


def test_brier_against_its_definition() -> None:
    logits, targets = honest(50)
    probs = softmax(logits)
    expected = ((probs - np.eye(4)[targets]) ** 2).sum(axis=1)
    np.testing.assert_allclose(brier_score(probs, targets), expected)


def test_measured_before_and_after() -> None:
    logits, targets = honest(4_000, seed=5)
    before = measure_calibration(3 * logits, targets)
    after = measure_calibration(3 * logits, targets, temperature=3.0)
    assert before.ece > 0.1 > 0.03 > after.ece
    assert before.ece_interval[0] <= before.ece <= before.ece_interval[1]
    assert before.ece_interval[0] > after.ece_interval[1]
    assert after.brier < before.brier
    assert after.loss < before.loss
    assert before.accuracy == after.accuracy
    assert sum(one.num_clips for one in after.bins) == 4_000
    inside = sum(one.interval[0] <= one.confidence <= one.interval[1] for one in after.bins)
    assert inside >= 12


def test_sources_widen_the_intervals() -> None:
    logits, targets = honest(40, seed=2)
    many, same = np.repeat(logits, 50, axis=0), np.repeat(targets, 50)
    alone = measure_calibration(many, same)
    grouped = measure_calibration(many, same, groups=np.repeat(np.arange(40), 50).tolist())
    width = alone.brier_interval[1] - alone.brier_interval[0]
    assert grouped.brier_interval[1] - grouped.brier_interval[0] > 4 * width


def test_a_temperature_is_positive() -> None:
    with pytest.raises(ConfigError, match="positive"):
        tempered([[0.0, 1.0]], 0.0)


def test_a_run_ends_calibrated(workspace, bursts) -> None:
    dataset = workspace.import_dataset(bursts(per_class=90), name="tones")
    run = workspace.train("tones", build_config("quick", {"epochs": 2}))
    assert run.status == "finished", run.error
    for checkpoint in workspace.checkpoints(run.id):
        path = workspace.root / checkpoint.path
        info = read_info(path)
        judged = workspace.judge(f"{run.id}:{checkpoint.kind}", split="val")
        assert info.temperature == pytest.approx(fit_temperature(judged.logits, judged.targets))
        assert info.calibrated_on == {"dataset": dataset.id, "split": "val", "num_clips": len(judged.targets)}
        assert info.temperature != 1.0
        content = path.read_bytes()
        rewrite_info(path, info.model_copy(update={"temperature": 1.0, "calibrated_on": {}}))
        assert read_info(path).temperature == 1.0
        assert calibrate_checkpoint(workspace.store, workspace.root, checkpoint, dataset.id) == info.temperature
        assert path.read_bytes() == content

    best = next(row for row in workspace.checkpoints(run.id) if row.kind == "best")
    path = workspace.root / best.path
    rewrite_info(path, read_info(path).model_copy(update={"epoch": 99}))
    with pytest.raises(CheckpointError, match="holds epoch 99"):
        calibrate_checkpoint(workspace.store, workspace.root, best, dataset.id)
