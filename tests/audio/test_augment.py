from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from samplemind_core.audio.augment import augment, mixup, sample_beta
from samplemind_core.config import AugmentConfig, FeatureConfig
from samplemind_core.errors import ConfigError

FEATURES = FeatureConfig()
ALL = AugmentConfig(time_shift_ms=200, freq_shift_bins=6, freq_mask_bins=12, time_mask_ms=150, gain_db=10)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(size: int = 64) -> torch.Tensor:
    """Distinct values well above the floor, so that every cell can be followed."""
    return -60 * torch.rand(size, *FEATURES.shape, generator=seeded(99))


@pytest.mark.parametrize(
    "setting",
    [
        {"time_shift_ms": 200.0},
        {"freq_shift_bins": 6},
        {"freq_mask_bins": 12},
        {"time_mask_ms": 150.0},
        {"gain_db": 10.0},
        ALL.model_dump(),
    ],
    ids=str,
)
def test_each_part_changes_something_reproducibly_within_range(setting: dict[str, float]) -> None:
    log_mel = batch()
    copy = log_mel.clone()
    config = AugmentConfig(**setting)
    result = augment(log_mel, config, FEATURES, seeded())
    assert torch.equal(log_mel, copy)
    assert result.shape == log_mel.shape
    assert result.dtype == torch.float32
    assert not torch.equal(result, log_mel)
    assert -80 <= result.min() <= result.max() <= 0
    assert torch.equal(result, augment(log_mel, config, FEATURES, seeded()))
    assert not torch.equal(result, augment(log_mel, config, FEATURES, seeded(1)))


def test_all_off_is_the_input_and_draws_nothing() -> None:
    generator = seeded()
    log_mel = batch(2)
    state = generator.get_state()
    assert augment(log_mel, AugmentConfig(mixup_alpha=0.5), FEATURES, generator) is log_mel
    assert torch.equal(generator.get_state(), state)


@pytest.mark.parametrize(("setting", "dim", "largest"), [("time_shift_ms", 3, 9), ("freq_shift_bins", 2, 6)])
def test_a_shift_moves_whole_cells_and_leaves_the_floor(setting: str, dim: int, largest: int) -> None:
    log_mel = batch(200)
    config = AugmentConfig(**{setting: 200.0 if dim == 3 else 6})  # 200 ms are 8.6 frames
    result = augment(log_mel, config, FEATURES, seeded())
    seen = set()
    size = log_mel.shape[dim]
    for before, after in zip(log_mel, result, strict=True):
        matches = []
        for steps in range(-largest, largest + 1):
            expected = torch.full_like(before, -80.0)
            count = size - abs(steps)
            source = before.narrow(dim - 1, max(0, -steps), count)
            expected.narrow(dim - 1, max(0, steps), count).copy_(source)
            if torch.equal(expected, after):
                matches.append(steps)
        assert len(matches) == 1
        seen.update(matches)
    assert seen == set(range(-largest, largest + 1))


@pytest.mark.parametrize(
    ("setting", "value", "dim", "widest"), [("freq_mask_bins", 12, 2, 12), ("time_mask_ms", 150.0, 3, 6)]
)
def test_a_mask_is_one_stretch_of_floor(setting: str, value: float, dim: int, widest: int) -> None:
    log_mel = batch(300)
    result = augment(log_mel, AugmentConfig(**{setting: value}), FEATURES, seeded())
    other = 5 - dim
    masked = (result == -80).all(dim=other).squeeze(1)
    assert torch.equal(result[result != -80], log_mel[result != -80])
    assert torch.equal((result == -80).any(dim=other).squeeze(1), masked)
    widths = masked.sum(dim=1)
    assert set(widths.tolist()) == set(range(widest + 1))
    edges = (masked[:, 1:] != masked[:, :-1]).sum(dim=1) + masked[:, 0] + masked[:, -1]
    assert (edges[widths > 0] == 2).all()
    assert masked.any(dim=0).all()  # no place is out of reach


def test_gain_bends_the_level_between_maximum_and_floor() -> None:
    levels = torch.linspace(-80, 0, 81).view(1, 1, 81, 1).repeat(500, 1, 1, 1)
    result = augment(levels, AugmentConfig(gain_db=10), FEATURES, seeded())
    assert torch.allclose(result[:, :, 0], torch.tensor(-80.0))
    assert (result[:, :, -1] == 0).all()
    assert (result.diff(dim=2) > -1e-4).all()
    middle = result[:, 0, 40, 0] + 40
    assert 9 < middle.max() <= 10.001
    assert -10.001 <= middle.min() < -9


def test_gain_beyond_half_the_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="gain_db"):
        augment(batch(1), AugmentConfig(gain_db=10), FeatureConfig(top_db=20), seeded())


def test_a_neighbour_changes_nothing() -> None:
    log_mel = batch(8)
    other = log_mel.clone()
    other[1:] = other[1:].flip(0) / 2
    first = augment(log_mel, ALL, FEATURES, seeded())
    second = augment(other, ALL, FEATURES, seeded())
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1:], second[1:])


def test_one_part_does_not_move_anothers_random_numbers() -> None:
    log_mel = batch(8)
    masks = AugmentConfig(freq_mask_bins=12)
    both = augment(log_mel, AugmentConfig(freq_mask_bins=12, gain_db=5), FEATURES, seeded())
    assert torch.equal(augment(log_mel, masks, FEATURES, seeded()) == -80, both == -80)


def test_mixup_adds_powers_and_blends_labels() -> None:
    log_mel = batch(16)
    log_mel[:, :, 100:] = -80
    targets = torch.eye(4).repeat(4, 1)
    mixed, labels = mixup(log_mel, targets, 1.0, seeded())
    generator = seeded()
    share = sample_beta(1.0, 16, generator).float()
    partner = torch.randperm(16, generator=generator)
    weight = share.view(-1, 1, 1, 1).double()
    power = weight * 10 ** (log_mel.double() / 10) + (1 - weight) * 10 ** (log_mel[partner].double() / 10)
    expected = 10 * (power / power.amax(dim=(1, 2, 3), keepdim=True)).log10()
    assert (mixed[:, :, :100] - expected[:, :, :100]).abs().max() < 1e-4
    assert (mixed[:, :, 100:] == -80).all()
    assert torch.allclose(labels, share[:, None] * targets + (1 - share[:, None]) * targets[partner])
    assert torch.allclose(labels.sum(dim=1), torch.ones(16))


def test_mixup_keeps_range_input_and_seed() -> None:
    log_mel = torch.cat([batch(6), torch.zeros(2, *FEATURES.shape)])
    log_mel[0, :, :64] = -80
    targets = torch.eye(8)
    copies = log_mel.clone(), targets.clone()
    mixed, labels = mixup(log_mel, targets, 0.2, seeded())
    assert torch.equal(log_mel, copies[0])
    assert torch.equal(targets, copies[1])
    assert mixed.isfinite().all()
    assert -80 <= mixed.min() <= mixed.max() <= 0
    assert (mixed.amax(dim=(1, 2, 3)) == 0).all()
    again = mixup(log_mel, targets, 0.2, seeded())
    assert torch.equal(mixed, again[0])
    assert torch.equal(labels, again[1])
    assert not torch.equal(labels, mixup(log_mel, targets, 0.2, seeded(1))[1])


def test_mixup_off_is_the_input() -> None:
    log_mel, targets = batch(2), torch.eye(2)
    result = mixup(log_mel, targets, 0.0, seeded())
    assert result[0] is log_mel
    assert result[1] is targets
    with pytest.raises(ConfigError):
        mixup(log_mel, targets, -0.1, seeded())


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    draws = sample_beta(alpha, 20_000, seeded(3)).numpy()
    assert stats.kstest(draws, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_a_tiny_alpha_gives_a_fair_coin() -> None:
    draws = sample_beta(1e-4, 2_000, seeded()).numpy()
    assert np.isfinite(draws).all()
    assert ((draws < 0.01) | (draws > 0.99)).mean() > 0.99
    assert 0.45 < draws.mean() < 0.55
