from __future__ import annotations

from types import SimpleNamespace

import pytest

from samplemind_core.charts.curves import map_figure, overlay_figure, with_map
from samplemind_core.charts.labels import label_confidence_figure, label_counts_figure
from samplemind_core.errors import DataError

PROBS = {"clap": 0.2, "kick": 0.9, "snare": 0.55}
THRESHOLDS = {"clap": 0.3, "kick": 0.5, "snare": 0.6}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_label_has_a_bar_and_a_mark_where_it_is_named(theme):
    drawn = label_confidence_figure(PROBS, THRESHOLDS, theme)
    bars, marks, shares = drawn.data
    assert list(bars.customdata) == ["kick", "snare", "clap"]
    assert list(marks.x) == pytest.approx([50, 60, 30])
    assert len(set(bars.marker.color)) == 2  # one is named, two are quiet
    assert [text.strip() for text in shares.text] == ["90 %", "55 %", "20 %"]
    assert list(shares.x) == pytest.approx([90, 60, 30])  # out of the way of the marks beside them
    assert "Named: kick 90 %" in drawn.layout.meta["alt"]


def test_nothing_named_is_said():
    drawn = label_confidence_figure(PROBS, dict.fromkeys(PROBS, 0.95))
    assert "None is named; kick comes first with 90 %" in drawn.layout.meta["alt"]
    with pytest.raises(DataError, match="threshold for each label"):
        label_confidence_figure(PROBS, {"kick": 0.5})


def test_counts_stand_on_both_sides():
    rows = [
        SimpleNamespace(label="kick", found=30, missed=4, wrong=12),
        SimpleNamespace(label="clap", found=2, missed=1, wrong=0),
    ]
    found, missed, wrong = label_counts_figure(rows).data
    assert (list(found.x), list(missed.x), list(wrong.x)) == ([30, 2], [4, 1], [-12, 0])
    assert "most mistakes for kick" in label_counts_figure(rows).layout.meta["alt"]
    assert all(not text.startswith("-") for text in label_counts_figure(rows).layout.xaxis.ticktext)


def test_curves_of_mean_average_precision():
    epochs = [
        with_map({"epoch": number, "health": {"probe_map": 0.5 + number / 10, "val_map": 0.4 + number / 10}})
        for number in (1, 2, 3)
    ]
    drawn = map_figure(epochs)
    assert list(drawn.data[0].y) == pytest.approx([60, 70, 80])
    assert "Mean average precision over 3 epochs" in drawn.layout.meta["alt"]
    assert "mean average precision" in overlay_figure([("a", epochs)], "map").layout.meta["alt"].lower()
    assert with_map({"epoch": 1, "health": {}})["val_map"] is None
