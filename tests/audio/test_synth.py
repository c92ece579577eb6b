from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from samplemind_core.audio.synth import CLASS_NAMES, METHODS, NUM_KITS, SAMPLE_RATE_HZ, Voice, demo_voices, voice


@pytest.fixture(scope="module")
def voices() -> list[Voice]:
    return list(demo_voices(per_class=48, seed=0))


def test_every_voice_is_a_sound(voices: list[Voice]) -> None:
    for one in voices:
        assert one.waveform.dtype == np.float32
        assert one.waveform.ndim == 1
        assert np.isfinite(one.waveform).all()
        assert 10 ** (-30.5 / 20) <= np.abs(one.waveform).max() <= 1
        assert 0.05 <= len(one.waveform) / SAMPLE_RATE_HZ < 2.6
        assert one.sample_rate_hz == SAMPLE_RATE_HZ


def test_classes_and_kits_are_balanced(voices: list[Voice]) -> None:
    counts = Counter((one.label, one.source) for one in voices)
    assert len(counts) == len(CLASS_NAMES) * NUM_KITS
    assert set(counts.values()) == {2}


def test_every_method_occurs() -> None:
    seen = {(one.label, one.method) for one in demo_voices(per_class=72, seed=1)}
    assert seen == {(label, method) for label, methods in METHODS.items() for method in methods}


def test_no_two_voices_are_the_same(voices: list[Voice]) -> None:
    assert len({one.waveform.tobytes() for one in voices}) == len(voices)


def test_a_voice_depends_on_seed_class_and_index_alone(voices: list[Voice]) -> None:
    fewer = list(demo_voices(per_class=2, seed=0))
    for one, same in zip(fewer, voices, strict=False):
        assert np.array_equal(one.waveform, same.waveform)
        assert (one.label, one.source, one.method) == (same.label, same.source, same.method)
    assert np.array_equal(voice(3, 1, seed=0).waveform, voices[6 + 3].waveform)
    assert not np.array_equal(voice(3, 1, seed=1).waveform, voices[6 + 3].waveform)


def test_voices_are_made_one_at_a_time() -> None:
    first = list(itertools.islice(demo_voices(per_class=10**9), len(CLASS_NAMES)))
    assert [one.label for one in first] == list(CLASS_NAMES)


def test_classes_differ_on_average_and_overlap(voices: list[Voice]) -> None:
    def centroid_hz(one: Voice) -> float:
        power = np.square(np.abs(np.fft.rfft(one.waveform)))
        return float((power * np.fft.rfftfreq(len(one.waveform), 1 / SAMPLE_RATE_HZ)).sum() / power.sum())

    centroids = {label: [centroid_hz(one) for one in voices if one.label == label] for label in CLASS_NAMES}
    median = {label: float(np.median(values)) for label, values in centroids.items()}
    assert median["kick"] < median["tom"] < median["snare"] < median["hihat"]
    assert max(centroids["kick"]) > min(centroids["tom"])
    assert max(centroids["cymbal"]) > min(centroids["hihat"])
