from __future__ import annotations

import pytest

from samplemind_core.data.window_length import window_fit
from samplemind_core.errors import DataError


def test_a_window_that_nine_tenths_fit_is_left_alone() -> None:
    fit = window_fit([0.9] * 95 + [4.0] * 5, 1.0)
    assert not fit.cuts
    assert not fit.wastes
    assert fit.share_longer == pytest.approx(0.05)


def test_the_shortest_window_that_holds_nine_tenths_is_proposed() -> None:
    fit = window_fit([5.0] * 100, 2.0)
    assert fit.cuts
    assert (fit.share_longer, fit.proposed_s, fit.share_held) == (1.0, 5.0, 1.0)
    assert window_fit([2.4] * 100, 2.0).proposed_s == 3.0


def test_a_converters_padding_is_no_reason() -> None:
    assert not window_fit([2.005] * 100, 2.0).cuts


def test_recordings_of_minutes_get_the_longest_and_it_says_how_few_fit() -> None:
    fit = window_fit([60.0] * 9 + [1.0], 2.0)
    assert fit.cuts
    assert (fit.proposed_s, fit.share_held) == (10.0, 0.1)


def test_a_window_twice_as_long_as_needed_wastes() -> None:
    assert window_fit([0.4] * 100, 2.0).wastes
    assert window_fit([0.4] * 100, 2.0).proposed_s == 0.5
    assert not window_fit([0.4] * 100, 0.9).wastes


def test_no_clips_is_refused() -> None:
    with pytest.raises(DataError, match="got none"):
        window_fit([], 2.0)
