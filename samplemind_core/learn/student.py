"""A small network that learns a handful of sounds, one step at a time, by the product's own trainer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from samplemind_core.config import ModelConfig, RunConfig, TrainConfig
from samplemind_core.errors import NonFiniteLossError
from samplemind_core.learn.sounds import Sounds
from samplemind_core.models import AudioClassifier, count_parameters
from samplemind_core.training.measuring import Totals
from samplemind_core.training.observer import Silent
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData


@dataclass(frozen=True)
class Lesson:
    """One training step: guess, feedback, adjustment.

    Attributes
    ----------
    rows : tuple of int
        The sounds of the batch.
    num_right : int
        How many of them the network named right before the step.
    loss : float
        Of the batch, in nats.
    moved : float
        Mean change of a weight, regardless of its sign.
    lr : float
    """

    rows: tuple[int, ...]
    num_right: int
    loss: float
    moved: float
    lr: float


class Student:
    """A network at the bench.

    Parameters
    ----------
    sounds : Sounds
    train : TrainConfig
        As for any run; ``epochs`` limits the steps. It trains on the CPU whatever it says.
    model : ModelConfig
        A quarter of the default width unless told otherwise.
    """

    def __init__(
        self, sounds: Sounds, train: TrainConfig, model: ModelConfig | None = None, measure_every: int = 1
    ) -> None:
        self.sounds, self.measure_every = sounds, measure_every
        config = RunConfig(
            features=sounds.features,
            model=ModelConfig(width=0.25, dropout=0.0) if model is None else model,
            train=train.model_copy(update={"device": "cpu", "precision": "float32"}),
        )
        data = TrainingData(
            sounds.log_mel, sounds.targets, sounds.train_rows, sounds.val_rows, sounds.class_names, {"id": "lesson"}
        )
        with torch.random.fork_rng(devices=[]):
            # No folder: a student leaves nothing on disk.
            self.trainer = Trainer(config, data, Path(), Silent())
        self.lessons: list[Lesson] = []
        self.val_losses: list[tuple[int, float]] = []
        self.burst = False
        self._order = np.random.default_rng(train.seed)
        self._rows = self._shuffled()
        self._measure()

    @property
    def model(self) -> AudioClassifier:
        """The network."""
        return self.trainer.model

    @property
    def num_weights(self) -> int:
        """Number of weights that learn."""
        return count_parameters(self.model)

    @property
    def num_steps(self) -> int:
        """Steps of the whole lesson."""
        return self.trainer.train_config.epochs * self.trainer.steps_per_epoch

    @property
    def over(self) -> bool:
        """Whether all steps are done, or the loss has left the numbers."""
        return self.burst or len(self.lessons) >= self.num_steps

    @property
    def probs(self) -> npt.NDArray[np.float32]:
        """Probabilities (n, K) that the network gives to the validation sounds now."""
        return self._probs

    @property
    def num_right(self) -> int:
        """How many validation sounds the network names right now."""
        return int((self._probs.argmax(1) == self.sounds.targets[self.sounds.val_rows]).sum())

    @property
    def val_loss(self) -> float:
        """Loss on the validation sounds now, in nats."""
        return self.val_losses[-1][1]

    def step(self, lr: float | None = None) -> bool:
        """Learn from one batch; return whether there is more to do.

        A loss that is no longer a number ends the lesson (``burst``), and so does a step that would leave
        weights that are none; the weights stay as they were before it.

        Parameters
        ----------
        lr : float, optional
            Learning rate of this step instead of the configured one.
        """
        if self.over:
            return False
        trainer = self.trainer
        if lr is not None:
            trainer.train_config = trainer.train_config.model_copy(update={"lr": lr, "schedule": "constant"})
        size = trainer.train_config.batch_size
        batch = self._rows[trainer.step * size : (trainer.step + 1) * size]
        before = [weight.detach().clone() for weight in trainer.model.parameters()]
        trainer.totals = Totals()
        trainer.model.train()
        with torch.random.fork_rng(devices=[]):
            try:
                trainer.train_step(*trainer.feed.batch(torch.from_numpy(batch)))
            except NonFiniteLossError:
                self.burst = True
                return False
        if not all(bool(weight.isfinite().all()) for weight in trainer.model.parameters()):
            # The loss was a number, its gradient or the way along it too large for one.
            with torch.no_grad():
                for weight, old in zip(trainer.model.parameters(), before, strict=True):
                    weight.copy_(old)
            self.burst = True
            return False
        changes = zip(before, trainer.model.parameters(), strict=True)
        moved = sum(float((old - new.detach()).abs().sum()) for old, new in changes) / self.num_weights
        totals, used = trainer.totals, float(trainer.optimizer.param_groups[0]["lr"])
        self.lessons.append(Lesson(tuple(batch.tolist()), totals.correct, totals.loss / totals.clips, moved, used))
        trainer.step += 1
        if trainer.step >= trainer.steps_per_epoch:
            trainer.epoch, trainer.step = trainer.epoch + 1, 0
            self._rows = self._shuffled()
        if len(self.lessons) % self.measure_every == 0 or self.over:
            self._measure()
        return not self.over

    def _measure(self) -> None:
        rows = self.trainer.val_rows
        logits = self.trainer.logits(rows)
        targets = torch.from_numpy(self.sounds.targets[self.sounds.val_rows])
        loss = torch.nn.functional.cross_entropy(logits.double(), targets).item()
        self._probs: npt.NDArray[np.float32] = logits.softmax(1).numpy()
        self.val_losses.append((len(self.lessons), loss))

    def _shuffled(self) -> npt.NDArray[np.int64]:
        return self._order.permutation(self.sounds.train_rows)
