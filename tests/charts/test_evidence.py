"""Figures of reasons: what they say, what they hold, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.charts.evidence import evidence_figure, gain_figure, occlusion_figure
from samplemind_core.charts.style import palette
from samplemind_core.config import FeatureConfig
from samplemind_core.errors import DataError

FEATURES = FeatureConfig(n_mels=32, duration_s=0.5, n_fft=1024)
SHAPE = FEATURES.shape[1:]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_evidence_is_drawn_where_it_is(theme) -> None:
    evidence = np.zeros(SHAPE)
    evidence[8:12, 5] = 1.0
    evidence[20:24, 9] = -0.5
    chart = evidence_figure(np.full(SHAPE, -40.0), evidence, FEATURES, "kick <b>", theme, end_s=0.3)
    over = chart.data[1]
    assert np.unravel_index(over.z.argmax(), SHAPE)[1] == 5
    assert np.unravel_index(over.z.argmin(), SHAPE)[1] == 9
    assert over.customdata[10, 5] == "speaks for"
    assert over.customdata[22, 9] == "speaks against"
    assert over.customdata[0, 0] == "is neutral to"
    assert "<b>" not in over.hovertemplate
    assert "Evidence for kick" in chart.layout.meta["alt"]
    assert chart.layout.xaxis.range == (0.0, 0.3)
    assert over.colorscale[-1][1] == palette(theme).accent


def test_no_evidence_at_all_is_a_calm_picture() -> None:
    chart = evidence_figure(np.zeros(SHAPE), np.zeros(SHAPE), FEATURES, "kick")
    assert np.isfinite(chart.data[1].z).all()
    assert not chart.data[1].z.any()


def test_gains_are_told_in_decibels() -> None:
    gains = np.zeros(SHAPE)
    gains[4, 3], gains[20, 8] = 12.0, -6.4
    chart = gain_figure(gains, np.full(SHAPE, -40.0), FEATURES)
    assert chart.data[1].customdata[4, 3] == "+12 dB"
    assert chart.data[1].customdata[20, 8] == "−6 dB"
    assert "12 dB louder" in chart.layout.meta["alt"]
    assert "6 dB quieter" in chart.layout.meta["alt"]
    assert "nothing that could be heard" in gain_figure(0 * gains, 0 * gains, FEATURES).layout.meta["alt"]


def test_what_silencing_does_is_a_sentence_on_each_bar() -> None:
    edges = [[0.0, 0.1], [0.1, 0.2]]
    chart = occlusion_figure(edges, [3.0, -0.5], [0.41, 0.97], "kick", "s")
    assert chart.data[0].hovertext[0] == "Without 0.00 to 0.10 s: kick 41 %"
    assert len(set(chart.data[0].marker.color)) == 2
    assert "to 41 %" in chart.layout.meta["alt"]
    bands = occlusion_figure([[60.0, 500.0], [500.0, 10_500.0]], [0.1, 2.0], [0.9, 0.5], "kick", "Hz")
    assert bands.data[0].hovertext[1] == "Without 500 to 10.5k Hz: kick 50 %"


def test_pictures_of_different_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="two pictures"):
        evidence_figure(np.zeros(SHAPE), np.zeros((3, 3)), FEATURES, "kick")
    with pytest.raises(DataError, match="edges"):
        occlusion_figure([[0.0, 1.0]], [1.0, 2.0], [0.5], "kick", "s")
