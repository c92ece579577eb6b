"""The trainer on clips with several labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import Memory, measured, tiny_config, tiny_data

from samplemind_core.errors import ConfigError
from samplemind_core.training.checkpoints import read_info
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData


def layered(config, num_clips: int = 120, num_classes: int = 3, seed: int = 0) -> TrainingData:
    """Each label is a band of its own, in any combination with the others."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((num_clips, num_classes)) < 0.45).astype(np.uint8)
    targets[~targets.any(axis=1), 0] = 1
    log_mel = rng.uniform(-80, -45, (num_clips, *config.features.shape))
    for row, column in zip(*np.nonzero(targets), strict=True):
        log_mel[row, 0, 4 * column : 4 * column + 4, : rng.integers(4, 17)] = rng.uniform(-20, 0)
    cut = num_clips * 2 // 3
    return TrainingData(
        log_mel=log_mel.astype(np.float16),
        targets=targets,
        train_rows=np.arange(cut),
        val_rows=np.arange(cut, num_clips),
        class_names=tuple(f"class {index}" for index in range(num_classes)),
        description={"id": "layered", "name": "layered", "fingerprint": "layered-1", "num_clips": num_clips},
    )


@pytest.mark.parametrize("loss", ["auto", "asymmetric"])
def test_labels_are_learned_each_by_itself(tmp_path, loss):
    config = tiny_config(epochs=8, loss=loss, lr=0.02)
    seen = Memory()
    assert Trainer(config, layered(config), tmp_path, seen).fit().status == "finished"
    first, last = seen.epochs[0], seen.epochs[-1]
    chance = layered(config).targets[80:].mean(axis=0).mean()
    assert last.health["val_map"] > max(0.9, chance + 0.3)
    assert last.health["val_lwlrap"] > 0.9
    assert last.val_loss < first.val_loss
    assert len(last.recall) == 3
    assert last.health["verdict"] in ("healthy", "overfitting")
    info = read_info(tmp_path / "best.safetensors")
    assert info.several_labels
    assert info.thresholds == (0.5, 0.5, 0.5)


def test_the_best_epoch_may_be_that_of_the_highest_mean_average_precision(tmp_path):
    config = tiny_config(epochs=6, lr=0.05, monitor="val_map")
    seen = Memory()
    outcome = Trainer(config, layered(config), tmp_path, seen).fit()
    best = max(seen.epochs, key=lambda epoch: (epoch.health["val_map"], -epoch.val_loss))
    assert outcome.best_epoch == read_info(tmp_path / "best.safetensors").epoch == best.epoch
    assert "mean average precision" in outcome.reason
    with pytest.raises(ConfigError, match="is for clips with several labels"):
        Trainer(config, tiny_data(config), tmp_path / "one", Memory())


def test_a_resumed_run_repeats_what_it_would_have_done(tmp_path):
    config = tiny_config(epochs=3, mixup_alpha=0.3, label_smoothing=0.1)
    whole = Memory()
    Trainer(config, layered(config), tmp_path / "whole", whole).fit()
    cut = Memory(stop_when=lambda memory: len(memory.progress) >= 14)
    Trainer(config, layered(config), tmp_path / "cut", cut).fit()
    rest = Memory()
    trainer = Trainer(config, layered(config), tmp_path / "cut", rest)
    trainer.restore(tmp_path / "cut" / "last.safetensors")
    trainer.fit()
    assert [measured(epoch) for epoch in rest.resumed + rest.epochs] == [measured(epoch) for epoch in whole.epochs]


def test_a_loss_for_one_label_is_refused(tmp_path):
    config = tiny_config(loss="cross_entropy")
    with pytest.raises(ConfigError, match="several"):
        Trainer(config, layered(config), tmp_path, Memory())
    one = tiny_config(loss="asymmetric")
    with pytest.raises(ConfigError, match="have one"):
        Trainer(one, replace(tiny_data(one)), tmp_path, Memory())
