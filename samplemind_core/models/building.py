"""A network from its configuration."""

from __future__ import annotations

from samplemind_core.config import FeatureConfig, ModelConfig
from samplemind_core.errors import ConfigError
from samplemind_core.models.ensemble import Ensemble
from samplemind_core.models.registry import MODELS, AudioClassifier


def build_model(config: ModelConfig, num_classes: int, features: FeatureConfig) -> AudioClassifier:
    """Return a freshly initialised network, or as many of them as ``config.members`` says as one ensemble.

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
    members = [entry.build(config, num_classes, features) for _ in range(config.members)]
    return members[0] if len(members) == 1 else Ensemble(members, features)
