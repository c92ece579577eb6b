"""The map figure: who is drawn, in which colour, and what a click gives back."""

from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.charts.embedding import map_figure
from samplemind_core.charts.style import class_color, palette, split_color
from samplemind_core.errors import DataError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_clip_is_drawn_once_in_the_colour_of_its_class(theme) -> None:
    groups = ["kick", "snare", "snare", "tom"]
    chart = map_figure(
        RNG.normal(size=(4, 2)), groups, ["kick", "clap", "snare", "tom"], [5, 6, 7, 8], list("abcd"), theme
    )
    assert [trace.name for trace in chart.data] == ["kick", "snare", "tom"]
    # Snare is the third class whether or not clap has a clip here.
    assert [trace.marker.color for trace in chart.data] == [class_color(index, theme) for index in (0, 2, 3)]
    assert len({trace.marker.symbol for trace in chart.data}) == 3
    assert sorted(int(row) for trace in chart.data for row in trace.customdata) == [5, 6, 7, 8]
    assert {trace.type for trace in chart.data} == {"scattergl"}
    # As Streamlit has it, clicks choose points only where dragging does not.
    assert chart.layout.dragmode == "pan"
    assert chart.data[0].customdata.ndim == 1  # a number each: lists of lists take seconds for thousands
    assert "4 clips in 2 dimensions" in chart.layout.meta["alt"]


def test_three_dimensions_and_the_ring() -> None:
    points = RNG.normal(size=(3, 3))
    chart = map_figure(
        points, ["train", "val", "test"], ["train", "val", "test"], [1, 2, 3], ["x"] * 3, kind="split", marked=2
    )
    assert {trace.type for trace in chart.data} == {"scatter3d"}
    assert chart.data[1].marker.color == split_color("val")
    assert chart.data[-1].x[0] == pytest.approx(points[1, 0])


def test_wrong_answers_stand_out_and_the_rest_is_gathered() -> None:
    chart = map_figure(np.zeros((2, 2)), ["wrong", "right"], ["wrong", "right"], [1, 2], ["", ""], kind="answer")
    assert [trace.marker.color for trace in chart.data] == [palette("light").warm, palette("light").muted]
    names = [f"pack {index}" for index in range(40)]
    chart = map_figure(np.zeros((40, 2)), names, names, range(40), names, kind="other")
    assert len(chart.data) == 22
    assert chart.data[-1].name == "others"
    assert len(chart.data[-1].x) == 19


def test_names_are_text() -> None:
    chart = map_figure(np.zeros((1, 2)), ["<b>kick</b>"], ["<b>kick</b>"], [1], ["<i>x</i>"])
    assert "<" not in chart.data[0].name
    assert "<" not in chart.data[0].hovertext[0]


def test_nothing_and_nonsense() -> None:
    assert not map_figure(np.zeros((0, 2)), [], [], [], []).data
    with pytest.raises(DataError, match="same embeddings"):
        map_figure(np.zeros((2, 2)), ["a"], ["a"], [1, 2], ["", ""])
