from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from samplemind_core.cli import app
from samplemind_core.data.findings import HealthReport
from samplemind_core.data.sources import ImportOptions
from samplemind_core.errors import StoppedError
from samplemind_core.tasks import worker
from samplemind_core.workspace import Workspace

RATE = 16_000


def hit(number: int, pitch_hz: float) -> np.ndarray:
    rng = np.random.default_rng(number)
    time_s = np.arange(RATE // 5) / RATE
    tone = np.sin(2 * np.pi * pitch_hz * rng.uniform(0.9, 1.1) * time_s) * np.exp(-time_s / 0.05)
    return 0.4 * tone + rng.normal(0, 0.1, len(time_s)) * np.exp(-time_s / 0.03)


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Two classes from six packs, with what a messy folder has."""
    root = tmp_path / "messy"

    def write(name: str, waveform: np.ndarray, rate: int = RATE) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        sf.write(root / name, waveform, rate, subtype="PCM_16")

    for number in range(48):
        label, pitch = (("kick", 80.0), ("snare", 300.0))[number % 2]
        write(f"{label}/pack{number // 2 % 6}/{number:02d}.wav", hit(number, pitch))
    write("kick/pack0/copy.wav", hit(0, 80.0))
    write("kick/pack1/softer.wav", 0.25 * hit(0, 80.0))
    write("snare/pack2/wrong.wav", hit(2, 80.0))
    write("snare/pack3/nothing.wav", np.zeros(RATE // 10))
    (root / "kick/pack0/broken.wav").write_bytes(b"RIFF....")
    return root


@pytest.fixture
def ready(workspace: Workspace, messy: Path) -> Workspace:
    workspace.import_dataset(messy, name="messy", options=ImportOptions(seed=1))
    return workspace


def name_of(workspace: Workspace, clip_id: int) -> str:
    return workspace.store.datasets.clip(clip_id).name


def test_a_messy_folder_is_seen_through(ready: Workspace) -> None:
    stages: list[str] = []
    assert ready.stored_health("messy") is None
    report = ready.health("messy", progress=lambda done, total, what: stages.append(what))
    found = {one.kind: one for one in report.findings}
    assert {"unreadable", "silent", "two_labels", "exact_duplicates", "near_duplicates"} <= set(found)
    assert [name_of(ready, one) for one in found["silent"].clips] == ["snare/pack3/nothing.wav"]
    assert "broken.wav" in found["unreadable"].subjects[0]
    two = {name_of(ready, one) for one in found["two_labels"].clips}
    assert two == {"kick/pack1/02.wav", "snare/pack2/wrong.wav"}
    near = {name_of(ready, one) for one in found["near_duplicates"].clips}
    assert near >= {"kick/pack0/00.wav", "kick/pack1/softer.wav"}
    assert report.findings[0].severity == "error"
    assert report.leakage is not None
    assert report.facts["clips"] == 52
    assert report.facts["encodings"] == {"PCM_16": 52}
    assert list(dict.fromkeys(stages)) == [
        "Measuring clips", "Comparing sounds", "Looking for shortcuts", "Trying splits",
    ]  # fmt: skip


def test_a_report_is_kept_until_the_dataset_changes_and_found_again_after_an_undo(ready: Workspace) -> None:
    first = ready.health("messy")
    assert ready.health("messy") == first == ready.stored_health("messy")
    silent = next(one for one in first.findings if one.kind == "silent").clips
    ready.edit("messy").exclude(silent)
    assert ready.stored_health("messy") is None
    stages: list[str] = []
    second = ready.health("messy", progress=lambda done, total, what: stages.append(what))
    assert not second.of_kind("silent")
    assert not {"Measuring clips", "Comparing sounds", "Computing spectrograms"} & set(stages)
    ready.edit("messy").undo()
    assert ready.stored_health("messy") == first


def test_a_report_that_was_damaged_is_measured_again(ready: Workspace) -> None:
    first = ready.health("messy")
    folder = ready.root / "datasets" / ready.dataset("messy").id
    (next((folder / "health").iterdir())).write_bytes(b"{}")
    (folder / "cache" / "twins-1.json").write_bytes(b"[]")
    assert ready.stored_health("messy") is None
    assert ready.health("messy").findings == first.findings


def test_measuring_stops_when_asked(ready: Workspace) -> None:
    with pytest.raises(StoppedError):
        ready.health("messy", should_stop=lambda: True)
    assert ready.stored_health("messy") is None


def test_a_task_measures(ready: Workspace) -> None:
    task = ready.tasks.submit("health", "Health of messy", {"dataset": ready.dataset("messy").id})
    worker.work(ready)
    task = ready.tasks.get(task.id)
    assert task.status == "done"
    report = ready.stored_health("messy")
    assert report is not None
    assert task.result == {"dataset": report.dataset_id, "state": report.state, "headline": report.headline}


def test_near_duplicates_stay_together_in_a_new_split(ready: Workspace) -> None:
    report = ready.health("messy")
    names = {clip.id: clip.name for clip in ready.clips("messy")}
    ready.edit("messy").regroup({clip: name for clip, name in names.items() if clip is not None})  # no sources left
    for seed in range(4):
        ready.edit("messy").resplit(seed=seed, twins=report.twins)
        side = {clip.id: clip.split for clip in ready.clips("messy")}
        assert all(side[twin.a] == side[twin.b] for twin in report.twins)


def test_spectrograms_are_measured_as_far_as_they_go(workspace: Workspace, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 4), ("test", 4)):
        np.savez(
            tmp_path / f"{split}.npz",
            X=rng.uniform(-80, 0, (count, 128, 87)).astype(np.float32),
            y=np.arange(count) % 2,
            class_names=np.array(["kick", "snare"]),
        )
    workspace.import_dataset(tmp_path, name="npz")
    report = workspace.health("npz")
    assert report.shortcuts is None
    assert "spectrograms only" in report.notes[0]


def test_the_command_line_reports_and_splits(
    ready: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(ready.root))
    monkeypatch.setenv("SAMPLEMIND_WORKER", "external")
    app(["report", "messy", "--json"], standalone_mode=False)
    shown = json.loads(capsys.readouterr().out)
    assert HealthReport.from_json(json.dumps(shown)) == ready.stored_health("messy")
    app(["report", "messy"], standalone_mode=False)
    text = capsys.readouterr().out
    assert "error: 1 sound under more than one label" in text
    assert "  - snare/pack3/nothing.wav: peak -120 dB of full scale" in text
    app(["split", "messy", "--seed", "3", "--accept-groups", "--json"], standalone_mode=False)
    made = json.loads(capsys.readouterr().out)
    assert made["kind"] == "split"
    assert ready.dataset("messy").version == made["version"]
    assert app(["split", "messy", "--fractions", "1,2"], standalone_mode=False) == 1
    assert "three shares" in capsys.readouterr().err


def test_mp3_and_wav_of_one_sound_are_twins(workspace: Workspace, tmp_path: Path) -> None:
    root = tmp_path / "both"
    for number in range(12):
        label = ("kick", "snare")[number % 2]
        (root / label).mkdir(parents=True, exist_ok=True)
        sf.write(root / label / f"{number}.wav", hit(number, 150.0), RATE, subtype="PCM_16")
    buffer = io.BytesIO()
    sf.write(buffer, hit(4, 150.0), RATE, format="MP3", subtype="MPEG_LAYER_III")
    (root / "kick" / "4.mp3").write_bytes(buffer.getvalue())
    workspace.import_dataset(root, name="both")
    (twin,) = workspace.health("both").twins
    assert {name_of(workspace, twin.a), name_of(workspace, twin.b)} == {"kick/4.wav", "kick/4.mp3"}
