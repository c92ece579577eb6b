"""Curves against scikit-learn's, and operating points by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation.thresholds import (
    class_curves,
    operating_point,
    risk_coverage,
    threshold_for_accuracy,
    threshold_for_coverage,
)

SURE = [0.9, 0.8, 0.8, 0.6, 0.5]
RIGHT = [True, True, False, True, False]


@pytest.mark.parametrize("ties", [False, True])
def test_class_curves_are_scikit_learns(ties: bool) -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), 300)
    if ties:
        probs = probs.round(1)
    targets = rng.integers(0, 3, 300)
    found = class_curves(probs, targets, 1, "b")
    truth, scores = targets == 1, probs[:, 1]
    assert found.average_precision == pytest.approx(average_precision_score(truth, scores))
    assert found.auc == pytest.approx(roc_auc_score(truth, scores))
    precision, recall, thresholds = precision_recall_curve(truth, scores)
    np.testing.assert_allclose(found.precision, precision[-2::-1])
    np.testing.assert_allclose(found.recall, recall[-2::-1])
    np.testing.assert_allclose(found.thresholds, thresholds[::-1])


def test_a_class_without_clips_has_no_areas() -> None:
    found = class_curves([[0.4, 0.6]], [0], 1, "b")
    assert found.average_precision is None
    assert found.auc is None


def test_risk_coverage_by_hand() -> None:
    found = risk_coverage(SURE, RIGHT)
    np.testing.assert_allclose(found.coverage, [0.2, 0.6, 0.8, 1.0])  # equal confidences are answered together
    np.testing.assert_allclose(found.accuracy, [1.0, 2 / 3, 0.75, 0.6])
    assert found.aurc == pytest.approx(0.4 / 3 + 0.2 * 0.25 + 0.2 * 0.4)


def test_operating_points_by_hand() -> None:
    point = operating_point(SURE, RIGHT, 0.8)
    assert (point.num_answered, point.num_right, point.coverage) == (3, 2, 0.6)
    assert point.accuracy == pytest.approx(2 / 3)
    nobody = operating_point(SURE, RIGHT, 0.95)
    assert (nobody.accuracy, nobody.accuracy_interval) == (None, (0.0, 1.0))
    assert threshold_for_coverage(SURE, 0.4) == 0.8
    assert threshold_for_coverage(SURE, 1.0) == 0.5
    assert threshold_for_accuracy(SURE, RIGHT, 0.7) == 0.6
    assert threshold_for_accuracy([0.5], [False], 0.7) is None


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError):
        risk_coverage([], [])
    with pytest.raises(ConfigError):
        operating_point(SURE, RIGHT, 1.5)
    with pytest.raises(ConfigError):
        threshold_for_coverage(SURE, 0.0)
