from __future__ import annotations

import math

import numpy as np
import pytest

from samplemind_core.learn.loss import ANSWERS, LEAST, cross_entropy, loss_curve, mistaken, rebalanced, softmax


@pytest.mark.parametrize(
    ("answer", "loss", "trap"), list(zip(ANSWERS, (0.22, 0.92, 2.30), (0.69, 1.03, 1.39), strict=True))
)
def test_the_three_answers_cost_what_tutorials_say(answer, loss, trap):
    assert cross_entropy(answer.probs) == pytest.approx(loss, abs=0.005)
    assert cross_entropy(answer.probs) == pytest.approx(-math.log(answer.probs[0]), abs=1e-12)
    assert mistaken(answer.probs) == pytest.approx(trap, abs=0.005)


def test_the_curve_is_the_negative_logarithm():
    probs, losses = loss_curve(50)
    assert losses == pytest.approx(-np.log(probs), abs=1e-9)
    assert probs[0] == LEAST


def test_softmax_adds_up_to_one_and_undoes_the_logarithm():
    assert softmax([math.log(0.7), math.log(0.2), math.log(0.1)]) == pytest.approx([0.7, 0.2, 0.1])


@pytest.mark.parametrize(
    ("probs", "moved", "expected"),
    [
        ((0.8, 0.3, 0.3), 0, [0.8, 0.1, 0.1]),
        ((1.0, 0.3, 0.3), 0, [0.98, 0.01, 0.01]),
        ((0.0, 0.8, 0.1), 0, [0.01, 0.88, 0.11]),
        ((0.5, 0.0, 0.0), 0, [0.5, 0.25, 0.25]),
        ((0.8, 0.1, 0.4), 2, [0.53, 0.07, 0.4]),
    ],
)
def test_probabilities_add_up_to_one_whatever_is_moved(probs, moved, expected):
    assert rebalanced(probs, moved) == pytest.approx(expected)


def test_every_position_of_a_slider_gives_a_finite_loss():
    for step in range(101):
        for moved in range(3):
            probs = [0.34, 0.33, 0.33]
            probs[moved] = step / 100
            balanced = rebalanced(probs, moved)
            assert sum(balanced) == pytest.approx(1.0)
            assert min(balanced) >= LEAST
            assert math.isfinite(cross_entropy(balanced))
