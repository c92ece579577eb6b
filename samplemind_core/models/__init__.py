"""The networks: ``build_model(config, num_classes, features)``."""

from __future__ import annotations

from samplemind_core.models import bc_resnet, samplemind_attention, samplemind_cnn, tutorial_cnn
from samplemind_core.models.registry import MODELS, AudioClassifier, build_model, count_parameters

__all__ = [
    "MODELS",
    "AudioClassifier",
    "bc_resnet",
    "build_model",
    "count_parameters",
    "samplemind_attention",
    "samplemind_cnn",
    "tutorial_cnn",
]
