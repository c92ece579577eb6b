"""Randomness that depends on where a run is, not on how it got there."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samplemind_core.training.balance import balanced_draw

MIXUP = 1
"""Last part of the place at which a step decides whether its batch is mixed."""


def place_seed(*parts: int) -> int:
    """Return a seed from a place in the run; neighbouring places share nothing."""
    digest = hashlib.blake2b(",".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def place_chance(*parts: int) -> float:
    """Return a number in [0, 1) from a place in the run, without asking the device."""
    return place_seed(*parts) / 2**63


def epoch_order(rows: Tensor, seed: int, epoch: int, balance: npt.NDArray[np.int64] | None = None) -> Tensor:
    """Return rows (n,) in the order of an epoch.

    Parameters
    ----------
    rows : Tensor of int64, shape (n,)
    seed, epoch : int
    balance : ndarray of int64, shape (n,), optional
        Classes of the rows, where every class shall come equally often; see
        :func:`~samplemind_core.training.balance.balanced_draw`.
    """
    order = torch.Generator().manual_seed(place_seed(seed, epoch))
    if balance is not None:
        return rows[balanced_draw(torch.from_numpy(balance), order)]
    return rows[torch.randperm(len(rows), generator=order)]


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the generator that a device's dropout draws from.

    ``torch.manual_seed`` seeds all devices that there may be and notes where it was called from: three
    milliseconds, in every step.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
