"""What a network is asked, and what its answer costs: one label of several, or each label by itself.

One label: softmax and cross-entropy. Several: a sigmoid for each class, whose losses are added, so that
the loss of a clip is in nats as well: how unlikely its set of labels is if labels come independently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from samplemind_core.config import RunConfig, TrainConfig
from samplemind_core.ranking import lwlrap, mean_average_precision
from samplemind_core.store.records import Epoch
from samplemind_core.training import health
from samplemind_core.training.balance import class_weights
from samplemind_core.training.health import Verdict, known_already
from samplemind_core.training.health_several import assess_several
from samplemind_core.training.monitor import macro_f1, rank

# The asymmetric loss's own defaults for labels that are mostly absent (Ben-Baruch et al. 2021, section 4).
GAMMA_ABSENT = 4.0
MARGIN = 0.05
# Labels are counted as named from here on while training; thresholds of their own are chosen afterwards.
NAMED_FROM_LOGIT = 0.0


class Objective(Protocol):
    """A loss with what is measured beside it. Logits are (B, C) float32; targets as the dataset has them."""

    def soft(self, targets: Tensor, num_classes: int) -> Tensor:
        """Return targets as shares (B, C) float32, which mixup may blend."""

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Return the mean loss of a training batch; targets as they are or as shares."""

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss (B,) of each clip, without smoothing."""

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return whether each clip (B,) is answered entirely right; of blended targets the larger part counts."""

    def recall(self, logits: Tensor, targets: Tensor) -> tuple[float | None, ...]:
        """Return the share of each class's clips that is found; None for a class without clips."""

    def macro_f1(self, logits: Tensor, targets: Tensor) -> float:
        """Return the mean F1 over the classes that occur among targets or answers."""

    def extras(self, logits: Tensor, targets: Tensor) -> dict[str, float]:
        """Return further scores by name; none where there are none."""

    def verdict(
        self,
        epochs: Sequence[Epoch],
        val_targets: Tensor,
        num_probe: int,
        class_names: Sequence[str],
        config: RunConfig,
        twin_share: float = 0.0,
    ) -> Verdict:
        """Return what the epochs so far say of the run."""


@dataclass(frozen=True, eq=False)
class OneLabel:
    """Each clip has one label: targets (B,) int64, or shares (B, C). ``weights`` (C,) are those of classes, if any."""

    weights: Tensor | None = None

    def soft(self, targets: Tensor, num_classes: int) -> Tensor:
        """Return shares."""
        return functional.one_hot(targets, num_classes).float()

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Return the mean loss of a training batch."""
        if self.weights is None:
            return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        # Divided by the clips, not by their weights: those average 1 over an epoch, not over each batch.
        losses = functional.cross_entropy(
            logits, targets, weight=self.weights, label_smoothing=smoothing, reduction="none"
        )
        return losses.mean()

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each clip."""
        return functional.cross_entropy(logits, targets, reduction="none")

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return which clips are answered entirely right."""
        return logits.argmax(1) == (targets if targets.ndim == 1 else targets.argmax(1))

    def recall(self, logits: Tensor, targets: Tensor) -> tuple[float | None, ...]:
        """Return the recall of each class."""
        right = self.correct(logits, targets)
        return tuple(_mean_or_none(right[targets == place]) for place in range(logits.shape[1]))

    def macro_f1(self, logits: Tensor, targets: Tensor) -> float:
        """Return the mean F1."""
        return macro_f1(logits.argmax(1), targets, logits.shape[1])

    def extras(self, logits: Tensor, targets: Tensor) -> dict[str, float]:
        """Return further scores."""
        return {}

    def verdict(
        self,
        epochs: Sequence[Epoch],
        val_targets: Tensor,
        num_probe: int,
        class_names: Sequence[str],
        config: RunConfig,
        twin_share: float = 0.0,
    ) -> Verdict:
        """Return what the epochs so far say."""
        return health.assess(
            [health.point_from(epoch.as_dict()) for epoch in epochs],
            num_probe=num_probe,
            num_val=len(val_targets),
            class_shares=(torch.bincount(val_targets, minlength=len(class_names)) / len(val_targets)).tolist(),
            total_epochs=config.train.epochs,
            twin_share=twin_share,
            config=config,
            best_epoch=_best(epochs, config),
            weakest_class=_weakest(epochs[-1], class_names),
        )


@dataclass(frozen=True)
class SeveralLabels:
    """Each clip has any number of labels: targets (B, C) of 0 and 1, or shares.

    ``asymmetric`` takes the asymmetric loss instead of binary cross-entropy: the cost of a label that is
    absent is weighted by its probability to the power of four, less a margin, so that the many easy
    absent ones do not drown the few that are there. It makes probabilities that rank, not ones that
    can be read as shares.

    References
    ----------
    T. Ridnik, E. Ben-Baruch, N. Zamir, A. Noy, I. Friedman, M. Protter, L. Zelnik-Manor (2021),
    "Asymmetric loss for multi-label classification", ICCV (arXiv:2009.14119).
    """

    asymmetric: bool = False

    def soft(self, targets: Tensor, num_classes: int) -> Tensor:
        """Return shares."""
        return targets.float()

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Return the mean loss of a training batch."""
        # Towards even odds for every label: spreading a share over all classes would add labels to each clip.
        return self.losses(logits, targets * (1.0 - smoothing) + 0.5 * smoothing).mean()

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each clip."""
        shares = targets.to(logits.dtype)
        if not self.asymmetric:
            return functional.binary_cross_entropy_with_logits(logits, shares, reduction="none").sum(1)
        # Far below zero the margin leaves nothing: log1p(-0) is 0, and so is its weight.
        absent = (torch.sigmoid(logits) - MARGIN).clamp(min=0.0)
        cost = shares * functional.logsigmoid(logits) + (1.0 - shares) * absent**GAMMA_ABSENT * torch.log1p(-absent)
        return -cost.sum(1)

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return which clips are answered entirely right."""
        return ((logits > NAMED_FROM_LOGIT) == (targets > 0.5)).all(1)

    def recall(self, logits: Tensor, targets: Tensor) -> tuple[float | None, ...]:
        """Return the recall of each class."""
        named = logits > NAMED_FROM_LOGIT
        return tuple(_mean_or_none(named[targets[:, place] > 0, place]) for place in range(logits.shape[1]))

    def macro_f1(self, logits: Tensor, targets: Tensor) -> float:
        """Return the mean F1."""
        named, truth = logits > NAMED_FROM_LOGIT, targets > 0
        involved = named.sum(0) + truth.sum(0)
        f1 = 2.0 * (named & truth).sum(0).double()[involved > 0] / involved[involved > 0]
        return f1.mean().item()

    def extras(self, logits: Tensor, targets: Tensor) -> dict[str, float]:
        """Return further scores."""
        scores, truth = logits.double().numpy(), targets.numpy() > 0
        found = {"map": mean_average_precision(scores, truth), "lwlrap": lwlrap(scores, truth)}
        return {name: value for name, value in found.items() if value is not None}

    def verdict(
        self,
        epochs: Sequence[Epoch],
        val_targets: Tensor,
        num_probe: int,
        class_names: Sequence[str],
        config: RunConfig,
        twin_share: float = 0.0,
    ) -> Verdict:
        """Return what the epochs so far say."""
        shares = val_targets.double().mean(0)
        return assess_several(
            epochs,
            guessing_loss=self.losses(torch.zeros(val_targets.shape), val_targets).mean().item(),
            chance_map=shares[shares > 0].mean().item(),
            config=config,
            known=known_already(twin_share, len(val_targets)),
            best_epoch=_best(epochs, config),
            weakest_class=_weakest(epochs[-1], class_names),
        )


def objective_for(
    config: TrainConfig, train_targets: Tensor, num_classes: int, device: torch.device | None = None
) -> Objective:
    """Return what a run optimises.

    Parameters
    ----------
    config : TrainConfig
    train_targets : Tensor, shape (n,) or (n, C)
        Of the training clips; of two dimensions where clips have several labels.
    num_classes : int
    device : torch.device, optional
        Where the loss is computed.

    Raises
    ------
    ConfigError
        If the loss or the class balance is made for the other kind of dataset.
    """
    several = train_targets.ndim == 2
    config.check_loss(several_labels=several)
    if several:
        return SeveralLabels(config.loss == "asymmetric")
    if config.class_balance != "weights":
        return OneLabel()
    return OneLabel(class_weights(train_targets, num_classes).to(device))


def _best(epochs: Sequence[Epoch], config: RunConfig) -> int:
    """Return the epoch whose weights are kept as the best."""
    return max(epochs, key=lambda epoch: rank(epoch, config.train.monitor)).epoch


def _weakest(epoch: Epoch, class_names: Sequence[str]) -> str:
    """Return the class that validation recognises least."""
    known = [(recall, name) for recall, name in zip(epoch.recall, class_names, strict=True) if recall is not None]
    return min(known)[1]


def _mean_or_none(found: Tensor) -> float | None:
    return found.double().mean().item() if len(found) else None
