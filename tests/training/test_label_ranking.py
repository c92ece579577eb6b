"""Ranking measures against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score

from samplemind_core import ranking
from samplemind_core.ranking import average_precision, lwlrap, mean_average_precision, sigmoid


def random_labels(seed: int, num_clips: int = 60, num_classes: int = 7, *, ties: bool = False):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(num_clips, num_classes))
    if ties:
        scores = np.round(scores)
    return scores, rng.random((num_clips, num_classes)) < rng.uniform(0.05, 0.6, num_classes)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_scikit_learn(seed, ties):
    scores, truth = random_labels(seed, ties=ties)
    expected = [average_precision_score(truth[:, i], scores[:, i]) for i in range(7) if truth[:, i].any()]
    found = [average_precision(scores[:, i], truth[:, i]) for i in range(7) if truth[:, i].any()]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert mean_average_precision(scores, truth) == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_lwlrap_weighs_clips_by_their_labels(seed, ties, monkeypatch):
    monkeypatch.setattr(ranking, "_CHUNK", 50)  # several chunks
    scores, truth = random_labels(seed, ties=ties)
    some = truth.any(axis=1)
    expected = label_ranking_average_precision_score(
        truth[some], scores[some], sample_weight=truth[some].sum(axis=1).astype(float)
    )
    assert lwlrap(scores, truth) == pytest.approx(expected, rel=1e-12)


def test_without_positives_nothing_is_known():
    nothing = np.zeros((3, 2), bool)
    assert average_precision(np.zeros(3), nothing[:, 0]) is None
    assert mean_average_precision(np.zeros((3, 2)), nothing) is None
    assert lwlrap(np.zeros((3, 2)), nothing) is None


def test_sigmoid_does_not_overflow():
    np.testing.assert_allclose(sigmoid([-1e4, -2.0, 0.0, 2.0, 1e4]), [0.0, 0.11920292, 0.5, 0.88079708, 1.0], atol=1e-8)
