from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from safetensors import safe_open

from samplemind_core.config import build_config
from samplemind_core.errors import CheckpointError
from samplemind_core.inference.classifier import Classifier
from samplemind_core.inference.table import NONE
from samplemind_core.inference.trust import load_trust, trust_file
from samplemind_core.settings import Settings
from samplemind_core.workspace import Workspace

SMALL = {"epochs": 3, "n_mels": 32, "duration_s": 0.5, "sample_rate_hz": 16_000, "width": 0.5, "n_fft": 1024}
RATE = 16_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, str]]:
    """A workspace with a small run on synthesised drums."""
    root = tmp_path_factory.mktemp("trust")
    workspace = Workspace(Settings(workspace=root, worker="external", device="cpu"))
    workspace.make_demo(per_class=25)
    run = workspace.train("demo", build_config("quick", SMALL))
    assert run.status == "finished", run.error
    yield workspace, run.id
    workspace.close()


@pytest.fixture
def classifier(trained) -> Classifier:
    workspace, run = trained
    return workspace.classifier(run)


def wav(waveform: np.ndarray, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, waveform, rate, format="WAV")
    return buffer.getvalue()


def clips(trained, split: str) -> list[tuple[str, Path]]:
    workspace, _ = trained
    found = [clip for clip in workspace.clips("demo") if clip.split == split]
    return [(clip.label, workspace.clip_audio(clip)) for clip in found]


def test_a_run_ends_with_its_trust(trained):
    workspace, run = trained
    for kind in ("best", "last"):
        path = trust_file(workspace.checkpoint_path(f"{run}:{kind}"))
        trust = load_trust(path)
        assert 0 < trust.measured["mean_set_size"] <= 6
        assert trust.measured["num_clips"] > 0
        assert trust.measured["num_calibration"] > 0
        assert len(trust.clip_ids) == len(trust.targets) == len(trust.references)


def test_confidence_and_none_of_these_add_up(classifier, trained):
    for result in classifier.predict([path for _, path in clips(trained, "test")]):
        assert result.none is not None
        assert sum(result.probs.values()) + result.none == pytest.approx(1.0)
        assert result.confidence == max(*result.probs.values(), result.none)
        assert result.label == (NONE if result.is_none else max(result.probs, key=result.probs.get))
        assert result.ranked()[0] == (result.label, result.confidence)
        assert result.coverage == 0.9
        assert max(result.probs, key=result.probs.get) == result.prediction_set[0]


def test_sounds_of_the_library_are_mostly_accepted_and_others_are_not(classifier, trained):
    known = classifier.predict([path for _, path in clips(trained, "val")])
    assert np.mean([result.is_none for result in known]) <= 0.09  # 5 % of 36 clips, rounded up
    rng, time_s = np.random.default_rng(5), np.arange(RATE) / RATE
    strange = {
        "white noise": rng.normal(0, 0.2, RATE),
        "quiet noise": rng.normal(0, 0.01, RATE),
        "silence": np.zeros(RATE),
        **{f"{hz} Hz": 0.5 * np.sin(2 * np.pi * hz * time_s) for hz in (110, 440, 1_000, 3_000)},
    }
    results = classifier.predict([(name, wav(sound)) for name, sound in strange.items()])
    # A network of two epochs may take a low tone for a kick, but is never sure of it.
    assert sum(result.is_none for result in results) >= 5
    for result in results:
        assert max(result.probs.values()) < 0.5, result.name


def test_the_nearest_clips_are_evidence(classifier, trained):
    workspace, _ = trained
    results = classifier.predict([path for _, path in clips(trained, "train")[:8]])
    for (_, path), result in zip(clips(trained, "train"), results, strict=False):
        near = result.nearest[0]
        assert near.similarity == pytest.approx(1.0, abs=0.01)  # a training clip is its own neighbour
        assert workspace.store.datasets.clip(near.clip_id).label == near.label
        similarities = [item.similarity for item in result.nearest]
        assert similarities == sorted(similarities, reverse=True)
        assert path.exists()


def test_alone_or_in_a_batch_by_page_or_python_the_answer_is_the_same(classifier, trained):
    workspace, run = trained
    paths = [path for _, path in clips(trained, "test")]
    together = classifier.predict(paths)
    elsewhere = Classifier.load(workspace.checkpoint_path(run), device="cpu")
    for path, a in zip(paths, together, strict=True):
        (b,), (c,) = elsewhere.predict([path]), classifier.predict([(path.name, path.read_bytes())])
        for other in (b, c):
            assert a.label == other.label
            assert a.none == pytest.approx(other.none, abs=1e-5)
            assert a.probs == pytest.approx(other.probs, abs=1e-5)
            assert a.prediction_set == other.prediction_set


def test_trust_is_made_on_first_use_and_belongs_to_its_weights(trained):
    workspace, run = trained
    path = trust_file(workspace.checkpoint_path(run))
    before = load_trust(path)
    path.unlink()
    assert workspace.classifier(run).trust is not None
    assert load_trust(path).digest == before.digest
    assert load_trust(path).sets.thresholds == pytest.approx(before.sets.thresholds)
    # Another checkpoint's file beside it is not believed.
    original = path.read_bytes()
    path.write_bytes(original.replace(before.digest.encode(), b"0" * len(before.digest)))
    assert Classifier.load(workspace.checkpoint_path(run), device="cpu").trust is None
    assert workspace.classifier(run).trust is not None
    assert load_trust(path).digest == before.digest


def test_a_damaged_file_is_made_anew(trained):
    workspace, run = trained
    path = trust_file(workspace.checkpoint_path(run))
    path.write_bytes(b"not a file of ours")
    with pytest.raises(CheckpointError):
        load_trust(path)
    assert workspace.classifier(run).trust is not None
    with safe_open(path, framework="numpy") as file:
        assert json.loads(file.metadata()["samplemind_trust"])["coverage"] == 0.9


def test_without_its_dataset_a_checkpoint_still_answers(trained, tmp_path):
    workspace, run = trained
    copy = tmp_path / "best.safetensors"
    copy.write_bytes(workspace.checkpoint_path(run).read_bytes())
    (result,) = Classifier.load(copy, device="cpu").predict([("noise.wav", wav(np.ones(100)))])
    assert result.none is None
    assert result.prediction_set == ()
    assert sum(result.probs.values()) == pytest.approx(1.0)
    assert not result.is_none
    assert "none" not in result.as_dict()
