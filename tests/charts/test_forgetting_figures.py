"""Clips learned and forgotten, drawn."""

from __future__ import annotations

import pytest

from samplemind_core.charts.forgetting import NAMES, clip_curve_figure, forgetting_figure
from samplemind_core.errors import DataError

COUNTS = {"always": [5, 4], "learned": [0, 3], "forgotten": [0, 1], "never": [5, 2]}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_groups_are_stacked_to_all_clips(theme: str) -> None:
    figure = forgetting_figure([1, 2], COUNTS, 2, theme)
    assert [trace.name for trace in figure.data] == list(NAMES.values())
    assert figure.layout.yaxis.range == (0, 10)
    assert figure.layout.shapes[0].x0 == 2
    alt = figure.layout.meta["alt"]
    assert alt == "10 validation clips after epoch 2: 4 always right, 3 learned, 1 forgotten, 2 never right."


def test_all_groups_are_needed() -> None:
    with pytest.raises(DataError, match="'never'"):
        forgetting_figure([1, 2], {**COUNTS, "never": [1]}, 1)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_clip_is_followed_in_percent(theme: str) -> None:
    figure = clip_curve_figure([1, 2, 4], [0.1, 0.6, 0.25], [False, True, False], "<b>kick</b>", 2, theme)
    assert list(figure.data[0].y) == [10, 60, 25]
    assert list(figure.data[0].customdata) == ["wrong", "right", "wrong"]
    assert "<b>" not in figure.layout.yaxis.title.text
    assert figure.layout.meta["alt"].endswith("over 3 epochs, 25 % at the end; right in 1.")
