"""How many clips a GPU trains on at once: batches are doubled until its memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samplemind_core.config import RunConfig
from samplemind_core.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    import torch

    from samplemind_core.training.training_data import TrainingData

SMALLEST = 8
LARGEST = 65_536
STEPS = 2
"""Steps tried per size: the optimizer's moments are there from the second on."""


@dataclass(frozen=True)
class BatchSearch:
    """What was tried.

    Attributes
    ----------
    tried : tuple of (int, bool)
        Batch sizes in the order of trying, and whether each fitted.
    largest : int
        The largest that fitted.
    """

    tried: tuple[tuple[int, bool], ...]
    largest: int


def find_batch_size(
    config: RunConfig, data: TrainingData, *, device: str = "auto", largest: int = LARGEST
) -> BatchSearch:
    """Return the largest batch that fits a GPU's memory, found by training on some.

    Parameters
    ----------
    config : RunConfig
        Network, precision and device.
    data : TrainingData
    device : str
        Used where the configuration says ``auto``.
    largest : int
        Where to stop in any case. A batch larger than the training split is no use.

    Raises
    ------
    ConfigError
        On a CPU, whose memory other programs share: running out of it there ends processes.
    TrainingError
        If even the smallest batch does not fit.
    """
    import torch

    where = torch.device(require_cuda(config, device))
    return search(lambda size: _train_on(config, data, where, size), min(largest, _useful(len(data.train_rows))))


def require_cuda(config: RunConfig, device: str = "auto") -> str:
    """Return the CUDA device that a configuration trains on; raise :class:`ConfigError` if it is none."""
    from samplemind_core.training.device import device_of

    where = device_of(config.train, device)
    if where.type != "cuda":
        raise ConfigError(
            f"Batch sizes are searched on CUDA devices only; this one is '{where.type}'.",
            "On a CPU the batch size does not limit memory in practice: 32 to 128 is a good choice.",
        )
    return str(where)


def search(fits: Callable[[int], bool], largest: int) -> BatchSearch:
    """Double a size until it no longer fits, then back off half way as long as that is an eighth or more.

    Parameters
    ----------
    fits : callable
        Whether a batch of a size fits.
    largest : int
        Where doubling ends.

    Raises
    ------
    TrainingError
        If the smallest size does not fit.
    """
    tried: list[tuple[int, bool]] = []

    def attempt(size: int) -> bool:
        tried.append((size, fits(size)))
        return tried[-1][1]

    size = SMALLEST
    if not attempt(size):
        raise TrainingError(
            f"Not even {SMALLEST} clips fit the device's memory.", "Use a smaller network, or free the device's memory."
        )
    while size < largest and attempt(min(2 * size, largest)):
        size = min(2 * size, largest)
    good, bad = size, next((tried_size for tried_size, fitted in tried if not fitted), None)
    while bad is not None and (bad - good) // 2 >= max(SMALLEST, good // 8):
        middle = (good + bad) // 2 // SMALLEST * SMALLEST
        good, bad = (middle, bad) if attempt(middle) else (good, middle)
    return BatchSearch(tuple(tried), good)


def _useful(num_clips: int) -> int:
    """Return the training clips rounded up to what is tried."""
    return max(SMALLEST, -(-num_clips // SMALLEST) * SMALLEST)


def _train_on(config: RunConfig, data: TrainingData, device: torch.device, size: int) -> bool:
    import torch

    from samplemind_core.training.observer import Silent
    from samplemind_core.training.trainer import Trainer

    train = config.train.model_copy(update={"batch_size": size})
    trainer = None
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            trainer = Trainer(config.model_copy(update={"train": train}), data, Path(), Silent(), device=str(device))
            trainer.model.train()
            rows = torch.from_numpy(np.resize(data.train_rows, size))
            for trainer.step in range(STEPS):
                trainer.train_step(*trainer.feed.batch(rows))
            torch.cuda.synchronize(device)
    except torch.OutOfMemoryError:
        return False
    finally:
        del trainer
        torch.cuda.empty_cache()
    return True
