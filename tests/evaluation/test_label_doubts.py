"""Planted mistakes in several labels are doubted, and honest labels are left alone."""

from __future__ import annotations

import numpy as np

from samplemind_core.evaluation.label_doubts import find_label_doubts


def test_planted_mistakes_are_doubted_and_honest_labels_are_not() -> None:
    rng = np.random.default_rng(0)
    names = ("clap", "kick", "rare", "snare")
    truth = (rng.uniform(size=(200, 4)) < [0.3, 0.5, 0.0, 0.4]).astype(np.uint8)
    truth[:2, 2] = 1
    logits = np.where(truth > 0, 2.5, -2.5) + rng.normal(scale=0.6, size=truth.shape)
    labelled = truth.copy()
    planted = {(row, place) for row, place in [(3, 0), (17, 1), (40, 1), (90, 3), (120, 3)]}
    for row, place in planted:
        labelled[row, place] = 1 - labelled[row, place]
    found = find_label_doubts(logits, labelled, names, np.arange(1_000, 1_200))
    doubted = {(doubt.clip_id - 1_000, names.index(doubt.label)) for doubt in found.doubts}
    # The surest of them: a mistake that the network is less sure of than usual is not counted.
    assert doubted == {(3, 0), (17, 1), (90, 3)}
    assert doubted < planted
    assert all(doubt.given == bool(labelled[doubt.clip_id - 1_000, names.index(doubt.label)]) for doubt in found.doubts)
    assert [doubt.quality for doubt in found.doubts] == sorted(doubt.quality for doubt in found.doubts)
    assert found.num_estimated == 3
    assert found.left_out == ("rare",)
    honest = find_label_doubts(logits, truth, names, np.arange(200))
    assert honest.doubts == ()
