from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from samplemind_core.audio.features import LogMel
from samplemind_core.config import FeatureConfig
from samplemind_core.data.hearing import hear, hearing_warnings, sounding
from samplemind_core.errors import EmptyAudioError
from samplemind_core.workspace import Workspace

FEATURES = FeatureConfig()
RATE = FEATURES.sample_rate_hz


def tone(hz: float, seconds: float = 2.0, rate: int = RATE, decay_s: float = np.inf) -> np.ndarray:
    time_s = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hz * time_s) * np.exp(-time_s / decay_s)).astype(np.float32)


def noise(seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * rate)).astype(np.float32)


def peak_hz(waveform: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(waveform)).argmax() * RATE / len(waveform))


@pytest.mark.parametrize("hz", [440.0, 2_000.0])
def test_a_tone_comes_back_at_its_pitch_and_level(hz: float) -> None:
    heard = hear(tone(hz), RATE, FEATURES)
    assert heard.resynthesised.shape == heard.original.shape == (FEATURES.num_samples,)
    assert heard.resynthesised.dtype == np.float32
    assert peak_hz(heard.resynthesised) == pytest.approx(hz, rel=0.06)
    assert np.std(heard.resynthesised) == pytest.approx(np.std(heard.original), rel=1e-3)
    assert heard.warnings == () or "treble" in " ".join(heard.warnings)


def test_the_picture_of_the_resynthesis_is_the_picture() -> None:
    sound = tone(180.0, decay_s=0.2) + 0.5 * noise() * np.exp(-np.arange(2 * RATE) / (0.05 * RATE)).astype(np.float32)
    heard = hear(sound, RATE, FEATURES)
    again = LogMel(FEATURES)(torch.from_numpy(heard.resynthesised)[None])[0, 0].numpy()
    loud = heard.log_mel > -40
    assert np.abs(again - heard.log_mel)[loud].mean() < 3.0
    wrong = np.roll(heard.log_mel, heard.log_mel.shape[1] // 2, axis=1)
    assert np.abs(again - wrong)[loud].mean() > 10.0


def test_pauses_stay_silent() -> None:
    heard = hear(np.concatenate([noise(0.2), np.zeros(RATE, np.float32)]), RATE, FEATURES)
    assert np.abs(heard.resynthesised[RATE // 2 :]).max() < 1e-3 * np.abs(heard.resynthesised).max()


def test_silence_is_silence_and_said() -> None:
    heard = hear(np.zeros(RATE, np.float32), RATE, FEATURES)
    assert not heard.resynthesised.any()
    assert "no sound" in heard.warnings[0]
    with pytest.raises(EmptyAudioError):
        hear(np.zeros(0, np.float32), RATE, FEATURES)


def test_a_clip_of_the_workspace_is_heard(workspace: Workspace, bursts: Callable[..., Path]) -> None:
    workspace.import_dataset(bursts(), name="bursts")
    clip = workspace.store.datasets.clips(workspace.dataset("bursts").id)[0]
    assert clip.id is not None
    heard = workspace.hear(clip.id)
    assert heard.sample_rate_hz == RATE
    assert any("sampled at 8,000 Hz" in warning for warning in heard.warnings)
    assert workspace.hear(clip.id, FeatureConfig(sample_rate_hz=8_000)).sample_rate_hz == 8_000


@pytest.mark.parametrize(
    ("sound", "rate", "words"),
    [
        (tone(41.0), RATE, "near 41 Hz"),
        (noise(0.1), RATE, "95 % of the window is padding"),
        (noise(4.0), RATE, "2.00 s with 50 % of the energy are cut"),
        (np.concatenate([np.zeros(RATE // 10, np.float32), noise()]), RATE, "The clip is 2.10 s"),
        (np.concatenate([np.zeros(RATE // 10, np.float32), noise(1.0)]), RATE, "starts 100 ms into"),
        (noise(1.5, 44_100), 44_100, "50 % of the energy lies above 11,025 Hz"),
        (noise(1.5, 8_000), 8_000, "sampled at 8,000 Hz"),
    ],
)
def test_what_is_lost_is_said(sound: np.ndarray, rate: int, words: str) -> None:
    found = hearing_warnings(sound, rate, FEATURES)
    if "2.10 s" in words:  # only silence is cut: nothing to say
        assert not any(words in warning for warning in found)
    else:
        assert any(words in warning for warning in found), found


def test_lost_treble_is_said() -> None:
    import soxr

    dull = soxr.resample(soxr.resample(noise(1.5), RATE, 6_000), 6_000, RATE)
    assert any("ends at about" in warning for warning in hearing_warnings(dull.astype(np.float32), RATE, FEATURES))


def test_a_full_window_of_noise_needs_no_warning() -> None:
    assert hearing_warnings(noise(), RATE, FEATURES) == ()


def test_the_window_is_the_one_that_is_analysed() -> None:
    sound = np.concatenate([0.01 * noise(1.0), noise(2.0), 0.01 * noise(1.0)])
    heard = hear(sound, RATE, FEATURES)
    assert heard.window_s == pytest.approx((1.0, 3.0), abs=0.02)
    assert sounding(np.zeros(5, np.float32)) == (0, 0)
    assert sounding(np.array([0, 0, 1, -0.5, 1e-4], np.float32)) == (2, 4)
