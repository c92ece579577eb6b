"""Several networks that answer as one, trained side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from samplemind_core.config import FeatureConfig
from samplemind_core.models.registry import AudioClassifier


class Ensemble(AudioClassifier):
    """Networks of one kind that differ in where they started; their logits are averaged.

    Each member learns from its own mistakes: in training mode the logits of all members come out one
    beside the other, so that the loss is the mean of their losses and no member leans on another
    (deep ensembles: B. Lakshminarayanan et al., NeurIPS 2017, arXiv:1612.01474). The head of all is one
    linear layer over their embeddings, so that whatever works on a network's embedding and head works
    on an ensemble as it is.

    Parameters
    ----------
    members : list of AudioClassifier
        Two or more of one kind, for the same classes.
    features : FeatureConfig
    """

    title = "Ensemble"
    summary = "Several networks of one kind whose answers are averaged."

    def __init__(self, members: list[AudioClassifier], features: FeatureConfig) -> None:
        super().__init__(features)
        heads = [member.head for member in members]
        self.head = nn.Linear(sum(head.in_features for head in heads), heads[0].out_features)
        with torch.no_grad():
            self.head.weight.copy_(torch.cat([head.weight for head in heads], dim=1))
            self.head.bias.copy_(torch.stack([head.bias for head in heads]).mean(dim=0))
        for member in members:
            member.head = nn.Identity()  # type: ignore[assignment]
        self.members = nn.ModuleList(members)

    def embed(self, scaled: Tensor) -> Tensor:
        """Return the members' embeddings side by side (B, N x D), divided by their number."""
        embedded = [member.embed(scaled).float() for member in self.members]  # type: ignore[operator]
        return torch.cat(embedded, dim=1) / len(self.members)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Return the mean logits (B, num_classes); in training mode those of each member (B, N, num_classes)."""
        if not self.training:
            return super().forward(log_mel)
        count = len(self.members)
        embedded = self.features(log_mel).view(len(log_mel), count, -1) * count
        weights = self.head.weight.view(len(self.head.weight), count, -1)
        return torch.einsum("bnd,cnd->bnc", embedded, weights) + self.head.bias


def member_of(model: AudioClassifier) -> AudioClassifier:
    """Return the first member of an ensemble, any other network itself: for what looks at one network's layers."""
    if not isinstance(model, Ensemble):
        return model
    first = model.members[0]
    assert isinstance(first, AudioClassifier)
    return first
