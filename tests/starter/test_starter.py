"""The model that the package brings along: found without any run, judged, used, and never changed."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors import safe_open
from starter_model import CLASSES, put_starter

from samplemind_core import starter
from samplemind_core.errors import CheckpointError, NotFoundError
from samplemind_core.training.checkpoints import read_info, rewrite_info


@pytest.fixture(autouse=True)
def _forget():
    yield
    starter.starter_card.cache_clear()


@pytest.fixture
def put(tmp_path, monkeypatch):
    return put_starter(tmp_path, monkeypatch)


def test_it_is_found_in_an_empty_workspace(workspace, put, bursts) -> None:
    sound = next(bursts(per_class=1).rglob("*.wav"))
    for ref in ("starter", "starter:best"):
        run, checkpoint = workspace.resolve(ref)
        assert run.name == "Starter: trained on synthesised drums only"
        assert workspace.checkpoint_path(ref).samefile(starter.STARTER_FILE)
        assert checkpoint.epoch == 3
    assert workspace.runs() == []
    classifier = workspace.classifier("starter")
    assert classifier.class_names == CLASSES
    assert classifier.trust is None
    (answer,) = classifier.predict([sound])
    assert answer.error is None
    assert answer.label in CLASSES
    with pytest.raises(NotFoundError, match="are not here"):
        workspace.judge("starter")


def test_it_is_judged_on_a_dataset_and_remembers_its_answers(workspace, bursts, put, monkeypatch) -> None:
    workspace.import_dataset(bursts(("kick", "snare", "low"), per_class=6), name="tones")
    judged = workspace.judge("starter", dataset="tones", split="all")
    assert judged.class_names == CLASSES
    assert len(judged.clip_ids) == 12
    assert judged.num_excluded == 6  # it knows no class 'low'
    calls = []
    monkeypatch.setattr("samplemind_core.training.predictions.compute_logits", lambda *args: calls.append(args))
    again = workspace.judge("starter", dataset="tones", split="all")
    np.testing.assert_array_equal(again.logits, judged.logits)
    assert calls == []


def test_what_comes_with_the_package_is_never_rewritten(put) -> None:
    inside = starter.Path(starter.__file__).with_name("starter.safetensors")
    with pytest.raises(CheckpointError, match="came with SampleMind"):
        rewrite_info(inside, read_info(starter.STARTER_FILE))


def test_calibrating_it_is_refused_for_what_it_is(workspace) -> None:
    with pytest.raises(CheckpointError, match="came with SampleMind"):
        workspace.calibrate("starter")


def test_a_copy_without_one_says_so(tmp_path, monkeypatch, workspace) -> None:
    put_starter(tmp_path, monkeypatch)
    starter.CARD.unlink()
    starter.starter_card.cache_clear()
    with pytest.raises(NotFoundError, match="no starter model"):
        workspace.resolve("starter")


def test_the_one_that_is_shipped_is_small_and_keeps_its_promises() -> None:
    card = starter.starter_card()
    info = read_info(starter.STARTER_FILE)
    assert starter.STARTER_FILE.stat().st_size <= 2_000_000
    assert info.class_names == card.class_names == ("clap", "cymbal", "hihat", "kick", "snare", "tom")
    assert info.dataset["synthetic"] is True
    assert info.state == {}
    with safe_open(starter.STARTER_FILE, "pt") as file:
        assert all(name.startswith("model.") for name in file.keys())  # noqa: SIM118 - it is no mapping
    assert card.held_out_kits.accuracy >= 0.85
    assert card.real is not None
    assert card.real.accuracy_interval[0] <= card.real.accuracy <= card.real.accuracy_interval[1]
    assert card.real.accuracy > 1 / 3  # twice as good as guessing among six
