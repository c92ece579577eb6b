from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from samplemind_core.errors import DataError
from samplemind_core.evaluation.slices import rms_level_db, slice_accuracy, slice_columns
from samplemind_core.store.records import Clip


def clip(number: int, **values: object) -> Clip:
    known = Clip(number, f"{number}.wav", "kick", 0, "pack", "test", f"h{number}", f"a/{number}.wav", id=number)
    return replace(known, **({"duration_s": 0.3, "sample_rate_hz": 44_100} | values))


def test_the_worst_first_and_small_ones_last() -> None:
    values = ["a"] * 20 + ["b"] * 10 + ["c"] * 3 + [""] * 12
    right = [True] * 15 + [False] * 5 + [True] * 10 + [False] * 3 + [True] * 6 + [False] * 6
    found = slice_accuracy(values, right)
    assert [(one.value, one.num_clips, one.small) for one in found] == [
        ("not known", 12, False), ("a", 20, False), ("b", 10, False), ("c", 3, True),
    ]  # fmt: skip
    a = found[1]
    assert a.accuracy == 0.75
    assert a.interval[0] < 0.75 < a.interval[1]
    assert a.accuracy_without == pytest.approx(16 / 25)
    assert slice_accuracy(["a"], [True])[0].accuracy_without is None


def test_columns_that_say_something() -> None:
    clips = [
        clip(i, duration_s=(0.05, 0.3, 3.0, None)[i % 4], source=f"pack {i % 2}", fold=str(i % 3),
             extra={"maker": "Roland" if i < 4 else "Korg", "hash": f"{i}"})
        for i in range(8)
    ]  # fmt: skip
    columns = slice_columns(clips, {i: -10.0 * i for i in range(8)})
    assert set(columns) == {"Source", "Length", "Level", "Fold", "maker"}
    assert columns["Length"][:4] == ["below 0.1 s", "0.25 to 0.5 s", "2 s and more", ""]
    assert columns["Level"][:4] == ["-12 dB and more", "-12 dB and more", "-24 to -18 dB", "-30 to -24 dB"]


def test_levels() -> None:
    assert rms_level_db(np.ones(10)) == pytest.approx(0.0)
    assert rms_level_db(np.full(10, 0.1)) == pytest.approx(-20.0)
    assert rms_level_db(np.zeros(10)) == rms_level_db([]) == -120.0


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError):
        slice_accuracy(["a"], [True, False])
