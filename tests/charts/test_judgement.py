"""Figures of calibration, thresholds and slices: what they draw and what they say in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from samplemind_core.charts.reliability import confidence_histogram_figure, reliability_figure
from samplemind_core.charts.slices import slice_figure
from samplemind_core.charts.thresholds import precision_recall_figure, risk_coverage_figure, roc_figure


@dataclass
class Bin:
    num_clips: int
    confidence: float
    accuracy: float
    interval: tuple[float, float]


@dataclass
class Curves:
    label: str
    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    false_positive_rate: np.ndarray
    average_precision: float | None
    auc: float | None


@dataclass
class Slice:
    value: str
    num_clips: int
    accuracy: float
    interval: tuple[float, float]
    small: bool


def test_reliability() -> None:
    bins = [Bin(10, 0.6, 0.5, (0.24, 0.76)), Bin(30, 0.95, 0.9, (0.74, 0.97))]
    figure = reliability_figure({"Before": bins}, "dark")
    assert figure.data[1].y == pytest.approx((50, 90))
    assert "Before: +6.2 %" in figure.layout.meta["alt"]
    assert "appears here" in reliability_figure({}).layout.meta["alt"]


def test_confidence_histogram() -> None:
    figure = confidence_histogram_figure({"A": [0.95, 0.99, 1.0, 0.4]})
    assert sum(figure.data[0].y) == pytest.approx(100)
    assert "A: 75 % above 90 %" in figure.layout.meta["alt"]


def test_class_curves_keep_the_colours_of_their_classes() -> None:
    line = np.linspace(0.1, 1, 900)
    curves = [
        Curves("kick", line[::-1], line[::-1], line, line, 0.8, 0.7),
        Curves("snare", line, line, line, line, None, None),
    ]
    for figure, area in (
        (precision_recall_figure(curves, ["kick", "snare"]), 0.8),
        (roc_figure(curves, ["kick", "snare"]), 0.7),
    ):
        assert len(figure.data) == 1  # a class without clips has no curve
        assert len(figure.data[0].x) <= 400
        assert f"kick {area:.3f}" in figure.layout.meta["alt"]


def test_risk_coverage() -> None:
    coverage, accuracy = np.linspace(0.01, 1, 100), np.linspace(1, 0.9, 100)
    figure = risk_coverage_figure({"A": (coverage, accuracy, accuracy)}, "light", (0.5, 0.95))
    assert "A 91.0 % at 90 % coverage, 90.0 % at all" in figure.layout.meta["alt"]
    assert figure.data[1].x == (50,)


def test_slices() -> None:
    slices = [Slice("<b>", 40, 0.7, (0.55, 0.82), False), Slice("tiny", 2, 0.5, (0.1, 0.9), True)]
    figure = slice_figure(slices, 0.9)
    marks = figure.data[-1]
    assert marks.marker.color[0] != marks.marker.color[1]
    assert figure.layout.yaxis.ticktext[0] == "&lt;b&gt; · 40"
    assert "lowest for <b> with 70.0 % of 40 clips" in figure.layout.meta["alt"]
    assert "nothing to slice" in slice_figure([], 0.9).layout.meta["alt"]
