"""A correction by anybody becomes, once accepted, a training clip of a new version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from samplemind_core.batches.review import accept, correct, reject
from samplemind_core.config import FeatureConfig
from samplemind_core.data.cache import feature_cache
from samplemind_core.errors import AudioError, DataError, JobError
from samplemind_core.store import Dataset
from samplemind_core.workspace import Workspace

FEATURES = FeatureConfig(n_mels=32, duration_s=0.5)


@pytest.fixture
def dataset(workspace: Workspace, bursts: Callable[..., Path]) -> Dataset:
    return workspace.import_dataset(bursts(), name="bursts")


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "new.wav"
    sf.write(path, np.random.default_rng(5).uniform(-0.5, 0.5, 4_000), 22_050)
    return path


def test_a_correction_waits_with_who_and_what(workspace: Workspace, sound: Path) -> None:
    made = correct(workspace, sound, name="new.wav", label=" clap ", called="low", confidence=0.7, by="ann")
    assert (made.label, made.called, made.confidence, made.by, made.status) == ("clap", "low", 0.7, "ann", "waiting")
    sound_there = workspace.root / made.file
    assert sound_there.read_bytes() == sound.read_bytes()
    assert workspace.store.corrections.all(status="waiting") == [made]
    # The same person thinks again; another one has a say of their own.
    again = correct(workspace, sound.read_bytes(), name="new.wav", label="tom", called="low", by="ann")
    other = correct(workspace, sound, name="new.wav", label="clap", called="low", by="bob")
    assert again.id == made.id != other.id
    assert [row.label for row in workspace.store.corrections.all()] == ["tom", "clap"]


def test_what_cannot_be_a_correction_says_why(workspace: Workspace, sound: Path) -> None:
    with pytest.raises(DataError, match="called low already"):
        correct(workspace, sound, name="new.wav", label="low", called="low")
    with pytest.raises(DataError, match="cannot name a class"):
        correct(workspace, sound, name="new.wav", label="  ")
    with pytest.raises(AudioError):
        correct(workspace, b"no sound", name="new.wav", label="clap")
    assert workspace.store.corrections.all() == []
    assert not (workspace.root / "review").exists()


def test_accepted_ones_become_training_clips_of_a_new_version(
    workspace: Workspace, dataset: Dataset, sound: Path
) -> None:
    before = np.array(feature_cache(workspace.root, workspace.store, dataset, FEATURES))
    made = correct(workspace, sound, name="new.wav", label="clap", called="low", by="ann")
    held = workspace.store.versions.clips(dataset)[0]
    path = workspace.clip_audio(held)
    assert path is not None
    other = "low" if held.label == "high" else "high"
    wrong = correct(workspace, path, name=held.name, label=other, called=held.label, by="ann")
    done = accept(workspace, [made.id, wrong.id], "bursts", by="eve")
    assert done.refused == ()
    assert done.version is not None
    assert (done.version.version, done.version.author, done.version.kind) == (2, "eve", "add")
    now = workspace.dataset("bursts")
    clips = workspace.store.versions.clips(now)
    assert (now.num_clips, now.class_names) == (17, ("clap", "high", "low"))
    assert (clips[-1].label, clips[-1].split, clips[-1].row, clips[-1].target) == ("clap", "train", 16, 0)
    assert clips[0].label == other
    assert workspace.clip_audio(clips[-1]).read_bytes() == sound.read_bytes()  # type: ignore[union-attr]
    assert {row.status for row in workspace.store.corrections.all()} == {"accepted"}
    assert workspace.store.corrections.get([made.id])[0].version == 2
    # The old version is as it was; the cache grows by the new row alone.
    first = workspace.store.versions.at(now, 1)
    assert [(clip.label, clip.excluded) for clip in workspace.store.versions.clips(first)][-1][1] is True
    assert sum(not clip.excluded for clip in workspace.store.versions.clips(first)) == 16
    after = feature_cache(workspace.root, workspace.store, now, FEATURES)
    assert after.shape[0] == 17
    np.testing.assert_array_equal(after[:16], before)
    assert np.ptp(after[16]) > 0
    # Taking it back and again leads to the same states.
    workspace.edit("bursts").undo()
    assert workspace.dataset("bursts").fingerprint == first.fingerprint
    workspace.edit("bursts").redo()
    assert workspace.dataset("bursts").fingerprint == now.fingerprint
    with pytest.raises(JobError, match="accepted by eve"):
        accept(workspace, [made.id], "bursts", by="bob")


def test_two_opinions_on_one_sound_are_not_both_accepted(workspace: Workspace, dataset: Dataset, sound: Path) -> None:
    ann, bob, eve = (
        correct(workspace, sound, name="new.wav", label=label, called="low", by=by)
        for by, label in (("ann", "clap"), ("bob", "tom"), ("eve", "clap"))
    )
    with pytest.raises(DataError, match="clap by ann and to tom by bob"):
        accept(workspace, [ann.id, bob.id], "bursts")
    assert workspace.dataset("bursts").version == 1
    reject(workspace, [bob.id])
    assert accept(workspace, [ann.id, eve.id], "bursts").version is not None


def test_rejected_ones_stay_on_record(workspace: Workspace, dataset: Dataset, sound: Path) -> None:
    made = correct(workspace, sound, name="new.wav", label="clap", by="ann")
    reject(workspace, [made.id], by="eve")
    assert [(row.status, row.reviewed_by) for row in workspace.store.corrections.all()] == [("rejected", "eve")]
    assert workspace.dataset("bursts").version == 1
    with pytest.raises(JobError, match="rejected by eve"):
        reject(workspace, [made.id], by="bob")


def test_a_sound_that_went_bad_is_named_and_the_others_go_in(
    workspace: Workspace, dataset: Dataset, sound: Path, tmp_path: Path
) -> None:
    made = correct(workspace, sound, name="new.wav", label="clap")
    sf.write(tmp_path / "other.wav", np.random.default_rng(6).uniform(-0.5, 0.5, 4_000), 22_050)
    other = correct(workspace, tmp_path / "other.wav", name="other.wav", label="clap")
    (workspace.root / made.file).write_bytes(b"damaged")
    done = accept(workspace, [made.id, other.id], "bursts")
    assert [name for name, _ in done.refused] == ["new.wav"]
    assert workspace.dataset("bursts").num_clips == 17
    assert [row.status for row in workspace.store.corrections.get([made.id, other.id])] == ["waiting", "accepted"]
