"""What happens to sounds, done to their log-mel spectrograms: pitch, tempo, EQ, decay, rooms, noise, lost treble.

Functions on batches (B, 1, n_mels, frames), each clip with its own amounts, without a loop over clips and
without waiting for the device. They are the log-mel relatives of :mod:`samplemind_core.audio.transforms`:
coarser, since a spectrogram has no phases, but so cheap that each clip of each epoch gets changes of its own.
"""

from __future__ import annotations

import functools
import itertools
import math

import torch
from torch import Tensor

from samplemind_core.audio.features import LogMel, hz_to_mel, mel_frequencies
from samplemind_core.config import FeatureConfig

DB = math.log(10.0) / 10.0
"""Natural logarithm of the power ratio of one dB."""

EQ_NODES = 5
_NOISE_TEXTURES = 64
_NOISE_WINDOWS = 4
_NOISE_SEED = 20_210_601


def warp(log_mel: Tensor, pitch: Tensor | None, tempo: Tensor | None, features: FeatureConfig) -> Tensor:
    """Return spectrograms whose frequencies are multiplied by ``pitch`` and whose time runs ``tempo`` times as fast.

    Both at one ratio are what a sampler does that plays a sound at another speed; ``pitch`` alone is another
    size of drum or throat (vocal tract length perturbation: N. Jaitly and G. E. Hinton, ICML workshop 2013).
    Frequencies move on the front end's own mel scale, so that a semitone is one everywhere. What comes from
    above the highest band or after the last frame is unknown and left at the floor.

    Parameters
    ----------
    log_mel : Tensor of float32, shape (B, 1, n_mels, frames)
        dB in [-top_db, 0]; not modified.
    pitch, tempo : Tensor of float32, shape (B,), or None
        Ratios above 0; 1 changes nothing.
    features : FeatureConfig
        Gives the mel scale and the floor.

    Returns
    -------
    Tensor of float32, shape (B, 1, n_mels, frames)
        dB, between neighbouring cells interpolated linearly, at least -top_db. In memory frame stands after frame.
    """
    bands, frames = log_mel.shape[2:]
    # Relative to the floor, so that empty is 0.
    if pitch is None:
        rows = _with_empty_row(log_mel.squeeze(1).transpose(1, 2), features.top_db)
    else:
        centres_hz = band_centres_hz(features, log_mel.device)
        lowest, highest = _mel_range(features)
        step = (highest - lowest) / max(1, bands - 1)
        source = (hz_to_mel(centres_hz / pitch[:, None]) - lowest) / step
        # Below the centre of the lowest band there is nothing but that band.
        source = torch.where(source > -1.0, source.clamp(0.0, bands), bands)
        moved = _between_rows(_with_empty_row(log_mel.squeeze(1), features.top_db), source)
        rows = _with_empty_row(moved.transpose(1, 2), 0.0)
    tempo = log_mel.new_ones(1) if tempo is None else tempo
    source = (torch.arange(frames, device=log_mel.device) * tempo[:, None]).clamp(max=frames)
    return _between_rows(rows, source).sub_(features.top_db).transpose(1, 2).unsqueeze(1)


def _with_empty_row(table: Tensor, more: float) -> Tensor:
    """Return a copy (B, rows + 1, columns) in that order in memory, raised by ``more``, its last row 0."""
    batch, num_rows, num_columns = table.shape
    copy = table.new_empty(batch, num_rows + 1, num_columns)
    torch.add(table, more, out=copy[:, :num_rows])
    copy[:, num_rows:] = 0.0
    return copy


def _between_rows(table: Tensor, places: Tensor) -> Tensor:
    """Return what lies at places (B, n) between the rows of a table (B, rows, columns), linearly: (B, n, columns)."""
    first = places.long()
    share = (places - first)[:, :, None]
    first = (first + torch.arange(len(table), device=table.device)[:, None] * table.shape[1]).flatten()
    rows = table.flatten(0, 1)  # whole rows of one table are copied fastest
    lower = rows.index_select(0, first).view(len(table), -1, table.shape[2])
    upper = rows.index_select(0, (first + 1).clamp(max=len(rows) - 1)).view_as(lower)
    return torch.lerp(lower, upper, share, out=lower)


def equaliser(gains_db: Tensor, bands: int) -> Tensor:
    """Return EQ curves (B, 1, bands, 1) in dB, straight lines between gains (B, nodes) evenly spaced over the bands.

    The random filters of FilterAugment (H. Nam, S.-H. Kim and Y.-H. Park, ICASSP 2022, arXiv:2110.03282) in
    their linear form.
    """
    nodes = gains_db.shape[1]
    return (gains_db @ _hats(nodes, bands, gains_db.device))[:, None, :, None]


def low_pass_curve(cutoff_hz: Tensor, slope_db: Tensor, features: FeatureConfig) -> Tensor:
    """Return the gains (B, 1, n_mels, 1) in dB of filters that fall by ``slope_db`` per octave above ``cutoff_hz``."""
    octaves = torch.log2(band_centres_hz(features, cutoff_hz.device) / cutoff_hz[:, None]).clamp(min=0.0)
    return -(slope_db[:, None] * octaves)[:, None, :, None]


def late_reverberation(power: Tensor, rt60_s: Tensor, features: FeatureConfig, level: Tensor | float = 1.0) -> Tensor:
    """Return the late sound of rooms: powers that fall by 60 dB in RT60.

    Parameters
    ----------
    power : Tensor of float32, shape (B, 1, n_mels, frames)
        Not in dB; not modified.
    rt60_s : Tensor of float32, shape (B, 1, n_mels, 1)
        Reverberation time of each band, in seconds, above 0.
    features : FeatureConfig
        Gives the length of a frame.
    level : Tensor of float32, shape (B, 1, 1, 1), or float
        Its energy relative to the direct sound's.

    Returns
    -------
    Tensor of float32, shape (B, 1, n_mels, frames)
        Each frame's power comes back from the next one on, spread over all that follow.
    """
    kept = torch.exp(-60.0 * DB * features.hop_length / features.sample_rate_hz / rt60_s)
    late = torch.empty_like(power)
    late[..., 0] = 0.0
    torch.mul(power[..., :-1], (1.0 - kept) * level, out=late[..., 1:])
    return _recursion(late, kept) if power.device.type == "cpu" else _doubling(late, kept)


def _recursion(inflow: Tensor, kept: Tensor) -> Tensor:
    """Return what fills up frame by frame, each keeping a share of the one before; ``inflow`` is overwritten."""
    share = kept.squeeze(3)
    columns = inflow.unbind(3)
    for before, now in itertools.pairwise(columns):
        now.addcmul_(share, before)
    return inflow


def _doubling(inflow: Tensor, kept: Tensor) -> Tensor:
    """Return :func:`_recursion` in log2(frames) steps, each of which doubles how far back a frame remembers."""
    reach = 1
    while reach < inflow.shape[3]:
        inflow[..., reach:] += inflow[..., :-reach] * kept**reach
        reach *= 2
    return inflow


def noise_power(level_db: Tensor, colour_db: Tensor, place: Tensor, features: FeatureConfig) -> Tensor:
    """Return the power (B, 1, n_mels, frames) of background noise, frame after frame in memory.

    Parameters
    ----------
    level_db : Tensor of float32, shape (B,)
        Mean level of the loudest band.
    colour_db : Tensor of float32, shape (B,)
        Rise of the level per octave: 0 is white noise, -3 pink, -6 brown.
    place : Tensor of float32, shape (B,)
        In [0, 1): which stretch of a fixed recording of white noise gives the texture.
    features : FeatureConfig
    """
    textures = _white_noise(features, level_db.device)
    chosen = (place * len(textures)).long().clamp(max=len(textures) - 1)
    curve_db = colour_db[:, None] * _octaves(features, level_db.device)
    curve_db = curve_db - curve_db.amax(dim=1, keepdim=True) + level_db[:, None]
    return textures.index_select(0, chosen).mul_(torch.exp(curve_db * DB)[:, None, None]).transpose(2, 3)


@functools.lru_cache(maxsize=8)
def band_centres_hz(features: FeatureConfig, device: torch.device) -> Tensor:
    """Return the centre frequencies (n_mels,) of the mel bands, in Hz."""
    edges_hz = mel_frequencies(features.n_mels + 2, features.fmin_hz, features.max_hz)
    return torch.from_numpy(edges_hz[1:-1]).float().to(device)


@functools.lru_cache(maxsize=8)
def _mel_range(features: FeatureConfig) -> tuple[float, float]:
    """Return where the centres of the lowest and the highest band lie on the mel scale."""
    mel = hz_to_mel(band_centres_hz(features, torch.device("cpu")))
    return mel[0].item(), mel[-1].item()


@functools.lru_cache(maxsize=4)
def _white_noise(features: FeatureConfig, device: torch.device) -> Tensor:
    """Return the mel power (textures, 1, frames, n_mels) of white noise, of mean 1; the windows overlap."""
    generator = torch.Generator().manual_seed(_NOISE_SEED)
    edge = -(-features.n_fft // features.hop_length)  # the first and last frames hold padding, too
    num_frames = _NOISE_WINDOWS * features.frames + 2 * edge
    sound = torch.randn(1, num_frames * features.hop_length, generator=generator)
    power = torch.exp(LogMel(features)(sound)[0, :, :, edge:-edge] * DB)
    starts = torch.linspace(0, power.shape[2] - features.frames, _NOISE_TEXTURES).long().tolist()
    windows = torch.stack([power[:, :, start : start + features.frames] for start in starts])
    return (windows / power.mean()).transpose(2, 3).contiguous().to(device)


@functools.lru_cache(maxsize=8)
def _octaves(features: FeatureConfig, device: torch.device) -> Tensor:
    """Return how many octaves above 1 kHz each band (n_mels,) lies."""
    return torch.log2(band_centres_hz(features, device) / 1_000.0)


@functools.lru_cache(maxsize=8)
def _hats(nodes: int, size: int, device: torch.device) -> Tensor:
    """Return the weights (nodes, size) that interpolate linearly between nodes spread evenly over the cells."""
    places = torch.linspace(0.0, nodes - 1.0, size, device=device)
    return (1.0 - (places - torch.arange(nodes, device=device)[:, None]).abs()).clamp(min=0.0)
