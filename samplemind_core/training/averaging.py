"""Averages of the weights over the run: what is judged and saved in place of the latest weights."""

from __future__ import annotations

import torch
from torch import nn


def ema_decay(config_decay: float, step: int) -> float:
    """Return the decay of a step (0-based): the first steps count more, so that the start is soon forgotten."""
    return min(config_decay, (1 + step) / (10 + step))


@torch.no_grad()
def move_average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Move an exponential moving average of the weights one step (Polyak and Juditsky 1992)."""
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - decay)
    for mean, now in zip(averaged.buffers(), model.buffers(), strict=True):
        mean.copy_(now)
