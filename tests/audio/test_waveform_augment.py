"""What each change of a waveform claims, measured on the samples."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from samplemind_core.audio.waveform_augment import augment_waveforms, resample, saturate
from samplemind_core.config import AugmentConfig
from samplemind_core.errors import AudioError, ConfigError

RATE = 16_000
SETTINGS: dict[str, float] = {
    "wave_pitch_semitones": 4.0,
    "wave_shift_ms": 40.0,
    "wave_eq_db": 12.0,
    "wave_drive_db": 20.0,
    "wave_room_s": 0.3,
    "wave_noise_db": 20.0,
    "wave_band_limit_hz": 1_000.0,
    "wave_layer_db": 6.0,
    "wave_gain_db": 12.0,
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tone(hz: float = 500.0, clips: int = 1, length: int = RATE // 2, start: int = 800) -> Tensor:
    time = (torch.arange(length, dtype=torch.float64) - start) / RATE
    sound = 0.5 * torch.sin(2 * math.pi * hz * time) * torch.exp(-time.clamp(min=0) / 0.1) * (time >= 0)
    return sound.float().repeat(clips, 1)


def changed(clips: Tensor, seed: int = 0, **settings: float) -> Tensor:
    layers = tone(3_000.0, len(clips), clips.shape[1]) if "wave_layer_db" in settings else None
    return augment_waveforms(clips, AugmentConfig(**settings), RATE, seeded(seed), layers)


def spectrum(clips: Tensor) -> Tensor:
    return torch.fft.rfft(clips, 4 * RATE).abs()


def loudest_hz(clips: Tensor) -> Tensor:
    return spectrum(clips).argmax(dim=1) / 4


def share_above(clips: Tensor, hz: float) -> Tensor:
    power = spectrum(clips).square()
    return power[:, int(4 * hz) :].sum(dim=1) / power.sum(dim=1)


@pytest.mark.parametrize("name", SETTINGS)
def test_each_change_keeps_shape_range_input_and_seed(name: str) -> None:
    clips = torch.cat([tone(clips=7), torch.zeros(1, RATE // 2)])
    copy = clips.clone()
    first = changed(clips, **{name: SETTINGS[name]})
    assert torch.equal(clips, copy)
    assert first.shape == clips.shape
    assert first.dtype == torch.float32
    assert first.abs().max() <= 1
    assert torch.isfinite(first).all()
    assert torch.equal(first, changed(clips, **{name: SETTINGS[name]}))
    assert not torch.equal(first, changed(clips, seed=1, **{name: SETTINGS[name]}))
    assert not torch.equal(first[:-1], clips[:-1])
    assert first[-1].abs().max() < 1e-6  # silence stays silence


def test_polarity_alone_where_all_is_off() -> None:
    clips = tone(clips=64)
    signs = (changed(clips) / clips.where(clips != 0, torch.ones(()))).nan_to_num()[:, 900]
    assert set(signs.tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("name", SETTINGS)
def test_one_change_moves_no_other(name: str) -> None:
    """Seen at the polarity, which clips keep, and at the noise, which is drawn last."""
    clips, quiet = tone(clips=16), {"wave_noise_db": 40.0}
    with_it = changed(clips, **quiet | {name: SETTINGS[name]})
    noise = changed(clips, **quiet) - changed(clips)
    if name in ("wave_room_s", "wave_eq_db", "wave_band_limit_hz"):
        other = with_it - changed(clips, **{name: SETTINGS[name]})
        noisy = (noise.abs().amax(dim=1) > 1e-4) & (other.abs().amax(dim=1) > 1e-4)
        assert noisy.any()
        cosine = torch.nn.functional.cosine_similarity(noise[noisy], other[noisy])
        assert (cosine > 0.99).all()
    assert with_it.shape == clips.shape


def test_a_neighbour_changes_nothing() -> None:
    clips = torch.cat([tone(), 0.1 * torch.randn(5, RATE // 2, generator=seeded(3)).clamp(-1, 1)])
    other = torch.cat([clips[:1], clips[1:].flip(0)])
    first, second = (changed(x, **SETTINGS) for x in (clips, other))
    assert torch.allclose(first[0], second[0], atol=1e-6)


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.0, 1.25, 2.0])
def test_resampling_moves_pitch_and_time_together(speed: float) -> None:
    fast = resample(tone(), torch.tensor([speed]))
    assert float(loudest_hz(fast)) == pytest.approx(500 * speed, rel=0.01)
    first = int((fast[0].abs() > 0.02).nonzero()[0])
    assert first == pytest.approx(800 / speed, abs=12)
    if speed == 1.0:
        assert torch.allclose(fast, tone(), atol=1e-3)
    wanted = tone(500 * speed, start=0)[0, :100].abs().max()
    assert float(fast.abs().max()) == pytest.approx(float(wanted), rel=0.05)


def test_resampling_makes_no_aliases_and_does_not_wrap() -> None:
    high = 0.5 * torch.sin(2 * math.pi * 6_000 * torch.arange(RATE // 2) / RATE)[None]
    up = resample(high, torch.tensor([1.6]))  # 9,600 Hz is above half the rate
    assert up[:, 200:4_000].abs().max() < 0.01
    noise = 0.1 * torch.randn(1, RATE // 2, generator=seeded())
    assert (resample(noise, torch.tensor([2.0]))[:, RATE // 4 + 2 :] == 0).all()


def test_pitches_span_their_range() -> None:
    hz = loudest_hz(changed(tone(1_000.0, clips=200), wave_pitch_semitones=4.0))
    semitones = 12 * torch.log2(hz / 1_000)
    assert -4.1 < semitones.min() < -3.5
    assert 3.5 < semitones.max() < 4.1


def test_shifts_span_their_range_and_do_not_wrap() -> None:
    clips = tone(clips=200)
    moved = changed(clips, wave_shift_ms=60.0)  # 960 samples: more than comes before the sound
    first = torch.tensor([int((row.abs() > 0.05).nonzero()[0]) for row in moved]) - 800
    assert -801 <= first.min() < -700
    assert 850 < first.max() <= 1_000
    late = tone(clips=200, start=RATE // 2 - 100)
    assert changed(late, wave_shift_ms=60.0)[:, : RATE // 4].abs().max() < 1e-3
    early = tone(clips=200, start=0)
    assert changed(early, wave_shift_ms=60.0)[:, -RATE // 8 :].abs().max() < early[:, -RATE // 4 :].abs().max()


def test_an_eq_reaches_its_gains_and_no_more() -> None:
    noise = 0.05 * torch.randn(1, RATE, generator=seeded()).repeat(100, 1)
    ratio = spectrum(changed(noise, wave_eq_db=9.0)) / spectrum(noise)
    bands = ratio[:, 400:-400].square().unfold(1, 400, 400).mean(dim=2)
    gains_db = 10 * bands.log10()
    assert 6 < gains_db.max() < 11
    assert -11 < gains_db.min() < -6


def test_a_low_pass_goes_no_lower_than_its_limit() -> None:
    noise = 0.05 * torch.randn(1, RATE, generator=seeded()).repeat(200, 1)
    result = changed(noise, wave_band_limit_hz=2_000.0)
    untouched = (result.abs() - noise.abs()).abs().amax(dim=1) < 1e-5
    assert 0.4 < untouched.double().mean() < 0.6
    kept = spectrum(result)[:, : 4 * 1_900].square().sum(dim=1) / spectrum(noise)[:, : 4 * 1_900].square().sum(dim=1)
    assert (kept - 1).abs().max() < 0.05
    assert share_above(result, 5_000).min() < 0.01 < share_above(noise, 5_000).min()


def test_saturation_keeps_the_peak_and_adds_odd_harmonics() -> None:
    clean = tone(500.0)
    driven = saturate(clean, torch.tensor([10.0]))
    assert float(driven.abs().max()) == pytest.approx(float(clean.abs().max()), rel=1e-3)
    power = spectrum(driven)[0].square()
    assert power[4 * 1_400 : 4 * 1_600].sum() > 100 * power[4 * 900 : 4 * 1_100].sum()
    assert torch.allclose(saturate(clean, torch.tensor([0.01])), clean, atol=1e-4)


def test_a_room_follows_the_sound() -> None:
    click = torch.zeros(100, RATE)
    click[:, 4_000] = 0.5
    result = changed(click, wave_room_s=0.5)
    assert result[:, :3_990].abs().max() < 1e-4
    tails = result[:, 4_010:].square().sum(dim=1) / 0.25
    wet = tails > 1e-6
    assert 0.35 < wet.double().mean() < 0.65
    assert tails[wet].min() > 0.005
    assert tails.max() < 1.3
    # The longest rooms have fallen by 60 dB when their time is over.
    assert result[:, 4_000 + RATE // 2 + 10 :].abs().max() < 1e-3


def test_noise_and_layers_keep_their_distance() -> None:
    clips = tone(clips=300)
    noise = changed(clips, wave_noise_db=20.0) - changed(clips)
    loudest = clips[:1].square().unfold(1, 800, 200).mean(dim=2).max()
    distance_db = 10 * (loudest / noise.square().mean(dim=1).clamp(min=1e-20)).log10()
    assert 19 < distance_db.min() < 25
    under = changed(clips, wave_layer_db=6.0) - changed(clips)
    ratio_db = 20 * (clips.abs().max() / under.abs().amax(dim=1).clamp(min=1e-9)).log10()
    assert 5.9 < ratio_db.min() < 9
    assert 0.4 < (under.abs().amax(dim=1) == 0).double().mean() < 0.6


def test_gain_is_cut_at_full_scale() -> None:
    result = changed(tone(clips=100), wave_gain_db=12.0)
    peaks = result.abs().amax(dim=1)
    assert peaks.max() == 1.0
    assert 0.1 < peaks.min() < 0.15


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(ConfigError, match="wave_band_limit_hz"):
        changed(tone(), wave_band_limit_hz=8_000.0)
    with pytest.raises(ConfigError, match="Second sounds"):
        augment_waveforms(tone(), AugmentConfig(wave_layer_db=6.0), RATE, seeded())
    with pytest.raises(AudioError):
        changed(torch.zeros(10))
