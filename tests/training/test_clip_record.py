"""The record of what each validation clip was called: places, gaps, crashes, bounds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import Memory, tiny_config, tiny_data

from samplemind_core.errors import CheckpointError, StorageError
from samplemind_core.training import clip_record
from samplemind_core.training.clip_record import ClipRecord, read_clip_record
from samplemind_core.training.trainer import Trainer

NAMES = ("kick", "snare", "hat")
TARGETS = np.array([0, 1, 2, 0])
ROWS = np.array([3, 7, 8, 11])


def record(path, epochs: int = 5, names: tuple[str, ...] = NAMES) -> ClipRecord:
    return ClipRecord(path, ROWS, TARGETS, names, epochs)


def called(epoch: int) -> np.ndarray:
    return (TARGETS + np.arange(4) * epoch) % 3


def sure(epoch: int) -> np.ndarray:
    return np.array([0.0, 1.0, epoch / 10, 0.5])


def fill(path, numbers, **about) -> None:
    noted = record(path, **about)
    for epoch in numbers:
        noted.note(epoch, called(epoch), sure(epoch))


def test_what_was_noted_is_read(tmp_path) -> None:
    path = tmp_path / "run" / "clips"
    fill(path, range(1, 5))
    found = read_clip_record(path, 99)
    assert found is not None
    assert found.epochs.tolist() == [1, 2, 3, 4]
    assert found.rows.tolist() == ROWS.tolist()
    assert found.class_names == NAMES
    for place, epoch in enumerate(found.epochs):
        assert found.called[place].tolist() == called(epoch).tolist()
        assert found.confidence[place] == pytest.approx(sure(epoch), abs=1 / 255)
        assert found.right[place].tolist() == (called(epoch) == TARGETS).tolist()


def test_nothing_noted_is_none(tmp_path) -> None:
    assert read_clip_record(tmp_path / "clips", 3) is None
    fill(tmp_path / "clips", [4])
    assert read_clip_record(tmp_path / "clips", 3) is None  # only an epoch that does not count any more


def test_a_resumed_run_replaces_what_came_after(tmp_path) -> None:
    path = tmp_path / "clips"
    fill(path, range(1, 5))
    noted = record(path)
    noted.note(3, called(9), sure(9))
    found = read_clip_record(path, 99)
    assert found is not None
    assert found.epochs.tolist() == [1, 2, 3]
    assert found.called[1].tolist() == called(2).tolist()
    assert found.called[2].tolist() == called(9).tolist()


def test_a_torn_end_is_no_epoch_and_is_replaced(tmp_path) -> None:
    path = tmp_path / "clips"
    fill(path, range(1, 4))
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    found = read_clip_record(path, 99)
    assert found is not None
    assert found.epochs.tolist() == [1, 2]
    fill(path, [3])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("lost", ["epochs", "header", "other clips"])
def test_a_record_that_cannot_go_on_begins_anew(tmp_path, lost: str) -> None:
    path = tmp_path / "clips"
    fill(path, range(1, 4), names=("a", "b", "c") if lost == "other clips" else NAMES)
    if lost == "header":
        path.write_bytes(b"noise" + path.read_bytes())
    fill(path, [6 if lost == "epochs" else 4])
    found = read_clip_record(path, 99)
    assert found is not None
    assert found.epochs.tolist() == [6 if lost == "epochs" else 4]
    assert found.class_names == NAMES


def test_a_long_record_leaves_epochs_out_evenly(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(clip_record, "MAX_BYTES", 40)  # five records of four clips
    path = tmp_path / "clips"
    fill(path, range(1, 13), epochs=12)
    found = read_clip_record(path, 12)
    assert found is not None
    assert found.epochs.tolist() == [1, 4, 7, 10]
    fill(path, range(9, 14), epochs=12)  # resumed in between
    again = read_clip_record(path, 13)
    assert again is not None
    assert again.epochs.tolist() == [1, 4, 7, 10, 13]


def test_many_classes_keep_their_places(tmp_path) -> None:
    names = tuple(f"class {i}" for i in range(300))
    ClipRecord(tmp_path / "clips", ROWS, TARGETS, names, 2).note(1, np.array([299, 256, 255, 0]), sure(1))
    found = read_clip_record(tmp_path / "clips", 1)
    assert found is not None
    assert found.called.tolist() == [[299, 256, 255, 0]]


@pytest.mark.parametrize("content", [b"", b"{}\n", b"\xff\n", b'{"format":2}\n', b"[]\n"])
def test_a_damaged_record_is_said(tmp_path, content: bytes) -> None:
    (tmp_path / "clips").write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_clip_record(tmp_path / "clips", 3)


def test_figures_that_contradict_each_other_are_said(tmp_path) -> None:
    fill(tmp_path / "clips", [1])
    header = json.loads((tmp_path / "clips").read_bytes().split(b"\n")[0])
    (tmp_path / "clips").write_text(json.dumps(header | {"targets": [0]}) + "\n")
    with pytest.raises(CheckpointError, match="contradict"):
        read_clip_record(tmp_path / "clips", 3)


# -- the trainer ---------------------------------------------------------------------------------


def trainer(folder, observer: Memory, epochs: int = 4) -> Trainer:
    config = tiny_config(epochs=epochs)
    data = tiny_data(config)
    noted = ClipRecord(folder / "clips", data.val_rows, data.targets[data.val_rows], data.class_names, epochs)
    return Trainer(config, data, folder, observer, record=noted)


def test_the_trainer_notes_what_its_accuracy_rests_on_resumed_or_not(tmp_path) -> None:
    whole = Memory()
    trainer(tmp_path / "whole", whole).fit()
    stopped = Memory(lambda memory: len(memory.epochs) >= 2)
    trainer(tmp_path / "parts", stopped).fit()
    resumed = Memory()
    second = trainer(tmp_path / "parts", resumed)
    second.restore(tmp_path / "parts" / "last.safetensors")
    second.fit()

    assert (tmp_path / "parts" / "clips").read_bytes() == (tmp_path / "whole" / "clips").read_bytes()
    found = read_clip_record(tmp_path / "whole" / "clips", 4)
    assert found is not None
    assert found.right.mean(axis=1) == pytest.approx([epoch.val_accuracy for epoch in whole.epochs])
    losses = -np.log(np.maximum(found.confidence, 0.5 / 255))
    assert losses.mean(axis=1) == pytest.approx([epoch.val_loss for epoch in whole.epochs], abs=0.1)


def test_a_record_that_cannot_be_written_does_not_end_the_run(tmp_path, monkeypatch) -> None:
    def full(self: ClipRecord, *values: object) -> None:
        raise StorageError("The disk is full.", "Free some space.")

    monkeypatch.setattr(ClipRecord, "note", full)
    memory = Memory()
    assert trainer(tmp_path, memory).fit().status == "finished"
    assert [kind for kind, _ in memory.events].count("record") == 1
