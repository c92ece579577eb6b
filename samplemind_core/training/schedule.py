"""Learning-rate schedules and early stopping."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from samplemind_core.config import RunConfig, TrainConfig

TAIL_START = 0.1
"""Share of the peak rate at which an extension of a run begins, where the schedule had come to its end."""

PLATEAU_THRESHOLD = 1e-4  # relative; PyTorch's default for ReduceLROnPlateau


def scheduled_lr(config: TrainConfig, step: int, num_steps: int) -> float:
    """Return the learning rate of a step (0-based) of a run of ``num_steps``.

    ``onecycle`` rises from lr/25 to lr over ``warmup`` of the run and falls to lr/2500, both along
    a cosine (Smith and Topin 2018); ``cosine`` falls from lr to 0 (Loshchilov and Hutter 2017), after
    rising in a straight line over ``warmup_epochs`` (Goyal et al. 2017).
    ``plateau`` and ``constant`` give lr itself; see :class:`Plateau`.
    """
    progress = step / max(1, num_steps - 1)
    if config.schedule == "onecycle":
        if progress < config.warmup:
            return _cosine(config.lr / 25, config.lr, progress / config.warmup)
        return _cosine(config.lr, config.lr / 2_500, (progress - config.warmup) / (1 - config.warmup))
    if config.schedule == "cosine":
        rise = min(num_steps - 1, round(config.warmup_epochs / config.epochs * num_steps))
        if step < rise:
            return config.lr * (step + 1) / (rise + 1)
        return _cosine(config.lr, 0.0, (step - rise) / max(1, num_steps - 1 - rise))
    return config.lr


def planned_lr(config: RunConfig, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step (0-based) of a run that may have been extended.

    Where the schedule has come to its end (``onecycle``, ``cosine``), each extension is a tail of its own:
    from a tenth of the peak rate along a cosine to where the schedule ends. ``plateau`` and ``constant``
    go on as they were. What a step gets depends on the configuration alone, so that a resumed run repeats it.
    """
    train, marks = config.train, config.extended_at
    started = [mark for mark in marks if step >= mark * steps_per_epoch]
    if not started or train.schedule not in ("onecycle", "cosine"):
        planned = config.planned_epochs
        first = train if planned == train.epochs else train.model_copy(update={"epochs": planned})
        return scheduled_lr(first, step, planned * steps_per_epoch)
    begin = started[-1]
    end = marks[len(started)] if len(started) < len(marks) else train.epochs
    progress = (step - begin * steps_per_epoch) / max(1, (end - begin) * steps_per_epoch - 1)
    return _cosine(TAIL_START * train.lr, train.lr / 2_500 if train.schedule == "onecycle" else 0.0, progress)


@dataclass
class Plateau:
    """Reduce the rate when validation loss stalls, as PyTorch's ``ReduceLROnPlateau`` does.

    After more than ``patience`` epochs without a relative improvement of 1e-4 the rate is
    multiplied by ``factor``. Kept as plain numbers so that a checkpoint can hold it.
    """

    factor: float
    patience: int
    scale: float = 1.0
    best: float | None = None
    bad_epochs: int = 0

    def update(self, val_loss: float) -> bool:
        """Take an epoch's validation loss; return whether the rate was reduced."""
        if self.best is None or val_loss < self.best * (1 - PLATEAU_THRESHOLD):
            self.best, self.bad_epochs = val_loss, 0
        else:
            self.bad_epochs += 1
        if self.bad_epochs > self.patience:
            self.scale *= self.factor
            self.bad_epochs = 0
            return True
        return False

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"scale": self.scale, "best": self.best, "bad_epochs": self.bad_epochs}


def should_stop_early(config: TrainConfig, epoch: int, best_epoch: int) -> bool:
    """Return whether a run ends after ``epoch``, the best by its monitor being ``best_epoch``.

    The comparison is with the best epoch before, so an improving run goes on for ever.
    """
    patience = config.early_stopping_patience
    return patience is not None and epoch > config.early_stopping_after and epoch - best_epoch >= patience


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
