"""Models of other classes before the same clips, and one model made of several."""

from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.errors import DataError
from samplemind_core.evaluation.judging import Judged
from samplemind_core.evaluation.lineup import line_up, mean_members, mean_of, mean_ref
from samplemind_core.evaluation.metrics import softmax


def judged(class_names: str, labels: str, clip_ids: list[int], seed: int = 0) -> Judged:
    names = tuple(class_names)
    logits = np.random.default_rng(seed).normal(size=(len(labels), len(names))).astype(np.float32)
    targets = np.array([names.index(label) for label in labels])
    return Judged(logits, targets, np.array(clip_ids), np.array(["pack"] * len(labels)), names)


def test_equal_models_are_left_alone() -> None:
    a, b = judged("ks", "kss", [1, 2, 3]), judged("ks", "kss", [1, 2, 3], seed=1)
    found, notes = line_up([a, b])
    assert found == [a, b]
    assert notes == ()


def test_classes_are_matched_by_name_and_differences_told() -> None:
    a = judged("kst", "kstt", [4, 3, 2, 1])
    b = judged("skc", "skc", [3, 4, 9], seed=1)
    (first, second), notes = line_up([a, b])
    assert first.class_names == second.class_names == ("k", "s", "t", "c")
    assert first.clip_ids.tolist() == second.clip_ids.tolist() == [4, 3]
    assert first.targets.tolist() == second.targets.tolist() == [0, 1]
    np.testing.assert_array_equal(second.logits[:, [1, 0, 3]], b.logits[[1, 0]])
    assert softmax(second.logits)[:, 2].max() < 1e-12
    assert notes == (
        "A does not know c.",
        "B does not know t.",
        "Compared on the 2 clips that all can name; 2 more clips carry a class that not all know.",
    )


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(DataError, match="no clip that all"):
        line_up([judged("ks", "ks", [1, 2]), judged("tc", "tc", [3, 4])])


def test_the_mean_is_that_of_probabilities() -> None:
    a, b = judged("ks", "kss", [1, 2, 3]), judged("sk", "kss", [1, 2, 3], seed=1)
    mean = mean_of([a, b])
    expected = (softmax(a.logits) + softmax(b.logits)[:, ::-1]) / 2
    np.testing.assert_allclose(softmax(mean.logits), expected, atol=1e-6)
    assert np.isfinite(mean.logits).all()


def test_references_to_means() -> None:
    assert mean_members(mean_ref(["r1:best", "r2:3"])) == ["r1:best", "r2:3"]
    assert mean_members("r1:best") == []
