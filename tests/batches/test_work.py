"""Thousands of files: each answered exactly once, whatever ends the process in between."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from samplemind_core.batches import work as batches
from samplemind_core.batches.review import answer_audio
from samplemind_core.batches.sort_task import plan
from samplemind_core.batches.work import delete_batch, submit_batch
from samplemind_core.config import build_config
from samplemind_core.errors import NotFoundError
from samplemind_core.store import Answer
from samplemind_core.tasks import jobs
from samplemind_core.workers import identity
from samplemind_core.workspace import Workspace

SMALL = {"epochs": 1, "n_mels": 32, "duration_s": 0.5, "width": 0.25}


@pytest.fixture
def trained(workspace: Workspace, bursts: Callable[..., Path]) -> Workspace:
    workspace.import_dataset(bursts(), name="bursts")
    workspace.train("bursts", build_config("quick", SMALL), name="r")
    return workspace


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Ten sounds and what lies about in folders."""
    folder = tmp_path / "pack"
    (folder / "b").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    rng = np.random.default_rng(0)
    for number in range(9):
        where = folder / ("b" if number % 2 else "") / f"{number}.wav"
        sf.write(where, rng.uniform(-0.5, 0.5, 4_000), 22_050)
    (folder / "broken.wav").write_text("This is not a sound.")
    (folder / "readme.txt").write_text("Hello")
    (folder / "._0.wav").write_bytes(b"\0")
    shutil.copy(folder / "0.wav", folder / ".hidden" / "0.wav")
    (folder / "link.wav").symlink_to(folder / "0.wav")
    os.mkfifo(folder / "pipe.wav")
    return folder


def work(workspace: Workspace) -> None:
    """Do what is queued, in this process."""
    while (task := workspace.store.tasks.claim(identity())) is not None:
        jobs.execute(workspace, task)


def test_a_folder_is_answered_whole(trained: Workspace, pack: Path) -> None:
    batch = submit_batch(trained, "r", kind="folder", origin=str(pack), owner="ann")
    work(trained)
    task = trained.tasks.get(batch.task_id or "")
    assert (task.status, task.result) == ("done", {"batch": batch.id, "files": 10, "failed": 1})
    answers = trained.store.answers.page(batch.id)
    assert [answer.file for answer in answers] == [
        *("0.wav", "2.wav", "4.wav", "6.wav", "8.wav", "broken.wav"),
        *("b/1.wav", "b/3.wav", "b/5.wav", "b/7.wav"),
    ]
    assert trained.store.answers.batch(batch.id).num_files == 10
    left_out = {reject.name: reject.reason for reject in batches.left_out(trained.root, batch)}
    assert set(left_out) == {".hidden/", "link.wav", "pipe.wav", "readme.txt", "._* (1 file)"}
    assert "not a file" in left_out["pipe.wav"]
    alone = trained.classifier("r").predict([pack / "b" / "3.wav"])[0]
    there = next(answer for answer in answers if answer.file == "b/3.wav")
    assert there.label == alone.label
    assert there.details["probs"] == pytest.approx(alone.probs, abs=1e-5)
    assert answers[5].error is not None
    assert answers[5].label is None


def test_stopped_and_killed_each_file_is_answered_once(
    trained: Workspace, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CHUNK", 3)
    batch = submit_batch(trained, "r", kind="folder", origin=str(pack))
    heard: list[str] = []
    answer_of = batches.answer_of

    def count(result, position, file):  # type: ignore[no-untyped-def]
        heard.append(file)
        if len(heard) == 5:
            raise KeyboardInterrupt  # as a kill: nothing is told to the store
        return answer_of(result, position, file)

    monkeypatch.setattr(batches, "answer_of", count)
    task = trained.store.tasks.claim(identity())
    assert task is not None
    with pytest.raises(KeyboardInterrupt):
        jobs.execute(trained, task)
    assert trained.store.answers.count(batch.id) == 3
    trained.store.tasks.interrupt(trained.tasks.get(task.id), {"problem": "gone"})
    trained.tasks.resume(task.id)
    # Files that come later do not shift the ones that were listed.
    shutil.copy(pack / "0.wav", pack / "00.wav")
    work(trained)
    answers = trained.store.answers.page(batch.id)
    assert [answer.position for answer in answers] == list(range(10))
    assert len({answer.file for answer in answers}) == 10
    assert heard[5:] == [answer.file for answer in answers][3:]


def test_an_archive_is_unpacked_beside_the_batch(trained: Workspace, pack: Path, tmp_path: Path) -> None:
    archive = tmp_path / "pack.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for path in ("0.wav", "b/1.wav", "broken.wav", "readme.txt"):
            out.write(pack / path, path)
        out.write(pack / "0.wav", "../../outside.wav")
        for odd in ("c/k:.wav", "c/k?.wav", "c/" + "\u1112\u1161\u11ab" * 40 + ".wav"):
            out.write(pack / "2.wav", odd)
    batch = submit_batch(
        trained, "r", kind="archive", origin=archive.name, fill=lambda own: shutil.copy(archive, own / archive.name)
    )
    work(trained)
    files = [answer.file or "" for answer in trained.store.answers.page(batch.id)]
    assert files[:-1] == ["0.wav", "broken.wav", "b/1.wav", "c/k_ (2).wav", "c/k_.wav"]
    assert files[-1].endswith(".wav")
    own = batches.batch_folder(trained.root, batch.id)
    assert (own / "audio" / "b" / "1.wav").read_bytes() == (pack / "b" / "1.wav").read_bytes()
    refused = {reject.name: reject.reason for reject in batches.left_out(trained.root, batch)}
    assert set(refused) == {"../../outside.wav", "readme.txt"}
    assert not list(tmp_path.rglob("outside.wav"))
    delete_batch(trained, batch.id)
    assert not own.exists()
    with pytest.raises(NotFoundError):
        trained.store.answers.batch(batch.id)


def test_a_name_that_is_no_text_is_found_again(trained: Workspace, pack: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    shutil.copy(pack / "0.wav", os.fsencode(odd) + b"/kick\xff.wav")
    batch = submit_batch(trained, "r", kind="folder", origin=str(odd))
    work(trained)
    (answer,) = trained.store.answers.page(batch.id)
    assert (answer.file, answer.error) == ("kick\\xff.wav", None)
    assert os.fsencode(answer_audio(trained, answer)).endswith(b"kick\xff.wav")
    (copy,) = plan(trained, batch, None).copies
    assert copy.target.endswith("/kick_.wav")


def test_one_network_answers_for_all_files(trained: Workspace, pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = submit_batch(trained, "r", kind="folder", origin=str(pack))
    run, checkpoint = trained.resolve("r:best")
    later = replace(checkpoint, epoch=7)
    with monkeypatch.context() as patch:  # the run went on while the batch waited
        patch.setattr(trained, "resolve", lambda _ref: (run, later))
        patch.setattr(batches, "answer_all", lambda *_: None)
        work(trained)
    assert trained.store.answers.batch(batch.id).checkpoint["epoch"] == 7
    trained.store.answers.append(batch.id, [Answer(0, "0.wav", "0.wav")])
    task = trained.tasks.submit("classify", "again", {"batch": batch.id})
    work(trained)
    assert "epoch 7 of run 'r'" in (trained.tasks.get(task.id).error or {})["problem"]


def test_deleting_a_batch_leaves_the_folder_it_heard(trained: Workspace, pack: Path) -> None:
    batch = submit_batch(trained, "r", kind="folder", origin=str(pack))
    work(trained)
    delete_batch(trained, batch.id)
    assert (pack / "0.wav").exists()


def test_nothing_to_hear_is_told(trained: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="no folder"):
        submit_batch(trained, "r", kind="folder", origin=str(tmp_path / "none"))
    batch = submit_batch(trained, "r", kind="folder", origin=str(tmp_path / "empty"))
    work(trained)
    task = trained.tasks.get(batch.task_id or "")
    assert task.status == "failed"
    assert "No audio file" in (task.error or {})["problem"]
