"""The network that the tutorial teaches with: four convolution blocks and a dense head."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from samplemind_core.config import FeatureConfig, ModelConfig
from samplemind_core.models.registry import AudioClassifier, channels, register


@register("tutorial_cnn")
class TutorialCNN(AudioClassifier):
    """Four blocks of 32-64-128-256 channels, each halving both axes, then 512 hidden units.

    About 5.6 million parameters on (1, 128, 87), nearly all of them in the first dense layer.
    """

    title = "Tutorial CNN"
    summary = "Four convolution blocks and a dense head, as in the tutorial: large and slow, easy to follow."

    def __init__(self, config: ModelConfig, num_classes: int, features: FeatureConfig) -> None:
        super().__init__(features)
        config.check_input(features)  # it halves them four times
        widths = [1, *(channels(base, config.width) for base in (32, 64, 128, 256))]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(a, b, 3, padding=1),
                    nn.BatchNorm2d(b),
                    nn.ReLU(inplace=True),
                    nn.MaxPool2d(2),
                    nn.Dropout2d(config.dropout / 2),
                )
                for a, b in pairwise(widths)
            )
        )
        flat = widths[-1] * (features.n_mels // 16) * (features.frames // 16)
        hidden = channels(512, config.width)
        self.dense = nn.Sequential(nn.Linear(flat, hidden), nn.ReLU(inplace=True), nn.Dropout(config.dropout))
        self.head = nn.Linear(hidden, num_classes)

    def embed(self, scaled: Tensor) -> Tensor:
        """Return embeddings (B, 512 x width)."""
        embedding: Tensor = self.dense(torch.flatten(self.blocks(scaled), 1))
        return embedding
