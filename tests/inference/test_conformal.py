from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.errors import DataError
from samplemind_core.inference.conformal import fit_sets, nonconformity

METHODS = ("lac", "aps", "raps")


def answers(
    rng: np.random.Generator, count: int, classes: int = 5, sharp: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are wrong in the way real ones are: right in order, too sure."""
    targets = rng.integers(0, classes, count)
    logits = rng.normal(0.0, 1.0, (count, classes))
    logits[np.arange(count), targets] += 1.5
    scaled = np.exp(sharp * logits)
    return scaled / scaled.sum(axis=1, keepdims=True), targets


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_sets_hold_the_right_class_as_often_as_stated(method, coverage):
    rng, held = np.random.default_rng(1), []
    for _ in range(40):
        sets = fit_sets(*answers(rng, 300), coverage, method)
        probs, targets = answers(rng, 500)
        held.append(sets.sets(probs)[np.arange(500), targets].mean())
    # 40 x 500 draws: the mean is within a hundredth. The top class is always in, which adds much to APS's short sets.
    assert coverage - 0.01 < np.mean(held) < coverage + (0.03 if method == "lac" else 0.1)


def test_every_class_is_covered_where_it_has_clips_enough():
    rng = np.random.default_rng(2)
    probs, targets = answers(rng, 4_000)
    # Class 0 is much harder than the others: the common threshold would fail it.
    hard = targets == 0
    probs[hard] = np.roll(probs[hard], rng.integers(0, 5, hard.sum())[0], axis=1)
    half = np.arange(4_000) < 2_000
    own, common = (fit_sets(probs[half], targets[half], 0.9, min_per_class=n) for n in (30, 10_000))

    def covered(sets):
        return sets.sets(probs[~half])[np.arange((~half).sum()), targets[~half]][targets[~half] == 0].mean()

    assert covered(own) > 0.87 > covered(common)


def test_a_set_is_never_empty_and_grows_with_coverage():
    rng = np.random.default_rng(3)
    probs, targets = answers(rng, 400)
    small, large = (fit_sets(probs, targets, coverage).sets(probs) for coverage in (0.5, 0.95))
    assert small.any(axis=1).all()
    assert (large | ~small).all()
    assert large.sum() > small.sum()


def test_too_few_clips_promise_everything():
    sets = fit_sets(np.array([[0.9, 0.1]] * 5), np.zeros(5, np.int64), 0.9)
    assert sets.sets(np.array([[1.0, 0.0]])).all()


def test_scores_by_hand():
    probs = np.array([[0.5, 0.2, 0.3]])
    assert nonconformity(probs, "lac") == pytest.approx(np.array([[0.5, 0.8, 0.7]]))
    assert nonconformity(probs, "aps") == pytest.approx(np.array([[0.5, 1.0, 0.8]]))
    assert nonconformity(probs, "raps") == pytest.approx(np.array([[0.5, 1.05, 0.8]]))


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1.0])
def test_an_impossible_coverage_is_refused(coverage):
    with pytest.raises(DataError, match="coverage"):
        fit_sets(np.ones((3, 1)), np.zeros(3, np.int64), coverage)


def test_no_clips_no_promise():
    with pytest.raises(DataError):
        fit_sets(np.zeros((0, 3)), np.zeros(0, np.int64))
