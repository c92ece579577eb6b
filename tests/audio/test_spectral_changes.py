"""What each change of a sound claims, measured on its log-mel spectrogram."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from samplemind_core.audio.augment import _only, _shift, augment
from samplemind_core.audio.features import LogMel, hz_to_mel, mel_frequencies
from samplemind_core.audio.spectral_changes import (
    DB,
    _doubling,
    _recursion,
    band_centres_hz,
    equaliser,
    late_reverberation,
    low_pass_curve,
    noise_power,
    warp,
)
from samplemind_core.config import AUGMENT_PRESETS, AugmentConfig, FeatureConfig, RunConfig
from samplemind_core.errors import ConfigError

FEATURES = FeatureConfig()
RATE, FRAME_S = FEATURES.sample_rate_hz, FEATURES.hop_length / FEATURES.sample_rate_hz
SETTINGS: dict[str, float] = {
    "resample_semitones": 4.0,
    "warp_semitones": 3.0,
    "stretch_percent": 25.0,
    "eq_db": 8.0,
    "decay_db_s": 20.0,
    "room_s": 1.0,
    "noise_snr_db": 30.0,
    "band_limit_hz": 3_000.0,
}
ALL = AugmentConfig(**SETTINGS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def hit(hz: float = 1_500.0, start_s: float = 0.2, decay_s: float = 0.1, seconds: float = 2.0) -> Tensor:
    """A decaying tone (1, 1, n_mels, frames)."""
    time = torch.arange(round(seconds * RATE)) / RATE - start_s
    sound = torch.sin(2 * math.pi * hz * time) * torch.exp(-time.clamp(min=0) / decay_s) * (time >= 0)
    return LogMel(FEATURES)(sound[None])


def loudest_band_hz(log_mel: Tensor) -> float:
    return float(band_centres_hz(FEATURES, torch.device("cpu"))[log_mel.amax(dim=-1).flatten().argmax()])


def half_way_s(log_mel: Tensor, level_db: float) -> float:
    """When the loudest band falls through a level for the last time."""
    band = log_mel[0, 0, log_mel.amax(dim=-1).flatten().argmax()]
    return float(torch.nonzero(band >= level_db)[-1]) * FRAME_S


def test_the_mel_scale_is_the_front_ends() -> None:
    hz = torch.tensor([0.0, 200.0, 999.9, 1_000.0, 6_400.0, 11_025.0])
    assert torch.allclose(hz_to_mel(hz)[[0, 1, 3, 4]], torch.tensor([0.0, 3.0, 15.0, 42.0]), atol=1e-4)
    even = hz_to_mel(torch.from_numpy(mel_frequencies(40, 0.0, 11_025.0)).float()).diff()
    assert torch.allclose(even, even[0].expand(39), atol=1e-4)


@pytest.mark.parametrize("semitones", [-7.0, -2.0, 0.0, 3.0, 6.0])
@pytest.mark.parametrize("hz", [400.0, 1_500.0, 4_000.0])
def test_a_warp_moves_a_tone_by_semitones(semitones: float, hz: float) -> None:
    ratio = 2 ** (semitones / 12)
    moved = warp(hit(hz), torch.tensor([ratio]), None, FEATURES)
    centres = band_centres_hz(FEATURES, torch.device("cpu"))
    band = int((centres - hz * ratio).abs().argmin())
    width = float(centres[band + 1] - centres[band])
    assert abs(loudest_band_hz(moved) - hz * ratio) < 1.5 * width


def test_resampling_is_what_a_sampler_does() -> None:
    """The same as resampling the waveform, within what one frame and one band can tell."""
    ratio = 2 ** (4 / 12)
    tone = hit(1_000.0, 0.3, 0.15)
    wanted = hit(1_000.0 * ratio, 0.3 / ratio, 0.15 / ratio)
    got = warp(tone, torch.tensor([ratio]), torch.tensor([ratio]), FEATURES)
    loud = wanted > -40
    assert (got - wanted)[loud].abs().median() < 4  # a pure tone between two bands is that much quieter in both
    assert abs(half_way_s(got, -30) - half_way_s(wanted, -30)) < 2.5 * FRAME_S


def test_a_warp_of_one_changes_nothing_and_what_is_unknown_is_floor() -> None:
    noise = -60 * torch.rand(2, *FEATURES.shape, generator=seeded(1))
    one = torch.ones(2)
    assert (warp(noise, one, one, FEATURES) - noise).abs().max() < 0.02
    lower = warp(noise, torch.full((2,), 0.5), None, FEATURES)
    top = band_centres_hz(FEATURES, torch.device("cpu")) > 0.52 * FEATURES.max_hz
    assert (lower[:, :, top] == -80).all()
    assert (lower[:, :, ~top][:, :, :60] > -80).all()
    faster = warp(noise, None, torch.full((2,), 2.0), FEATURES)
    assert (faster[..., 44:] == -80).all()  # the second half never wraps around
    assert (faster[..., :43] > -80).all()
    assert torch.allclose(faster[..., 10], noise[..., 20], atol=1e-4)
    assert (warp(noise, 2 * one, None, FEATURES)[:, :, :1] > -80).all()


def test_an_equaliser_reaches_its_gains_and_is_straight_between() -> None:
    gains = torch.tensor([[6.0, -6.0, 0.0, 3.0, 12.0]])
    curve = equaliser(gains, 129)[0, 0, :, 0]
    assert torch.allclose(curve[[0, 32, 64, 96, 128]], gains[0], atol=1e-5)
    assert curve[16] == pytest.approx(0.0, abs=1e-5)


def test_a_low_pass_falls_by_its_slope() -> None:
    curve = low_pass_curve(torch.tensor([2_000.0]), torch.tensor([48.0]), FEATURES)[0, 0, :, 0]
    centres = band_centres_hz(FEATURES, torch.device("cpu"))
    assert (curve[centres <= 2_000] == 0).all()
    assert curve[int((centres - 4_000).abs().argmin())] == pytest.approx(-48, abs=2)


@pytest.mark.parametrize("rt60_s", [0.1, 0.5, 2.0])
def test_a_room_falls_by_sixty_db_in_rt60_and_adds_as_much_as_went_in(rt60_s: float) -> None:
    frames = 400
    power = torch.zeros(1, 1, 4, frames)
    power[..., 3] = 1.0
    late = late_reverberation(power, torch.full((1, 1, 4, 1), rt60_s), FEATURES)
    assert (late[..., :4] == 0).all()  # nothing sounds before it is played, nor at once
    level = 10 * late[0, 0, 0].log10()
    span = min(40, int(rt60_s / FRAME_S))
    assert float(level[4] - level[4 + span]) == pytest.approx(60 * span * FRAME_S / rt60_s, rel=0.01)
    assert float(late[0, 0, 0].sum()) == pytest.approx(1.0, abs=0.01)
    half = late_reverberation(power, torch.full((1, 1, 4, 1), rt60_s), FEATURES, torch.full((1, 1, 1, 1), 0.5))
    torch.testing.assert_close(half, 0.5 * late)


def test_both_ways_through_a_room_agree() -> None:
    inflow = torch.rand(3, 1, 16, 87, generator=seeded())
    kept = 0.2 + 0.79 * torch.rand(3, 1, 16, 1, generator=seeded(1))
    assert torch.allclose(_recursion(inflow.clone(), kept), _doubling(inflow.clone(), kept), rtol=1e-4)


def test_noise_has_its_level_and_colour() -> None:
    level, white = torch.full((300,), -30.0), torch.zeros(300)
    place = torch.linspace(0, 0.999, 300)
    bands_db = 10 * noise_power(level, white, place, FEATURES).mean(dim=(0, 1, 3)).log10()
    assert bands_db[20:].mean() == pytest.approx(-30, abs=0.5)
    assert (bands_db[20:] + 30).abs().max() < 2
    pink = 10 * noise_power(level, torch.full((300,), -3.0), place, FEATURES).mean(dim=(0, 1, 3)).log10()
    centres = band_centres_hz(FEATURES, torch.device("cpu"))
    high, low = (int((centres - hz).abs().argmin()) for hz in (8_000, 2_000))
    assert float(pink[high] - pink[low] - (bands_db[high] - bands_db[low])) == pytest.approx(-6, abs=0.3)
    assert pink.max() < -28


# -- as augment() uses them ----------------------------------------------------------------------


def one(name: str, value: float, clips: int = 200, sound: Tensor | None = None) -> tuple[Tensor, Tensor]:
    log_mel = (hit() if sound is None else sound).repeat(clips, 1, 1, 1)
    return log_mel, augment(log_mel, AugmentConfig(**{name: value}), FEATURES, seeded())


@pytest.mark.parametrize("name", SETTINGS)
def test_each_change_keeps_range_input_and_seed(name: str) -> None:
    log_mel = torch.cat(
        [hit(), -80 * torch.rand(6, *FEATURES.shape, generator=seeded(2)), torch.zeros(1, *FEATURES.shape)]
    )
    log_mel = log_mel - log_mel.amax(dim=(1, 2, 3), keepdim=True)
    copy, config = log_mel.clone(), AugmentConfig(**{name: SETTINGS[name]})
    assert config.changes_sound
    assert config.enabled
    results = [augment(log_mel, config, FEATURES, seeded(seed)) for seed in range(8)]
    assert torch.equal(log_mel, copy)
    for result in results:
        assert result.shape == log_mel.shape
        assert result.dtype == torch.float32
        assert result.min() >= -80
        assert (result.amax(dim=(1, 2, 3)) == 0).all()
        assert torch.equal(result[-1], log_mel[-1])  # silence stays what it is
    assert any(not torch.equal(result, log_mel) for result in results)
    assert torch.equal(results[3], augment(log_mel, config, FEATURES, seeded(3)))
    assert not torch.equal(results[0], results[1]) or not torch.equal(results[0], results[2])


@pytest.mark.parametrize("name", SETTINGS)
def test_one_change_on_or_off_moves_no_other(name: str) -> None:
    """Seen at a mask, which is drawn before, and at the shift of a tone, which is drawn after most."""
    log_mel = hit().repeat(32, 1, 1, 1)
    masked = AugmentConfig(freq_mask_bins=40)
    where = (augment(log_mel, masked, FEATURES, seeded()) == -80).all(dim=3)
    both = augment(log_mel, masked.model_copy(update={name: SETTINGS[name]}), FEATURES, seeded())
    assert ((both == -80).all(dim=3) | ~where).all()


def test_a_neighbour_changes_nothing() -> None:
    log_mel = -60 * torch.rand(8, *FEATURES.shape, generator=seeded(2))
    log_mel = log_mel - log_mel.amax(dim=(1, 2, 3), keepdim=True)
    other = torch.cat([log_mel[:1], log_mel[1:].flip(0)])
    first, second = (augment(x, ALL, FEATURES, seeded()) for x in (log_mel, other))
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1:], second[1:])


def test_sparing_clips_without_room_and_noise_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU only clips to which something happens are computed, on a GPU all."""
    log_mel = hit().repeat(24, 1, 1, 1)
    strong = AUGMENT_PRESETS["strong"].config
    assert _only(torch.tensor([False, True, False])).tolist() == [1]
    spared = augment(log_mel, strong, FEATURES, seeded())
    monkeypatch.setattr("samplemind_core.audio.augment._only", lambda happens: None)
    torch.testing.assert_close(spared, augment(log_mel, strong, FEATURES, seeded()), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_shift_is_the_same_whatever_the_order_in_memory(dim: int) -> None:
    log_mel = torch.rand(5, 1, 12, 9, generator=seeded())
    by_frame = log_mel.transpose(2, 3).contiguous().transpose(2, 3)
    steps = torch.tensor([-9, -2, 0, 3, 8])
    (moved, gap), (other, other_gap) = (_shift(each, steps, dim) for each in (log_mel, by_frame))
    assert torch.equal(gap, other_gap)
    shown = (~gap).view(5, 1, -1, 1) if dim == 2 else (~gap).view(5, 1, 1, -1)
    assert torch.equal(moved * shown, other * shown)
    for clip, step in enumerate(steps.tolist()):
        assert torch.equal((moved * shown)[clip], (log_mel.roll(step, dim) * shown)[clip])


@pytest.mark.parametrize("name", ["eq_db", "decay_db_s", "band_limit_hz"])
def test_gains_leave_the_floor_where_it_is(name: str) -> None:
    before, after = one(name, 30.0 if name != "band_limit_hz" else 500.0)
    assert (before == -80).any()
    assert (after[before == -80] == -80).all()
    assert not torch.equal(before, after)


@pytest.mark.parametrize(("name", "limit"), [("resample_semitones", 5.0), ("warp_semitones", 3.0)])
def test_pitches_span_their_range_and_no_more(name: str, limit: float) -> None:
    _, after = one(name, limit, sound=hit(4_000.0))
    semitones = [12 * math.log2(loudest_band_hz(row[None]) / 4_000) for row in after]
    assert -limit - 0.5 < min(semitones) < -0.8 * limit
    assert 0.8 * limit < max(semitones) < limit + 0.5
    lengths = [half_way_s(row[None], -30) for row in after]
    assert (max(lengths) - min(lengths) < 3 * FRAME_S) == (name == "warp_semitones")


def test_a_stretch_spans_its_range_and_keeps_the_pitch() -> None:
    before, after = one("stretch_percent", 50.0, sound=hit(2_000.0, 0.0, 0.2))
    length = half_way_s(before[:1], -30)
    ratios = [half_way_s(row[None], -30) / length for row in after]
    assert 1 / 1.5 - 0.05 < min(ratios) < 0.75
    assert 1.4 < max(ratios) < 1.55
    assert {loudest_band_hz(row[None]) for row in after} == {loudest_band_hz(before[:1])}


def test_a_decay_is_tilted_by_db_per_second() -> None:
    sound = torch.full((1, *FEATURES.shape), -40.0)
    sound[..., 0] = 0.0
    _, after = one("decay_db_s", 10.0, sound=sound)
    slopes = (after[:, 0, 64, 80] - after[:, 0, 64, 10]) / (70 * FRAME_S)
    assert -10.01 < slopes.min() < -9
    assert 9 < slopes.max() < 10.01


def test_half_of_the_clips_get_a_room_noise_or_low_pass() -> None:
    for name in ("room_s", "noise_snr_db", "band_limit_hz"):
        before, after = one(name, SETTINGS[name], clips=400, sound=hit(5_000.0))
        changed = (after - before).abs().amax(dim=(1, 2, 3)) > 0.1
        assert 0.4 < changed.double().mean() < 0.6, name


def test_noise_stays_below_its_distance_and_fills_what_was_empty() -> None:
    before, after = one("noise_snr_db", 40.0)
    silent = before == -80
    assert (after[silent] > -80).any()
    assert after[silent].max() < -40 + 8  # a cell of noise now and then rises above its mean
    assert torch.allclose(after[before > -20], before[before > -20], atol=0.2)


def test_a_room_lengthens_and_never_precedes() -> None:
    before, after = one("room_s", 2.0)
    quiet = before.amax(dim=2).flatten(1) == -80
    first = int((~quiet[0]).nonzero()[0])
    assert (after[..., :first] == -80).all()
    lengths = [half_way_s(row[None], -50) for row in after]
    assert min(lengths) >= half_way_s(before[:1], -50)
    assert max(lengths) > half_way_s(before[:1], -50) + 0.3


def test_settings_beyond_the_front_end_are_refused() -> None:
    for name, value in (("noise_snr_db", 80.0), ("band_limit_hz", 11_025.0)):
        with pytest.raises(ConfigError, match=name):
            augment(hit(), AugmentConfig(**{name: value}), FEATURES, seeded())


@pytest.mark.parametrize("name", AUGMENT_PRESETS)
def test_the_amounts_on_offer_work_with_the_default_front_end(name: str) -> None:
    config = RunConfig(augment=AUGMENT_PRESETS[name].config)
    result = augment(hit(), config.augment, config.features, seeded())
    assert config.augment.enabled == (name != "off")
    assert torch.isfinite(result).all()


def test_a_decibel_is_a_decibel() -> None:
    assert math.exp(10 * DB) == pytest.approx(10)


@pytest.mark.parametrize(
    "features", [FeatureConfig(n_mels=13, duration_s=0.3), FeatureConfig(fmin_hz=60, fmax_hz=9_000)]
)
def test_other_front_ends(features: FeatureConfig) -> None:
    log_mel = LogMel(features)(torch.randn(3, features.num_samples, generator=seeded()))
    result = augment(log_mel, ALL, features, seeded())
    assert result.shape == log_mel.shape
    assert torch.isfinite(result).all()
