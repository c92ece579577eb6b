"""Settings against result."""

from __future__ import annotations

import math

import pytest

from samplemind_core.charts.parallel import MAX_AXES, parallel_figure
from samplemind_core.errors import DataError

LR = [0.001, 0.1, 0.01, 0.002, 0.03, 0.005, 0.05]
RESULT = ("Accuracy (%)", [80.0, 90.0, 85.0, 70.0, None, math.nan, 60.0])


def labels(figure) -> list[str]:
    return [axis.label for axis in figure.data[0].dimensions]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_runs_without_a_result_are_left_out(theme: str) -> None:
    figure = parallel_figure({"Learning rate": LR}, RESULT, theme)
    assert labels(figure) == ["Learning rate", "Accuracy (%)"]
    assert list(figure.data[0].dimensions[1]["values"]) == [80.0, 90.0, 85.0, 70.0, 60.0]
    assert list(figure.data[0].dimensions[0]["values"]) == pytest.approx(
        [math.log10(lr) for lr in (0.001, 0.1, 0.01, 0.002, 0.05)]
    )
    assert figure.layout.meta["alt"] == "5 runs over Learning rate to Accuracy (%); the best reaches 90."


def test_many_values_over_a_wide_range_get_powers_of_ten() -> None:
    figure = parallel_figure({"Learning rate": LR}, ("Loss", [1.0] * 6 + [2.0]), lower_is_better=True)
    assert list(figure.data[0].dimensions[0].ticktext) == ["0.001", "0.01", "0.1"]
    assert "the best reaches 1." in figure.layout.meta["alt"]


def test_words_switches_and_gaps_get_a_place_each() -> None:
    figure = parallel_figure(
        {"Schedule": ["cosine", None, "onecycle"], "Flag": [True, False, True], "Same": [1, 1, 1]}, ("Loss", [1, 2, 3])
    )
    first, second = figure.data[0].dimensions[:2]
    assert labels(figure) == ["Schedule", "Flag", "Loss"]
    assert list(first.ticktext) == ["cosine", "none", "onecycle"]
    assert list(first["values"]) == [0, 1, 2]
    assert list(second.ticktext) == ["off", "on"]


def test_a_name_is_never_markup() -> None:
    figure = parallel_figure({"Network": ["<b>x</b>", "y"]}, ("Loss", [1.0, 2.0]))
    assert "<b>" not in "".join(figure.data[0].dimensions[0].ticktext)


def test_only_so_many_axes_are_drawn() -> None:
    columns = {f"s{number}": [number, number + 1] for number in range(MAX_AXES + 3)}
    assert len(labels(parallel_figure(columns, ("Loss", [1.0, 2.0])))) == MAX_AXES + 1


@pytest.mark.parametrize(
    ("settings", "values", "said"),
    [
        ({"a": [1, 2]}, [1.0, None], "Two runs with a result show what a setting does."),
        ({"a": [1, 1]}, [1.0, 2.0], "These runs have the same settings."),
        ({}, [], "Two runs with a result show what a setting does."),
    ],
)
def test_what_cannot_be_drawn_is_said(settings, values, said: str) -> None:
    assert parallel_figure(settings, ("Loss", values)).layout.meta["alt"] == said


def test_columns_have_one_length() -> None:
    with pytest.raises(DataError, match="2 runs, got 1"):
        parallel_figure({"a": [1]}, ("Loss", [1.0, 2.0]))
