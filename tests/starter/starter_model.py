"""A starter of no skill, in place of the one that the package brings along."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from samplemind_core import starter
from samplemind_core.config import RunConfig, build_config
from samplemind_core.models import build_model, count_parameters
from samplemind_core.training.checkpoints import CheckpointInfo, save_checkpoint

CLASSES = ("kick", "snare")


def put_starter(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> RunConfig:
    """Write an untrained starter and its card into a folder and let the product take it for its own."""
    config = build_config("quick", {"n_mels": 16, "duration_s": 0.2, "width": 0.25, "device": "cpu"} | changes)
    torch.manual_seed(0)
    model = build_model(config.model, len(CLASSES), config.features)
    info = CheckpointInfo(
        class_names=CLASSES, config=config, epoch=3, metrics={"val_loss": 0.5, "val_accuracy": 0.9},
        dataset={"id": "", "name": "Synthesised drums", "synthetic": True}, num_parameters=count_parameters(model),
    )  # fmt: skip
    file, card = folder / "starter.safetensors", folder / "card.json"
    save_checkpoint(file, {f"model.{name}": tensor for name, tensor in model.state_dict().items()}, info)
    measured = {
        "num_clips": 100, "num_sources": 10, "accuracy": 0.9, "accuracy_interval": [0.8, 0.95],
        "balanced_accuracy": 0.9, "recall": {"kick": 0.95, "snare": None},
    }  # fmt: skip
    words = {
        "class_names": CLASSES, "trained_on": {"num_clips": 400, "num_kits": 24}, "num_parameters": 10,
        "held_out_kits": measured, "real": measured | {"name": "some", "accuracy": 0.5},
    }  # fmt: skip
    card.write_text(json.dumps(words))
    monkeypatch.setattr(starter, "STARTER_FILE", file)
    monkeypatch.setattr(starter, "CARD", card)
    starter.starter_card.cache_clear()
    return config
