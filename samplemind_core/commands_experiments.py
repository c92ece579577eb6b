"""Experiments without a browser: settings judged fold by fold, and a search for better ones."""

from __future__ import annotations

import threading
from typing import Annotated, Any

import typer

from samplemind_core.errors import SampleMindError
from samplemind_core.store import Task
from samplemind_core.terminal import MAX_SEED, Json, ctrl_c, err, failing, out, print_json, progress, table
from samplemind_core.workspace import Workspace

FOLLOW_S = 0.5
_TITLES = {"mean_ap": "mean average precision", "exact": "exactly the right labels"}

Preset = Annotated[str, typer.Option(help="Where the settings start from.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Any setting as key=value; repeatable.")]


def cross_validate(
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", show_default=False)] = None,
    preset: Preset = "quick",
    settings: Settings = None,
    folds: Annotated[int, typer.Option(min=3, help="Folds that the sources are dealt into.")] = 5,
    by: Annotated[
        str, typer.Option(help="auto (the manifest's folds where every clip has one), folds, or groups.")
    ] = "auto",
    name: Annotated[str | None, typer.Option(help="Name that the result is kept under.")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with a stopped or killed one: its id.")] = None,
    as_json: Json = False,
) -> None:
    """Train once per fold and judge each fold by the network that never heard it; Ctrl-C stops, --resume goes on."""
    from samplemind_core.config import build_config, parse_assignments

    with failing(as_json):
        if by not in ("auto", "folds", "groups"):
            raise SampleMindError(f"Expected --by auto, folds or groups, got '{by}'.", "auto suits most datasets.")
        workspace = Workspace()
        if resume is not None:
            task = requeued(workspace, resume)
        elif dataset is None:
            raise SampleMindError("Expected a dataset, got none.", "Name one, or --resume ID.")
        else:
            config = build_config(preset, parse_assignments(settings or []))
            task = workspace.cross_validate(
                dataset,
                config,
                num_folds=folds,
                by=by,  # type: ignore[arg-type]  # checked above
                name=name,
                start=False,
            )
        done = do_here(workspace, task, "cross-validate")
        run = workspace.run((done.result or {})["run"])
        found = workspace.cross_validation(run.id)
        assert found is not None
    if as_json:
        print_json({"run": run.as_dict(), **found.as_dict()})
        return
    titles = {score: _TITLES.get(score) or score.replace("_", " ").replace("f1", "F1") for score in found.scores}
    table(
        ("fold", "clips", titles[found.scores[0]], "95 % interval", *(titles[score] for score in found.scores[1:])),
        [
            (
                fold.name,
                fold.num_clips,
                f"{fold.score:.1%}",
                "–" if fold.interval is None else "{:.1%} to {:.1%}".format(*fold.interval),
                *(f"{getattr(fold, score):.1%}" for score in found.scores[1:]),
            )
            for fold in found.folds
        ],
    )
    for score, title in titles.items():
        low, high = found.intervals[score]
        out.print(
            f"{title[:1].upper()}{title[1:]} {found.mean(score):.1%} ± {found.sd(score):.1%} over "
            f"{len(found.folds)} folds; pooled {found.pooled[score]:.1%} "
            f"(95 % interval over {found.num_sources:,} sources {low:.1%} to {high:.1%})",
            markup=False,
        )
    out.print(f"Kept as {run.name}; look closer with: evaluate 'folds({run.name})' --split all", markup=False)


def search(
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", show_default=False)] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials in all; with --resume, further ones.")] = 30,
    preset: Preset = "quick",
    settings: Settings = None,
    over: Annotated[
        list[str] | None,
        typer.Option(help="What to search: lr=1e-4:1e-1:log, dropout=0:0.5, batch_size=16,32; repeatable."),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="The best epoch's val_loss (the default) or val_accuracy; where samples have several labels, val_map "
            "(mean average precision, the default there) or val_loss."
        ),
    ] = None,
    folds: Annotated[int, typer.Option(help="Mean over so many folds of training and validation clips; 0: none.")] = 0,
    pruner: Annotated[str, typer.Option(help="Ends hopeless trials early: median, hyperband or none.")] = "median",
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of what is proposed.")] = 0,
    name: Annotated[str | None, typer.Option(help="Name of the search.")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with a stopped, killed or finished one: its id.")] = None,
    as_json: Json = False,
) -> None:
    """Search for better settings; test clips take no part. Ctrl-C stops, --resume goes on."""
    from samplemind_core.config import build_config, parse_assignments
    from samplemind_core.search.space import parse_dimension, usual_dimensions
    from samplemind_core.search.study import OBJECTIVES, Plan, objectives_for

    with failing(as_json):
        workspace = Workspace()
        if resume is not None:
            found = workspace.store.searches.get(resume)
            task = None if found.task_id is None else workspace.tasks.find(found.task_id)
            if task is None or task.status == "done":
                found = workspace.extend_search(found.id, trials, start=False)
                assert found.task_id is not None
                task = workspace.tasks.get(found.task_id)
            else:
                task = requeued(workspace, task.id)
        elif dataset is None:
            raise SampleMindError("Expected a dataset, got none.", "Name one, or --resume ID.")
        else:
            config = build_config(preset, parse_assignments(settings or []))
            chosen = [parse_dimension(text) for text in over or []] or list(usual_dimensions(config).values())
            usual, *_ = objectives_for(several_labels=workspace.dataset(dataset).multi_label)
            plan = Plan(config, tuple(chosen), objective or usual, folds, pruner, seed)  # type: ignore[arg-type]  # checked there
            found = workspace.search(dataset, plan, trials, name=name, start=False)
            assert found.task_id is not None
            task = workspace.tasks.get(found.task_id)
        do_here(workspace, task, "search", found.id)
        result = workspace.search_results(found.id)
    if as_json:
        print_json(
            {
                "search": found.as_dict(),
                "trials": [trial.as_dict() for trial in result.trials],
                "best": None if result.best is None else result.best.as_dict(),
                "changes": result.best_changes(),
                "importance": result.importance,
            }
        )
        return
    paths = [dimension.path for dimension in result.plan.dimensions]
    table(
        ("trial", "state", OBJECTIVES[result.plan.objective], *paths),
        [
            (
                trial.number,
                trial.state,
                "" if trial.value is None else f"{trial.value:.4f}",
                *(_short(trial.settings.get(path)) for path in paths),
            )
            for trial in result.trials
        ],
    )
    for path, share in result.importance.items():
        out.print(f"{path} accounts for {share:.0%} of what made the best trials good", markup=False)
    if result.best is None:
        out.print(f"No trial was completed. Search {found.id}.", markup=False)
        return
    sets = " ".join(f"--set {path}={value}" for path, value in result.best_changes().items())
    chosen_dataset = workspace.dataset(found.dataset_id).name
    out.print(
        f"Best: trial {result.best.number} with {result.best.value:.4f}. Train it with:\n"
        f"train --dataset {chosen_dataset} --preset {result.plan.config.preset} {sets}".rstrip(),
        markup=False,
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def requeued(workspace: Workspace, task_id: str) -> Task:
    """Queue an ended task again for this process to do."""
    workspace.tend(now=True)  # one whose process was killed is interrupted only once somebody has noticed
    return workspace.store.tasks.requeue(task_id)


def do_here(workspace: Workspace, task: Task, command: str, thing: str | None = None) -> Task:
    """Do a queued task in this process, showing how far it is; raise what it failed with.

    ``thing`` is the id that ``command --resume`` takes; the task's own by default.

    Raises
    ------
    SampleMindError
        If it failed, was stopped, or somebody else took it.
    """
    from samplemind_core.tasks import jobs
    from samplemind_core.workers import identity

    claimed = workspace.store.tasks.claim(identity(), task.id)
    if claimed is None:
        raise SampleMindError(f"'{task.title}' was taken by a worker.", "Follow it on the Experiments page.")
    err.print(f"{task.title} ({task.id})", markup=False)
    over = threading.Event()
    with progress() as report, ctrl_c(lambda: _ask(workspace, task.id)):

        def follow() -> None:
            while not over.wait(FOLLOW_S):
                state: dict[str, Any] = workspace.tasks.get(task.id).progress
                report(int(state.get("done") or 0), state.get("total"), str(state.get("what") or "Starting"))

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            ended = jobs.execute(workspace, claimed)
        finally:
            over.set()
            follower.join()
    if ended.status == "done":
        return ended
    said = ended.error or {"problem": f"'{task.title}' was {ended.status}."}
    go_on = f"Go on with: python -m samplemind_core {command} --resume {thing or task.id}"
    raise SampleMindError(said["problem"], f"{said.get('advice', '')} {go_on}".strip())


def _ask(workspace: Workspace, task_id: str) -> None:
    workspace.store.tasks.request_stop(task_id)
