"""Settings judged on a whole dataset, without a run that was trained before."""

from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.config import build_config
from samplemind_core.errors import DataError, StorageError
from samplemind_core.evaluation.cross_validation import SCORES, finished_folds, run_task, summarise
from samplemind_core.evaluation.out_of_fold import OutOfFold, deal, folds_ref
from samplemind_core.store import Clip
from samplemind_core.tasks import TaskContext
from samplemind_core.tasks.jobs import execute, task_folder
from samplemind_core.workers import identity

TINY = {"epochs": 1, "train.batch_size": 8, "n_mels": 16, "duration_s": 0.4, "model.width": 0.5}


def answers(correct: list[bool], folds: list[int], names: tuple[str, ...] = ()) -> OutOfFold:
    """Two classes in turn; each answer is right or wrong as asked."""
    targets = np.arange(len(correct)) % 2
    said = np.where(correct, targets, 1 - targets)
    logits = np.eye(2, dtype=np.float32)[said]
    return OutOfFold(logits, targets, np.arange(len(correct)) + 1, np.array(folds), ("a", "b"), 1, names)


def clip(row: int, fold: str | None, source: str) -> Clip:
    return Clip(row, f"{row}.wav", "a", 0, source, "train", f"hash{row}", fold=fold)


def test_figures_of_folds_and_of_all_clips() -> None:
    found = summarise(
        answers([True] * 4 + [True, True, False, False] + [False] * 2, [0] * 4 + [1] * 4 + [2] * 2), "abcdefghij"
    )
    assert [fold.accuracy for fold in found.folds] == [1.0, 0.5, 0.0]
    assert [fold.name for fold in found.folds] == ["1", "2", "3"]
    assert found.mean("accuracy") == 0.5
    assert found.sd("accuracy") == 0.5
    assert found.pooled["accuracy"] == 0.6  # folds differ in size: not the mean over folds
    low, high = found.intervals["accuracy"]
    assert 0 < low < 0.6 < high < 1
    assert found.num_clips == found.num_sources == 10
    assert found.as_dict()["over_folds"]["accuracy"] == {"mean": 0.5, "sd": 0.5}
    assert "50.0 % ± 50.0 % over 3 folds; 60.0 % of all 10 clips" in found.sentence


def test_clips_of_one_source_are_no_independent_witnesses() -> None:
    correct = [True, True, True, False] * 10
    folds = [0] * 12 + [1] * 12 + [2] * 16
    alone = summarise(answers(correct, folds), [str(i) for i in range(40)]).intervals["accuracy"]
    grouped = summarise(answers(sorted(correct), folds), [str(i // 10) for i in range(40)]).intervals["accuracy"]
    assert grouped[1] - grouped[0] > alone[1] - alone[0]


def test_folds_of_the_manifest_come_first_and_can_be_insisted_on() -> None:
    given = [clip(row, f"f{row % 3}", f"s{row}") for row in range(9)]
    targets = np.zeros(9, dtype=np.int64)
    folds, names = deal(given, targets, 5)
    assert names == ("f0", "f1", "f2")
    assert folds.tolist() == [row % 3 for row in range(9)]
    _, dealt = deal(given, targets, 4, "groups")
    assert dealt == ("1", "2", "3", "4")
    with pytest.raises(DataError, match="no folds to go by"):
        deal([clip(row, None, f"s{row}") for row in range(9)], targets, 5, "folds")


@pytest.fixture
def task(workspace, bursts):
    workspace.import_dataset(bursts(per_class=12, sources=4), name="tones")
    return workspace.cross_validate("tones", build_config("quick", TINY), num_folds=3, start=False)


def test_a_task_leaves_a_run_that_diagnostics_can_judge(workspace, task) -> None:
    workspace.edit("tones").relabel([workspace.clips("tones")[0].id], "low")  # what was asked for stays what it was
    claimed = workspace.store.tasks.claim(identity(), task.id)
    ended = execute(workspace, claimed)
    assert ended.status == "done", ended.error
    run = workspace.run(task.id)
    assert (run.status, run.name, run.dataset_version) == ("finished", "tones-quick-folds-1", 1)
    assert "over 3 folds" in (run.end_reason or "")
    assert workspace.checkpoints(run.id) == []
    found = workspace.cross_validation(run.id)
    assert found is not None
    assert found.num_clips == 24
    assert found.version == 1
    assert {score: ended.result[score] for score in SCORES} == found.pooled
    assert len(workspace.judge(folds_ref(run.id), split="all").clip_ids) == 24
    assert workspace.runs("tones") == [run]
    # Done again, as after a kill between the last two steps: there is still one run.
    run_task(TaskContext(workspace, claimed, task_folder(workspace.settings, task.id), lambda: False))
    assert len(workspace.runs("tones")) == 1


def test_finished_folds_are_seen_while_the_others_train(workspace, task, tmp_path) -> None:
    seen: list[int] = []

    def should_stop() -> bool:
        seen.append(len(finished_folds(tmp_path)))
        return seen[-1] == 2

    with pytest.raises(Exception, match="Stopped on request"):
        run_task(TaskContext(workspace, task, tmp_path, should_stop))
    assert {0, 1, 2} <= set(seen)
    assert [fold.name for fold in finished_folds(tmp_path)] == ["1", "2"]
    assert workspace.store.runs.find(task.id) is None
    next(iter(tmp_path.glob("fold-1-*.npz"))).write_bytes(b"broken")
    with pytest.raises(StorageError, match="cannot be read"):
        finished_folds(tmp_path)


def test_too_few_sources_are_refused_before_anything_is_queued(workspace, bursts) -> None:
    workspace.import_dataset(bursts(per_class=6, sources=4), name="few")
    for clip in workspace.clips("few"):
        workspace.edit("few").regroup({clip.id: f"s{clip.id % 2}"})
    with pytest.raises(DataError, match="at least three sources"):
        workspace.cross_validate("few", build_config("quick"), start=False)
    assert workspace.tasks.all() == []
