"""Training steps on a CUDA device, recorded once and then replayed as one piece of work.

A step of a small network is some hundred kernels of a few microseconds each, and starting them one by
one from Python takes several times as long as the GPU needs for them. A CUDA graph starts them all at
once. What changes from step to step stands in tensors that the recorded kernels read: the batch, the
learning rate, the decay of the moving average, and the seeds, which PyTorch hands to a replay. Nothing
waits for the GPU: losses are added up there, and a loss that is not finite keeps the optimizer from
moving the weights until the host looks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from samplemind_core.training.trainer import Trainer

log = logging.getLogger(__name__)

FUSED = {"adam", "adamw", "sgd"}
"""Update rules that can skip a step by what a tensor on the device says."""

LOOK_EVERY = 256
"""Steps after which the host looks at the loss, at the latest."""


@dataclass(frozen=True)
class Recorded:
    """A recorded step and the batch it reads: log_mel (B, 1, n_mels, frames) float32, targets (B,) or (B, C)."""

    graph: torch.cuda.CUDAGraph
    log_mel: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Seen:
    """What the steps since the last look add up to.

    Attributes
    ----------
    loss : float
        Sum over clips.
    correct : int
    clips : int
    bad_step : int or None
        Which of these steps, counted from 0, was the first whose loss is not finite; None if all are.
    bad_loss : float
        Its loss.
    """

    loss: float
    correct: int
    clips: int
    bad_step: int | None
    bad_loss: float


class StepGraphs:
    """The recorded steps of one trainer, one for each size of batch, with and without mixup.

    Parameters
    ----------
    trainer : Trainer
        On a CUDA device, with an optimizer among :data:`FUSED`.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        device = trainer.device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._recorded: dict[tuple[int, int, bool], Recorded | None] = {}
        self._tried: set[tuple[int, int, bool]] = set()
        self._lr = torch.zeros((), device=device)
        self._decay = torch.zeros((), device=device)
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)  # of losses, of correct answers
        self._done = torch.zeros((), dtype=torch.int64, device=device)
        self._bad_step = torch.full((), -1, dtype=torch.int64, device=device)
        self._bad_loss = torch.zeros((), device=device)
        self._clips = 0
        self.pending = 0
        """Steps taken since the last look."""

    def take(self, log_mel: Tensor, targets: Tensor, count: int, mixed: bool, lr: float, decay: float) -> None:
        """Take a step on a batch whose first ``count`` clips are counted; seeds are set already.

        The first step of a kind is taken kernel by kernel, which also makes what a recording takes for granted:
        the optimizer's state, cuDNN's plans and tables of the front end.
        """
        key = (len(log_mel), count, mixed)
        self._lr.fill_(lr)
        self._decay.fill_(decay)
        if key not in self._tried:
            self._tried.add(key)
            self._on_stream(lambda: self._step(log_mel, targets, count, mixed))
        else:
            if key not in self._recorded:
                self._recorded[key] = self._record(log_mel, targets, count, mixed)
            recorded = self._recorded[key]
            if recorded is None:
                self._on_stream(lambda: self._step(log_mel, targets, count, mixed))
            else:
                recorded.log_mel.copy_(log_mel)
                recorded.targets.copy_(targets)
                recorded.graph.replay()
        self._clips += count
        self.pending += 1

    def look(self) -> Seen:
        """Wait for the steps taken so far, and return and forget what they add up to."""
        loss, correct = self._sums.tolist()
        bad = int(self._bad_step)
        seen = Seen(loss, round(correct), self._clips, None if bad < 0 else bad, float(self._bad_loss))
        self._sums.zero_()
        self._done.zero_()
        self._bad_step.fill_(-1)
        self._clips = self.pending = 0
        return seen

    def _step(self, log_mel: Tensor, targets: Tensor, count: int, mixed: bool) -> None:
        """Start all kernels of one step, without waiting for any."""
        trainer = self._trainer
        loss, correct = trainer.measure_step(log_mel, targets, count, mixed)
        value = loss.detach()
        bad = ~torch.isfinite(value)
        trainer.optimizer.found_inf = bad.to(torch.float32)  # type: ignore[attr-defined]  # as gradient scalers do
        try:
            trainer.learn(loss, self._decay)
        finally:
            del trainer.optimizer.found_inf  # type: ignore[attr-defined]
        first = bad & (self._bad_step < 0)
        self._bad_step.copy_(torch.where(first, self._done, self._bad_step))
        self._bad_loss.copy_(torch.where(first, value, self._bad_loss))
        self._done += 1
        self._sums += torch.stack([torch.where(bad, 0.0, value * count), correct.to(value.dtype)])

    def _record(self, log_mel: Tensor, targets: Tensor, count: int, mixed: bool) -> Recorded | None:
        """Record a step; None where the network does what cannot be recorded, such as asking for a value."""
        trainer = self._trainer
        batch, labels = log_mel.clone(), targets.clone()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(trainer.generator)
        trainer.optimizer.zero_grad(set_to_none=True)  # gradients live in the graph's own memory
        groups = trainer.optimizer.param_groups
        before = [(group["lr"], group.get("capturable", False)) for group in groups]
        # A recording that fails leaves generators in the belief that they are being recorded.
        number = torch.cuda.current_device() if trainer.device.index is None else trainer.device.index
        generators = trainer.generator, torch.cuda.default_generators[number]
        states = [generator.clone_state() for generator in generators]
        try:
            for group in groups:
                group["lr"], group["capturable"] = self._lr, True
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                self._step(batch, labels, count, mixed)
        except (RuntimeError, torch.AcceleratorError) as error:
            log.warning("A training step could not be recorded and is taken kernel by kernel: %s", error)
            trainer.optimizer.zero_grad(set_to_none=True)
            for generator, state in zip(generators, states, strict=True):
                generator.graphsafe_set_state(state)
            return None
        finally:
            for group, (lr, capturable) in zip(groups, before, strict=True):
                group["lr"], group["capturable"] = lr, capturable
        return Recorded(graph, batch, labels)

    def _on_stream(self, work: Callable[[], None]) -> None:
        """Do work on the stream that steps are recorded on."""
        current = torch.cuda.current_stream(self._trainer.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            work()
        current.wait_stream(self._stream)


def recordable(trainer: Trainer) -> bool:
    """Return whether a trainer's steps may be recorded: on one CUDA device, where bits need not repeat."""
    config = trainer.train_config
    return (
        trainer.device.type == "cuda"
        and trainer.group.size == 1
        and config.optimizer in FUSED
        and not config.deterministic
    )
