"""What a search found, drawn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from samplemind_core.charts.search import best_so_far_figure, importance_figure, trials_figure


def trial(number: int, value: float | None, state: str = "complete", **settings: Any) -> Any:
    return SimpleNamespace(number=number, value=value, state=state, settings=settings)


TRIALS = [
    trial(0, 0.9, lr=1e-4, size=16, kind="adam"),
    trial(1, 0.5, lr=1e-2, size=32, kind=None),
    trial(2, 700.0, "pruned", lr=0.1, size=32, kind="adam"),
    trial(3, 0.7, lr=2e-3, size=16, kind="adam"),
    trial(4, None, "running", lr=1e-3, size=16, kind="adam"),
]
LABELS = {"lr": "Learning rate", "size": "Batch size", "kind": "Optimizer"}


@pytest.mark.parametrize(("minimise", "best"), [(True, [0.9, 0.5, 0.5, 0.5]), (False, [90, 90, 90, 90])])
def test_the_best_so_far_only_gets_better(minimise: bool, best: list[float]) -> None:
    figure = best_so_far_figure(TRIALS, "Validation", minimise=minimise)
    line = figure.data[-1]
    assert list(line.y) == pytest.approx(best)
    assert list(line.x) == [1, 2, 4, 5]
    assert list(figure.data[1].x) == [3]  # ended early
    assert "5 trials" in figure.layout.meta["alt"]
    assert figure.layout.yaxis.range[1] < 200  # one that diverged does not squeeze the others, and is seen at the edge
    if minimise:
        assert list(figure.data[1].y) == [figure.layout.yaxis.range[1]]
        assert list(figure.data[1].marker.symbol) == ["triangle-up-open"]
        assert list(figure.data[1].customdata) == [700.0]


def test_axes_of_trials_are_numbers_decades_or_choices() -> None:
    figure = trials_figure(TRIALS, LABELS, "Loss", minimise=True)
    rate, size, kind, loss = figure.data[0].dimensions
    assert list(rate.ticktext) == ["0.0001", "0.001", "0.01"]
    assert list(rate["values"]) == pytest.approx([-4, -2, -2.69897], abs=1e-4)
    assert list(size.ticktext) == ["16", "32"]
    assert list(size["values"]) == [0, 1, 0]
    assert list(kind.ticktext) == ["off", "adam"]
    assert list(loss["values"]) == [0.9, 0.5, 0.7]
    assert [post.x0 for post in figure.layout.shapes] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    close = trials_figure([trial(0, 0.9, lr=0.004), trial(1, 0.8, lr=0.0125)], {"lr": "Rate"}, "Loss", minimise=True)
    assert close.data[0].dimensions[0].ticktext is None  # numbers, not names of numbers


def test_ticks_stay_on_their_axis_and_lines_are_drawn_for_two_trials() -> None:
    two = [trial(0, 0.52, lr=0.003), trial(1, 0.57, lr=0.0663)]
    figure = trials_figure(two, {"lr": "Rate"}, "Accuracy", minimise=False)
    rate, _ = figure.data[0].dimensions
    assert list(rate.ticktext) == ["0.003", "0.01", "0.066"]
    assert all(rate.range[0] <= place <= rate.range[1] for place in rate.tickvals)
    line = figure.data[0].line
    assert line.cmax - line.cmin == pytest.approx(5)  # a scale without width draws no line


def test_without_trials_a_figure_says_so() -> None:
    assert "under way" in best_so_far_figure([TRIALS[-1]], "Loss", minimise=True).layout.meta["alt"]
    assert "Two completed trials" in trials_figure(TRIALS[:1], LABELS, "Loss", minimise=True).layout.meta["alt"]
    assert "ten completed" in importance_figure({}, LABELS).layout.meta["alt"]


def test_importances_are_named_and_in_percent() -> None:
    figure = importance_figure({"lr": 0.8, "size": 0.2}, LABELS)
    assert list(figure.data[0].y) == ["Learning rate", "Batch size"]
    assert list(figure.data[0].x) == pytest.approx([80, 20])
    assert "Learning rate mattered most" in figure.layout.meta["alt"]
