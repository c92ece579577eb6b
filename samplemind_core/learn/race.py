"""Optimizers walking down the same landscape, as training builds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from samplemind_core.config import TrainConfig
from samplemind_core.training.optimizers import build_optimizer

Height = Callable[[Tensor, Tensor], Tensor]
NUM_STEPS = 120


@dataclass(frozen=True)
class Landscape:
    """A loss that depends on two weights.

    Attributes
    ----------
    title, story : str
    height : callable
        Loss of two tensors of weights.
    start : (float, float)
        Where everybody begins.
    reach : (float, float)
        The map shows each weight from minus to plus this.
    lr : float
        A learning rate to begin with.
    """

    title: str
    story: str
    height: Height
    start: tuple[float, float]
    reach: tuple[float, float]
    lr: float

    def grid(self, count: int = 61) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the first weight (count,), the second (count,), and the height (count, count) at each pair."""
        x, y = (torch.linspace(-end, end, count, dtype=torch.float64) for end in self.reach)
        across, along = torch.meshgrid(x, y, indexing="xy")
        return x.numpy(), y.numpy(), self.height(across, along).numpy()


def _ravine(x: Tensor, y: Tensor) -> Tensor:
    return 0.05 * x.square() + 4.0 * y.square()


def _valleys(x: Tensor, y: Tensor) -> Tensor:
    return (x.square() - 1.0).square() + 0.3 * x + 0.8 * y.square() + 0.5


def _plain(x: Tensor, y: Tensor) -> Tensor:
    return 2.0 - 2.0 * torch.exp(-(x.square() + y.square()) / 3.0)


LANDSCAPES: dict[str, Landscape] = {
    "ravine": Landscape(
        "Ravine", "Steep walls, a floor that hardly slopes. Real networks are full of these.",
        _ravine, (-4.2, 1.1), (5.0, 1.6), 0.1,
    ),
    "valleys": Landscape(
        "Two valleys", "The nearer valley is not the deeper one.", _valleys, (1.75, 1.3), (2.1, 1.8), 0.03,
    ),
    "plain": Landscape(
        "Plain", "Almost flat where you start: the slope hardly says where to go.",
        _plain, (-3.4, 1.9), (4.2, 3.2), 0.1,
    ),
}  # fmt: skip

RUNNERS: dict[str, TrainConfig] = {
    "SGD": TrainConfig(optimizer="sgd", momentum=0.0, weight_decay=0.0),
    "Momentum": TrainConfig(optimizer="sgd", momentum=0.9, weight_decay=0.0),
    "RMSprop": TrainConfig(optimizer="rmsprop", momentum=0.0, weight_decay=0.0),
    "Adam": TrainConfig(optimizer="adam", weight_decay=0.0),
    "AdamW": TrainConfig(optimizer="adamw", weight_decay=0.3),
}
"""What takes part. Only AdamW pulls its weights towards zero here, which is what tells it from Adam."""


class Walker(nn.Module):
    """A network of two weights."""

    def __init__(self, start: tuple[float, float]) -> None:
        super().__init__()
        # One row: weight decay pulls on matrices only, as in training.
        self.place = nn.Parameter(torch.tensor([start], dtype=torch.float64))


@dataclass(frozen=True)
class Race:
    """Where each optimizer was after every step.

    ``paths`` by name (NUM_STEPS + 1, 2) and ``heights`` by name (NUM_STEPS + 1,); not a number from
    the step on at which one left the map for good.
    """

    paths: Mapping[str, npt.NDArray[np.float64]]
    heights: Mapping[str, npt.NDArray[np.float64]]

    def standing(self, step: int) -> list[tuple[str, float]]:
        """Return names and heights after a step, the lowest first, those who left last."""
        now = [(name, float(height[step])) for name, height in self.heights.items()]
        return sorted(now, key=lambda item: math.inf if math.isnan(item[1]) else item[1])


@lru_cache(maxsize=64)
def race(landscape: str, lr: float) -> Race:
    """Return a race of all :data:`RUNNERS` over one of the :data:`LANDSCAPES` at one learning rate."""
    ground = LANDSCAPES[landscape]
    paths, heights = {}, {}
    for name, config in RUNNERS.items():
        walker = Walker(ground.start)
        optimizer = build_optimizer(config.model_copy(update={"lr": lr}), walker)
        path = np.full((NUM_STEPS + 1, 2), np.nan)
        height = np.full(NUM_STEPS + 1, np.nan)
        for step in range(NUM_STEPS + 1):
            loss = ground.height(walker.place[0, 0], walker.place[0, 1])
            if not math.isfinite(loss.item()) or loss.item() > 1e6:
                break
            path[step], height[step] = walker.place.detach().numpy()[0], loss.item()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        paths[name], heights[name] = path, height
    return Race(paths, heights)
