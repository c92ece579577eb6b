from __future__ import annotations

import numpy as np
import pytest
import torch

from samplemind_core.audio.features import LogMel
from samplemind_core.charts.learn_hearing import mel_power_figure, spectrum_figure
from samplemind_core.config import FeatureConfig
from samplemind_core.errors import DataError
from samplemind_core.learn.stages import sounds, stages

SMALL = FeatureConfig(duration_s=0.5, n_fft=1024, hop_length=256, n_mels=64)


@pytest.fixture(scope="module")
def tone() -> np.ndarray:
    time_s = np.arange(11_025) / 22_050
    return (0.5 * np.sin(2 * np.pi * 440 * time_s) * np.exp(-6 * time_s)).astype(np.float32)


def test_the_last_stage_is_what_the_network_gets(tone):
    for features in (FeatureConfig(), SMALL):
        seen = stages(tone, features)
        padded = np.zeros(features.num_samples, dtype=np.float32)
        padded[: len(tone)] = tone
        wanted = LogMel(features)(torch.from_numpy(padded)[None])[0, 0].numpy()
        # Linear algebra libraries may sum in another order from call to call: the last bits differ.
        assert np.abs(seen.log_mel - wanted).max() < 1e-3
        assert seen.log_mel.shape == features.shape[1:]
        assert seen.power.shape == (1 + features.n_fft // 2, features.frames)
    assert FeatureConfig().shape == (1, 128, 87)


def test_the_spectrum_is_loudest_at_the_tone(tone):
    seen = stages(tone, SMALL)
    hz = seen.power.sum(axis=1).argmax() * SMALL.sample_rate_hz / SMALL.n_fft
    assert hz == pytest.approx(440, abs=SMALL.sample_rate_hz / SMALL.n_fft)


def test_too_many_bands_for_a_short_slice_stay_empty(tone):
    assert stages(tone, FeatureConfig(n_fft=512, n_mels=256)).num_empty_bands > 0
    assert stages(tone, FeatureConfig(n_mels=64)).num_empty_bands == 0


def test_each_stage_can_be_heard_again(tone):
    seen = stages(tone, SMALL)
    made = sounds(seen)
    for waveform in (made.from_power, made.from_mel, made.from_log_mel):
        assert waveform.shape == seen.waveform.shape
        assert np.isfinite(waveform).all()
        again = stages(waveform, SMALL)
        loud = seen.log_mel > -30
        assert np.abs(again.log_mel - seen.log_mel)[loud].mean() < 3.0
        assert np.square(waveform).mean() == pytest.approx(np.square(seen.waveform).mean(), rel=0.01)


def test_silence_stays_silent():
    made = sounds(stages(np.zeros(100, dtype=np.float32), SMALL))
    assert not made.from_power.any()


def test_figures_say_what_they_show(tone):
    seen = stages(tone, SMALL)
    assert "loudest at 43" in spectrum_figure(seen.power, SMALL, "dark").layout.meta["alt"]
    assert "hundredth" in mel_power_figure(seen.mel, SMALL).layout.meta["alt"]
    assert "no sound" in spectrum_figure(0 * seen.power, SMALL).layout.meta["alt"]
    for draw in (spectrum_figure, mel_power_figure):
        with pytest.raises(DataError, match="Expected"):
            draw(np.ones((3, 4)), SMALL)


def test_a_large_spectrum_is_drawn_with_few_cells():
    features = FeatureConfig(n_fft=4096, hop_length=128)
    drawn = spectrum_figure(np.random.default_rng(0).random((2049, 345)), features).data[0].z
    assert drawn.size <= 160 * 200
