"""Thresholds with the best F1, by trying all."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from samplemind_core.training.label_thresholds import HIGHEST, LOWEST, best_f1_threshold, fit_label_thresholds


@pytest.mark.parametrize("seed", range(8))
def test_no_other_threshold_has_a_better_f1(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random(80) < 0.3
    probs = np.round(np.clip(rng.normal(0.35 + 0.25 * truth, 0.15), 0.06, 0.94), 2)  # with ties
    chosen = best_f1_threshold(probs, truth)
    best = max(f1_score(truth, probs >= threshold) for threshold in np.unique(probs))
    assert f1_score(truth, probs >= chosen) == pytest.approx(best)
    assert chosen not in probs  # halfway to the next clip, on neither


def test_few_clips_choose_nothing():
    truth = np.array([True] * 4 + [False] * 20)
    assert best_f1_threshold(np.linspace(0.9, 0.1, 24), truth) == 0.5


def test_a_label_is_never_named_against_all_odds_nor_held_back_where_it_is_certain():
    truth = np.array([True] * 10 + [False] * 10)
    assert best_f1_threshold(np.r_[np.full(10, 0.002), np.full(10, 0.001)], truth) == LOWEST
    assert best_f1_threshold(np.r_[np.full(10, 0.999), np.full(10, 0.998)], truth) == HIGHEST


def test_each_class_has_its_own():
    truth = np.zeros((20, 2), int)
    truth[:10, 0] = truth[5:, 1] = 1
    logits = np.where(truth, [2.0, -1.0], [1.0, -3.0])
    first, second = fit_label_thresholds(logits, truth)
    assert 1 / (1 + np.exp(-1.0)) < first < 1 / (1 + np.exp(-2.0))
    assert 1 / (1 + np.exp(3.0)) < second < 1 / (1 + np.exp(1.0))
