"""What an epoch measures: losses and correct answers of clips, and the verdict on the run so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from samplemind_core.config import RunConfig
from samplemind_core.store.records import Epoch
from samplemind_core.training import health
from samplemind_core.training.monitor import macro_f1
from samplemind_core.training.places import place_seed

MIN_PROBE = 256


@dataclass
class Totals:
    """Sums over the clips of an epoch so far."""

    loss: float = 0.0
    correct: int = 0
    clips: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Judged:
    """How a network did on some clips: ``losses`` (n,) float64, ``predicted`` and ``targets`` (n,) int64."""

    losses: Tensor
    predicted: Tensor
    targets: Tensor

    @property
    def correct(self) -> Tensor:
        """Whether each clip was named right, (n,) bool."""
        return self.predicted == self.targets


def judge(logits: Tensor, targets: Tensor) -> Judged:
    """Return the loss of each clip, and what it was called, from its logits (n, num_classes) and target (n,)."""
    losses = functional.cross_entropy(logits.double(), targets, reduction="none")
    return Judged(losses, logits.argmax(1), targets)


def measure_epoch(
    number: int,
    totals: Totals,
    lr: float,
    val: Judged,
    probe: Judged,
    *,
    class_names: Sequence[str],
    history: Sequence[Epoch],
    config: RunConfig,
) -> Epoch:
    """Return an epoch's record: its figures and the verdict on all epochs so far.

    Parameters
    ----------
    number : int
        The epoch, from 1.
    totals : Totals
        Of its training steps.
    lr : float
        Learning rate of its last step.
    val, probe : Judged
        The validation clips, and a fixed sample of training clips measured alike.
    class_names : sequence of str
    history : sequence of Epoch
        The epochs before.
    config : RunConfig
        Settings of the run.
    """
    num_val = len(val.losses)
    recall = tuple(_mean_or_none(val.correct[val.targets == index]) for index in range(len(class_names)))
    measured = {
        "probe_loss": probe.losses.mean().item(),
        "probe_accuracy": probe.correct.double().mean().item(),
        "val_macro_f1": macro_f1(val.predicted, val.targets, len(class_names)),
        "val_loss_se": (val.losses.std(correction=1) / num_val**0.5).item() if num_val > 1 else 0.0,
    }
    epoch = Epoch(
        epoch=number,
        train_loss=totals.loss / totals.clips,
        val_loss=val.losses.mean().item(),
        train_accuracy=totals.correct / totals.clips,
        val_accuracy=val.correct.double().mean().item(),
        lr=lr,
        seconds=totals.seconds,
        clips_per_s=totals.clips / max(totals.seconds, 1e-9),
        health=measured,
        recall=recall,
    )
    return _with_verdict(epoch, [*history, epoch], val.targets, len(probe.losses), class_names, config)


def probe_sample(train_rows: np.ndarray, num_val: int, seed: int) -> Tensor:
    """Return a fixed sample of training clips, to be measured exactly as validation clips are."""
    size = min(len(train_rows), max(MIN_PROBE, num_val))
    order = torch.randperm(len(train_rows), generator=torch.Generator().manual_seed(place_seed(seed, 0)))
    return torch.from_numpy(train_rows)[order[:size].sort().values]


def headline(epoch: Epoch) -> dict[str, float]:
    """Return the figures that a checkpoint of an epoch carries."""
    names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
    figures = {name: getattr(epoch, name) for name in names}
    if "val_macro_f1" in epoch.health:  # not before it was measured
        figures["val_macro_f1"] = epoch.health["val_macro_f1"]
    return figures


def _with_verdict(
    epoch: Epoch,
    history: list[Epoch],
    targets: Tensor,
    num_probe: int,
    class_names: Sequence[str],
    config: RunConfig,
) -> Epoch:
    """Return the epoch with its verdict beside the figures it rests on."""
    shares = (torch.bincount(targets) / len(targets)).tolist()
    known = [(recall, name) for recall, name in zip(epoch.recall, class_names, strict=True) if recall is not None]
    verdict = health.assess(
        [health.point_from(row.as_dict()) for row in history],
        num_probe=num_probe,
        num_val=len(targets),
        class_shares=shares,
        total_epochs=config.train.epochs,
        config=config,
        weakest_class=min(known)[1],
    )
    return Epoch(**epoch.as_dict() | {"health": {**epoch.health, **verdict.as_dict()}, "recall": epoch.recall})


def _mean_or_none(correct: Tensor) -> float | None:
    return correct.double().mean().item() if len(correct) else None
