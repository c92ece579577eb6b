"""One weight under the finger: nudges against autograd, the update, and gradients that nobody clears."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from samplemind_core.config import TrainConfig
from samplemind_core.learn.student import Student
from samplemind_core.training.optimizers import build_optimizer

PLACES = {"first": "stem.0.weight", "middle": "blocks.1.body.0.weight", "last": "head.weight"}
"""A layer near the sound, one half-way, the one that answers: names of weights in ``samplemind_cnn``."""


class Probe:
    """One weight of a network, and the loss of a fixed batch as it depends on it.

    Parameters
    ----------
    student : Student
        Of ``samplemind_cnn``; it is left as it was.
    place : str
        A key of :data:`PLACES`. The weight of that layer whose gradient is steepest is taken.
    num_clips : int
        Size of the batch.
    """

    def __init__(self, student: Student, place: str, num_clips: int = 16) -> None:
        self.model = student.model.eval()
        rows = torch.from_numpy(student.sounds.train_rows[:num_clips])
        self.log_mel, self.targets = student.trainer.feed.batch(rows)
        weights = dict(self.model.named_parameters())
        self.weight = weights[PLACES[place]]
        self.gradients = self._gradients()
        gradient = self.gradients[PLACES[place]]
        steepest = np.unravel_index(int(gradient.abs().argmax()), gradient.shape)
        self.index = tuple(int(part) for part in steepest)
        self.gradient = gradient[self.index].item()
        self.value = self.weight.detach()[self.index].item()
        self.start = self.loss()

    def loss(self, nudge: float = 0.0) -> float:
        """Return the batch's loss in nats with the weight moved by ``nudge``."""
        with torch.no_grad():
            self.weight[self.index] = self.value + nudge
            try:
                return float(self._loss())
            finally:
                self.weight[self.index] = self.value

    def slope(self, nudge: float) -> float:
        """Return how much the loss changes per unit of the weight, measured by a nudge."""
        return (self.loss(nudge) - self.start) / nudge

    def sweep(self, reach: float, count: int = 25) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return values of the weight around its own, shape (count,), and the loss at each."""
        nudges = np.linspace(-reach, reach, count)
        return self.value + nudges, np.array([self.loss(float(nudge)) for nudge in nudges])

    def layers(self) -> dict[str, float]:
        """Return the gradient's length by layer, from the sound to the answer."""
        names = {"stem": "First", "blocks.0": "Block 1", "blocks.1": "Block 2", "blocks.2": "Block 3", "head": "Answer"}
        squares = dict.fromkeys(names.values(), 0.0)
        for name, gradient in self.gradients.items():
            squares[next(title for start, title in names.items() if name.startswith(start))] += float(
                gradient.double().square().sum()
            )
        return {title: square**0.5 for title, square in squares.items()}

    def costs_s(self) -> tuple[float, float]:
        """Return the seconds of one forward pass, and of one forward and backward pass, as measured now."""
        started = time.perf_counter()
        self.loss()
        middle = time.perf_counter()
        self._gradients()
        return middle - started, time.perf_counter() - middle

    def _loss(self) -> Tensor:
        return functional.cross_entropy(self.model(self.log_mel).double(), self.targets)

    def _gradients(self) -> dict[str, Tensor]:
        named = dict(self.model.named_parameters())
        found = torch.autograd.grad(self._loss(), list(named.values()))
        return dict(zip(named, found, strict=True))


class OneWeight(nn.Module):
    """A network of one weight: its answer to ``x`` is ``weight * x``."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[start]], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return the answer to inputs of shape (N, 1)."""
        answer: Tensor = x @ self.weight
        return answer


X, WANTED = 2.0, 0.5
"""What the one weight hears, and what it should say to it."""


@dataclass(frozen=True)
class Update:
    """One update: ``new = old - lr * gradient``, as the optimizer made it."""

    old: float
    gradient: float
    lr: float
    new: float


def update(start: float = 0.5, lr: float = 1e-3) -> Update:
    """Return one step of plain gradient descent on the squared error of the one weight."""
    model = OneWeight(start)
    optimizer = _sgd(model, lr)
    _error(model).backward()  # type: ignore[no-untyped-call]
    assert model.weight.grad is not None
    gradient = model.weight.grad.item()
    optimizer.step()
    return Update(start, gradient, lr, model.weight.item())


def descent(zero: bool, lr: float, num_steps: int = 60, start: float = 0.5) -> list[float]:
    """Return the weight after each of so many steps, from its start on; ``zero`` clears gradients between steps."""
    model = OneWeight(start)
    optimizer = _sgd(model, lr)
    path = [start]
    for _ in range(num_steps):
        if zero:
            optimizer.zero_grad()
        _error(model).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        path.append(model.weight.item())
    return path


def best_weight() -> float:
    """Return the weight that makes no error."""
    return WANTED / X


def _error(model: OneWeight) -> Tensor:
    x = torch.tensor([[X]], dtype=torch.float64)
    error: Tensor = (model(x) - WANTED).square().mean()
    return error


def _sgd(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    return build_optimizer(TrainConfig(optimizer="sgd", momentum=0.0, weight_decay=0.0, lr=lr), model)
