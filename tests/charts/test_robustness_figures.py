"""Figures of what a network withstands."""

from __future__ import annotations

import pytest

from samplemind_core.charts.robustness import withstood_curve_figure, withstood_figure
from samplemind_core.charts.style import class_color, palette
from samplemind_core.errors import DataError


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_most_harmful_change_is_on_top(theme) -> None:
    chart = withstood_figure(
        ["Gain", "Low <pass>"], [["6 dB", "12 dB"], ["1,000 Hz"]], [[0.9, 0.88], [0.3]], 0.9, (0.85, 0.94), theme
    )
    assert chart.layout.yaxis.ticktext == ("Low &lt;pass&gt;", "Gain")
    points = chart.data[-1]
    assert sorted(tuple(row) for row in points.customdata) == [(0, 0), (0, 1), (1, 0)]
    warm = [color == palette(theme).warm for color in points.marker.color]
    assert warm == [True, False, False]
    assert points.marker.symbol[0] != points.marker.symbol[1]
    assert "worst under Low <pass> 1,000 Hz with 30.0 %" in chart.layout.meta["alt"]


def test_a_curve_holds_accuracy_interval_and_classes() -> None:
    chart = withstood_curve_figure(
        ["clean", "8 bits"], [0.9, 0.5], [(0.8, 0.95), (0.4, 0.6)],
        {"kick": [1.0, 0.5], "tom": [None, None], "snare": [0.8, None]}, 0, title="Bits",
    )  # fmt: skip
    names = [trace.name for trace in chart.data if trace.name]
    assert names == ["kick", "snare", "all"]
    assert [trace.line.color for trace in chart.data if trace.name == "snare"] == [class_color(2)]
    assert chart.layout.meta["alt"] == "Accuracy under Bits: 90.0 % clean, 50.0 % at 8 bits."


def test_nothing_and_nonsense() -> None:
    assert not withstood_figure([], [], [], 0.9, (0.8, 1.0)).data
    with pytest.raises(DataError):
        withstood_figure(["Gain"], [["6 dB"]], [[0.9, 0.8]], 0.9, (0.8, 1.0))
    with pytest.raises(DataError):
        withstood_curve_figure(["clean"], [0.9, 0.8], [(0.8, 1.0)], {}, 0)
