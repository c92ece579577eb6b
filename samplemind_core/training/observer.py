"""Who is told how a run goes, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from samplemind_core.store.records import Epoch


class Observer(Protocol):
    """Who is told how a run goes. Implementations must be quick: they are called between steps."""

    def on_start(self, device: str, num_parameters: int) -> None:
        """Take where the run trains and how large the network is."""

    def on_progress(self, progress: dict[str, Any]) -> None:
        """Take how far the run is: epoch, step, steps, clips_per_s, eta_s."""

    def on_epoch(self, epoch: Epoch) -> None:
        """Take what an epoch measured."""

    def on_resume(self, epochs: list[Epoch]) -> None:
        """Take the epochs that the resumed run builds on; any later one is void."""

    def on_checkpoint(self, kind: str, epoch: int, path: Path, num_bytes: int, metrics: dict[str, float]) -> None:
        """Take a checkpoint that was written."""

    def on_event(self, kind: str, message: str) -> None:
        """Take something worth telling."""

    def should_stop(self) -> bool:
        """Return whether the run is to stop after this batch."""
        ...


class Silent(Observer):
    """An observer that keeps everything to itself and lets a run go on: to be overridden where something matters."""

    def on_start(self, device: str, num_parameters: int) -> None:
        """Do nothing."""

    def on_progress(self, progress: dict[str, Any]) -> None:
        """Do nothing."""

    def on_epoch(self, epoch: Epoch) -> None:
        """Do nothing."""

    def on_resume(self, epochs: list[Epoch]) -> None:
        """Do nothing."""

    def on_checkpoint(self, kind: str, epoch: int, path: Path, num_bytes: int, metrics: dict[str, float]) -> None:
        """Do nothing."""

    def on_event(self, kind: str, message: str) -> None:
        """Do nothing."""

    def should_stop(self) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True)
class Outcome:
    """How a run ended and why, in words."""

    status: Literal["finished", "stopped"]
    reason: str
    best_epoch: int | None
