from __future__ import annotations

import math
import subprocess
import sys
import time
import wave
from io import BytesIO

import numpy as np
import pytest
import soundfile

from samplemind_core import server
from samplemind_core.store import Clip, Dataset


@pytest.fixture
def clip_id(space) -> int:
    folder = space.root / "datasets" / "d2" / "audio"
    folder.mkdir(parents=True)
    tone = 0.5 * np.sin(2 * math.pi * 440 * np.arange(2205) / 22_050)
    soundfile.write(folder / "tone.wav", tone, 22_050)
    found = Dataset("d2", "tones", "audio", ("kick", "snare"), 1, 0, "print", "a test", 0, time.time())
    clip = Clip(0, "tone.wav", "kick", 0, "pack", "train", "hash", file="audio/tone.wav", sample_rate_hz=22_050)
    space.store.datasets.add(found, [clip])
    return space.store.datasets.clips("d2")[0].id


def test_a_clip_is_sent_as_wav_and_kept_by_the_browser_alone(client, clip_id):
    answer = client.get(server.clip_url(clip_id))
    assert answer.status_code == 200
    assert answer.headers["cache-control"].startswith("private")
    with wave.open(BytesIO(answer.content)) as sound:
        assert sound.getsampwidth() == 2
        assert sound.getnframes() == 2205


def test_a_clip_needs_its_own_ticket(client, clip_id):
    assert client.get(f"/api/clips/{clip_id}.wav").status_code == 403
    assert client.get(f"/api/clips/{clip_id}.wav?t={server.ticket('clip', '999')}").status_code == 403


def test_a_clip_that_is_not_there_says_so(client, space):
    answer = client.get(server.clip_url(999))
    assert answer.status_code == 404
    assert "999" in answer.text


def test_a_clip_damaged_since_the_import_says_so(client, space, clip_id):
    (space.root / "datasets" / "d2" / "audio" / "tone.wav").write_bytes(b"RIFF")
    assert client.get(server.clip_url(clip_id)).status_code == 422


@pytest.mark.parametrize("name", ["plotly.js", "live.js", "player.js"])
def test_scripts_are_kept_for_ever_under_an_address_that_changes_with_them(client, name):
    answer = client.get(server.asset_url(name))
    assert answer.status_code == 200
    assert "javascript" in answer.headers["content-type"]
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ["nothing.js", "inter-LICENSE.txt", "..%2Fserver.py"])
def test_nothing_else_is_served(client, name):
    assert client.get(f"/assets/{name}").status_code == 404


def test_the_app_process_starts_light():
    heavy = "torch librosa numba sklearn pandas scipy"
    code = (
        "import sys, app, samplemind_core.ui.live_chart, samplemind_core.ui.classification, samplemind_core.ui.imports;"
        f"print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
