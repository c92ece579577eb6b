"""Checkpoint files from elsewhere become runs; what is not one is refused and leaves nothing behind."""

from __future__ import annotations

import pytest

from samplemind_core.config import build_config
from samplemind_core.errors import CheckpointError
from samplemind_core.training import imported
from samplemind_core.training.checkpoints import read_info, rewrite_info


@pytest.fixture
def trained(workspace, bursts):
    workspace.import_dataset(bursts(per_class=12), name="tones")
    return workspace.train("tones", build_config("quick", {"epochs": 1}))


def test_a_checkpoint_comes_back_as_a_run_of_its_own(workspace, trained) -> None:
    content = workspace.checkpoint_path(trained.id).read_bytes()
    first = workspace.import_checkpoint(content, "C:\\models\\mine:1.safetensors", "tones", "anna")
    again = workspace.import_checkpoint(content, "C:\\models\\mine:1.safetensors", "tones")
    assert (first.name, again.name) == ("mine-1", "mine-1-2")
    assert (first.status, first.owner, first.dataset_id) == ("finished", "anna", trained.dataset_id)
    assert workspace.evaluate(first.id, split="test") == workspace.evaluate(trained.id, split="test")
    assert workspace.queue_position(first.id) is None
    # By its name alone it would be taken for the model that the package brings along.
    starter = workspace.import_checkpoint(content, "starter.safetensors", "tones")
    assert workspace.resolve(starter.name)[0] == starter


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04pickle" * 40])
def test_what_is_no_checkpoint_is_refused(workspace, trained, content) -> None:
    before = sorted((workspace.root / "runs").iterdir())
    with pytest.raises(CheckpointError, match=r"'x\.safetensors' is not a readable checkpoint"):
        workspace.import_checkpoint(content, "x.safetensors", "tones")
    assert sorted((workspace.root / "runs").iterdir()) == before
    assert [run.id for run in workspace.runs()] == [trained.id]


def test_a_checkpoint_of_no_epoch_or_too_large_is_refused(workspace, trained, monkeypatch) -> None:
    path = workspace.checkpoint_path(trained.id)
    rewrite_info(path, read_info(path).model_copy(update={"metrics": {}}))
    content = path.read_bytes()
    with pytest.raises(CheckpointError, match="before its first epoch"):
        workspace.import_checkpoint(content, "x.safetensors", "tones")
    monkeypatch.setattr(imported, "MAX_BYTES", 10)
    with pytest.raises(CheckpointError, match="at most"):
        workspace.import_checkpoint(content, "x.safetensors", "tones")
