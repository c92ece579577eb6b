from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation.judging import Judged
from samplemind_core.evaluation.playlists import playlist


def judged(leads: list[float]) -> Judged:
    """Clips of class a, called a with this lead (or b where it is below zero)."""
    logits = np.array([[lead, 0.0] for lead in leads], dtype=np.float32)
    count = len(leads)
    return Judged(logits, np.zeros(count, np.int64), np.arange(10, 10 + count), np.array(["p"] * count), ("a", "b"))


A = judged([2.0, -1.0, -3.0, 0.1])
B = judged([-2.0, 4.0, -1.0, -5.0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("only_a", [13, 10]),
        ("only_b", [11]),
        ("both_wrong", [12]),
        ("surest_mistakes", [12, 11]),
        ("closest_calls", [13, 11, 10, 12]),
    ],
)
def test_playlists_by_hand(kind, expected) -> None:
    assert [one.clip_id for one in playlist(kind, [A, B])] == expected


def test_what_is_said_comes_along() -> None:
    (one,) = playlist("only_b", [A, B], [1.0, 2.0])
    assert (one.label, one.answers) == ("a", ("b", "a"))
    assert one.confidences[1] == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_two_models_are_needed_for_some() -> None:
    with pytest.raises(DataError, match="two models"):
        playlist("only_a", [A])
    with pytest.raises(ConfigError, match="no playlist"):
        playlist("loudest", [A])  # type: ignore[arg-type]
