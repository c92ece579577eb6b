"""Randomness that depends on where a run is, not on how it got there."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

MIXUP = 1
"""Last part of the place at which a step decides whether its batch is mixed."""


def place_seed(*parts: int) -> int:
    """Return a seed from a place in the run; neighbouring places share nothing."""
    digest = hashlib.blake2b(",".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def place_chance(*parts: int) -> float:
    """Return a number in [0, 1) from a place in the run, without asking the device."""
    return place_seed(*parts) / 2**63


def epoch_order(rows: Tensor, seed: int, epoch: int) -> Tensor:
    """Return rows (n,) in the order of an epoch."""
    order = torch.Generator().manual_seed(place_seed(seed, epoch))
    return rows[torch.randperm(len(rows), generator=order)]
