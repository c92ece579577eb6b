"""Robustness of a network whose weakness is known, and what is stored, sampled and advised."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from samplemind_core.audio.augment import augment
from samplemind_core.config import AugmentConfig, FeatureConfig, RunConfig, apply_changes, build_config
from samplemind_core.errors import DataError, NotFoundError, StoppedError
from samplemind_core.evaluation import robustness as module
from samplemind_core.evaluation.probes import PROBES, changed, remedy
from samplemind_core.evaluation.robustness import (
    Robustness,
    measure_robustness,
    robustness_file,
    robustness_of,
    sample_clips,
)
from samplemind_core.settings import Settings
from samplemind_core.store import Clip
from samplemind_core.tasks import jobs
from samplemind_core.workspace import Workspace

FEATURES = FeatureConfig(n_mels=32, duration_s=0.5, n_fft=1024, hop_length=256)
TINY = {"n_mels": 32, "duration_s": 0.5, "width": 0.5, "batch_size": 16, "device": "cpu", "epochs": 1}


class HearsHighs(torch.nn.Module):
    """Says class 1 where the upper half of the bands holds sound."""

    def forward(self, log_mel):
        loud = (log_mel[:, 0, 16:] + 80).amax(dim=(1, 2)) / 10
        return torch.stack([torch.full_like(loud, 5.0), loud], dim=1)


def windows() -> tuple[np.ndarray, np.ndarray]:
    """Six low tones, and six with a high one as well; each short."""
    t = np.arange(round(0.2 * FEATURES.sample_rate_hz)) / FEATURES.sample_rate_hz
    rows = np.zeros((12, FEATURES.num_samples), np.float32)
    for row in range(12):
        sound = np.sin(2 * np.pi * (100 + 5 * row) * t)
        if row >= 6:
            sound += np.sin(2 * np.pi * 5_000 * t)
        rows[row, : len(t)] = 0.4 * np.hanning(len(t)) * sound
    return rows, np.repeat([0, 1], 6)


def measured(**changes):
    sounds, targets = windows()
    return measure_robustness(HearsHighs(), FEATURES, sounds, targets, 2, **changes)


def test_the_planted_weakness_is_found() -> None:
    clean, curves = measured(probes=[PROBES["low_pass"], PROBES["gain"], PROBES["silence"]])
    assert clean.accuracy == 1.0
    low_pass, gain, silence = curves
    assert [step.level for step in low_pass.steps] == [8_000, 4_000, 2_000, 1_000]
    # Without its highs no clip is left that the network could call high; low ones are unharmed.
    assert low_pass.worst.recall == (1.0, 0.0)
    assert (low_pass.worst.broken, low_pass.worst.fixed) == (6, 0)
    assert low_pass.worst.p_value == pytest.approx(2 * 0.5**6)
    assert low_pass.worst.interval[0] < 0.5 < low_pass.worst.interval[1]
    # Each clip is measured against its own maximum, so that a quieter one is the same.
    quiet = next(step for step in gain.steps if step.level == -20)
    assert quiet.said == clean.said
    assert {len(step.said) for step in silence.steps} == {12}


def test_every_probe_runs_and_leaves_whole_windows() -> None:
    sounds, _ = windows()
    for probe in PROBES.values():
        for level in probe.levels_at(FEATURES.sample_rate_hz):
            out = changed(probe, sounds[4:8], FEATURES, level, [1, 2, 3, 4])
            assert out.shape == (4, FEATURES.num_samples)
            assert out.dtype == np.float32
            assert np.isfinite(out).all()
            assert np.array_equal(out[2], changed(probe, sounds[6:7], FEATURES, level, [3])[0]) or np.allclose(
                out[2], changed(probe, sounds[6:7], FEATURES, level, [3])[0], atol=1e-5
            )


def test_levels_fit_the_sample_rate() -> None:
    assert PROBES["low_pass"].levels_at(8_000) == (2_000, 1_000)
    assert PROBES["mp3"].levels_at(20_000) == ()
    assert PROBES["old_sampler"].levels_at(8_000) == ()
    assert PROBES["pitch"].label(-3) == "−3 semitones"
    assert PROBES["pitch"].label(3) == "+3 semitones"
    assert PROBES["tempo"].label(1.5) == "1.5 ×"
    assert PROBES["low_pass"].label(4_000) == "4,000 Hz"


def test_a_sample_is_even_over_classes_and_always_the_same() -> None:
    def clip(row: int, label: str) -> Clip:
        name = f"{row}"
        return Clip(row=row, name=name, label=label, target=0, source="s", split="test", content_hash=name, id=row)

    clips = [clip(row, "kick" if row < 50 else "tom" if row < 53 else "other") for row in range(60)]
    taken = sample_clips(clips, ("kick", "tom"), 10)
    assert [found.label for found in taken].count("tom") == 3
    assert [found.label for found in taken].count("kick") == 7
    assert [found.row for found in taken] == sorted(found.row for found in taken)
    assert taken == sample_clips(clips[::1], ("kick", "tom"), 10)
    assert len(sample_clips(clips, ("kick", "tom"), 500)) == 53


def test_no_clips_and_a_stop() -> None:
    with pytest.raises(DataError, match="no clip"):
        measure_robustness(HearsHighs(), FEATURES, windows()[0][:0], windows()[1][:0], 2)
    with pytest.raises(StoppedError):
        measured(should_stop=lambda: True)
    told: list[tuple[int, int | None]] = []
    measured(probes=[PROBES["low_pass"]], progress=lambda done, of, what: told.append((done, of)))
    assert told == [(step, 5) for step in range(5)]


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    workspace = Workspace(Settings(workspace=tmp_path_factory.mktemp("space"), database_url=None, worker="external"))
    workspace.make_demo(per_class=6, name="demo")
    workspace.train("demo", build_config("quick", TINY), name="first")
    yield workspace
    workspace.close()


@pytest.fixture
def two_probes(monkeypatch):
    """Two of the probes, for the sake of time."""
    monkeypatch.setattr(module, "PROBES", {name: PROBES[name] for name in ("gain", "noise")})


def test_it_is_measured_once_and_kept(space, two_probes, monkeypatch) -> None:
    run, checkpoint = space.resolve("first")
    dataset = space.dataset("demo")
    found = robustness_of(space.store, space.settings, checkpoint, dataset, "test", 4)
    assert len(found.clip_ids) == 4
    assert found.num_available == len(space.store.datasets.clips(dataset.id, split="test"))
    assert [curve.probe for curve in found.curves] == ["gain", "noise"]
    # The clean value is that of the evaluation, on the clips that were taken.
    judged = space.judge("first", split="test")
    said = dict(zip(judged.clip_ids.tolist(), judged.logits.argmax(axis=1).tolist(), strict=True))
    assert found.clean.said == tuple(said[clip_id] for clip_id in found.clip_ids)

    monkeypatch.setattr(module, "measure_robustness", lambda *_args, **_kwargs: pytest.fail("measured again"))
    again = robustness_of(space.store, space.settings, checkpoint, dataset, "test", 4)
    assert again == found
    assert Robustness.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    # A damaged file counts as none.
    file = robustness_file(space.root, checkpoint, dataset.id, "test", 4)
    file.write_text("{")
    monkeypatch.undo()
    with pytest.raises(StoppedError):
        robustness_of(space.store, space.settings, checkpoint, dataset, "test", 4, should_stop=lambda: True)
    assert run.name == "first"


def test_a_task_measures_and_a_stop_ends_it(space, two_probes) -> None:
    wanted = {"ref": "first:best", "dataset": space.dataset("demo").id, "split": "val", "count": 3}
    space.tasks.submit("robustness", "What first withstands", wanted)
    task = space.store.tasks.claim({"host": "here", "pid": 1})
    ended = jobs.execute(space, task)
    assert ended.status == "done"
    assert ended.result["num_clips"] == 3


def test_broken_clips_are_those_that_were_right() -> None:
    clean, curves = measured(probes=[PROBES["low_pass"]])
    ids = tuple(range(100, 112))
    found = Robustness(1, "test", 12, ids, tuple(windows()[1].tolist()), ("low", "high"), clean, curves)
    broken = found.broken_clips(curves[0].worst)
    assert sorted(clip_id for clip_id, _, _ in broken) == list(range(106, 112))
    assert {said for _, said, _ in broken} == {0}
    assert [sure for *_, sure in broken] == sorted((sure for *_, sure in broken), reverse=True)
    assert found.broken_clips(clean) == []
    with pytest.raises(NotFoundError, match="no curve"):
        found.curve("pitch")


def test_remedies_raise_what_there_is_and_admit_what_there_is_not() -> None:
    plain = AugmentConfig()
    features = FeatureConfig()
    for name, probe in PROBES.items():
        for level in probe.levels:
            found = remedy(name, level, plain, features)
            assert found.about.endswith(".")
            changed = apply_changes(RunConfig(augment=plain, features=features), found.settings)
            augment(torch.full((1, *features.shape), -40.0), changed.augment, changed.features, torch.Generator())
            assert bool(found.settings) == (name != "gain")
    assert remedy("silence", 0.1, plain, features).settings == {"align": "onset"}
    aligned = FeatureConfig(align="onset")
    assert remedy("silence", 0.1, plain, aligned).settings == {"time_shift_ms": 100.0}
    assert remedy("pitch", -3, plain, features).settings == {"warp_semitones": 3.0}
    assert remedy("tempo", 0.5, plain, features).settings == {"stretch_percent": 100}
    assert remedy("tempo", 1.1, plain, features).settings == {"stretch_percent": 10}
    assert "no augmentation" in remedy("gain", 24, plain, features).about
    assert remedy("noise", -40, plain, features).settings == {"noise_snr_db": 60.0}
    strong = AugmentConfig(time_shift_ms=500.0, band_limit_hz=2_000.0, noise_snr_db=30.0)
    assert remedy("silence", 0.1, strong, aligned).settings == {}
    assert "already" in remedy("silence", 0.1, strong, aligned).about
    assert remedy("low_pass", 4_000, strong, features).settings == {}
    assert remedy("low_pass", 1_000, strong, features).settings == {"band_limit_hz": 1_000.0}
    assert remedy("noise", 0, strong, features).settings == {"noise_snr_db": 20.0}
