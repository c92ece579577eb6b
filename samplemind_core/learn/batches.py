"""Batch size: how much a batch's gradient differs from that of all sounds, and what a batch costs."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from samplemind_core.learn.student import Student
from samplemind_core.models import AudioClassifier

SIZES = (4, 8, 16, 32, 64, 128, 256, 512)
NUM_BATCHES = 16
MOST_CLIPS = 1_536
"""A cloud of gradients listens to no more sounds than this in all."""


@dataclass(frozen=True)
class Cloud:
    """Gradients of many batches of one size, and what a batch costs.

    Attributes
    ----------
    size : int
        Sounds in a batch.
    along, across : ndarray, shape (n,)
        Each batch's gradient along the gradient of all sounds, and along the direction in which small
        batches scatter most; in lengths of the gradient of all sounds.
    agreement : float
        Mean cosine between a batch's gradient and that of all sounds, from -1 to 1.
    steps_per_epoch : int
    seconds_per_step : float
        Of one forward and backward pass, measured; the median.
    activation_bytes : int
        What a forward pass keeps for the backward one, measured.
    """

    size: int
    along: npt.NDArray[np.float64]
    across: npt.NDArray[np.float64]
    agreement: float
    steps_per_epoch: int
    seconds_per_step: float
    activation_bytes: int


class Batches:
    """Gradients of a network that has just begun to learn.

    Parameters
    ----------
    student : Student
        It is left as it was.
    """

    def __init__(self, student: Student) -> None:
        self.feed, self.rows = student.trainer.feed, torch.from_numpy(student.sounds.train_rows)
        # Batch norm keeps statistics while it trains; they belong to the student.
        self.model: AudioClassifier = copy.deepcopy(student.model).train()
        self.whole = self._gradient(self.rows)
        self._length = float(self.whole.norm())
        small = torch.stack([self._gradient(rows) for rows in self._draws(SIZES[0], NUM_BATCHES)])
        scatter = small - small.mean(0)
        scatter = scatter - torch.outer(scatter @ self.whole, self.whole) / self._length**2
        self.sideways = torch.linalg.svd(scatter, full_matrices=False).Vh[0]

    def cloud(self, size: int, seed: int = 0) -> Cloud:
        """Return the gradients of batches of one size, drawn as an epoch draws them."""
        count = max(2, min(NUM_BATCHES, MOST_CLIPS // size))
        draws = self._draws(size, count, seed)
        gradients, seconds = [], []
        for rows in draws:
            started = time.perf_counter()
            gradients.append(self._gradient(rows))
            seconds.append(time.perf_counter() - started)
        found = torch.stack(gradients)
        cosines = functional.cosine_similarity(found, self.whole[None], dim=1)
        return Cloud(
            size=size,
            along=(found @ self.whole / self._length**2).numpy(),
            across=(found @ self.sideways / self._length).numpy(),
            agreement=float(cosines.mean()),
            steps_per_epoch=-(-len(self.rows) // size),
            seconds_per_step=float(np.median(seconds)),
            activation_bytes=self._kept(draws[0]),
        )

    def _draws(self, size: int, count: int, seed: int = 0) -> list[Tensor]:
        """Return ``count`` batches, each from a shuffled list of all training sounds."""
        order = torch.Generator().manual_seed(seed)
        return [self.rows[torch.randperm(len(self.rows), generator=order)[:size]] for _ in range(count)]

    def _loss(self, rows: Tensor) -> Tensor:
        log_mel, targets = self.feed.batch(rows)
        return functional.cross_entropy(self.model(log_mel), targets)

    def _gradient(self, rows: Tensor) -> Tensor:
        gradients = torch.autograd.grad(self._loss(rows), list(self.model.parameters()))
        return torch.cat([gradient.reshape(-1) for gradient in gradients]).double()

    def _kept(self, rows: Tensor) -> int:
        """Return the bytes that a forward pass keeps for the backward one, weights not counted."""
        weights = {parameter.data_ptr() for parameter in self.model.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            if tensor.data_ptr() not in weights:
                kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = self._loss(rows)
        del loss
        return sum(kept.values())
