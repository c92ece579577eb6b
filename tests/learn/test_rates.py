from __future__ import annotations

import math

import numpy as np
import pytest

from samplemind_core.charts.learn_race import height_figure, landscape_figure
from samplemind_core.charts.learn_rates import contest_figure, course_figure, range_figure
from samplemind_core.learn.race import LANDSCAPES, NUM_STEPS, RUNNERS, race
from samplemind_core.learn.rates import Contest, RangeFinder, course, stalling_losses, steepest
from samplemind_core.learn.sounds import demo_sounds


@pytest.fixture(scope="module")
def sounds():
    return demo_sounds(num_train=32, num_val=8)


@pytest.mark.parametrize("ground", LANDSCAPES)
def test_everybody_starts_together_and_somebody_arrives(ground):
    found = race(ground, LANDSCAPES[ground].lr)
    assert set(found.paths) == set(RUNNERS)
    assert all(path.shape == (NUM_STEPS + 1, 2) for path in found.paths.values())
    assert len({float(height[0]) for height in found.heights.values()}) == 1
    names = [name for name, _ in found.standing(NUM_STEPS)]
    assert sorted(names) == sorted(RUNNERS)
    assert found.standing(NUM_STEPS)[0][1] < 0.5 * found.standing(0)[0][1]


def test_sgd_walks_as_the_formula_says():
    path = race("ravine", 0.1).paths["SGD"]
    # The ravine's gradient is (0.1 x, 8 y).
    assert path[1] == pytest.approx([path[0, 0] * (1 - 0.1 * 0.1), path[0, 1] * (1 - 0.1 * 8)])


def test_momentum_alone_rolls_over_the_ridge_into_the_deeper_valley():
    heights = race("valleys", LANDSCAPES["valleys"].lr)
    assert heights.standing(NUM_STEPS)[0][0] == "Momentum"


def test_who_leaves_the_map_is_last_and_drawn_without_fault():
    found = race("ravine", 0.5)
    assert math.isnan(found.standing(NUM_STEPS)[-1][1])
    for view in ("map", "mountain", "fog"):
        chart = landscape_figure(LANDSCAPES["ravine"].grid(), found.paths, found.heights, NUM_STEPS, view, "dark")
        assert "nowhere on the map" in chart.layout.meta["alt"]
        chart.to_json()
    height_figure(found.heights, 5).to_json()


def test_fog_hides_what_is_far_from_every_walker():
    ground = LANDSCAPES["ravine"]
    found = race("ravine", 0.1)
    chart = landscape_figure(ground.grid(), found.paths, found.heights, 0, "fog")
    seen = np.isfinite(np.asarray(chart.data[0].z, dtype=float))
    assert 0 < seen.mean() < 0.1


def test_the_same_network_arrives_only_with_a_fitting_rate(sounds):
    contest = Contest(sounds, {"small": 1e-5, "right": 0.1})
    while contest.step():
        pass
    assert contest.step_now == contest.num_steps
    losses = {name: student.val_loss for name, student in contest.students.items()}
    assert losses["right"] < 0.6 * losses["small"]
    assert losses["small"] > 0.6
    curves = {name: student.val_losses for name, student in contest.students.items()}
    assert "small" in contest_figure(curves, contest.num_steps, math.log(2)).layout.meta["alt"]


def test_the_sweep_raises_the_rate_at_every_step(sounds):
    finder = RangeFinder(sounds)
    for _ in range(6):
        assert finder.step()
    assert [lesson.lr for lesson in finder.student.lessons] == pytest.approx(finder.rates)
    assert finder.suggestion is None
    range_figure(finder.rates, finder.losses, (1e-5, 10.0), math.log(2), 0.1).to_json()


def test_the_steepest_fall_is_suggested():
    rates = np.geomspace(1e-4, 1.0, 41)
    losses = 0.7 - 0.5 / (1 + np.exp(-8 * (np.log10(rates) + 2))) + np.where(rates > 0.3, 5 * rates, 0)
    assert steepest(rates.tolist(), losses.tolist()) == pytest.approx(1e-2, rel=0.3)
    assert steepest(rates.tolist(), [0.7] * 41) is None


def test_schedules_are_those_of_training():
    losses = stalling_losses(20)
    onecycle = course("onecycle", 20, 1e-3, 0.2)
    assert max(onecycle.rates) == pytest.approx(1e-3, rel=0.01)
    assert onecycle.rates[0] == pytest.approx(1e-3 / 25)
    assert course("cosine", 20, 1e-3, 0.2).rates[-1] == pytest.approx(0.0, abs=1e-9)
    plateau = course("plateau", 20, 1e-3, 0.2, losses)
    assert min(plateau.rates) < 0.6e-3
    assert set(np.round(np.log2(np.array(plateau.rates) / 1e-3), 6)) <= {0.0, -1.0, -2.0, -3.0, -4.0}
    course_figure({"a": (onecycle.epochs, onecycle.rates)}, "a").to_json()
