"""Folds of clips with several labels: dealt evenly with sources whole, and scored as a whole and one by one."""

from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.evaluation.cross_validation import summarise
from samplemind_core.evaluation.label_folds import score_label_fold
from samplemind_core.evaluation.out_of_fold import OutOfFold, assign_folds


def test_folds_keep_sources_whole_and_every_label_spread() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 600)
    targets = (rng.random((600, 4)) < [0.5, 0.3, 0.2, 0.0]).astype(np.uint8)
    targets[:, 3] = np.isin(groups, rng.choice(60, 10, replace=False))  # a label of ten sources
    folds = assign_folds(targets, groups, 5, seed=1)
    assert sorted(set(folds.tolist())) == [0, 1, 2, 3, 4]
    for group in range(60):
        assert len(set(folds[groups == group].tolist())) == 1
    shares = np.stack([targets[folds == fold].mean(axis=0) for fold in range(5)])
    assert np.ptp(shares[:, :3], axis=0).max() < 0.13
    assert np.ptp(shares[:, 3]) < 0.12
    assert np.ptp(np.bincount(folds)) < 40
    np.testing.assert_array_equal(folds, assign_folds(targets, groups, 5, seed=1))


def answers() -> OutOfFold:
    """Two labels in three folds of four clips; the last fold's network is too shy, but ranks rightly."""
    targets = np.tile(np.array([[1, 0], [1, 1], [0, 1], [0, 1]], dtype=np.uint8), (3, 1))
    logits = np.where(targets > 0, 2.0, -2.0)
    logits[4, 0] = -3.0  # a label that the second fold's network misses
    logits[8:] -= 3.0
    thresholds = np.array([[0.5, 0.5], [0.5, 0.5], [0.1, 0.1]])
    folds = np.repeat([0, 1, 2], 4)
    return OutOfFold(
        logits.astype(np.float32), targets, np.arange(12), folds, ("a", "b"), 1, ("1", "2", "3"), thresholds
    )


def test_each_fold_is_named_by_its_own_thresholds_and_all_by_their_mean() -> None:
    found = summarise(answers(), [f"pack {row // 2}" for row in range(12)])
    assert found.several_labels
    assert found.scores == ("mean_ap", "micro_f1", "exact")
    assert [fold.exact for fold in found.folds] == [1.0, 0.75, 1.0]
    assert [fold.micro_f1 for fold in found.folds] == [1.0, pytest.approx(8 / 9), 1.0]
    # The mean of the thresholds, 0.37, is too high for the last network.
    assert found.pooled["exact"] == pytest.approx(7 / 12)
    # Five of the a clips stand before all others, the missed one last but two: not the mean over folds.
    assert found.pooled["mean_ap"] == pytest.approx(0.9667, abs=1e-4)
    assert found.mean("mean_ap") == pytest.approx(np.mean([1.0, 0.875, 1.0]))
    for score in found.scores:
        low, high = found.intervals[score]
        assert 0 <= low <= found.pooled[score] <= high <= 1
    assert found.num_sources == 6
    assert "Mean average precision" in found.sentence
    assert "over 3 folds" in found.sentence
    assert set(found.as_dict()["over_folds"]) == set(found.scores)


def test_a_fold_without_sources_has_no_interval() -> None:
    one = answers()
    found = score_label_fold("1", one.logits[:4], one.targets[:4], one.thresholds[0])
    assert found.interval is None
    assert found.score == found.mean_ap == 1.0
