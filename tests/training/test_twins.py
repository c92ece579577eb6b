from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.training import twins
from samplemind_core.training.twins import nearest_distance, twin_share


def bands(num: int, seed: int = 0) -> np.ndarray:
    """Spectra of short sounds, each of its own: a band, a length, a texture."""
    rng = np.random.default_rng(seed)
    log_mel = np.full((num, 1, 40, 60), -80.0)
    for clip in log_mel:
        low, length = rng.integers(0, 25), rng.integers(10, 50)
        clip[0, low : low + 12, :length] = rng.uniform(-60, 0, (12, length))
    return log_mel.astype(np.float16)


def test_copies_are_found_and_others_are_not():
    train, val = bands(40), bands(20, seed=1)
    val[:5] = train[[3, 9, 11, 30, 39]]
    log_mel = np.concatenate([train, val])
    rows = np.arange(40), np.arange(40, 60)
    assert twin_share(log_mel, *rows) == pytest.approx(0.25)
    distances = nearest_distance(log_mel, *rows)
    assert distances[:5].max() < 0.01
    assert distances[5:].min() > 2 * twins.NEAR


def test_a_copy_that_was_softly_edited_is_still_the_same_sound():
    train = bands(30)
    rng = np.random.default_rng(2)
    edited = np.clip(train.astype(np.float32) + rng.normal(0, 1, train.shape), -80, 0)
    log_mel = np.concatenate([train, edited.astype(np.float16)])
    assert twin_share(log_mel, np.arange(30), np.arange(30, 60)) == 1


def test_many_clips_are_judged_by_a_part_of_them(monkeypatch):
    monkeypatch.setattr(twins, "MOST_VAL", 10)
    monkeypatch.setattr(twins, "_CHUNK", 7)
    log_mel = np.concatenate([bands(25), bands(25)])
    assert twin_share(log_mel, np.arange(25), np.arange(25, 50)) == 1


def test_silence_and_single_clips_do_not_divide_by_zero():
    silent = np.zeros((3, 1, 8, 8), np.float16)
    assert twin_share(silent, np.arange(2), np.array([2])) in {0.0, 1.0}
