"""The networks by name, what they share, and how one is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from samplemind_core.config import FeatureConfig, ModelConfig, check_views


class AudioClassifier(nn.Module):
    """A network from log-mel spectrograms to class logits.

    Subclasses implement :meth:`embed` and own a linear layer named ``head``. The fixed scaling
    from decibels to about [-1, 1] is part of the network, so that a checkpoint needs no other
    preprocessing than :class:`~samplemind_core.audio.features.LogMel`.

    In evaluation mode a network may listen to several ``views`` of a sound (:meth:`set_views`): as it is
    and beginning later. Their embeddings are averaged, and so, as the head is linear, are their logits.
    """

    title: ClassVar[str]
    summary: ClassVar[str]
    head: nn.Linear

    def __init__(self, features: FeatureConfig) -> None:
        super().__init__()
        self.half_range_db = features.top_db / 2
        self.frames = features.frames
        self.views = 1

    def set_views(self, views: int) -> None:
        """Average over so many views of each sound in evaluation mode, each a frame later than the one before.

        Strides see a sound that lies a frame later differently; averaging takes that chance out. Views
        come later, never earlier, as the attack must not be cut.

        Raises
        ------
        ConfigError
            If the views would take more than a quarter of the window.
        """
        check_views(views, self.frames)
        self.views = views

    def embed(self, scaled: Tensor) -> Tensor:
        """Return embeddings (B, D) of scaled spectrograms (B, 1, n_mels, frames)."""
        raise NotImplementedError

    def features(self, log_mel: Tensor) -> Tensor:
        """Return embeddings (B, D) of ``log_mel`` (B, 1, n_mels, frames) in dB, in [-top_db, 0]."""
        scaled = log_mel / self.half_range_db + 1.0
        if self.training or self.views == 1:
            return self.embed(scaled)
        # The sound as it is comes last: whoever listens to the layers keeps what they said last.
        total = sum(self.embed(_later(scaled, frames)) for frames in range(self.views - 1, 0, -1))
        return (total + self.embed(scaled)) / self.views

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


def _later(scaled: Tensor, frames: int) -> Tensor:
    """Return scaled spectrograms that begin some frames later, after silence; the end is cut."""
    return functional.pad(scaled[..., :-frames], (frames, 0), value=-1.0)


def mean_max_pool(maps: Tensor) -> Tensor:
    """Return (B, 2C) from feature maps (B, C, n_mels', frames'): mean over frequency, mean and max over time."""
    over_time = maps.float().mean(dim=2)
    return torch.cat([over_time.mean(dim=-1), over_time.amax(dim=-1)], dim=1)
