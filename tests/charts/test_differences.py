from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.charts.differences import agreement_figure, difference_figure
from samplemind_core.errors import DataError

ROWS = [("Accuracy", "B", 0.031, (0.008, 0.054)), ("Macro F1", "B", -0.01, (-0.03, 0.02))]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_differences_say_what_they_show(theme: str) -> None:
    figure = difference_figure(ROWS, theme)
    assert figure.data[0].x == pytest.approx((3.1, -1.0))
    assert figure.data[0].error_x.array == pytest.approx((2.3, 3.0))
    assert "Accuracy of B +3.1 points (+0.8 to +5.4)" in figure.layout.meta["alt"]
    low, high = figure.layout.xaxis.range
    assert low < -3 < 5.4 < high
    assert -low == high


def test_without_rows_it_says_so() -> None:
    assert "once two checkpoints" in difference_figure([]).layout.meta["alt"]


def test_agreement() -> None:
    figure = agreement_figure([[1, 0.8], [0.8, 1]], ["A", "B"])
    assert "A and B 80 %" in figure.layout.meta["alt"]
    with pytest.raises(DataError):
        agreement_figure(np.eye(3), ["A", "B"])
