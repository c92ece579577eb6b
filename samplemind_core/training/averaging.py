"""Averages of the weights over the run: what is judged and saved in place of the latest weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def ema_decay(config_decay: float, step: int) -> float:
    """Return the decay of a step (0-based): the first steps count more, so that the start is soon forgotten."""
    return min(config_decay, (1 + step) / (10 + step))


class MovingAverage:
    """An exponential moving average of a network's weights (Polyak and Juditsky 1992), kept in another network.

    Parameters
    ----------
    averaged, model : nn.Module
        Of the same make. Their tensors are looked up once: going through the modules at every step
        would take longer than averaging.
    """

    def __init__(self, averaged: nn.Module, model: nn.Module) -> None:
        self._means: list[Tensor] = list(averaged.parameters())
        self._weights: list[Tensor] = list(model.parameters())
        self._kept: list[Tensor] = list(averaged.buffers())
        self._buffers: list[Tensor] = list(model.buffers())

    @torch.no_grad()
    def move(self, decay: float | Tensor) -> None:
        """Move one step towards the network's weights.

        ``decay`` may be a scalar on the device, so that the step can be recorded.
        """
        if isinstance(decay, Tensor):
            apart = torch._foreach_sub(self._weights, self._means)
            torch._foreach_mul_(apart, 1 - decay)
            torch._foreach_add_(self._means, apart)
        else:
            torch._foreach_lerp_(self._means, self._weights, 1 - decay)

    @torch.no_grad()
    def settle(self) -> None:
        """Take over the network's statistics of batch norms, which are not averaged: before the average is used."""
        if self._kept:
            torch._foreach_copy_(self._kept, self._buffers)


@torch.no_grad()
def add_to_mean(averaged: nn.Module, model: nn.Module, num_before: int) -> None:
    """Take the weights of one more epoch into their mean over ``num_before`` epochs (SWA: Izmailov et al. 2018)."""
    means: list[Tensor] = list(averaged.parameters())
    now: list[Tensor] = list(model.parameters())
    if num_before == 0:
        torch._foreach_copy_(means, now)  # to the bit, whatever was there
    else:
        torch._foreach_lerp_(means, now, 1 / (num_before + 1))


@torch.no_grad()
def measure_batch_norms(model: M, forward: Callable[[M, Tensor], object], batches: Iterable[Tensor]) -> None:
    """Set the statistics of batch norms to those of some batches, passing them through the network once.

    Those of single epochs do not belong to averaged weights. Everything else stays in evaluation mode;
    ``forward`` runs the network on a batch as it is run otherwise.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    model.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    for log_mel in batches:
        forward(model, log_mel)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
