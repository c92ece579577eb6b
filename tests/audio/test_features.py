from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from samplemind_core.audio.features import LogMel, mel_filters
from samplemind_core.audio.window import fit_window, fit_windows
from samplemind_core.config import FeatureConfig
from samplemind_core.errors import AudioError, ConfigError, EmptyAudioError

GRID = [
    FeatureConfig(),
    FeatureConfig(top_db=160.0),
    FeatureConfig(
        sample_rate_hz=44_100, n_fft=1_024, hop_length=256, n_mels=64, fmin_hz=20, fmax_hz=16_000, top_db=100
    ),
    FeatureConfig(sample_rate_hz=16_000, n_fft=512, hop_length=160, n_mels=40, fmax_hz=7_600, top_db=60),
    FeatureConfig(sample_rate_hz=8_000, n_fft=300, hop_length=64, n_mels=20),
]


def clips(config: FeatureConfig) -> torch.Tensor:
    """Noise, a falling sine, a steady sine, near-silence and an impulse of very unlike levels."""
    rng = np.random.default_rng(0)
    size = config.num_samples
    time = np.arange(size) / config.sample_rate_hz
    impulse = np.zeros(size)
    impulse[size // 2] = 1
    sounds = [
        rng.standard_normal(size) * np.exp(-8 * time),
        np.sin(2 * np.pi * (60 * time + 40 * (1 - np.exp(-30 * time)))) * np.exp(-5 * time),
        np.sin(2 * np.pi * 440 * time),
        rng.standard_normal(size) * 1e-4,
        impulse * 30,
    ]
    return torch.from_numpy(np.stack(sounds).astype(np.float32))


def reference(waveform: np.ndarray, config: FeatureConfig) -> np.ndarray:
    mel = librosa.feature.melspectrogram(
        y=waveform,
        sr=config.sample_rate_hz,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.fmin_hz,
        fmax=config.fmax_hz,
        center=True,
        pad_mode="constant",
        power=2.0,
    )
    return librosa.power_to_db(mel, ref=np.max, top_db=config.top_db)


@pytest.mark.parametrize("config", GRID, ids=str)
def test_log_mel_equals_librosa(config: FeatureConfig) -> None:
    waveforms = clips(config)
    result = LogMel(config)(waveforms)
    assert result.shape == (len(waveforms), *config.shape)
    assert result.dtype == torch.float32
    for waveform, log_mel in zip(waveforms, result, strict=True):
        assert np.abs(log_mel[0].numpy() - reference(waveform.numpy(), config)).max() < 1e-3


@pytest.mark.parametrize("config", GRID, ids=str)
def test_filters_equal_librosa(config: FeatureConfig) -> None:
    expected = librosa.filters.mel(
        sr=config.sample_rate_hz,
        n_fft=config.n_fft,
        n_mels=config.n_mels,
        fmin=config.fmin_hz,
        fmax=config.fmax_hz,
    )
    assert np.abs(mel_filters(config) - expected).max() < 1e-7


def test_the_default_front_end_has_the_documented_shape() -> None:
    assert LogMel(FeatureConfig())(torch.zeros(1, 44_100)).shape == (1, 1, 128, 87)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_is_bitwise_its_clips_one_by_one(threads: int) -> None:
    config = FeatureConfig()
    front_end = LogMel(config)
    waveforms = torch.cat(
        [clips(config), torch.randn(12, config.num_samples, generator=torch.Generator().manual_seed(0))]
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        batch = front_end(waveforms)
        assert torch.equal(batch, torch.cat([front_end(clip[None]) for clip in waveforms]))
        assert torch.equal(batch[3:10], front_end(waveforms[3:10]))
    finally:
        torch.set_num_threads(before)


def test_a_loud_neighbour_changes_nothing() -> None:
    config = FeatureConfig()
    front_end = LogMel(config)
    quiet = clips(config)[3:4]
    assert torch.equal(front_end(torch.cat([quiet, quiet * 1e6]))[:1], front_end(quiet))


def test_silence_is_zero_db_as_in_librosa() -> None:
    config = FeatureConfig(duration_s=0.2)
    silence = torch.zeros(1, config.num_samples)
    assert torch.equal(LogMel(config)(silence), torch.zeros(1, *config.shape))
    assert (reference(silence[0].numpy(), config) == 0).all()


def test_range_is_top_db_below_zero() -> None:
    config = FeatureConfig(top_db=40.0)
    result = LogMel(config)(clips(config))
    assert (result.amax(dim=(1, 2, 3)) == 0).all()
    assert (result.amin(dim=(1, 2, 3))[:3] == -40).all()


def test_the_module_leaves_nothing_in_a_checkpoint() -> None:
    assert LogMel(FeatureConfig()).state_dict() == {}


@pytest.mark.parametrize("shape", [(100,), (1, 1, 100), (2, 0)])
def test_a_wrong_shape_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioError, match=r"\(B, T\)"):
        LogMel(FeatureConfig())(torch.zeros(shape))


SMALL = FeatureConfig(sample_rate_hz=4_000, duration_s=0.05, n_fft=64, hop_length=16, n_mels=8)  # 200 samples


def test_a_short_clip_is_padded_at_the_end() -> None:
    window, start = fit_window(np.ones(50), SMALL)
    assert start == 0
    assert window.dtype == np.float32
    assert np.array_equal(window, np.r_[np.ones(50), np.zeros(150)])


def test_the_loudest_window_is_found() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        waveform = rng.standard_normal(rng.integers(201, 1_000)).astype(np.float32)
        energies = [np.square(waveform[at : at + 200], dtype=np.float64).sum() for at in range(len(waveform) - 199)]
        window, start = fit_window(waveform, SMALL)
        assert start == int(np.argmax(energies))
        assert np.array_equal(window, waveform[start : start + 200])


def test_the_earliest_of_equally_loud_windows_is_taken() -> None:
    assert fit_window(np.zeros(1_000), SMALL)[1] == 0
    assert fit_window(np.full(1_000, 0.1), SMALL)[1] == 0
    burst = np.zeros(1_000)
    burst[[300, 700]] = 0.3
    assert fit_window(burst, SMALL)[1] == 101


def test_the_start_is_kept_where_asked() -> None:
    waveform = np.r_[np.zeros(500), np.ones(500)]
    window, start = fit_window(waveform, SMALL.model_copy(update={"crop": "start"}))
    assert start == 0
    assert not window.any()


@pytest.mark.parametrize("size", [1, 199, 200, 201, 250, 300, 999])
def test_windows_cover_every_sample_of_a_long_clip(size: int) -> None:
    waveform = np.arange(1, size + 1, dtype=np.float32)
    windows, starts = fit_windows(waveform, SMALL, hop_s=0.025)
    assert windows.shape == (len(starts), 200)
    assert np.array_equal(starts, np.arange(len(starts)) * 100)
    assert starts[-1] + 200 >= size
    assert len(starts) == 1 or starts[-2] + 200 < size
    padded = np.r_[waveform, np.zeros(200, np.float32)]
    for window, start in zip(windows, starts, strict=True):
        assert np.array_equal(window, padded[start : start + 200])


def test_windows_refuse_what_they_cannot_use() -> None:
    with pytest.raises(EmptyAudioError):
        fit_window(np.zeros(0), SMALL)
    with pytest.raises(AudioError, match="mono"):
        fit_window(np.zeros((2, 10)), SMALL)
    for hop_s in (0.0, -1.0, 0.06):
        with pytest.raises(ConfigError, match="hop_s"):
            fit_windows(np.ones(10), SMALL, hop_s)


@pytest.mark.parametrize("config", GRID, ids=str)
def test_a_clip_without_its_padding_is_bitwise_the_padded_one(config: FeatureConfig) -> None:
    front_end = LogMel(config)
    rng = np.random.default_rng(0)
    for size in (1, config.n_fft // 2, config.num_samples // 3, config.num_samples):
        waveform = rng.standard_normal(size).astype(np.float32)
        waveform[size - size // 4 :] = 0
        window, _ = fit_window(waveform, config)
        assert torch.equal(front_end.of_clip(waveform), front_end(torch.from_numpy(window)[None])[0])
    assert torch.equal(front_end.of_clip(np.zeros(9, np.float32)), torch.zeros(config.shape))
