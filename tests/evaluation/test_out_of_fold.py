"""Every clip judged by a network that never heard its source."""

from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.config import build_config
from samplemind_core.errors import DataError, NotFoundError, StoppedError, StorageError
from samplemind_core.evaluation import out_of_fold
from samplemind_core.evaluation.cross_validation import run_task
from samplemind_core.evaluation.out_of_fold import (
    assign_folds,
    cross_validate,
    folds_ref,
    folds_run,
    out_of_fold_file,
    read_out_of_fold,
)
from samplemind_core.tasks import TaskContext


def test_folds_keep_sources_whole_and_classes_spread() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 600)
    targets = rng.integers(0, 3, 600)
    folds = assign_folds(targets, groups, 5, seed=1)
    assert sorted(set(folds.tolist())) == [0, 1, 2, 3, 4]
    for group in range(40):
        assert len(set(folds[groups == group].tolist())) == 1
    shares = [np.bincount(targets[folds == fold], minlength=3) / (folds == fold).sum() for fold in range(5)]
    assert np.ptp(shares, axis=0).max() < 0.12


def test_no_fold_is_empty_where_one_source_is_far_larger() -> None:
    sizes = (53, 4720, 4, 2)
    groups, targets = np.repeat(np.arange(4), sizes), np.repeat([0, 0, 1, 1], sizes)
    for seed in range(5):
        folds = assign_folds(targets, groups, 4, seed=seed)
        assert sorted(set(folds.tolist())) == [0, 1, 2, 3]
        assert all(len(set(folds[groups == group].tolist())) == 1 for group in range(4))


def test_two_sources_are_too_few() -> None:
    with pytest.raises(DataError, match="at least three sources"):
        assign_folds(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
    with pytest.raises(DataError, match="at least three clips"):
        assign_folds(np.array([0, 1, 0, 1]), np.arange(4))


def test_few_clips_are_dealt_into_fewer_folds() -> None:
    folds = assign_folds(np.array([0, 1, 0, 1, 0, 1]), np.arange(6), 5)
    assert sorted(folds.tolist()) == [0, 0, 1, 1, 2, 2]


def test_references() -> None:
    assert folds_run(folds_ref("r1")) == "r1"
    assert folds_run("r1:best") is None


@pytest.fixture
def run(workspace, bursts):
    workspace.import_dataset(bursts(per_class=12, sources=4), name="tones")
    return workspace.submit("tones", build_config("quick", {"epochs": 1, "train.batch_size": 8}), start=False)


def test_a_task_trains_each_fold_once_and_goes_on_after_a_break(workspace, run, tmp_path, monkeypatch) -> None:
    trained = []
    real = out_of_fold._train_fold

    def train(config, clips, rows, folds, held, *rest):
        trained.append(held[0])
        if len(trained) == 2:
            return None  # as after Stop
        assert not set(clips.sources[rows[folds == held[0]]]) & set(
            clips.sources[rows[(folds != held[0]) & (folds != held[1])]]
        )
        return real(config, clips, rows, folds, held, *rest)

    monkeypatch.setattr(out_of_fold, "_train_fold", train)
    task = workspace.tasks.submit(out_of_fold.KIND, "Cross-validation", {"run": run.id, "num_folds": 3})
    stopped = TaskContext(workspace, task, tmp_path / "task", lambda: len(trained) > 1)
    with pytest.raises(StoppedError):
        run_task(stopped)
    assert read_out_of_fold(workspace.settings, run.id) is None
    with pytest.raises(NotFoundError, match="not cross-validated"):
        workspace.judge(folds_ref(run.id), split="all")

    context = TaskContext(workspace, task, tmp_path / "task", lambda: False)
    result = run_task(context)
    found = read_out_of_fold(workspace.settings, run.id)
    assert found is not None
    assert result["num_clips"] == len(found.clip_ids) == 24
    assert found.logits.shape == (24, 2)
    assert len(set(found.folds.tolist())) == 3
    assert trained == [0, 1, 1, 2]  # the first fold was kept
    assert context.state["done"] == context.state["total"] == 3
    judged = workspace.judge(folds_ref(run.id), split="all")
    np.testing.assert_array_equal(judged.clip_ids, found.clip_ids)
    assert len(workspace.judge(folds_ref(run.id), split="test").clip_ids) < 24

    # A label that is corrected later counts as corrected.
    first = int(found.clip_ids[0])
    other = next(name for name in found.class_names if name != workspace.store.datasets.clip(first).label)
    workspace.edit("tones").relabel([first], other)
    again = workspace.judge(folds_ref(run.id), split="all")
    assert again.class_names[again.targets[again.clip_ids.tolist().index(first)]] == other

    out_of_fold_file(workspace.settings, run.id).write_bytes(b"broken")
    with pytest.raises(StorageError, match="cannot be read"):
        read_out_of_fold(workspace.settings, run.id)


def test_stopping_leaves_nothing_half_done(workspace, run, tmp_path) -> None:
    asked = []

    def should_stop() -> bool:
        asked.append(True)
        return len(asked) > 1

    assert (
        cross_validate(workspace.store, workspace.settings, run, tmp_path, num_folds=3, should_stop=should_stop) is None
    )
    assert read_out_of_fold(workspace.settings, run.id) is None
