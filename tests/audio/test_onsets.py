from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.audio.onsets import find_onsets
from samplemind_core.audio.synth import SAMPLE_RATE_HZ, voice
from samplemind_core.errors import AudioError

RATE = SAMPLE_RATE_HZ


def hits(starts_s: list[float], length_s: float) -> np.ndarray:
    sound = np.zeros(round(length_s * RATE), np.float32)
    for number, start_s in enumerate(starts_s):
        hit = voice(number % 6, number).waveform
        hit = 0.5 * hit / np.abs(hit).max()
        first = int((np.abs(hit) > 0.02).argmax())
        place = round(start_s * RATE)
        part = hit[first : first + len(sound) - place]
        sound[place : place + len(part)] += part
    return sound


def test_each_hit_has_its_onset():
    starts = [0.0, 0.4, 0.75, 1.3, 1.55, 2.2, 2.6, 3.1]
    found = find_onsets(hits(starts, 4.0), RATE)
    assert len(found) == len(starts)
    assert found == pytest.approx(np.array(starts), abs=0.03)
    assert (found <= np.array(starts) + 0.005).all()  # a cut must not eat the attack


@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_level_plays_no_part(gain):
    sound = hits([0.1, 0.6, 1.2], 2.0)
    assert len(find_onsets(gain * sound, RATE)) == 3


def test_steady_sounds_begin_once():
    time_s = np.arange(2 * RATE) / RATE
    tone = np.sin(2 * np.pi * 440 * time_s)
    assert len(find_onsets(tone, RATE)) == 1
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE)
    assert len(find_onsets(noise, RATE)) <= 2


@pytest.mark.parametrize("length", [0, 1, 100, RATE])
def test_silence_has_none(length):
    assert len(find_onsets(np.zeros(length, np.float32), RATE)) == 0


def test_short_sounds_are_no_trouble():
    for length in (1, 10, 500):
        assert len(find_onsets(np.ones(length, np.float32), RATE)) <= 1


def test_stereo_is_refused():
    with pytest.raises(AudioError):
        find_onsets(np.zeros((10, 2)), RATE)
