"""The networks: ``build_model(config, num_classes, features)``."""

from __future__ import annotations

from samplemind_core.models import bc_resnet, samplemind_attention, samplemind_cnn, tutorial_cnn
from samplemind_core.models.building import build_model
from samplemind_core.models.ensemble import Ensemble, member_of
from samplemind_core.models.registry import MODELS, AudioClassifier, count_parameters

__all__ = [
    "MODELS",
    "AudioClassifier",
    "Ensemble",
    "bc_resnet",
    "build_model",
    "count_parameters",
    "member_of",
    "samplemind_attention",
    "samplemind_cnn",
    "tutorial_cnn",
]
