from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from samplemind_core.config import FeatureConfig
from samplemind_core.errors import ConfigError, EmptyAudioError
from samplemind_core.inference.windows import analyse

RATE = 16_000
NAMES = ("low", "high", "none of these")


class ByPitch:
    """A classifier that hears whether a window is low or high, and refuses what is neither."""

    def __init__(self) -> None:
        self.info = SimpleNamespace(features=FeatureConfig(sample_rate_hz=RATE, duration_s=0.5, n_fft=1024))
        self.answer_names, self.can_refuse, self.thresholds, self.windows = NAMES, True, None, 0

    def scores(self, windows: np.ndarray) -> np.ndarray:
        self.windows += len(windows)
        assert windows.shape[1] == self.info.features.num_samples
        power = np.abs(np.fft.rfft(windows, axis=1)) ** 2
        pitch_hz = np.fft.rfftfreq(windows.shape[1], 1 / RATE)
        shares = [power[:, (pitch_hz >= a) & (pitch_hz < b)].sum(axis=1) for a, b in ((0, 300), (300, 2e3), (2e3, 9e3))]
        scores = np.stack(shares, axis=1) + 1e-12
        return scores / scores.sum(axis=1, keepdims=True)


def hit(pitch_hz: float, seconds: float = 0.25) -> np.ndarray:
    time_s = np.arange(round(seconds * RATE)) / RATE
    return np.sin(2 * np.pi * pitch_hz * time_s) * np.exp(-time_s / 0.06)


def tone(pitch_hz: float, seconds: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(round(seconds * RATE)) / RATE)


def placed(length_s: float, **parts: np.ndarray) -> np.ndarray:
    sound = np.zeros(round(length_s * RATE))
    for at, part in parts.items():
        start = round(float(at.removeprefix("at")) / 100 * RATE)
        sound[start : start + len(part)] += part
    return sound


def test_each_hit_is_named_where_it_sounds():
    sound = placed(3.0, at20=hit(150), at70=hit(800), at120=hit(800), at210=hit(4_000))
    timeline = analyse(ByPitch(), sound)
    assert [segment.label for segment in timeline.segments] == ["low", "high", "high", "none of these"]
    assert [segment.start_s for segment in timeline.segments] == pytest.approx([0.2, 0.7, 1.2, 2.1], abs=0.03)
    assert [segment.is_none for segment in timeline.segments] == [False, False, False, True]
    for segment in timeline.segments:
        assert segment.start_s < segment.end_s < segment.start_s + 0.5
        assert segment.confidence >= segment.second_confidence
        assert segment.label != segment.second
    assert timeline.duration_s == pytest.approx(3.0)


def test_a_long_sound_is_heard_to_its_end():
    timeline = analyse(ByPitch(), tone(150, 3.2))
    assert len(timeline.segments) == 1
    assert timeline.segments[0].start_s == pytest.approx(0.0, abs=0.02)
    assert timeline.segments[0].end_s == pytest.approx(3.2, abs=0.02)
    assert len(timeline.scores) == 7


def test_steps_find_where_one_sound_becomes_another():
    sound = np.concatenate([tone(150, 2.0), tone(800, 2.0)])
    timeline = analyse(ByPitch(), sound, "steps")
    assert [segment.label for segment in timeline.segments] == ["low", "high"]
    assert timeline.segments[0].end_s == pytest.approx(2.0, abs=0.15)
    assert timeline.scores.sum(axis=1) == pytest.approx(1.0)
    assert np.diff(timeline.starts_s) == pytest.approx(0.125)
    assert timeline.ends_s[-1] == pytest.approx(4.0)


@pytest.mark.parametrize("way", ["hits", "steps"])
def test_silence_is_not_judged(way):
    timeline = analyse(ByPitch(), placed(4.0, at20=hit(150), at300=hit(800)), way)
    assert [segment.label for segment in timeline.segments] == ["low", "high"]
    assert timeline.segments[1].start_s - timeline.segments[0].end_s > 1.0
    assert analyse(ByPitch(), np.zeros(RATE), way).segments == ()


def test_long_files_are_judged_in_batches():
    classifier = ByPitch()
    timeline = analyse(classifier, tone(150, 30.0), "steps")
    assert classifier.windows == len(timeline.scores) > 200
    assert len(timeline.segments) == 1


@pytest.mark.parametrize("length", [1, 10, 7_999, 8_000, 8_001])
@pytest.mark.parametrize("way", ["hits", "steps"])
def test_every_length_works(length, way):
    timeline = analyse(ByPitch(), np.cos(np.arange(length)), way)
    assert timeline.segments[-1].end_s <= timeline.duration_s


def test_what_cannot_be_is_refused():
    with pytest.raises(EmptyAudioError):
        analyse(ByPitch(), np.zeros(0))
    with pytest.raises(ConfigError, match="hop_s"):
        analyse(ByPitch(), np.zeros(100), "steps", hop_s=3.0)
    with pytest.raises(ConfigError, match="way"):
        analyse(ByPitch(), np.zeros(100), "jumps")
