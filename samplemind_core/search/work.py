"""The task that tries settings: one training per trial, or one per fold, told after every epoch to go on or to end."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samplemind_core.config import RunConfig
from samplemind_core.errors import ConfigError, DataError, JobError, NonFiniteLossError
from samplemind_core.files import write_atomic
from samplemind_core.search.space import applied, starting_point
from samplemind_core.search.study import Plan, num_trained_on, open_study, plan_from, read_found
from samplemind_core.store.records import Epoch, Search
from samplemind_core.training.observer import Silent

if TYPE_CHECKING:
    from optuna.trial import Trial

    from samplemind_core.data.dataset import ClipData
    from samplemind_core.store import Dataset, Store
    from samplemind_core.tasks import TaskContext, Tasks

KIND = "search"
MAX_TRIALS = 1_000
Fold = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Rows to train on, rows to judge by."""


def submit_search(
    store: Store, tasks: Tasks, dataset: Dataset, plan: Plan, num_trials: int, name: str, owner: str, *, start: bool
) -> Search:
    """Store a search and queue the task that does it; see :meth:`samplemind_core.workspace.Workspace.search`."""
    from samplemind_core.data.dataset import fitted

    num_train = num_trained_on(store.datasets.split_sizes(dataset.id), plan.num_folds)
    plan = replace(plan, config=fitted(plan.config, dataset, num_train))
    plan.check().check_labels(several_labels=dataset.multi_label)
    _check_trials(num_trials)
    search_id = uuid.uuid4().hex[:12]
    plain = plan.as_dict()
    store.searches.add(Search(search_id, name, dataset.id, dataset.version, plain, num_trials, owner, time.time()))
    return _queue(store, tasks, search_id, num_trials, owner, start=start)


def extend_search(store: Store, tasks: Tasks, search_id: str, more: int, owner: str, *, start: bool) -> Search:
    """Queue further trials of a search whose task has ended.

    Raises
    ------
    JobError
        If its task waits or goes on, or has trials left to do.
    """
    search = store.searches.get(search_id)
    task = tasks.find(search.task_id) if search.task_id else None
    if task is not None and task.status != "done":
        raise JobError(f"Search '{search.name}' is {task.status}.", "Resume it, or wait until it is done.")
    _check_trials(search.num_trials + more)
    return _queue(store, tasks, search.id, search.num_trials + more, owner, start=start)


def _queue(store: Store, tasks: Tasks, search_id: str, num_trials: int, owner: str, *, start: bool) -> Search:
    search = store.searches.get(search_id)
    task = tasks.submit(KIND, f"Search {search.name}", {"search": search_id}, owner=owner, start=False)
    store.searches.extend(search_id, num_trials, task.id)
    if start:
        tasks.tend()
    return store.searches.get(search_id)


def _check_trials(num_trials: int) -> None:
    if not 1 <= num_trials <= MAX_TRIALS:
        raise ConfigError(f"A search takes 1 to {MAX_TRIALS:,} trials, got {num_trials:,}.", "Choose another number.")


def run_task(context: TaskContext) -> dict[str, Any]:
    """Try settings until the search (``search``: its id) has its number of trials.

    A trial that was under way when the process was killed goes on from its last checkpoint.
    """
    from optuna.trial import TrialState

    from samplemind_core.data.dataset import load_clips
    from samplemind_core.training.device import device_of

    space = context.workspace
    search = space.store.searches.get(context.params["search"])
    plan = plan_from(search.plan)
    device_of(plan.config.train, space.settings.device)  # one that is missing is no trial's fault
    dataset = space.store.versions.at(space.store.datasets.get(search.dataset_id), search.dataset_version)
    clips = load_clips(space.root, space.store, dataset, plan.config.features, context.progress)
    folds = learning_folds(space.store, dataset, clips, plan)
    study = open_study(space.store, search, plan)
    if not study.trials and (start := starting_point(plan.config, plan.dimensions)) is not None:
        study.enqueue_trial(start)
    while True:
        context.check()
        trials = study.get_trials(deepcopy=False)
        ended = sum(trial.state.is_finished() for trial in trials)
        context.progress(ended * plan.num_steps, search.num_trials * plan.num_steps, "Trying settings")
        if ended >= search.num_trials:
            break
        left = next((trial for trial in trials if trial.state == TrialState.RUNNING), None)
        trial = study.ask() if left is None else _again(study, left)
        _try(study, trial, context, plan, clips, folds, ended, search.num_trials)
    best = read_found(space.store, search).best
    return {"search": search.id, **({} if best is None else {"trial": best.number, "value": best.value})}


def learning_folds(store: Store, dataset: Dataset, clips: ClipData, plan: Plan) -> list[Fold]:
    """Return what each training of a trial learns from and is judged by; no test clip is among either.

    Folds are dealt as those of a cross-validation: whole sources, by class or, where clips have several, by their
    sets of labels.

    Raises
    ------
    DataError
        If there are too few sources for folds.
    """
    from samplemind_core.data.split import merge_groups
    from samplemind_core.evaluation.out_of_fold import assign_folds

    train, val = clips.indices("train"), clips.indices("val")
    if not plan.num_folds:
        return [(train, val)]
    rows = np.sort(np.concatenate([train, val]))
    records = {clip.id: clip for clip in store.versions.clips(dataset)}
    taken = [records[int(clips.clip_ids[row])] for row in rows]
    groups = merge_groups([clip.source for clip in taken], [clip.content_hash for clip in taken])
    folds = assign_folds(clips.targets[rows], groups, plan.num_folds, plan.seed)
    return [(rows[folds != fold], rows[folds == fold]) for fold in range(int(folds.max()) + 1)]


def _again(study: Any, left: Any) -> Trial:
    """Return a trial that a killed process left running."""
    import optuna

    return optuna.trial.Trial(study, left._trial_id)


def _try(
    study: Any,
    trial: Trial,
    context: TaskContext,
    plan: Plan,
    clips: ClipData,
    folds: list[Fold],
    ended: int,
    num_trials: int,
) -> None:
    """Train one trial and tell the study how it went; leave it running if asked to stop."""
    from optuna.trial import TrialState

    values = {one.path: one.suggest(trial) for one in plan.dimensions}
    folder = context.folder / f"trial-{trial.number}"

    def report(step: int) -> None:
        context.progress(ended * plan.num_steps + step, num_trials * plan.num_steps, "Trying settings")

    told = _Told(trial, plan, context.should_stop, report)
    try:
        config = applied(plan.config, values)
        config.check()
        for fold, (train_rows, val_rows) in enumerate(folds):
            told.begin(fold)
            kept = folder / f"fold-{fold}.json"
            if kept.exists():
                told.end(float(json.loads(kept.read_text())))
                continue
            status = _train(config, clips, (train_rows, val_rows), folder / f"fold-{fold}", told, context, fold)
            if status != "finished":
                break
            write_atomic(kept, json.dumps(told.end()).encode())
    except (ConfigError, NonFiniteLossError) as error:
        # Values that are good one by one may not go together: the next trial proposes others.
        trial.set_user_attr("error", error.problem)
        study.tell(trial, state=TrialState.FAIL)
    else:
        if told.pruned:
            study.tell(trial, state=TrialState.PRUNED)
        elif told.num_done == len(folds):
            study.tell(trial, told.value)
        else:
            context.check()  # asked to stop: the trial stays as it is and goes on later
            raise DataError("A trial ended early.", "Resume goes on where it was.")
    shutil.rmtree(folder, ignore_errors=True)


def _train(
    config: RunConfig, clips: ClipData, fold: Fold, folder: Path, told: _Told, context: TaskContext, number: int
) -> str:
    from samplemind_core.training.trainer import Trainer
    from samplemind_core.training.training_data import TrainingData
    from samplemind_core.training.variants import with_variants

    data = TrainingData.of_rows(clips, *fold, f"part {number}")
    space = context.workspace

    data = with_variants(data, config, space.root, space.store, clips, context.advance)
    trainer = Trainer(config, data, folder, told, device=space.settings.device)
    last = folder / "last.safetensors"
    if last.exists():
        trainer.restore(last)
    return trainer.fit().status


class _Told(Silent):
    """Passes each epoch's best value so far to Optuna, and ends the training where it says so."""

    def __init__(
        self, trial: Trial, plan: Plan, should_stop: Callable[[], bool], report: Callable[[int], None]
    ) -> None:
        self.pruned, self.num_done = False, 0
        self._trial, self._plan, self._asked, self._report = trial, plan, should_stop, report
        self._values: list[float] = []  # the best of each fold that is done
        self._best: float | None = None
        self._fold = 0
        self._known = set(trial.study.trials[trial.number].intermediate_values)

    @property
    def value(self) -> float:
        """The mean over the folds that are done."""
        return float(np.mean(self._values))

    def begin(self, fold: int) -> None:
        """Turn to a fold."""
        self._fold, self._best = fold, None

    def end(self, known: float | None = None) -> float:
        """Take a fold as done and return its best value; ``known`` is what an earlier process found."""
        value = self._best if known is None else known
        assert value is not None
        self._values.append(value)
        self.num_done += 1
        return value

    def should_stop(self) -> bool:
        return self.pruned or self._asked()

    def on_resume(self, epochs: list[Epoch]) -> None:
        for epoch in epochs:
            self._take(epoch)

    def on_epoch(self, epoch: Epoch) -> None:
        self._take(epoch)
        if self._trial.should_prune():
            self.pruned = True

    def _take(self, epoch: Epoch) -> None:
        value = self._plan.value(epoch)
        better = min if self._plan.minimises else max
        self._best = value if self._best is None else better(self._best, value)
        step = self._fold * self._plan.config.train.epochs + epoch.epoch
        if step not in self._known:  # a killed process may have reported it already
            self._trial.report(float(np.mean([*self._values, self._best])), step)
            self._known.add(step)
        self._report(step)
