"""A run to watch: the product's own trainer, step by step, leaving nothing on the disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from samplemind_core.config import RunConfig
from samplemind_core.errors import NonFiniteLossError
from samplemind_core.store.records import Epoch
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData

# Lessons of several people take turns, one step at a time on one thread. No other lesson draws from
# torch's generator meanwhile, so that a lesson's numbers repeat.
_turn = threading.Lock()


class Practice(Trainer):
    """A run that is advanced step by step and keeps its checkpoints to itself.

    Parameters
    ----------
    config : RunConfig
        Trained on the CPU whatever it says: the app process never holds an accelerator.
    data : TrainingData
        A few hundred clips.

    Attributes
    ----------
    ending : str
        Why the run ended; empty while it goes on.
    """

    def __init__(self, config: RunConfig, data: TrainingData) -> None:
        here = config.train.model_copy(update={"device": "cpu", "precision": "float32"})
        self._pause = _PauseAfterStep()
        with lesson_turn():
            super().__init__(config.model_copy(update={"train": here}), data, Path(), self._pause)
        self.ending = ""

    def advance(self) -> bool:
        """Train one step, and measure where it ends an epoch; return whether the run goes on.

        Raises
        ------
        NonFiniteLossError
            If the loss overflows; the run is then over.
        """
        if self.ending:
            return False
        with lesson_turn():
            self._pause.taken = False
            try:
                whole = self.run_epoch() or self.step == self.steps_per_epoch
                self.ending = (self._end_epoch() or "") if whole else ""
            except NonFiniteLossError as error:
                self.ending = error.problem
                raise
        if not self.ending and self.epoch > self.train_config.epochs:
            self.ending = f"All {self.train_config.epochs} epochs are done."
        return not self.ending

    def save_last(self) -> None:
        """Keep nothing: a lesson is over when its page is left."""

    def _save(self, kind: Any, epoch: Epoch) -> None:
        """Keep nothing, as above."""


@contextmanager
def lesson_turn() -> Iterator[None]:
    """Compute on one thread, with torch's generator to oneself among lessons and restored afterwards."""
    with _turn, torch.random.fork_rng(devices=[]):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


class _PauseAfterStep:
    """An observer that asks to stop after each step and is otherwise told in vain."""

    taken = False

    def on_start(self, device: str, num_parameters: int) -> None: ...

    def on_progress(self, progress: dict[str, Any]) -> None:
        self.taken = True

    def on_epoch(self, epoch: Epoch) -> None: ...

    def on_resume(self, epochs: list[Epoch]) -> None: ...

    def on_checkpoint(self, kind: str, epoch: int, path: Path, num_bytes: int, metrics: dict[str, float]) -> None: ...

    def on_event(self, kind: str, message: str) -> None: ...

    def should_stop(self) -> bool:
        return self.taken
