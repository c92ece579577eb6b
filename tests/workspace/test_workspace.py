from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from samplemind_core.config import build_config
from samplemind_core.errors import (
    ConfigError,
    DataError,
    JobError,
    NameTakenError,
    NotFoundError,
    SampleMindError,
    StorageError,
)
from samplemind_core.search.space import parse_dimension
from samplemind_core.search.study import Plan
from samplemind_core.settings import Settings
from samplemind_core.workspace import Workspace

TINY = {"n_mels": 32, "duration_s": 0.5, "width": 0.5, "batch_size": 16, "device": "cpu", "epochs": 3}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    workspace = Workspace(Settings(workspace=tmp_path_factory.mktemp("ws"), database_url=None))
    workspace.make_demo(per_class=10, name="demo")
    workspace.train("demo", build_config("quick", TINY | {"save_every": 1}), name="first")
    workspace.train("demo", build_config("quick", TINY | {"seed": 1}), name="second")
    yield workspace
    workspace.close()


def test_checkpoints_by_reference(trained: Workspace) -> None:
    assert trained.resolve("first")[1].kind == "best"
    assert trained.resolve("first:last")[1].epoch == 3
    assert trained.resolve("first:2")[1].epoch == 2
    with pytest.raises(NotFoundError, match="best"):
        trained.resolve("first:99")
    with pytest.raises(NotFoundError, match="no run 'third'"):
        trained.resolve("third")


@pytest.mark.parametrize("split", ["train", "val", "test", "all"])
def test_stored_predictions_equal_the_classifier_on_the_original_files(trained: Workspace, split: str) -> None:
    judged = trained.judge("first", split=split)
    clips = [trained.store.datasets.clip(int(clip)) for clip in judged.clip_ids[:12]]
    results = trained.classifier("first").predict([trained.clip_audio(clip) for clip in clips])
    scores = np.exp(judged.logits[:12] - judged.logits[:12].max(1, keepdims=True))
    scores /= scores.sum(1, keepdims=True)
    found = np.array([[result.probs[name] for name in judged.class_names] for result in results])
    # The cache keeps half-precision decibels; the classifier computes them afresh.
    np.testing.assert_allclose(found, scores, atol=2e-3)
    assert [clip.label for clip in clips] == [judged.class_names[target] for target in judged.targets[:12]]


def test_evaluate_and_compare(trained: Workspace) -> None:
    evaluation = trained.evaluate("first", split="all")
    assert evaluation.num_clips == 60
    assert sum(map(sum, evaluation.confusion)) == 60
    comparison = trained.compare("first", "second", split="all")
    assert comparison.accuracy_a == pytest.approx(evaluation.accuracy)
    assert trained.compare("first", "first", split="all").p_value == 1
    with pytest.raises(DataError, match="no split 'dev'"):
        trained.evaluate("first", split="dev")


def test_another_dataset_is_matched_by_class_name(trained: Workspace, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("kick", "snare", "gong"):
        for number in range(6):
            path = tmp_path / "folder" / label / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, rng.uniform(-0.5, 0.5, 4_000), 22_050)
    trained.import_dataset(tmp_path / "folder", name="other")
    judged = trained.judge("first", dataset="other", split="all")
    assert judged.num_excluded == 6
    assert len(judged.targets) == 12
    assert {judged.class_names[target] for target in judged.targets} == {"kick", "snare"}


def test_names_are_checked(trained: Workspace) -> None:
    with pytest.raises(NameTakenError, match="first"):
        trained.submit("demo", build_config("quick", TINY), name="first", start=False)
    for name in ("", "a:b", "x" * 201, "line\nbreak", "starter", "mean(first, second)", "folds(first)"):
        with pytest.raises(SampleMindError, match="name"):
            trained.submit("demo", build_config("quick", TINY), name=name, start=False)
    with pytest.raises(NotFoundError, match="no dataset"):
        trained.submit("nothing", build_config("quick", TINY), start=False)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tta_views": 8, "duration_s": 0.3}, "8 views need"),
        ({"name": "tutorial_cnn", "n_mels": 8}, "at least 16 x 16 points, got 8 x"),
        ({"name": "resnet50"}, "no network 'resnet50'"),
        ({"gain_db": 25, "top_db": 40}, "gain_db below half of top_db"),
    ],
)
def test_what_ends_every_run_is_refused_before_it_waits_in_a_queue(
    trained: Workspace, changes: dict, problem: str
) -> None:
    before = len(trained.runs())
    with pytest.raises(ConfigError, match=problem):
        trained.submit("demo", build_config("quick", TINY | changes), start=False)
    assert len(trained.runs()) == before


def test_ready_made_spectrograms_are_taken_as_they_are_or_the_settings_refused(workspace, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("validation", 6), ("test", 6)):
        log_mel = rng.uniform(-80, 0, (count, 128, 87)).astype(np.float32)
        log_mel[:, 0, 0] = 0.0
        np.savez(tmp_path / f"{split}.npz", X=log_mel, y=np.arange(count) % 3)
    workspace.import_dataset(tmp_path, name="ready")
    for changes, problem in (({"n_mels": 64}, "they have n_mels 128"), ({"variants": 1, "wave_eq_db": 3}, "from sounds")):
        with pytest.raises(DataError, match=problem):
            workspace.submit("ready", build_config("quick", changes), start=False)
    # Every preset but the tutorial's begins at the onset, which these spectrograms do not: they are taken as they are.
    config = build_config("quick", {"device": "cpu", "width": 0.125, "batch_size": 8})
    assert len(workspace.find_lr("ready", config, num_steps=10).lrs) > 0


def test_a_dataset_in_use_is_not_deleted(trained: Workspace) -> None:
    with pytest.raises(NameTakenError, match="trained on dataset"):
        trained.delete_dataset("demo")
    extra = trained.make_demo(per_class=3, name="extra")
    folder = trained.root / "datasets" / extra.id
    assert folder.exists()
    gone, kept = (trained.submit("extra", build_config("quick"), start=False) for _ in range(2))
    for run in (gone, kept):
        trained.stop(run.id)
    trained.delete_run(gone.id)
    with pytest.raises(NameTakenError, match=kept.name):
        trained.delete_dataset("extra")
    assert trained.restore_run(gone.id).id == gone.id  # what was refused has taken nothing
    for run in (gone, kept):
        trained.delete_run(run.id)
    plan = Plan(build_config("quick"), (parse_dimension("lr=1e-3:1e-2"),), "val_loss")
    search = trained.search("extra", plan, 1, start=False)
    with pytest.raises(JobError, match="Search extra-quick"):
        trained.delete_dataset("extra")
    trained.tasks.stop(search.task_id or "")
    trained.delete_dataset("extra")
    assert not folder.exists()
    assert "extra" not in [dataset.name for dataset in trained.datasets()]


def test_clips_become_wav(trained: Workspace) -> None:
    clip = trained.store.datasets.clips(trained.dataset("demo").id, limit=1)[0]
    content = trained.clip_wav(clip.id)
    assert content[:4] == b"RIFF"


def test_the_doctor_finds_the_front_end_equal_to_librosa(trained: Workspace) -> None:
    facts = trained.doctor(check=True)
    assert facts["front_end"]["ok"]
    assert facts["workspace"]["writable"]
    assert facts["versions"]["torch"]


def test_a_stored_prediction_is_renewed_with_its_checkpoint(trained: Workspace) -> None:
    before = trained.judge("first:last", split="val")
    again = trained.judge("first:last", split="val")
    assert np.array_equal(before.logits, again.logits)
    _, checkpoint = trained.resolve("first:last")
    stored = trained.store.runs.prediction(checkpoint, trained.dataset("demo").id, "val")
    (trained.root / stored.path).unlink()
    assert np.array_equal(trained.judge("first:last", split="val").logits, before.logits)


def test_a_workspace_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="SAMPLEMIND_WORKSPACE"):
        Workspace(Settings(workspace=tmp_path / "file" / "ws"))


def test_a_refused_name_leaves_no_folder_behind(trained: Workspace) -> None:
    before = set((trained.root / "runs").iterdir())
    with pytest.raises(NameTakenError):
        trained.submit("demo", build_config("quick", TINY), name="first", start=False)
    assert set((trained.root / "runs").iterdir()) == before
