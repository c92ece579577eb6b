"""Demo hits with several labels: voices of one kit that sound together, as a producer layers them.

Made by rule like the voices themselves, and no more than that: what a network reaches on them says that
several labels are learned, not how it will fare on anybody's recordings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from samplemind_core.audio.synth import CLASS_NAMES, SAMPLE_RATE_HZ, Signal, voice

# How many voices a hit has, and how often.
LAYER_SHARES = {1: 0.4, 2: 0.45, 3: 0.15}
QUIETEST_DB = -9.0
"""Level of the quietest layer relative to the loudest, by their peaks."""

LATEST_S = 0.015
"""Layers begin together, as far as ears can tell."""

PEAK = 0.9


@dataclass(frozen=True, slots=True)
class Hit:
    """One layered one-shot.

    Parameters
    ----------
    waveform : ndarray of float32, shape (T,)
        Mono, finite, not silent, in [-1, 1].
    sample_rate_hz : int
        44,100.
    labels : tuple of str
        Classes of its voices, sorted; one to three of :data:`~samplemind_core.audio.synth.CLASS_NAMES`.
    source : str
        Name of the kit.
    method : str
        Names of the ways they were made, in the order of the labels.
    """

    waveform: Signal
    sample_rate_hz: int
    labels: tuple[str, ...]
    source: str
    method: str


def layered_hits(count: int, seed: int = 0) -> Iterator[Hit]:
    """Yield hits one by one; hit ``index`` of a seed is the same for every ``count``, and kits take turns.

    Parameters
    ----------
    count : int
        How many.
    seed : int
        Any whole number from 0.
    """
    for index in range(count):
        yield layered_hit(index, seed)


def layered_hit(index: int, seed: int = 0) -> Hit:
    """Return hit ``index``: some voices of one kit, each at a level and a moment of its own."""
    rng = np.random.default_rng([seed, 2_000, index])
    num_layers = int(rng.choice(list(LAYER_SHARES), p=list(LAYER_SHARES.values())))
    targets = np.sort(rng.choice(len(CLASS_NAMES), num_layers, replace=False))
    voices = [voice(int(target), index, seed) for target in targets]
    levels_db = rng.uniform(QUIETEST_DB, 0.0, num_layers)
    levels_db[rng.integers(num_layers)] = 0.0
    starts = np.round(rng.uniform(0.0, LATEST_S, num_layers) * SAMPLE_RATE_HZ).astype(int)
    starts -= starts.min()
    length = max(start + len(one.waveform) for start, one in zip(starts, voices, strict=True))
    mix = np.zeros(length, np.float32)
    for start, level_db, one in zip(starts, levels_db, voices, strict=True):
        layer = one.waveform / np.abs(one.waveform).max()
        mix[start : start + len(layer)] += np.float32(10 ** (level_db / 20)) * layer
    return Hit(
        mix * np.float32(PEAK / np.abs(mix).max()),
        SAMPLE_RATE_HZ,
        tuple(one.label for one in voices),
        voices[0].source,
        " + ".join(one.method for one in voices),
    )
