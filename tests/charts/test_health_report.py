from __future__ import annotations

import pytest

from samplemind_core.charts.health_report import MAX_SOURCES, leakage_figure, shortcut_figure, sources_figure
from samplemind_core.charts.style import Theme

THEMES: tuple[Theme, ...] = ("light", "dark")


@pytest.mark.parametrize("theme", THEMES)
def test_both_scores_are_drawn_with_their_intervals(theme: Theme) -> None:
    drawn = leakage_figure((0.82, 0.8, 0.84), (0.75, 0.7, 0.8), theme)
    safe, naive = drawn.data
    assert (safe.x[0], naive.x[0]) == (0.75, 0.82)
    assert safe.error_x.array[0] == pytest.approx(0.05)
    assert drawn.layout.xaxis.range[0] < 0.7 < 0.84 < drawn.layout.xaxis.range[1]
    assert "82.0 %" in drawn.layout.meta["alt"]


def test_without_scores_there_is_a_line_of_words() -> None:
    assert "not measured" in leakage_figure(None, (0.75, 0.7, 0.8)).layout.meta["alt"]


@pytest.mark.parametrize("theme", THEMES)
def test_facts_are_drawn_in_order_and_names_are_no_markup(theme: Theme) -> None:
    drawn = shortcut_figure({"<b>rate": 0.9, "length": 0.4}, 0.25, theme)
    assert list(drawn.data[0].y) == ["length", "&lt;b&gt;rate"]
    assert drawn.data[0].marker.color[0] != drawn.layout.paper_bgcolor
    assert drawn.layout.shapes[0].x0 == 0.25
    assert "too few" in shortcut_figure({}, 0.5, theme).layout.meta["alt"]


def test_the_largest_sources_are_drawn_and_the_others_counted() -> None:
    counts = {f"pack {number:02d}": {"kick": number, "snare": 1} for number in range(MAX_SOURCES + 3)}
    drawn = sources_figure(counts, ["kick", "snare"])
    assert [trace.name for trace in drawn.data] == ["kick", "snare"]
    assert len(drawn.data[0].y) == MAX_SOURCES
    assert drawn.layout.yaxis.ticktext[-1] == f"pack {MAX_SOURCES + 2:02d}"
    assert "3 smaller sources" in drawn.layout.xaxis.title.text
    assert "no clips" in sources_figure({}, ["kick"]).layout.meta["alt"]


def test_sources_with_names_alike_stay_apart() -> None:
    counts = {f"a very long name of a pack number {number} of this collection": {"kick": 3} for number in range(4)}
    drawn = sources_figure(counts, ["kick"])
    assert len(set(drawn.data[0].y)) == 4
