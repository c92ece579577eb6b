"""What a batch gives away: its answers in three formats, and its files sorted."""

from __future__ import annotations

import csv
import errno
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from samplemind_core.batches import exports, sort_task
from samplemind_core.batches.exports import export
from samplemind_core.errors import DataError
from samplemind_core.inference import sorting
from samplemind_core.store import Answer, AnswerFilter, Batch
from samplemind_core.tasks import jobs
from samplemind_core.workers import identity
from samplemind_core.workspace import Workspace


@pytest.fixture
def batch(workspace: Workspace, tmp_path: Path) -> Batch:
    """Three answers and a bad file about a folder of the machine."""
    folder = tmp_path / "pack"
    folder.mkdir()
    for name in ("=cmd.wav", "b.wav", "c.wav", "bad.wav"):
        (folder / name).write_bytes(name.encode())
    made = workspace.store.answers.add(Batch("b1", "My pack", "folder", str(folder), "ann", 1.0, {"run": "r"}))
    probs = {"kick": 0.75, "snare": 0.25}
    workspace.store.answers.append(
        "b1",
        [
            Answer(0, "=cmd.wav", "=cmd.wav", "kick", 0.75, 1, 0.5,
                   details={"probs": probs, "none": 0.1, "prediction_set": ["kick", "snare"]}),
            Answer(1, "b.wav", "b.wav", "snare", 0.4, 2, 0.5, details={"probs": probs}),
            Answer(2, "c.wav", "c.wav", None, 0.9, 0, 0.5, details={"probs": probs, "none": 0.9}),
            Answer(3, "bad.wav", "bad.wav", error="Not audio."),
        ],
    )  # fmt: skip
    return made


def whole(workspace: Workspace, batch: Batch, form: str, where: AnswerFilter | None = None) -> bytes:
    return b"".join(export(workspace.store, batch, form, where))


@pytest.mark.parametrize("chunk", [2, 1_000])
def test_the_three_formats_say_the_same(
    workspace: Workspace, batch: Batch, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "CHUNK", chunk)
    rows = json.loads(whole(workspace, batch, "json"))
    assert [row["label"] for row in rows] == ["kick", "snare", "none of these", None]
    assert [row["error"] for row in rows] == [None, None, None, "Not audio."]
    assert rows[0] == {
        "file": "=cmd.wav", "label": "kick", "confidence": 0.75, "none_of_these": 0.1, "prediction_set": "kick|snare",
        "duration_s": 0.5, "p_kick": 0.75, "p_snare": 0.25, "error": None,
    }  # fmt: skip
    assert pq.read_table(io.BytesIO(whole(workspace, batch, "parquet"))).to_pylist() == rows
    lines = list(csv.DictReader(io.StringIO(whole(workspace, batch, "csv").decode())))
    assert list(lines[0]) == list(rows[0])
    assert [line["label"] for line in lines] == ["kick", "snare", "none of these", ""]
    assert lines[0]["file"] == "'=cmd.wav"  # no spreadsheet runs it
    assert float(lines[0]["p_kick"]) == 0.75


def test_only_what_was_asked_for_is_exported(workspace: Workspace, batch: Batch) -> None:
    rows = json.loads(whole(workspace, batch, "json", AnswerFilter(labels=("snare",))))
    assert [row["file"] for row in rows] == ["b.wav"]
    assert json.loads(whole(workspace, batch, "json", AnswerFilter(text="nothing"))) == []


def work(workspace: Workspace) -> None:
    while (task := workspace.store.tasks.claim(identity())) is not None:
        jobs.execute(workspace, task)


def test_columns_do_not_hang_on_the_first_files(
    workspace: Workspace, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "CHUNK", 1)
    made = workspace.store.answers.add(Batch("b3", "Broken first", "folder", batch.origin, "ann", 3.0, {"run": "r"}))
    told = {"probs": {"kick": 0.8}, "thresholds": {"kick": 0.5}, "labels": ["kick"]}
    answers = [Answer(0, "a", "a", error="Not audio."), Answer(1, "b", "b", "kick", 0.8, details=told)]
    workspace.store.answers.append("b3", answers)
    rows = list(csv.DictReader(io.StringIO(whole(workspace, made, "csv").decode())))
    assert [(row["labels"], row["p_kick"]) for row in rows] == [("", ""), ("kick", "0.8")]


def test_a_preview_counts_what_would_go_and_what_would_stay(workspace: Workspace, batch: Batch, tmp_path: Path) -> None:
    found = sort_task.plan(workspace, batch, tmp_path / "out", min_confidence=0.5)
    seen = sort_task.preview(found)
    assert seen.by_class == {"kick": 1}
    assert seen.num_bytes == len("=cmd.wav")
    assert seen.left == {"Not sure enough": 1, "None of the classes": 1, "Could not be read": 1}
    assert not (tmp_path / "out").exists()


def test_a_batch_is_sorted_into_a_folder_and_into_a_zip(workspace: Workspace, batch: Batch, tmp_path: Path) -> None:
    asked = {"pattern": "{class}/{name}", "min_confidence": 0.0}
    into = sort_task.submit(workspace, batch, tmp_path / "out", **asked)
    packed = sort_task.submit(workspace, batch, None, **asked)
    work(workspace)
    done = workspace.tasks.get(into.id)
    assert (done.status, done.result["files"], done.result["left"]) == ("done", 2, 2)  # type: ignore[index]
    assert (tmp_path / "out" / "snare" / "b.wav").read_bytes() == b"b.wav"
    assert workspace.tasks.get(packed.id).status == "done"
    with zipfile.ZipFile(sort_task.zip_path(workspace, batch.id)) as archive:
        assert sorted(archive.namelist()) == ["kick/=cmd.wav", "snare/b.wav"]


def test_a_sorting_that_failed_goes_on(
    workspace: Workspace, batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = sort_task.submit(workspace, batch, tmp_path / "out", pattern="{class}/{name}", min_confidence=0.0)
    copied = sorting._copy_one

    def full(copy: sorting.Copy, *where: Any) -> str | None:
        if copy.label == "snare":
            raise OSError(errno.ENOSPC, "No space left on device")
        return copied(copy, *where)

    with monkeypatch.context() as patch:
        patch.setattr(sorting, "_copy_one", full)
        work(workspace)
    assert workspace.tasks.get(task.id).status == "failed"
    workspace.tasks.resume(task.id)
    work(workspace)
    done = workspace.tasks.get(task.id)
    assert (done.status, done.result["files"]) == ("done", 2)  # type: ignore[index]
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.wav"))
    assert names == ["=cmd.wav", "b.wav"]
    assert sorting.undo(tmp_path / "out").done == 2


def test_copies_are_not_put_into_what_was_classified(workspace: Workspace, batch: Batch, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which is classified"):
        sort_task.plan(workspace, batch, tmp_path / "pack" / "sorted")


def test_several_labels_stand_in_one_column(workspace: Workspace, batch: Batch) -> None:
    probs, thresholds = {"kick": 0.8, "snare": 0.7}, {"kick": 0.5, "snare": 0.6}
    told = {"probs": probs, "thresholds": thresholds}
    made = workspace.store.answers.add(Batch("b2", "Layers", "folder", batch.origin, "ann", 2.0, {"run": "r"}))
    workspace.store.answers.append(
        "b2",
        [
            Answer(0, "b.wav", "b.wav", "kick", 0.8, None, 0.5, details={**told, "labels": ["kick", "snare"]}),
            Answer(1, "c.wav", "c.wav", None, None, None, 0.5, details={**told, "labels": []}),
            Answer(2, "bad.wav", "bad.wav", error="Not audio."),
        ],
    )
    text = b"".join(export(workspace.store, made, "csv")).decode()
    first, second, third = csv.DictReader(io.StringIO(text))
    assert (first["labels"], first["label"], first["confidence"]) == ("kick;snare", "kick", "0.8")
    assert (second["labels"], second["label"], second["confidence"]) == ("", "none of these", "")
    assert third["error"] == "Not audio."
    assert set(first) == {"file", "labels", "label", "confidence", "duration_s", "p_kick", "p_snare", "error"}
    assert json.loads(b"".join(export(workspace.store, made, "json")))[0]["labels"] == "kick;snare"
    table = pq.read_table(io.BytesIO(b"".join(export(workspace.store, made, "parquet"))))
    assert table["labels"].to_pylist()[0] == "kick;snare"
    found = sort_task.plan(workspace, made, None)
    assert [copy.target for copy in found.copies] == ["kick/b.wav"]
    assert sort_task.preview(found).left == {"No label reaches its threshold": 1, "Could not be read": 1}
