"""Planted label errors are found, classes that are merely hard are not suspected."""

from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.errors import DataError, StorageError
from samplemind_core.evaluation.label_errors import find_label_errors, read_kept_labels, write_kept_label
from samplemind_core.evaluation.metrics import softmax


def planted(num_clips: int = 1_000, share: float = 0.05, seed: int = 0):
    """Answers of a good network, and labels of which a share was flipped."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 4, num_clips)
    logits = rng.normal(size=(num_clips, 4)) + 4.0 * np.eye(4)[true]
    wrong = rng.choice(num_clips, round(share * num_clips), replace=False)
    labels = true.copy()
    labels[wrong] = (labels[wrong] + rng.integers(1, 4, len(wrong))) % 4
    return logits, labels, true, set(wrong.tolist())


def test_planted_errors_come_first_with_their_true_class() -> None:
    logits, labels, true, wrong = planted()
    found = find_label_errors(logits, labels, "abcd", np.arange(1_000))
    top = found.issues[: len(wrong)]
    hits = [issue for issue in top if issue.clip_id in wrong]
    assert len(hits) / len(wrong) > 0.9
    assert np.mean([issue.suggested == "abcd"[true[issue.clip_id]] for issue in hits]) > 0.95
    assert found.num_estimated == pytest.approx(len(wrong), rel=0.3)
    assert all(issue.label == "abcd"[labels[issue.clip_id]] for issue in found.issues)
    assert len({issue.clip_id for issue in found.issues}) == 1_000
    flags = [issue.flagged for issue in found.issues]
    assert flags == sorted(flags, reverse=True)


def test_right_labels_are_hardly_doubted() -> None:
    logits, _, true, _ = planted(seed=1)
    found = find_label_errors(logits, true, "abcd", np.arange(1_000))
    assert found.num_estimated < 25
    assert all(issue.suggested_probability > issue.label_probability for issue in found.issues if issue.flagged)


def test_a_class_that_is_generally_unsure_is_not_suspected_for_that() -> None:
    rng = np.random.default_rng(2)
    true = np.repeat([0, 1], 300)
    lead = np.where(true == 0, 4.0, 0.4)
    logits = rng.normal(scale=0.1, size=(600, 2)) + lead[:, None] * np.eye(2)[true]
    assert softmax(logits)[true == 1].max() < 0.75
    assert find_label_errors(logits, true, "ab", np.arange(600)).num_estimated == 0


def test_a_class_without_clips_is_never_suggested() -> None:
    logits, labels, _, _ = planted()
    wide = np.column_stack([np.full(len(labels), 50.0), logits])
    found = find_label_errors(wide, labels + 1, "zabcd", np.arange(len(labels)))
    assert "z" not in {issue.suggested for issue in found.issues}


def test_one_class_cannot_be_doubted() -> None:
    with pytest.raises(DataError, match="two classes"):
        find_label_errors([[1.0, 0.0]], [0], "ab", [1])


def test_kept_labels_are_remembered(tmp_path) -> None:
    assert read_kept_labels(tmp_path, "d1") == {}
    write_kept_label(tmp_path, "d1", 7, "kick")
    write_kept_label(tmp_path, "d1", 8, "snare")
    assert read_kept_labels(tmp_path, "d1") == {7: "kick", 8: "snare"}
    (tmp_path / "datasets" / "d1" / "kept_labels.json").write_text("[")
    with pytest.raises(StorageError, match="cannot be read"):
        read_kept_labels(tmp_path, "d1")
