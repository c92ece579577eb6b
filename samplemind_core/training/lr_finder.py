"""Which learning rate to try: raise it from step to step and watch the loss (L. N. Smith 2017, arXiv:1506.01186)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samplemind_core.config import RunConfig
from samplemind_core.errors import ConfigError, StoppedError, TrainingError

if TYPE_CHECKING:
    from torch import Tensor

    from samplemind_core.tasks.context import TaskContext
    from samplemind_core.training.trainer import Trainer
    from samplemind_core.training.training_data import TrainingData

KIND = "find_lr"
LOWEST, HIGHEST = 1e-6, 1.0
NUM_STEPS = 120
SMOOTHING = 0.9
WORSE = 4.0
"""How many times its lowest the loss may become before the test ends."""

Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class LrCurve:
    """What a range test found.

    Attributes
    ----------
    lrs : tuple of float
        Learning rate of each step, in even factors.
    losses : tuple of float
        Training loss of each step's batch, smoothed, in nats.
    suggestion : float or None
        The rate at which the loss fell fastest; None where it never fell clearly.
    ends : (float, float)
        Lowest and highest rate of the test; it may have ended before the highest.
    guessing : float
        Loss of guessing at random.
    """

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float | None
    ends: tuple[float, float]
    guessing: float

    def as_dict(self) -> dict[str, Any]:
        """Return the curve as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LrCurve:
        """Undo :meth:`as_dict`."""
        return cls(
            tuple(values["lrs"]),
            tuple(values["losses"]),
            values["suggestion"],
            (values["ends"][0], values["ends"][1]),
            values["guessing"],
        )


def find_lr(
    config: RunConfig,
    data: TrainingData,
    *,
    num_steps: int = NUM_STEPS,
    ends: tuple[float, float] = (LOWEST, HIGHEST),
    device: str = "auto",
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> LrCurve:
    """Train a network of its own for some steps, each at a higher rate, and return how its loss went.

    Everything else is as in the run that the settings describe: network, batches, augmentation,
    optimizer. Nothing is written and no random state of the caller is touched; the same settings give
    the same curve.

    Parameters
    ----------
    config : RunConfig
    data : TrainingData
    num_steps : int
        At least 10.
    ends : (float, float)
        Lowest and highest rate.
    device : str
        Used where the configuration says ``auto``.
    progress : callable, optional
        Told steps done, steps planned, and what is going on.
    should_stop : callable, optional
        Asked between steps.

    Raises
    ------
    ConfigError
        If the range is empty or the steps are too few.
    TrainingError
        If the loss is not finite from the first step on.
    StoppedError
        If it was asked to stop.
    """
    import torch

    from samplemind_core.errors import NonFiniteLossError
    from samplemind_core.training.device import device_of
    from samplemind_core.training.measuring import Totals
    from samplemind_core.training.observer import Silent
    from samplemind_core.training.trainer import Trainer

    if num_steps < 10 or not 0 < ends[0] < ends[1]:
        raise ConfigError(
            f"Expected at least 10 steps between two rates above 0, got {num_steps} from {ends[0]:g} to {ends[1]:g}.",
            f"The usual range is {LOWEST:g} to {HIGHEST:g} in {NUM_STEPS} steps.",
        )
    plain = config.train.model_copy(update={"schedule": "constant", "average": "none", "tta_views": 1})
    lrs = np.geomspace(*ends, num_steps).tolist()
    losses: list[float] = []
    mean = 0.0
    where = device_of(config.train, device)
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        trainer = Trainer(config.model_copy(update={"train": plain}), data, Path(), Silent(), device=device)
        trainer.model.train()
        batches = _batches(trainer)
        for step, lr in enumerate(lrs):
            if should_stop is not None and should_stop():
                raise StoppedError("The range test was stopped.", "Start it again when you like.")
            trainer.train_config = plain.model_copy(update={"lr": lr})
            trainer.totals = Totals()
            try:
                trainer.train_step(*next(batches))
            except NonFiniteLossError:
                break  # as far as the range goes
            # A running mean, corrected for its start: single batches are noisy.
            mean = SMOOTHING * mean + (1 - SMOOTHING) * trainer.totals.loss / trainer.totals.clips
            losses.append(mean / (1 - SMOOTHING ** (step + 1)))
            if progress is not None:
                progress(step + 1, num_steps, "Raising the learning rate")
            if losses[-1] > WORSE * min(losses):
                break
    if not losses:
        raise TrainingError("The loss is not a number from the first step on.", "Look at the dataset's health first.")
    tried = lrs[: len(losses)]
    classes = len(data.class_names)
    guessing = float(classes * np.log(2) if data.several_labels else np.log(classes))
    return LrCurve(tuple(tried), tuple(losses), steepest(tried, losses), ends, guessing)


def steepest(lrs: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the rate at which a loss falls fastest per factor of the rate, before its lowest point.

    None where the loss never fell by a tenth.
    """
    if len(losses) < 5:
        return None
    lowest = int(np.argmin(losses))
    if lowest < 2 or losses[lowest] > 0.9 * max(losses[: lowest + 1]):
        return None
    slopes = np.gradient(np.asarray(losses), np.log(np.asarray(lrs)))
    return float(lrs[int(np.argmin(slopes[: lowest + 1]))])


def _batches(trainer: Trainer) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of epoch after epoch, telling the trainer where it is."""
    size = trainer.train_config.batch_size
    for epoch in itertools.count(1):
        rows = trainer.order(epoch)
        for step in range(trainer.steps_per_epoch):
            trainer.epoch, trainer.step = epoch, step
            yield trainer.feed.batch(rows[step * size : (step + 1) * size])


def run(context: TaskContext) -> dict[str, Any]:
    """Do a task of the kind ``find_lr``: parameters ``dataset`` (id), ``config`` and optionally ``num_steps``."""
    config = RunConfig.model_validate(context.params["config"])

    num_steps = int(context.params.get("num_steps", NUM_STEPS))
    curve = context.workspace.find_lr(context.params["dataset"], config, num_steps, context.advance)
    return {"curve": curve.as_dict(), "config": config.model_dump(mode="json")}
