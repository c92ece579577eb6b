"""A search from its first trial to its last, stopped, killed and gone on with; test clips take no part."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from samplemind_core.config import build_config
from samplemind_core.errors import ConfigError, JobError, NonFiniteLossError, StoppedError
from samplemind_core.search import work
from samplemind_core.search.space import parse_dimension
from samplemind_core.search.study import Plan, best_trial, open_study, plan_from
from samplemind_core.tasks import TaskContext
from samplemind_core.tasks.jobs import task_folder
from samplemind_core.training.trainer import Trainer

TINY = {"epochs": 2, "batch_size": 8, "n_mels": 16, "duration_s": 0.2, "width": 0.25, "device": "cpu", "ema_decay": 0}


def plan(*over: str, **options) -> Plan:
    chosen = [parse_dimension(text) for text in over or ("lr=1e-3:1e-1:log", "dropout=0:0.5")]
    return Plan(build_config("quick", TINY), tuple(chosen), **options)


@pytest.fixture
def space(workspace, bursts):
    workspace.import_dataset(bursts(per_class=12, sources=6), name="tones")
    return workspace


def context(space, search, should_stop=lambda: False) -> TaskContext:
    return TaskContext(space, space.tasks.get(search.task_id), task_folder(space.settings, search.task_id), should_stop)


@pytest.mark.parametrize(("objective", "num_folds"), [("val_loss", 0), ("val_accuracy", 3)])
def test_the_test_split_is_never_looked_at(space, monkeypatch, objective, num_folds) -> None:
    clips = space.clips("tones")
    test = {clip.row for clip in clips if clip.split == "test"}
    assert test
    looked: set[int] = set()
    groups = []
    real = Trainer.__init__

    def watch(self, config, data, *rest, **options):
        looked.update(data.train_rows.tolist(), data.val_rows.tolist())
        sources = {clip.row: clip.source for clip in clips}
        groups.append(({sources[row] for row in data.train_rows}, {sources[row] for row in data.val_rows}))
        real(self, config, data, *rest, **options)

    monkeypatch.setattr(Trainer, "__init__", watch)
    search = space.search("tones", plan(objective=objective, num_folds=num_folds), 2, start=False)
    work.run_task(context(space, search))
    assert looked == {clip.row for clip in clips} - test
    assert all(not train & val for train, val in groups)
    found = space.search_results(search.id)
    assert len(found.trials) == 2
    assert found.best is not None
    assert found.best.value == (min if objective == "val_loss" else max)(trial.value for trial in found.trials)
    assert [step for step, _ in found.trials[0].steps] == list(range(1, max(1, num_folds) * 2 + 1))


def test_the_first_trial_is_where_the_search_starts_and_the_best_fills_a_form(space) -> None:
    search = space.search("tones", plan(), 3, name="mine", owner="me", start=False)
    result = work.run_task(context(space, search))
    found = space.search_results("mine")
    assert found.trials[0].settings == {"train.lr": 4e-3, "model.dropout": 0.2}
    assert result["trial"] == found.best.number
    changes = found.best_changes()
    assert build_config("quick", changes) == found.best_config
    assert changes["train.epochs"] == 2
    assert found.importance == {}  # three trials say nothing of that


def test_a_stopped_trial_goes_on_where_it_was(space) -> None:
    search = space.search("tones", plan("lr=1e-3:1e-1:log", pruner="none"), 2, start=False)
    asked = []

    def should_stop() -> bool:
        asked.append(True)
        return len(asked) > 4

    with pytest.raises(StoppedError):
        work.run_task(context(space, search, should_stop))
    (left,) = space.search_results(search.id).trials
    assert left.state == "running"
    work.run_task(context(space, search))
    found = space.search_results(search.id)
    assert [trial.number for trial in found.trials] == [0, 1]
    assert found.trials[0].settings == left.settings
    # Nothing is lost or counted twice by the break: the same as a search that was never stopped.
    whole = space.search("tones", plan("lr=1e-3:1e-1:log", pruner="none"), 1, start=False)
    work.run_task(context(space, whole))
    assert space.search_results(whole.id).trials[0].steps == found.trials[0].steps


def test_more_trials_of_a_search_that_is_done(space) -> None:
    search = space.search("tones", plan(), 1, start=False)
    with pytest.raises(JobError, match="is queued"):
        space.extend_search(search.id, 1, start=False)
    work.run_task(context(space, search))
    space.tasks.stop(search.task_id)
    space.tasks.dismiss(search.task_id)
    again = space.extend_search(search.id, 2, start=False)
    assert again.num_trials == 3
    work.run_task(context(space, again))
    assert len(space.search_results(search.id).trials) == 3


def test_a_trial_that_diverges_is_told_and_the_search_goes_on(space, monkeypatch) -> None:
    real, calls = work._train, []

    def train(*arguments):
        calls.append(True)
        if len(calls) == 1:
            raise NonFiniteLossError("The loss became inf.", "Less.")
        return real(*arguments)

    monkeypatch.setattr(work, "_train", train)
    search = space.search("tones", plan(), 2, start=False)
    work.run_task(context(space, search))
    failed, done = space.search_results(search.id).trials
    assert (failed.state, failed.error, failed.value) == ("failed", "The loss became inf.", None)
    assert done.state == "complete"


def test_values_that_do_not_go_together_fail_their_trial_and_not_the_search(space) -> None:
    # The starter's weights have a width of their own: with any other the run cannot begin.
    search = space.search("tones", plan("init=random,starter", "lr=1e-3:1e-1:log"), 1, start=False)
    study = open_study(space.store, search, plan_from(search.plan))
    study.enqueue_trial({"model.init": "starter", "train.lr": 0.01})
    work.run_task(context(space, search))
    (trial,) = space.search_results(search.id).trials
    assert trial.state == "failed"
    assert "cannot start from the starter model" in trial.error


def test_hopeless_trials_end_early(space) -> None:
    search = space.search("tones", plan(pruner="median"), 12, start=False)
    study = open_study(space.store, search, plan_from(search.plan))
    for _ in range(6):  # six good ones that never happened
        trial = study.ask()
        for dimension in plan().dimensions:
            dimension.suggest(trial)
        for step in (1, 2):
            trial.report(1e-6, step)
        study.tell(trial, 1e-6)
    work.run_task(context(space, search))
    trials = space.search_results(search.id).trials
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert len(trials) == 12
    assert len(pruned) >= 5
    assert all(len(trial.steps) == 1 for trial in pruned)


def test_what_mattered_is_said_once_there_are_enough_trials(space) -> None:
    search = space.search("tones", plan(), 30, start=False)
    study = open_study(space.store, search, plan_from(search.plan))
    for _ in range(30):
        trial = study.ask()
        lr, _dropout = (dimension.suggest(trial) for dimension in plan().dimensions)
        study.tell(trial, abs(np.log10(lr) + 2))  # only the rate matters
    importance = space.search_results(search.id).importance
    assert importance["train.lr"] > 0.8
    assert sum(importance.values()) == pytest.approx(1)


def test_a_killed_search_goes_on_with_the_trial_it_was_in(space) -> None:
    search = space.search("tones", plan("lr=1e-3:1e-2:log", pruner="none"), 2, start=False)
    code = (
        "import sys, time\n"
        "from samplemind_core import Workspace\n"
        "from samplemind_core.search import work\n"
        "from samplemind_core.tasks.jobs import execute\n"
        "from samplemind_core.workers import identity\n"
        "real = work._Told.on_epoch\n"
        "def slow(self, epoch):\n"
        "    real(self, epoch)\n"
        "    print('epoch', epoch.epoch, flush=True)\n"
        "    time.sleep(600)\n"
        "work._Told.on_epoch = slow\n"
        "space = Workspace()\n"
        "execute(space, space.store.tasks.claim(identity(), sys.argv[1]))\n"
    )
    environment = os.environ | {"SAMPLEMIND_WORKSPACE": str(space.root), "SAMPLEMIND_WORKER": "external"}
    child = subprocess.Popen([sys.executable, "-c", code, search.task_id], env=environment, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"epoch 1\n"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(30)
        child.stdout.close()
    deadline = time.monotonic() + 30
    while space.tasks.get(search.task_id).status == "running":
        assert time.monotonic() < deadline
        space.tend(now=True)
    assert space.tasks.get(search.task_id).status == "interrupted"
    (left,) = space.search_results(search.id).trials
    assert (left.state, len(left.steps)) == ("running", 1)
    work.run_task(context(space, search))
    first, second = space.search_results(search.id).trials
    assert first.settings == left.settings
    assert first.steps[0] == left.steps[0]
    assert (first.state, second.state) == ("complete", "complete")


def test_what_cannot_be_searched_is_refused_at_once(space) -> None:
    with pytest.raises(ConfigError, match="1 to 1,000 trials"):
        space.search("tones", plan(), 0, start=False)
    with pytest.raises(ConfigError):
        space.search("tones", plan("lr=0.1:0.01"), 3, start=False)
    assert space.tasks.all() == space.store.searches.all() == []


def test_the_best_of_none_is_none() -> None:
    assert best_trial((), minimise=True) is None


# -- several labels per clip ---------------------------------------------------------------------


@pytest.fixture
def layered(workspace, bursts, tmp_path):
    """Thirty-six clips of six sources, each of a high tone, a low tone or both; every label in every source."""
    root = bursts(("high", "low"), per_class=18)
    lines = ["path,labels,group"]
    for number in range(36):
        tone, place = ("high", "low")[number % 2], number // 2
        both = number % 6 in (2, 3)
        lines.append(f"{tone}/{tone}-{place:03d}.wav,{'high|low' if both else tone},source{number // 6}")
    (root / "manifest.csv").write_text("\n".join(lines))
    workspace.import_dataset(root, name="layered")
    assert workspace.dataset("layered").multi_label
    return workspace


def test_several_labels_are_judged_and_pruned_by_mean_average_precision(layered, monkeypatch) -> None:
    epochs, parts = [], []
    real, made = work._Told.on_epoch, Trainer.__init__

    def hear(self, epoch):
        epochs.append(epoch)
        real(self, epoch)

    def watch(self, config, data, *rest, **options):
        parts.append((set(data.train_rows.tolist()), set(data.val_rows.tolist())))
        made(self, config, data, *rest, **options)

    monkeypatch.setattr(work._Told, "on_epoch", hear)
    monkeypatch.setattr(Trainer, "__init__", watch)
    search = layered.search("layered", plan(objective="val_map", num_folds=3, pruner="none"), 1, start=False)
    work.run_task(context(layered, search))
    (trial,) = layered.search_results(search.id).trials
    told = [epoch.health["val_map"] for epoch in epochs]
    assert trial.value == pytest.approx(np.mean([max(told[place : place + 2]) for place in (0, 2, 4)]))
    assert 0 < trial.value <= 1
    clips = {clip.row: clip for clip in layered.clips("layered")}
    judged = [row for _, val in parts for row in val]
    assert sorted(judged) == sorted(row for row, clip in clips.items() if clip.split != "test")
    for train, val in parts:
        assert not {clips[row].source for row in train} & {clips[row].source for row in val}
        assert {name for row in val for name in clips[row].labels} == {"high", "low"}
    # Six trials that were right about everything from the first epoch on: none that follows can hold with them.
    best = layered.search("layered", plan(objective="val_map", pruner="median"), 8, start=False)
    study = open_study(layered.store, best, plan_from(best.plan))
    assert study.direction.name == "MAXIMIZE"
    for _ in range(6):
        done = study.ask()
        for dimension in plan().dimensions:
            dimension.suggest(done)
        for step in (1, 2):
            done.report(1.1, step)
        study.tell(done, 1.1)
    work.run_task(context(layered, best))
    assert [one.state for one in layered.search_results(best.id).trials[6:]] == ["pruned", "pruned"]


def test_a_stopped_search_of_several_labels_goes_on_where_it_was(layered) -> None:
    asked = []

    def should_stop() -> bool:
        asked.append(True)
        return len(asked) > 5

    options = {"objective": "val_map", "num_folds": 3, "pruner": "none"}
    search = layered.search("layered", plan("lr=1e-3:1e-1:log", **options), 1, start=False)
    with pytest.raises(StoppedError):
        work.run_task(context(layered, search, should_stop))
    work.run_task(context(layered, search))
    whole = layered.search("layered", plan("lr=1e-3:1e-1:log", **options), 1, start=False)
    work.run_task(context(layered, whole))
    (broken,), (unbroken,) = (layered.search_results(one.id).trials for one in (search, whole))
    assert broken.state == unbroken.state == "complete"
    assert (broken.value, broken.steps) == (unbroken.value, unbroken.steps)


def test_what_does_not_suit_the_labels_is_refused_before_it_is_queued(space, layered) -> None:
    for dataset, wrong, said in (
        ("tones", {"objective": "val_map"}, "have one label"),
        ("layered", {"objective": "val_accuracy"}, "have several labels"),
    ):
        with pytest.raises(ConfigError, match=said):
            space.search(dataset, plan(**wrong), 2, start=False)
    with pytest.raises(ConfigError, match="Cross-entropy names one label"):
        space.search("layered", plan("loss=cross_entropy,bce", objective="val_map"), 2, start=False)
    with pytest.raises(ConfigError, match="different measures"):
        space.search("layered", plan("loss=bce,asymmetric", objective="val_loss"), 2, start=False)
    assert space.tasks.all() == []
    assert space.search("layered", plan("loss=bce,asymmetric", objective="val_map"), 2, start=False).num_trials == 2
