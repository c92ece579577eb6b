"""Classes of unequal size: weights of the loss, or epochs in which each class is drawn as often."""

from __future__ import annotations

import torch
from torch import Tensor


def class_weights(targets: Tensor, num_classes: int) -> Tensor:
    """Return a weight for each class, inverse to its number of clips.

    The weights average 1 over the clips, so that the learning rate keeps its meaning.

    Parameters
    ----------
    targets : Tensor of int64, shape (n,)
        Of the training clips.
    num_classes : int

    Returns
    -------
    Tensor of float32, shape (num_classes,)
        A class without clips weighs nothing.
    """
    counts = torch.bincount(targets, minlength=num_classes).double()
    present = counts > 0
    weights = torch.where(present, len(targets) / (present.sum() * counts.clamp(min=1)), 0.0)
    return weights.float()


def balanced_draw(targets: Tensor, generator: torch.Generator) -> Tensor:
    """Return places (n,) into ``targets`` (n,) for one epoch in which every class comes equally often.

    A class with fewer clips than its share is gone through as often as needed, each time in full
    before any clip repeats; of a larger one every epoch takes another part. As n rarely divides, some
    classes, drawn anew each epoch, get one clip more. The order is random.
    """
    classes = torch.bincount(targets).nonzero().flatten()
    share, rest = divmod(len(targets), len(classes))
    lucky = torch.randperm(len(classes), generator=generator)[:rest]
    quotas = torch.full((len(classes),), share).index_fill(0, lucky, share + 1)
    drawn = []
    for index, quota in zip(classes.tolist(), quotas.tolist(), strict=True):
        places = torch.nonzero(targets == index).flatten()
        rounds = -(-quota // len(places))
        # One random number per clip and round, sorted within each round: shuffles side by side.
        order = torch.rand(rounds, len(places), generator=generator).argsort(dim=1).flatten()
        drawn.append(places[order[:quota]])
    together = torch.cat(drawn)
    return together[torch.randperm(len(together), generator=generator)]
