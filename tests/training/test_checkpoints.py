from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from helpers import Memory, tiny_config, tiny_data
from safetensors.torch import load_file, save_file

from samplemind_core import models
from samplemind_core.errors import CheckpointError
from samplemind_core.training.checkpoints import KEY, load_model, read_info
from samplemind_core.training.trainer import Trainer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    config = tiny_config(epochs=1)
    Trainer(config, tiny_data(config), folder, Memory()).fit()
    return folder / "best.safetensors"


def rewritten(checkpoint: Path, target: Path, change) -> Path:
    info = json.loads(read_info(checkpoint).model_dump_json())
    save_file(load_file(checkpoint), target, metadata={KEY: json.dumps(change(info) or info)})
    return target


def test_a_checkpoint_stands_alone(checkpoint: Path) -> None:
    model, info = load_model(checkpoint)
    assert not model.training
    assert info.features.n_mels == 16
    assert info.versions["torch"] == torch.__version__
    assert info.dataset["fingerprint"] == "tiny-1"
    assert info.state == {}


@pytest.mark.parametrize("length", [0, 3, 100, -1])
def test_a_damaged_file_is_refused_with_advice(checkpoint: Path, tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.safetensors"
    content = checkpoint.read_bytes()
    path.write_bytes(content[:length])
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_model(path)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"model": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_model(path)


def test_weights_without_our_description_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="not SampleMind's description"):
        read_info(tmp_path / "plain.safetensors")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        read_info(tmp_path / "none.safetensors")


def test_a_newer_format_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    path = rewritten(checkpoint, tmp_path / "new.safetensors", lambda info: info | {"format_version": 99})
    with pytest.raises(CheckpointError, match="format 99"):
        read_info(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda info: info | {"class_names": ["only one"]},
        lambda info: info | {"surprise": 1},
        lambda info: {key: value for key, value in info.items() if key != "config"},
        lambda info: ["not", "a", "mapping"],
        lambda info: info | {"format_version": "new"},
        lambda info: info | {"metrics": {"val_loss": math.nan}},
        lambda info: info | {"epoch": 2**40},
    ],
)
def test_a_wrong_description_is_refused(checkpoint: Path, tmp_path: Path, change) -> None:
    with pytest.raises(CheckpointError, match="describes itself wrongly"):
        read_info(rewritten(checkpoint, tmp_path / "wrong.safetensors", change))


def test_weights_that_do_not_fit_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    path = rewritten(
        checkpoint, tmp_path / "wide.safetensors", lambda info: info | {"class_names": ["a", "b", "c", "d"]}
    )
    with pytest.raises(CheckpointError, match=r"model\.head\.bias has shape \[3\], not \[4\]"):
        load_model(path)


def test_a_file_that_claims_a_huge_network_takes_no_memory_for_it(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, devices = models.build_model, []

    def watched(*args):
        model = build(*args)
        devices.extend(tensor.device.type for tensor in model.parameters())
        return model

    def claim(info):
        info["config"]["model"] |= {"width": 8.0, "members": 10}
        return info

    monkeypatch.setattr(models, "build_model", watched)
    with pytest.raises(CheckpointError, match="do not fit"):
        load_model(rewritten(checkpoint, tmp_path / "huge.safetensors", claim))
    assert set(devices) == {"meta"}


def test_weights_that_are_no_numbers_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    tensors = load_file(checkpoint)
    tensors["model.head.bias"][0] = math.nan
    path = tmp_path / "nan.safetensors"
    save_file(tensors, path, metadata={KEY: read_info(checkpoint).model_dump_json()})
    with pytest.raises(CheckpointError, match="not all numbers"):
        load_model(path)
