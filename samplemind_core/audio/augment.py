"""Random changes to training batches: on the device, seeded, without a loop over clips.

Everything works on log-mel spectrograms in dB relative to each clip's maximum, whose quiet end is
the floor, ``-top_db``. What moves or masks leaves the floor behind, never a wrapped-around copy.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from samplemind_core.audio.spectral_changes import (
    DB,
    EQ_NODES,
    equaliser,
    late_reverberation,
    low_pass_curve,
    noise_power,
    warp,
)
from samplemind_core.config import AugmentConfig, FeatureConfig
from samplemind_core.errors import ConfigError

# Random numbers per clip, drawn even where unused: one part on or off moves no other.
_DRAWS = 7
_SOUND_DRAWS = 15 + EQ_NODES

_NEAR_FLOOR_DB = 1e-3
_FAR = 1e6
_SILENCE_DB = -200.0  # exp and log take ten times as long over numbers too small for float32's own form
_SHORTEST_ROOM_S = 0.05
_WET_DB = -20.0, 0.0
_TREBLE_DECAY = 0.3
_NOISE_COLOUR_DB = -6.0, 0.0
_SLOPE_DB = 24.0, 120.0


def augment(
    log_mel: Tensor,
    config: AugmentConfig,
    features: FeatureConfig,
    generator: torch.Generator,
    part: tuple[int, slice] | None = None,
) -> Tensor:
    """Return a randomly changed copy of a batch.

    In this order, each where its setting is above 0. First what may happen to a sound before it becomes
    a file, done to its powers; the result is again relative to its own maximum:

    - resampling by up to ``resample_semitones``: pitch and tempo together, as a sampler plays other keys;
    - a warp of the frequencies alone by up to ``warp_semitones``, and of time alone by up to
      ``stretch_percent``, each ratio as likely as its inverse;
    - an EQ curve of straight lines between gains of up to ±``eq_db``, and a decay slower or faster by up to
      ``decay_db_s``. What is at the floor stays there;
    - for half of the clips a room: late sound of 20 to 0 dB below the direct sound, which falls by
      60 dB in up to ``room_s``, in the treble sooner than in the bass;
    - for half of the clips background noise, between white and brown, at least ``noise_snr_db`` below the
      clip's maximum;
    - for half of the clips a low pass, as steep as codecs and low sample rates are, at ``band_limit_hz``
      or above.

    Then what only makes the task harder, or bends the scale:

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
        Gives the mel scale, the floor and the length of a frame.
    generator : torch.Generator
        Source of all randomness, on any device.
    part : tuple of int and slice, optional
        Where ``log_mel`` is a part of a batch: how many clips the batch has, and which of them these are. What
        happens to them is what would happen to them among the others.

    Returns
    -------
    Tensor of float32, shape (B, 1, n_mels, frames)
        dB in [-top_db, 0]; the input itself where every part is off.

    Raises
    ------
    ConfigError
        If a setting is beyond what the front end has: ``gain_db`` at half of ``top_db`` or above, where the
        curve would collapse, ``noise_snr_db`` at ``top_db`` or ``band_limit_hz`` at the highest band.
    """
    batch, _, bands, frames = log_mel.shape
    frame_ms = 1_000 * features.hop_length / features.sample_rate_hz
    time_shift = min(round(config.time_shift_ms / frame_ms), frames)
    time_mask = min(round(config.time_mask_ms / frame_ms), frames)
    freq_shift, freq_mask = min(config.freq_shift_bins, bands), min(config.freq_mask_bins, bands)
    sound = config.changes_sound
    if not (sound or config.gain_db or time_shift or freq_shift or time_mask or freq_mask):
        return log_mel
    config.check_range(features)
    floor = -features.top_db
    whole, own = part or (batch, slice(None))
    numbers = torch.rand(whole, _DRAWS, generator=generator, device=generator.device)[own].to(log_mel.device)
    more = torch.rand(whole, _SOUND_DRAWS, generator=generator, device=generator.device)[own].to(log_mel.device)
    gain, time_move, freq_move, time_width, time_start, freq_width, freq_start = numbers.unbind(1)
    result = _change_sound(log_mel, config, features, more) if sound else log_mel
    if config.gain_db:
        middle_db = (2 * gain - 1) * config.gain_db
        exponent = torch.log2(0.5 - middle_db / features.top_db).neg().view(-1, 1, 1, 1)
        result = (result / floor).clamp(0.0, 1.0).pow(exponent) * floor
    hidden_frames = hidden_bands = None
    if time_shift:
        result, hidden_frames = _shift(result, _whole(time_move, 2 * time_shift) - time_shift, 3)
    if freq_shift:
        result, hidden_bands = _shift(result, _whole(freq_move, 2 * freq_shift) - freq_shift, 2)
    if time_mask:
        hidden_frames = _either(hidden_frames, _stretch(time_width, time_start, time_mask, frames))
    if freq_mask:
        hidden_bands = _either(hidden_bands, _stretch(freq_width, freq_start, freq_mask, bands))
    if hidden_frames is not None:
        result = _at_most(result, (hidden_frames * floor).view(batch, 1, 1, frames), log_mel)
    if hidden_bands is not None:
        result = _at_most(result, (hidden_bands * floor).view(batch, 1, bands, 1), log_mel)
    return result.contiguous()


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
    lowest, highest = _minimum(log_mel), _maximum(log_mel)
    other = log_mel.index_select(0, partner)
    louder = torch.maximum(log_mel, other)
    # In place from here on, as in _change_sound.
    power = torch.mul(log_mel, DB).exp_()
    torch.index_select(power, 0, partner, out=other)
    level = torch.lerp(other, power, share.view(-1, 1, 1, 1), out=power).log_().mul_(1.0 / DB)
    level -= _maximum(level)
    # The subtraction lifts everything by the same few dB; true silence has nothing to lift. A blend without any
    # sound in either clip is flat at its maximum, as a silent clip is.
    floor = torch.minimum(lowest, lowest[partner])
    silent = torch.maximum(highest, highest[partner]) <= floor
    ceiling = torch.add(floor, louder.sub_(floor - silent.to(louder.dtype)), alpha=_FAR, out=louder)
    blended = torch.clamp(level, floor, ceiling, out=level)
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


def _change_sound(log_mel: Tensor, config: AugmentConfig, features: FeatureConfig, numbers: Tensor) -> Tensor:
    """Return what :func:`augment` does to sounds, from random numbers (B, _SOUND_DRAWS) in [0, 1)."""
    middle, half = _ranges(config, features, log_mel.device)
    drawn = torch.addcmul(middle, 2.0 * numbers - 1.0, half)
    (
        resample, pitch, tempo, decay_db_s, _, room_s, treble_share, wet_db,
        _, noise_db, colour_db, noise_place, _, octave_share, slope_db, *_,
    ) = drawn.unbind(1)  # fmt: skip
    _, _, _, _, has_room, _, _, _, has_noise, _, _, _, has_limit, *_ = (numbers < 0.5).unbind(1)
    to_power = bool(config.room_s or config.noise_snr_db)
    floor = -features.top_db
    bands, frames = log_mel.shape[2:]
    frame_s = features.hop_length / features.sample_rate_hz
    # In place from here on: memory that is in the cache already is several times as fast.
    # And frame after frame, as most changes go on from one frame to the next.
    if not (config.resample_semitones or config.warp_semitones or config.stretch_percent):
        result = log_mel.transpose(2, 3).clone(memory_format=torch.contiguous_format).transpose(2, 3)
    else:
        speed = resample / 12.0
        result = warp(
            log_mel,
            torch.exp2(speed + pitch / 12.0) if config.resample_semitones or config.warp_semitones else None,
            torch.exp2(speed + tempo) if config.resample_semitones or config.stretch_percent else None,
            features,
        )
    # Comparing cell by cell is slow on CPUs. Far below the floor where there is nothing, far above all elsewhere:
    far = torch.full((), (-floor - _NEAR_FLOOR_DB) * _FAR, dtype=result.dtype, device=result.device)
    ceiling = torch.add(far, result, alpha=_FAR)
    if config.eq_db:
        result += equaliser(drawn[:, -EQ_NODES:], bands)
    if config.decay_db_s:
        seconds = torch.arange(frames, device=result.device) * frame_s
        result += decay_db_s.view(-1, 1, 1, 1) * seconds
    result = torch.minimum(result, ceiling, out=ceiling)
    if to_power:
        power = result.clamp_(min=_SILENCE_DB).mul_(DB).exp_()
        if config.room_s:
            share = torch.linspace(0.0, 1.0, bands, device=power.device)
            rt60_s = room_s[:, None] * (1.0 - share * (1.0 - treble_share)[:, None])
            wet = torch.exp(wet_db * DB) * has_room
            rows = _only(has_room)
            direct, rt60_s, wet = _picked(power, rows), _picked(rt60_s, rows), _picked(wet, rows)
            _add(power, rows, late_reverberation(direct, rt60_s[:, None, :, None], features, wet.view(-1, 1, 1, 1)))
        if config.noise_snr_db:
            level_db = noise_db + _maximum(power).flatten().log() / DB
            level_db = torch.where(has_noise, level_db, 10.0 * _SILENCE_DB)
            rows = _only(has_noise)
            level_db, colour_db, noise_place = (_picked(one, rows) for one in (level_db, colour_db, noise_place))
            _add(power, rows, noise_power(level_db, colour_db, noise_place, features))
        result = power.log_()
    # Until here the natural logarithm of power where there was any: the way back to dB is part of what comes next.
    unit = 1.0 / DB if to_power else 1.0
    if config.band_limit_hz:
        cutoff_hz = config.band_limit_hz * (features.max_hz / config.band_limit_hz) ** octave_share
        curve_db = low_pass_curve(cutoff_hz, slope_db * has_limit, features)
        result = torch.add(curve_db, result, alpha=unit, out=result)
    elif to_power:
        result *= unit
    # A clip without any sound is flat at its maximum of 0 dB, and nothing can happen to it.
    lowest = floor * (_minimum(log_mel) < 0.0)
    return torch.maximum(result.sub_(_maximum(result)), lowest, out=result)


@functools.lru_cache(maxsize=8)
def _ranges(config: AugmentConfig, features: FeatureConfig, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the middle of each amount's range and how far it reaches to either side, each (_SOUND_DRAWS,)."""

    def around(most: float) -> tuple[float, float]:
        return -most, most

    chance = 0.0, 1.0
    ranges = (
        around(config.resample_semitones),
        around(config.warp_semitones),
        around(math.log2(1.0 + config.stretch_percent / 100.0)),
        around(config.decay_db_s),
        chance,  # of a room
        (min(_SHORTEST_ROOM_S, config.room_s), config.room_s),
        (_TREBLE_DECAY, 1.0),
        _WET_DB,
        chance,  # of noise
        (-features.top_db, -config.noise_snr_db),
        _NOISE_COLOUR_DB,
        chance,  # which stretch of noise
        chance,  # of a low pass
        chance,  # how far up it begins
        _SLOPE_DB,
        *[around(config.eq_db)] * EQ_NODES,
    )
    low, high = torch.tensor(ranges, dtype=torch.float64).unbind(1)
    return ((low + high) / 2.0).float().to(device), ((high - low) / 2.0).float().to(device)


def _only(happens: Tensor) -> Tensor | None:
    """Return the clips to which something happens, where sparing the others pays: a GPU would have to be waited for."""
    return happens.nonzero().flatten() if happens.device.type == "cpu" else None


def _picked(values: Tensor, rows: Tensor | None) -> Tensor:
    """Return the values of some clips, or of all, in the order in memory that they have."""
    if rows is None:
        return values
    if values.ndim < 4:
        return values.index_select(0, rows)
    return values.transpose(2, 3).index_select(0, rows).transpose(2, 3)


def _add(power: Tensor, rows: Tensor | None, more: Tensor) -> None:
    """Add to the power of some clips, or of all."""
    if rows is None:
        power += more
    else:
        power.transpose(2, 3).index_add_(0, rows, more.transpose(2, 3))


def _maximum(log_mel: Tensor) -> Tensor:
    return log_mel.amax(dim=(1, 2, 3), keepdim=True)


def _minimum(log_mel: Tensor) -> Tensor:
    return log_mel.amin(dim=(1, 2, 3), keepdim=True)


def _whole(uniform: Tensor, largest: int) -> Tensor:
    """Return whole numbers 0…largest, each as likely as the next, from uniform numbers in [0, 1)."""
    # Rounding in float32 may carry a number just below 1 to the end of the range.
    return (uniform * (largest + 1)).long().clamp(max=largest)


def _at_most(log_mel: Tensor, limit: Tensor, kept: Tensor) -> Tensor:
    """Return the smaller of two, in the usual order in memory; in that of the first unless that is to be kept."""
    if log_mel.is_contiguous():
        return torch.minimum(log_mel, limit, out=None if log_mel is kept else log_mel)
    return torch.minimum(log_mel, limit, out=torch.empty_like(log_mel, memory_format=torch.contiguous_format))


def _either(hidden: Tensor | None, more: Tensor) -> Tensor:
    return more if hidden is None else hidden | more


def _shift(log_mel: Tensor, steps: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return each clip moved by its ``steps`` (B,) along ``dim``, and which places (B, size) are a gap."""
    size = log_mel.shape[dim]
    shape = [1, 1, 1, 1]
    shape[dim] = size
    source = torch.arange(size, device=log_mel.device).view(shape) - steps.view(-1, 1, 1, 1)
    outside = (source < 0) | (source >= size)
    source = source.clamp(0, size - 1)
    rows = log_mel if dim == 2 else log_mel.transpose(2, 3)
    if rows.is_contiguous():  # rows are copied whole, in a quarter of the time
        order = source.view(len(log_mel), size) + torch.arange(len(log_mel), device=log_mel.device)[:, None] * size
        rows = rows.flatten(0, 2).index_select(0, order.flatten()).view(rows.shape)
        moved = rows if dim == 2 else rows.transpose(2, 3)
    else:
        moved = log_mel.gather(dim, source.expand(log_mel.shape))
    return moved, outside.view(-1, size)


def _stretch(width: Tensor, start: Tensor, widest: int, size: int) -> Tensor:
    """Return (B, size) booleans: one stretch per clip, of 0…widest cells, anywhere within size."""
    widths = _whole(width, widest)
    starts = (start * (size - widths + 1)).long()
    starts = torch.minimum(starts, size - widths)
    cells = torch.arange(size, device=width.device)
    return (cells >= starts[:, None]) & (cells < (starts + widths)[:, None])
