"""Random changes to training batches: on the device, seeded, without a loop over clips.

Everything works on log-mel spectrograms in dB relative to each clip's maximum, whose quiet end is
the floor, ``-top_db``. What moves or masks leaves the floor behind, never a wrapped-around copy.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from samplemind_core.config import AugmentConfig, FeatureConfig
from samplemind_core.errors import ConfigError

_DRAWS = 7  # random numbers per clip, drawn even where unused: one part on or off moves no other


def augment(log_mel: Tensor, config: AugmentConfig, features: FeatureConfig, generator: torch.Generator) -> Tensor:
    """Return a randomly changed copy of a batch.

    In this order, each where its setting is above 0:

    - gain: the level between the clip's maximum and the floor rises or falls along a power curve
      that leaves both ends in place and moves the middle by at most ``gain_db``. The scale is
      relative to the maximum, so that adding dB would either flatten the peaks at 0 dB or give a
      clip that no recording yields; bending the scale is what a compressor or a longer decay does.
    - shift in time and along frequency by whole frames and bands (the nearest to the setting),
      the gap filled with the floor;
    - one band of frequencies and one stretch of time masked with the floor (SpecAugment: D. S. Park
      et al., Interspeech 2019, arXiv:1904.08779), each of a width between 0 and the setting.

    Each clip takes its own row of random numbers: what happens to it depends on the generator and
    its place in the batch, never on its neighbours. ``mixup_alpha`` plays no part; see :func:`mixup`.

    Parameters
    ----------
    log_mel : Tensor of float32, shape (B, 1, n_mels, frames)
        dB in [-top_db, 0]; not modified.
    config : AugmentConfig
        How much of each change.
    features : FeatureConfig
        Gives the floor and the length of a frame.
    generator : torch.Generator
        Source of all randomness, on any device.

    Returns
    -------
    Tensor of float32, shape (B, 1, n_mels, frames)
        dB in [-top_db, 0]; the input itself where every part is off.

    Raises
    ------
    ConfigError
        If ``gain_db`` reaches half of ``top_db``, where the curve would collapse.
    """
    batch, _, bands, frames = log_mel.shape
    frame_ms = 1_000 * features.hop_length / features.sample_rate_hz
    time_shift = min(round(config.time_shift_ms / frame_ms), frames)
    time_mask = min(round(config.time_mask_ms / frame_ms), frames)
    freq_shift, freq_mask = min(config.freq_shift_bins, bands), min(config.freq_mask_bins, bands)
    if not (config.gain_db or time_shift or freq_shift or time_mask or freq_mask):
        return log_mel
    if config.gain_db >= features.top_db / 2:
        raise ConfigError(
            f"Expected gain_db below half of top_db ({features.top_db / 2:g} dB), got {config.gain_db:g}.",
            "Lower gain_db or raise top_db.",
        )
    floor = -features.top_db
    numbers = torch.rand(batch, _DRAWS, generator=generator, device=generator.device).to(log_mel.device)
    gain, time_move, freq_move, time_width, time_start, freq_width, freq_start = numbers.unbind(1)
    result = log_mel
    if config.gain_db:
        middle_db = (2 * gain - 1) * config.gain_db
        exponent = torch.log2(0.5 - middle_db / features.top_db).neg().view(-1, 1, 1, 1)
        result = (result / floor).clamp(0.0, 1.0).pow(exponent) * floor
    if time_shift:
        result = _shift(result, _whole(time_move, 2 * time_shift) - time_shift, 3, floor)
    if freq_shift:
        result = _shift(result, _whole(freq_move, 2 * freq_shift) - freq_shift, 2, floor)
    if time_mask:
        inside = _stretch(time_width, time_start, time_mask, frames)
        result = result.masked_fill(inside.view(batch, 1, 1, frames), floor)
    if freq_mask:
        inside = _stretch(freq_width, freq_start, freq_mask, bands)
        result = result.masked_fill(inside.view(batch, 1, bands, 1), floor)
    return result


def mixup(log_mel: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a batch in which each clip is blended with another, and its labels likewise.

    Mixup (H. Zhang et al., ICLR 2018, arXiv:1710.09412) with a share of its own per clip, drawn
    from Beta(alpha, alpha). Powers are blended, as sounds that play together add, and the result
    is again relative to its own maximum. A cell at the floor in both clips stays at the floor.

    Parameters
    ----------
    log_mel : Tensor of float32, shape (B, 1, n_mels, frames)
        dB in [-top_db, 0]; not modified.
    targets : Tensor of float, shape (B, C)
        Class probabilities; not modified.
    alpha : float
        Parameter of the Beta distribution; 0 switches mixup off.
    generator : torch.Generator
        Source of all randomness, on any device.

    Returns
    -------
    tuple of Tensor
        Blended log-mels and targets, of the shapes and ranges that came in.

    Raises
    ------
    ConfigError
        If ``alpha`` is negative.
    """
    if alpha < 0:
        raise ConfigError(f"Expected mixup_alpha of at least 0, got {alpha:g}.", "0 switches mixup off.")
    if alpha == 0:
        return log_mel, targets
    batch, device = len(log_mel), log_mel.device
    share = sample_beta(alpha, batch, generator).float().to(device)
    partner = torch.randperm(batch, generator=generator, device=generator.device).to(device)
    other = log_mel[partner]
    weight = share.view(-1, 1, 1, 1)
    power = weight * _power(log_mel) + (1 - weight) * _power(other)
    level = 10.0 * power.log10()
    level = level - level.amax(dim=(1, 2, 3), keepdim=True)
    floor = torch.minimum(log_mel, other).amin(dim=(1, 2, 3), keepdim=True)
    at_floor = (log_mel <= floor) & (other <= floor)
    # The subtraction lifts everything by the same few dB; true silence has nothing to lift.
    blended = torch.where(at_floor, floor, torch.maximum(level, floor))
    # A blend without any sound in either clip is flat at its maximum, as a silent clip is.
    blended = torch.where(at_floor.all(dim=3, keepdim=True).all(dim=2, keepdim=True), level, blended)
    weight = share.to(targets.dtype).view(-1, 1)
    return blended, weight * targets + (1 - weight) * targets[partner]


def sample_beta(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` draws from Beta(alpha, alpha), float64 where the generator's device has it, shape (count,)."""
    # A Beta variable is the share of one Gamma variable in the sum of two. For tiny alpha both may
    # underflow (torch stops them at the smallest number); the distribution's limit is a fair coin.
    dtype = torch.float32 if generator.device.type == "mps" else torch.float64
    shape = torch.full((2, count), alpha, dtype=dtype, device=generator.device)
    first, second = torch._standard_gamma(shape, generator=generator).unbind(0)
    coin = torch.rand(count, generator=generator, device=generator.device, dtype=dtype).round()
    total = first + second
    return torch.where(total > 4 * torch.finfo(dtype).tiny, first / total, coin)


def _power(log_mel: Tensor) -> Tensor:
    # exp is vectorised on CPUs, pow is not: six times as fast for the same numbers.
    return torch.exp(log_mel * (math.log(10.0) / 10.0))


def _whole(uniform: Tensor, largest: int) -> Tensor:
    """Return whole numbers 0…largest, each as likely as the next, from uniform numbers in [0, 1)."""
    # Rounding in float32 may carry a number just below 1 to the end of the range.
    return (uniform * (largest + 1)).long().clamp(max=largest)


def _shift(log_mel: Tensor, steps: Tensor, dim: int, floor: float) -> Tensor:
    """Return each clip moved by its ``steps`` (B,) along ``dim``, the gap at the floor."""
    size = log_mel.shape[dim]
    shape = [1, 1, 1, 1]
    shape[dim] = size
    source = torch.arange(size, device=log_mel.device).view(shape) - steps.view(-1, 1, 1, 1)
    outside = (source < 0) | (source >= size)
    moved = log_mel.gather(dim, source.clamp(0, size - 1).expand(log_mel.shape))
    return moved.masked_fill(outside, floor)


def _stretch(width: Tensor, start: Tensor, widest: int, size: int) -> Tensor:
    """Return (B, size) booleans: one stretch per clip, of 0…widest cells, anywhere within size."""
    widths = _whole(width, widest)
    starts = (start * (size - widths + 1)).long()
    starts = torch.minimum(starts, size - widths)
    cells = torch.arange(size, device=width.device)
    return (cells >= starts[:, None]) & (cells < (starts + widths)[:, None])
