"""Which epoch is the best, and how that is said."""

from __future__ import annotations

import torch
from torch import Tensor

from samplemind_core.config import Monitor
from samplemind_core.store.records import Epoch

WORDS: dict[Monitor, tuple[str, str]] = {
    "val_loss": ("validation loss", "lowest"),
    "val_accuracy": ("validation accuracy", "highest"),
    "val_macro_f1": ("validation macro-F1", "highest"),
    "val_map": ("validation mean average precision", "highest"),
}
"""What is watched, and where it is best."""


def rank(epoch: Epoch, monitor: Monitor) -> tuple[float, float]:
    """Return what is larger the better an epoch is; all but the loss may tie, and the loss decides then."""
    if monitor == "val_loss":
        return -epoch.val_loss, 0.0
    return epoch.val_accuracy if monitor == "val_accuracy" else epoch.health[monitor], -epoch.val_loss


def macro_f1(predicted: Tensor, targets: Tensor, num_classes: int) -> float:
    """Return the mean F1 over the classes that occur among targets (n,) or predictions (n,)."""
    hits = torch.bincount(targets[predicted == targets], minlength=num_classes).double()
    named = torch.bincount(predicted, minlength=num_classes) + torch.bincount(targets, minlength=num_classes)
    return (2 * hits[named > 0] / named[named > 0]).mean().item()
