"""The networks by name, what they share, and how one is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from samplemind_core.config import FeatureConfig, ModelConfig
from samplemind_core.errors import ConfigError


class AudioClassifier(nn.Module):
    """A network from log-mel spectrograms to class logits.

    Subclasses implement :meth:`embed` and own a linear layer named ``head``. The fixed scaling
    from decibels to about [-1, 1] is part of the network, so that a checkpoint needs no other
    preprocessing than :class:`~samplemind_core.audio.features.LogMel`.
    """

    title: ClassVar[str]
    summary: ClassVar[str]
    head: nn.Linear

    def __init__(self, features: FeatureConfig) -> None:
        super().__init__()
        self.half_range_db = features.top_db / 2

    def embed(self, scaled: Tensor) -> Tensor:
        """Return embeddings (B, D) of scaled spectrograms (B, 1, n_mels, frames)."""
        raise NotImplementedError

    def features(self, log_mel: Tensor) -> Tensor:
        """Return embeddings (B, D) of ``log_mel`` (B, 1, n_mels, frames) in dB, in [-top_db, 0]."""
        return self.embed(log_mel / self.half_range_db + 1.0)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Return logits (B, num_classes) of ``log_mel`` (B, 1, n_mels, frames) in dB."""
        logits: Tensor = self.head(self.features(log_mel))
        return logits


Builder = Callable[[ModelConfig, int, FeatureConfig], AudioClassifier]


@dataclass(frozen=True)
class ModelEntry:
    """A registered network."""

    name: str
    title: str
    summary: str
    build: Builder


MODELS: dict[str, ModelEntry] = {}


def register(name: str) -> Callable[[type[Any]], type[Any]]:
    """Register a subclass of :class:`AudioClassifier` under a name."""

    def decorate(cls: type[Any]) -> type[Any]:
        MODELS[name] = ModelEntry(name, cls.title, cls.summary, cls)
        return cls

    return decorate


def build_model(config: ModelConfig, num_classes: int, features: FeatureConfig) -> AudioClassifier:
    """Return a freshly initialised network.

    Raises
    ------
    ConfigError
        If no network of that name is registered, or it does not fit the spectrogram's shape.
    """
    if num_classes < 2:
        raise ConfigError(f"A classifier needs at least 2 classes, got {num_classes}.", "Import more classes.")
    entry = MODELS.get(config.name)
    if entry is None:
        raise ConfigError(f"There is no network '{config.name}'.", f"Choose one of: {', '.join(MODELS)}.")
    return entry.build(config, num_classes, features)


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def channels(base: int, width: float) -> int:
    """Return ``base`` channels scaled by ``width``, in multiples of 8, at least 8."""
    return max(8, round(base * width / 8) * 8)


def kaiming(module: nn.Module) -> None:
    """Initialise convolutions for ReLU (He et al. 2015) and start batch norms as the identity."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def mean_max_pool(maps: Tensor) -> Tensor:
    """Return (B, 2C) from feature maps (B, C, n_mels', frames'): mean over frequency, mean and max over time."""
    over_time = maps.float().mean(dim=2)
    return torch.cat([over_time.mean(dim=-1), over_time.amax(dim=-1)], dim=1)
