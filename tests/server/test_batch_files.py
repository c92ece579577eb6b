"""A batch's sounds, answers and zip go to whoever has a ticket for them, and to nobody else."""

from __future__ import annotations

import json
import wave
from io import BytesIO

import numpy as np
import pytest
import soundfile

from samplemind_core import server
from samplemind_core.batches.sort_task import ZIP, zip_path
from samplemind_core.store import Answer, Batch


@pytest.fixture
def batch(space, tmp_path) -> Batch:
    folder = tmp_path / "pack"
    folder.mkdir()
    soundfile.write(folder / "a.wav", 0.1 * np.ones(4_410), 44_100)
    soundfile.write(tmp_path / "outside.wav", 0.1 * np.ones(4_410), 44_100)
    made = space.store.answers.add(Batch("b1", "My pack / 1", "folder", str(folder), "", 1.0, {}))
    space.store.answers.append(
        "b1",
        [
            Answer(0, "a.wav", "a.wav", "kick", 0.9, details={"probs": {"kick": 0.9, "snare": 0.1}}),
            Answer(1, "gone.wav", "gone.wav", "kick", 0.9),
            Answer(2, "outside.wav", "../outside.wav", "kick", 0.9),
        ],
    )
    return made


def test_a_classified_file_is_sent_as_wav(client, batch):
    answer = client.get(server.answer_url("b1", 0))
    assert answer.status_code == 200
    with wave.open(BytesIO(answer.content)) as sound:
        assert (sound.getsampwidth(), sound.getnframes()) == (2, 4_410)


def test_it_needs_its_own_ticket(client, batch):
    stolen = server.answer_url("b1", 0).partition("?")[2]
    assert client.get(f"/api/answers/b1/1.wav?{stolen}").status_code == 403
    assert client.get("/api/answers/b1/0.wav").status_code == 403
    assert client.get("/api/batches/b1/answers.csv").status_code == 403


@pytest.mark.parametrize("position", [1, 2, 9])
def test_what_is_gone_or_lies_outside_is_not_sent(client, batch, position):
    assert client.get(server.answer_url("b1", position)).status_code == 404


def test_answers_are_downloaded_under_a_plain_name(client, batch):
    answer = client.get(server.batch_url("b1", "answers.json"))
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="My-pack-1-answers.json"'
    assert [row["file"] for row in json.loads(answer.content)] == ["a.wav", "gone.wav", "../outside.wav"]
    assert client.get(server.batch_url("b1", "answers.exe")).status_code == 404
    assert client.get(server.batch_url("none", "answers.csv")).status_code == 404


def test_the_zip_is_sent_once_it_is_made(client, space, batch):
    assert client.get(server.batch_url("b1", ZIP)).status_code == 404
    path = zip_path(space, "b1")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"zip")
    assert client.get(server.batch_url("b1", ZIP)).content == b"zip"
