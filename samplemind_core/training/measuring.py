"""What an epoch measures: losses and correct answers of clips, and the verdict on the run so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from samplemind_core.config import RunConfig
from samplemind_core.store.records import Epoch
from samplemind_core.training.objective import Objective
from samplemind_core.training.places import place_seed

MIN_PROBE = 256


@dataclass
class Totals:
    """Sums over the clips of an epoch so far."""

    loss: float = 0.0
    correct: int = 0
    clips: int = 0
    seconds: float = 0.0

    def add(self, loss: float, correct: int, clips: int) -> None:
        """Take in some clips: the sum of their losses and how many of them were right."""
        self.loss += loss
        self.correct += correct
        self.clips += clips


@dataclass(frozen=True)
class Judged:
    """How a network did on some clips: ``losses`` (n,) float64, ``correct`` (n,) bool, targets and logits (n, C)."""

    losses: Tensor
    correct: Tensor
    targets: Tensor
    logits: Tensor


def judge(objective: Objective, logits: Tensor, targets: Tensor) -> Judged:
    """Return the loss and correctness of each clip from its logits (n, C) and targets as the dataset has them."""
    return Judged(objective.losses(logits.double(), targets), objective.correct(logits, targets), targets, logits)


def measure_epoch(
    objective: Objective,
    number: int,
    totals: Totals,
    lr: float,
    val: Judged,
    probe: Judged,
    *,
    class_names: Sequence[str],
    history: Sequence[Epoch],
    config: RunConfig,
    twin_share: float,
) -> Epoch:
    """Return an epoch's record: its figures and the verdict on all epochs so far.

    Parameters
    ----------
    objective : Objective
        What the network is asked.
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
    twin_share : float
        Share of the validation clips that stand in training as well.
    """
    num_val = len(val.losses)
    measured = {
        "probe_loss": probe.losses.mean().item(),
        "probe_accuracy": probe.correct.double().mean().item(),
        "val_macro_f1": objective.macro_f1(val.logits, val.targets),
        "val_loss_se": (val.losses.std(correction=1) / num_val**0.5).item() if num_val > 1 else 0.0,
    }
    for name, part in (("val", val), ("probe", probe)):
        extras = objective.extras(part.logits, part.targets)
        measured |= {f"{name}_{score}": value for score, value in extras.items()}
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
        recall=objective.recall(val.logits, val.targets),
    )
    verdict = objective.verdict([*history, epoch], val.targets, len(probe.losses), class_names, config, twin_share)
    return replace(epoch, health={**measured, **verdict.as_dict()})


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
