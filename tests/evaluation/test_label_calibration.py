"""The confidence of several labels against answers whose calibration is known."""

from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.errors import DataError
from samplemind_core.evaluation.label_calibration import ALL, measure_label_calibration


def test_true_probabilities_are_calibrated_and_doubled_logits_too_sure() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=1.5, size=(2_000, 3))
    targets = (rng.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    sources = rng.integers(0, 100, len(logits)).tolist()
    names = ("clap", "kick", "snare")
    honest = measure_label_calibration(logits, targets, names, sources)
    assert [one.label for one in honest] == [ALL, *names]
    assert honest[0].num_answers == 6_000
    assert honest[1].num_positive == targets[:, 0].sum()
    assert honest[0].ece < 0.035  # fifteen bins of 400 answers scatter by about two points
    assert all(abs(one.confidence - one.share) < 0.03 for one in honest)
    loud = logits.copy()
    loud[:, 2] *= 3
    wrong = measure_label_calibration(loud, targets, names, sources)
    assert wrong[3].ece > 0.08
    assert wrong[3].ece_interval[0] > honest[3].ece
    assert wrong[3].brier > honest[3].brier
    assert wrong[1] == honest[1]  # each label is a question of its own
    # Bins hold equally many answers, and their shares are those of the clips in them.
    bins = honest[1].bins
    assert sum(one.num_clips for one in bins) == 2_000
    assert sum(one.num_clips * one.accuracy for one in bins) == pytest.approx(honest[1].num_positive)


def test_a_name_for_each_label_is_asked_for() -> None:
    with pytest.raises(DataError, match="2 labels, got 1"):
        measure_label_calibration(np.zeros((4, 2)), np.ones((4, 2)), ["kick"])
