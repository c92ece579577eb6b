"""Learning rates on one and the same network: side by side, swept upwards, and along a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from samplemind_core.config import TrainConfig
from samplemind_core.learn.sounds import Sounds
from samplemind_core.learn.student import Student
from samplemind_core.training.lr_finder import steepest
from samplemind_core.training.schedule import Plateau, scheduled_lr

BATCH, EPOCHS, MEASURE_EVERY = 8, 6, 2
LOWEST_LR, HIGHEST_LR, NUM_SWEEP = 1e-5, 10.0, 70
SMOOTHING = 0.8


class Contest:
    """The same network and the same sounds at several learning rates.

    Parameters
    ----------
    sounds : Sounds
    rates : mapping of name to learning rate
    """

    def __init__(self, sounds: Sounds, rates: Mapping[str, float]) -> None:
        self.rates = dict(rates)
        self.students = {
            name: Student(sounds, _config(lr), measure_every=MEASURE_EVERY) for name, lr in self.rates.items()
        }

    @property
    def num_steps(self) -> int:
        """Steps of the whole lesson."""
        return next(iter(self.students.values())).num_steps

    @property
    def step_now(self) -> int:
        """Steps done so far."""
        return max(len(student.lessons) for student in self.students.values())

    def step(self) -> bool:
        """Let everybody learn from one batch; return whether there is more to do."""
        going = [student.step() for student in self.students.values()]  # everybody, also when the first one is done
        return any(going)


class RangeFinder:
    """Raises the learning rate from step to step and watches the loss (Smith 2015).

    Parameters
    ----------
    sounds : Sounds
    """

    def __init__(self, sounds: Sounds) -> None:
        # Larger batches than in training: one noisy loss should not decide.
        train = _config(LOWEST_LR, epochs=NUM_SWEEP).model_copy(update={"batch_size": 4 * BATCH})
        self.student = Student(sounds, train, measure_every=10 * NUM_SWEEP)
        self.all_rates: list[float] = np.geomspace(LOWEST_LR, HIGHEST_LR, NUM_SWEEP).tolist()
        self.losses: list[float] = []
        self._mean = 0.0

    @property
    def rates(self) -> list[float]:
        """Learning rates tried so far."""
        return self.all_rates[: len(self.losses)]

    def step(self) -> bool:
        """Try the next learning rate; return whether there is more to try."""
        if len(self.losses) == len(self.all_rates) or self.student.burst:
            return False
        if not self.student.step(self.all_rates[len(self.losses)]) and self.student.burst:
            return False
        # A running mean, corrected for its start: single batches are noisy.
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * self.student.lessons[-1].loss
        self.losses.append(self._mean / (1 - SMOOTHING ** (len(self.losses) + 1)))
        worse = len(self.losses) > NUM_SWEEP // 3 and self.losses[-1] > 4 * min(self.losses)
        return len(self.losses) < len(self.all_rates) and not worse

    @property
    def suggestion(self) -> float | None:
        """The rate at which the loss falls fastest; None before the loss has fallen clearly."""
        return steepest(self.rates, self.losses)


@dataclass(frozen=True)
class Course:
    """Learning rate by epoch, and the validation loss that a plateau schedule looked at, if it did."""

    epochs: tuple[float, ...]
    rates: tuple[float, ...]


def course(schedule: str, num_epochs: int, lr: float, warmup: float, val_losses: Sequence[float] = ()) -> Course:
    """Return the learning rate over a run, as training sets it.

    Parameters
    ----------
    schedule : {'constant', 'plateau', 'onecycle', 'cosine'}
    num_epochs : int
    lr : float
    warmup : float
        Share of the run in which a one-cycle schedule rises.
    val_losses : sequence of float
        What a plateau schedule looks at, one for each epoch.
    """
    steps_per_epoch = 10
    config = TrainConfig(schedule=schedule, lr=lr, warmup=warmup, epochs=num_epochs)
    plateau = Plateau(config.plateau_factor, patience=2)
    epochs, rates = [], []
    total = num_epochs * steps_per_epoch
    for step in range(total):
        epochs.append(step / steps_per_epoch)
        rates.append(scheduled_lr(config, step, total) * plateau.scale)
        if schedule == "plateau" and (step + 1) % steps_per_epoch == 0:
            plateau.update(val_losses[step // steps_per_epoch])
    return Course(tuple(epochs), tuple(rates))


def stalling_losses(num_epochs: int) -> list[float]:
    """Return an example of a validation loss (num_epochs,) that falls and then stalls."""
    return [max(0.55, 0.4 + 1.2 * math.exp(-epoch / 2.5)) for epoch in range(num_epochs)]


def _config(lr: float, epochs: int = EPOCHS) -> TrainConfig:
    # Plain gradient descent: Adam and its kin scale their steps, which hides what the rate alone does.
    return TrainConfig(
        epochs=epochs, batch_size=BATCH, optimizer="sgd", momentum=0.0, weight_decay=0.0, lr=lr, schedule="constant"
    )
