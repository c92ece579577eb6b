"""The same verbs without a browser: ``python -m samplemind_core …``.

Results go to stdout, progress to stderr. With ``--json`` stdout holds one JSON object, or one per
line where there are many. The exit code is 0 only when what was asked for was done.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplemind_core.commands_control import delete, describe, extend, restore, resume, stop
from samplemind_core.commands_diagnostics import calibrate, errors, robustness
from samplemind_core.commands_experiments import cross_validate, search
from samplemind_core.commands_finders import find_batch, find_lr
from samplemind_core.commands_report import report, run_report
from samplemind_core.errors import SampleMindError
from samplemind_core.terminal import MAX_SEED, Commands, Json, OtherDataset, Split, err, out
from samplemind_core.terminal import ctrl_c as _ctrl_c
from samplemind_core.terminal import failing as _failing
from samplemind_core.terminal import print_json as _print_json
from samplemind_core.terminal import print_json_lines as _print_json_lines
from samplemind_core.terminal import progress as _progress
from samplemind_core.terminal import table as _table
from samplemind_core.workspace import Workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.metrics import Evaluation
    from samplemind_core.inference.classifier import Classifier, Result
    from samplemind_core.inference.windows import Segment
    from samplemind_core.store import Dataset, Epoch, Reject, Run

app = typer.Typer(
    name="samplemind",
    cls=Commands,
    help="Train, understand and use CNN classifiers of your own audio samples.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DatasetName = Annotated[str, typer.Option("--dataset", help="Name or id of the dataset.")]
FOLLOW_S = 0.5


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show versions, device, workspace and database, and check the audio front end against librosa."""
    with _failing(as_json):
        facts = Workspace().doctor(check=True)
        if as_json:
            _print_json(facts)
        else:
            for name, value in facts.items():
                rows = value.items() if isinstance(value, dict) else [("", value)]
                out.print(f"[bold]{name.replace('_', ' ')}[/bold]")
                for key, fact in rows:
                    out.print(f"  {key.replace('_', ' '):<34}{fact}" if key else f"  {fact}", markup=False)
        if not facts["front_end"]["ok"] or not facts["workspace"]["writable"]:
            raise typer.Exit(1)


@app.command()
def demo(
    per_class: Annotated[int, typer.Option(help="Clips of each of the six classes.")] = 200,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the sounds and the split.")] = 0,
    name: Annotated[str | None, typer.Option(help="Name of the dataset; demo, or layers, by default.")] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Hits of one to three voices together, with several labels each.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create the demo dataset: synthesised one-shots of six classes."""
    name = name or ("layers" if layers else "demo")
    with _failing(as_json):
        workspace = Workspace()
        with _progress() as progress:
            dataset = workspace.make_demo(per_class=per_class, seed=seed, name=name, layers=layers, progress=progress)
        _show_dataset(workspace, dataset, as_json)


@app.command("import")
def import_(
    path: Annotated[
        Path, typer.Argument(help="Folder of class folders, zip, tar, CSV manifest, or train/validation/test.npz.")
    ],
    name: Annotated[str, typer.Option(help="Name of the new dataset.")],
    label_column: Annotated[str | None, typer.Option(help="Manifest column of the class.")] = None,
    labels_column: Annotated[
        str | None, typer.Option(help="Manifest column of several labels with | between them.")
    ] = None,
    flag_columns: Annotated[
        str | None, typer.Option(help="Manifest columns of 0 and 1, one a label, separated by commas.")
    ] = None,
    group_column: Annotated[
        str | None, typer.Option(help="Manifest column of the source that a split keeps whole.")
    ] = None,
    split_column: Annotated[str | None, typer.Option(help="Manifest column that says train, val or test.")] = None,
    path_column: Annotated[str | None, typer.Option(help="Manifest column of the file.")] = None,
    classes: Annotated[str | None, typer.Option(help="Import only these classes, separated by commas.")] = None,
    labels: Annotated[str, typer.Option(help="Where labels come from: folders, or names (by rules).")] = "folders",
    rule: Annotated[
        list[str] | None,
        typer.Option(help="With --labels names: 'kick=bd,808'; repeatable, replaces that class's rule."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the split.")] = 0,
    as_json: Json = False,
) -> None:
    """Import samples; everything that was not imported is listed with its reason."""
    from samplemind_core.data.sources import ImportOptions

    with _failing(as_json):
        options = ImportOptions(
            name_rules=_name_rules(labels, rule or []),
            label_column=label_column,
            labels_column=labels_column,
            flag_columns=_names(flag_columns),
            group_column=group_column,
            split_column=split_column,
            path_column=path_column,
            classes=_names(classes),
            seed=seed,
        )
        workspace = Workspace()
        with _progress() as progress:
            dataset = workspace.import_dataset(path, name=name, options=options, progress=progress)
        _show_dataset(workspace, dataset, as_json)


datasets_app = typer.Typer(help="List the datasets, tell what differs between two, or delete one.")
app.add_typer(datasets_app, name="datasets")


def _name_rules(labels: str, changes: list[str]) -> tuple[tuple[str, tuple[str, ...]], ...] | None:
    from samplemind_core.data.names import DEFAULT_RULES, parse_rules
    from samplemind_core.errors import ConfigError

    if labels not in ("folders", "names") or (changes and labels != "names"):
        raise ConfigError(
            f"Expected --labels folders or --labels names, got '{labels}'{' with --rule' if changes else ''}.",
            "Rules are for labels from names.",
        )
    return tuple((dict(DEFAULT_RULES) | dict(parse_rules(changes))).items()) if labels == "names" else None


@datasets_app.callback(invoke_without_command=True)
def datasets(context: typer.Context, as_json: Json = False) -> None:
    """List the datasets."""
    if context.invoked_subcommand is not None:
        return
    with _failing(as_json):
        found = Workspace().datasets()
    if as_json:
        _print_json_lines(row.as_dict() for row in found)
        return
    _table(
        ("name", "clips", "classes", "version", "excluded", "not imported", "id"),
        [
            (
                row.name,
                row.num_clips,
                ", ".join(row.class_names),
                row.version,
                row.num_excluded,
                row.num_rejected,
                row.id,
            )
            for row in found
        ],
    )


@datasets_app.command("diff")
def datasets_diff(
    a: Annotated[str, typer.Argument(metavar="DATASET[@VERSION]")],
    b: Annotated[str, typer.Argument(metavar="DATASET[@VERSION]")],
    as_json: Json = False,
) -> None:
    """Show what differs between two datasets, or two versions of one, clip by clip."""
    with _failing(as_json):
        found = Workspace().diff(a, b)
        if as_json:
            _print_json(found.as_dict() | {"counts": found.counts(), "sentence": found.sentence})
            return
        out.print(f"{found.a} → {found.b}: {found.sentence}", markup=False)
        for name, clips in ((found.a, found.only_a), (found.b, found.only_b)):
            for clip in clips:
                out.print(f"  only in {name}: {clip}", markup=False)
        for one in found.changed:
            values = "; ".join(f"{field} {before} → {after}" for field, (before, after) in one.values.items())
            out.print(f"  {one.name}: {values}", markup=False)


@datasets_app.command("delete")
def datasets_delete(
    dataset: Annotated[str, typer.Argument(metavar="DATASET")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it: it cannot be brought back.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a dataset that no run was trained on, with its files and searches; what it was imported from stays."""
    with _failing(as_json):
        workspace = Workspace()
        found = workspace.dataset(dataset)
        if not yes:
            raise SampleMindError(
                f"Dataset '{found.name}' with {found.num_clips:,} clips would be deleted for good.",
                "Add --yes to do it.",
            )
        workspace.delete_dataset(found.id)
        if as_json:
            _print_json({"deleted": found.id, "name": found.name}, compact=True)
        else:
            out.print(f"{found.name} is deleted.", markup=False)


@app.command()
def split(
    dataset: Annotated[str, typer.Argument(metavar="DATASET")],
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the split.")] = 0,
    fractions: Annotated[str, typer.Option(help="Shares of train, val and test.")] = "0.7,0.15,0.15",
    accept_groups: Annotated[
        bool, typer.Option("--accept-groups", help="First give clips the sources that the health report proposes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Divide a dataset anew, sources and twins kept whole, as a new version of it."""
    with _failing(as_json):
        shares = _shares(fractions)
        workspace = Workspace()
        with _progress() as progress:
            found = workspace.health(dataset, progress=progress)
        if accept_groups and found.groups:
            workspace.edit(dataset).regroup({clip: group.name for group in found.groups for clip in group.clips})
        try:
            made = workspace.edit(dataset).resplit(seed=seed, fractions=shares, twins=found.twins)
        except SampleMindError:
            if accept_groups and found.groups:
                workspace.edit(dataset).undo()  # all of it or nothing
            raise
        if as_json:
            _print_json(made.as_dict() | {"counts": workspace.store.datasets.counts(made.dataset_id)})
        else:
            out.print(f"{made.message}: {workspace.dataset(dataset).name} is now version {made.version}.", markup=False)
            _show_counts(workspace, workspace.dataset(dataset))


@app.command()
def relabel(
    dataset: Annotated[str, typer.Argument(metavar="DATASET")],
    label: Annotated[
        str,
        typer.Argument(
            help="The class these clips shall have; a new name becomes one. Multi-label datasets take 'a|b'."
        ),
    ],
    clips: Annotated[list[str], typer.Argument(metavar="CLIP…", help="Ids or names of clips.")],
    base: Annotated[int | None, typer.Option(help="Refuse if the dataset is no longer at this version.")] = None,
    as_json: Json = False,
) -> None:
    """Give clips another class, as a new version of their dataset."""
    with _failing(as_json):
        workspace = Workspace()
        editor = workspace.edit(dataset, base=base)
        made = editor.relabel(editor.find(clips), label)
        if as_json:
            _print_json(made.as_dict(), compact=True)
        else:
            out.print(f"{made.message}: {editor.dataset.name} is now version {made.version}.", markup=False)


@app.command()
def runs(as_json: Json = False) -> None:
    """List the runs, newest first."""
    with _failing(as_json):
        workspace = Workspace()
        workspace.tend()
        found = [(run, workspace.checkpoints(run.id)) for run in workspace.runs()]
        names = {row.id: row.name for row in workspace.datasets()}
    if as_json:
        _print_json_lines(
            run.as_dict() | {"checkpoints": [checkpoint.as_dict() for checkpoint in checkpoints]}
            for run, checkpoints in found
        )
        return
    _table(
        ("name", "dataset", "status", "epoch", "best val accuracy", "id"),
        [
            (
                run.name,
                names.get(run.dataset_id, ""),
                run.status,
                run.progress.get("epoch", ""),
                next((f"{row.val_accuracy:.1%} (epoch {row.epoch})" for row in checkpoints if row.kind == "best"), ""),
                run.id,
            )
            for run, checkpoints in found
        ],
    )


@app.command()
def train(
    dataset: DatasetName,
    preset: Annotated[str, typer.Option(help="Where the settings start from.")] = "quick",
    epochs: Annotated[int | None, typer.Option(help="Largest number of epochs.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any setting as key=value; repeatable.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Queue the run and return at once.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network, showing every epoch; Ctrl-C stops after the current batch and saves."""
    from samplemind_core.config import build_config, parse_assignments

    with _failing(as_json):
        changes: dict[str, Any] = dict(parse_assignments(settings or []))
        if epochs is not None:
            changes["train.epochs"] = epochs
        config = build_config(preset, changes)
        workspace = Workspace()
        if queue:
            run = workspace.submit(dataset, config, name=name)
            if as_json:
                _print_json({"run": run.as_dict()}, compact=True)
            else:
                out.print(f"Queued run {run.name} ({run.id}).", markup=False)
            return
        run = _train_here_or_follow(workspace, dataset, config, name, as_json)
        if as_json:
            _print_json({"run": run.as_dict()}, compact=True)
        else:
            out.print(f"{run.name} {run.status}: {run.end_reason}", markup=False)
        if run.status != "finished":
            raise typer.Exit(1)


@app.command()
def evaluate(
    checkpoint: Annotated[str, typer.Argument(metavar="RUN[:best|last|EPOCH]")],
    dataset: OtherDataset = None,
    split: Split = "test",
    as_json: Json = False,
) -> None:
    """Show accuracy, balanced accuracy, per-class figures and the confusion matrix."""
    from samplemind_core.commands_labels import show_labels
    from samplemind_core.evaluation.multi_label import LabelEvaluation

    with _failing(as_json), err.status("Judging"):
        workspace = Workspace()
        evaluation = workspace.evaluate(checkpoint, dataset=dataset, split=split)
        note = workspace.trained_on(checkpoint, dataset=dataset, split=split)
    if note:
        err.print(note, markup=False)
    if as_json:
        _print_json({"checkpoint": checkpoint, "split": split, **evaluation.as_dict()})
    elif isinstance(evaluation, LabelEvaluation):
        show_labels(evaluation, split)
    else:
        _show_evaluation(evaluation, split)


@app.command()
def compare(
    checkpoints: Annotated[list[str], typer.Argument(metavar="RUN RUN…")],
    dataset: OtherDataset = None,
    split: Split = "test",
    as_json: Json = False,
) -> None:
    """Tell whether checkpoints really differ on the same clips; the first is compared with each other one."""
    with _failing(as_json):
        if len(checkpoints) < 2:
            raise SampleMindError("Expected at least two checkpoints, got one.", "For example: compare run-1 run-2")
        with err.status("Comparing"):
            found = Workspace().compare_many(checkpoints, dataset=dataset, split=split)
    if as_json:
        pairs = [{"a": checkpoints[0], "b": b, **one.as_dict()} for b, one in zip(checkpoints[1:], found, strict=True)]
        _print_json({"split": split, "comparisons": pairs})
        return
    for one in found:
        out.print(one.sentence, markup=False)


@app.command()
def classify(
    context: typer.Context,
    checkpoint: Annotated[str | None, typer.Argument(metavar="RUN[:best|last|EPOCH]", show_default=False)] = None,
    paths: Annotated[list[Path] | None, typer.Argument(metavar="FILE|FOLDER…", show_default=False)] = None,
    top: Annotated[int, typer.Option(min=1, help="How many answers to print of each file, the surest first.")] = 1,
    windows: Annotated[bool, typer.Option("--windows", help="Go through long files: a line per segment.")] = False,
    way: Annotated[
        str | None, typer.Option(help="With --windows: cut at each hit (hits), or look in even steps (steps).")
    ] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the answers to this file as CSV.")] = None,
    sort_into: Annotated[Path | None, typer.Option(help="Copy the files into a folder per class in here.")] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="Path of a copy, from {class} {name} {confidence} {folder} {number}.", show_default=False),
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Copy only what is at least as sure: 0.8 is 80 %.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --sort-into: only say what would go where.")] = False,
    undo: Annotated[Path | None, typer.Option(help="Remove what was last sorted into this folder.")] = None,
    as_json: Json = False,
) -> None:
    """Name sounds: one line per file, with its confidence or the reason it could not be heard; or sort them."""
    from samplemind_core import commands_sorting as sorting

    bad = total = 0
    with _failing(as_json):
        gate = min_confidence is not None
        given = {"--dry-run": dry_run, "--pattern": pattern is not None, "--min-confidence": gate, "--windows": windows}
        sorting.check_options(sort_into, undo, given)
        _check_listening(windows, way, csv_file)
        if undo is not None:
            sorting.show(sorting.undo_sorting(undo), as_json)
            return
        if checkpoint is None or not paths:
            context.fail(f"Missing argument '{'FILE|FOLDER…' if checkpoint else 'RUN'}'.")
        if sort_into is not None:
            sorting.check_sorting(sort_into, paths, pattern)
        classifier = Workspace().classifier(checkpoint)
        with _answer_table(csv_file, classifier, windows=windows) as keep:
            results = _answers(classifier, paths, keep_signals=windows)
            if sort_into is not None:
                with _progress() as progress, sorting.undo_hint(sort_into):
                    report = sorting.sort_files(
                        results, sort_into, pattern, min_confidence or 0.0, dry_run, progress=progress, keep=keep
                    )
                sorting.show(report, as_json)
                return
            for result in results:
                total += 1
                bad += result.error is not None
                if not windows or result.error is not None:
                    keep(result, None)
                    _show_answer(result, top, as_json)
                    continue
                for segment in _segments(classifier, result, way or "hits"):
                    keep(result, segment)
                    _show_segment(result.name, segment, as_json)
    if bad:
        err.print(f"{bad} of {total} files could not be classified.")
        raise typer.Exit(1)


for command in (
    *(calibrate, errors, robustness, report, run_report, cross_validate, search, find_lr, find_batch),
    *(stop, resume, extend, describe, delete, restore),
):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name need not be text in the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO) or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what still waits to be written has nowhere to go
        print(f"Error: The answer could not be written: {error.strerror}.", file=sys.stderr)
        sys.exit(1)


# -- training ------------------------------------------------------------------------------------


def _train_here_or_follow(workspace: Workspace, dataset: str, config: Any, name: str | None, as_json: bool) -> Run:
    """Train in this process; where another worker holds the workspace, queue the run and follow it."""
    from samplemind_core.training import jobs

    if jobs.worker_running(workspace.settings):
        run = workspace.submit(dataset, config, name=name)
        err.print(f"Another run is training; {run.name} waits in the queue.", markup=False)
        with _ctrl_c(lambda: workspace.stop(run.id, run.owner)):
            return _follow(workspace, run, as_json)

    started: list[str] = []
    total = config.train.epochs

    def listen(kind: str, value: Any) -> None:
        nonlocal total
        if kind == "progress" and value.get("epochs", 0) > total:
            err.print(
                f"{value['epochs']} epochs instead of {total}, as few samples make few steps each: a run should take "
                f"{config.train.min_steps:,} (min_steps; --epochs takes as many as you say).",
                markup=False,
            )
            total = value["epochs"]
        if kind == "epoch":
            _show_epoch(value, total, as_json)
        elif kind == "event":
            err.print(value, markup=False)
        elif kind == "progress" and value.get("stage") not in {None, *started}:
            started.append(value["stage"])
            err.print(f"{value['stage']} …", markup=False)

    def stop() -> None:
        ours = jobs.identity()
        for run in workspace.runs():
            if run.status == "running" and run.worker == ours:
                workspace.stop(run.id, run.owner)

    with _ctrl_c(stop):
        return workspace.train(dataset, config, name=name, listener=listen)


def _follow(workspace: Workspace, run: Run, as_json: bool) -> Run:
    from samplemind_core.store.records import ENDED

    shown = 0
    while True:
        workspace.tend()
        now = workspace.run(run.id)
        for epoch in workspace.epochs(run.id, after=shown):
            shown = epoch.epoch
            _show_epoch(epoch, now.config["train"]["epochs"], as_json)
        if now.status in ENDED:
            return now
        time.sleep(FOLLOW_S)


def _show_epoch(epoch: Epoch, total: int, as_json: bool) -> None:
    if as_json:
        _print_json(epoch.as_dict(), compact=True)
    train, val, score = epoch.train_accuracy, epoch.val_accuracy, "accuracy"
    if "val_map" in epoch.health:
        train, val, score = epoch.health["probe_map"], epoch.health["val_map"], "mAP"
    err.print(
        f"epoch {epoch.epoch:>3}/{total}  loss {epoch.train_loss:.3f} / {epoch.val_loss:.3f}  "
        f"{score} {train:.1%} / {val:.1%}  (train / validation)  "
        f"{epoch.clips_per_s:,.0f} clips/s  {epoch.health['title'].lower()}",
        markup=False,
    )


# -- showing -------------------------------------------------------------------------------------


def _show_dataset(workspace: Workspace, dataset: Dataset, as_json: bool) -> None:
    rejects = workspace.rejects(dataset.id)
    counts = workspace.store.datasets.counts(dataset.id)
    if as_json:
        _print_json(dataset.as_dict() | {"counts": counts, "rejects": [row.as_dict() for row in rejects]})
        return
    _show_counts(workspace, dataset)
    out.print(f"Dataset {dataset.name} ({dataset.id}): {dataset.num_clips:,} clips.", markup=False)
    for warning in dataset.warnings:
        out.print(f"Note: {warning}", markup=False)
    for reject in rejects:
        out.print(f"Not imported: {reject.name}: {reject.reason}", markup=False)


def _show_counts(workspace: Workspace, dataset: Dataset) -> None:
    counts = workspace.store.datasets.counts(dataset.id)
    _table(
        ("class", "train", "val", "test"),
        [
            (label, *(counts.get(label, {}).get(split, 0) for split in ("train", "val", "test")))
            for label in dataset.class_names
        ],
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else None


def _shares(text: str) -> tuple[float, float, float]:
    from samplemind_core.data.split import check_fractions

    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError:
        raise SampleMindError(
            f"Expected three shares separated by commas, got '{text}'.", "For example 0.7,0.15,0.15."
        ) from None
    check_fractions((train, val, test))  # before the health of thousands of clips is measured
    return train, val, test


def _answers(classifier: Classifier, paths: Iterable[Path], *, keep_signals: bool) -> Iterator[Result]:
    from samplemind_core.audio.decode import AUDIO_SUFFIXES

    result = None
    left_out: list[Reject] = []
    for result in classifier.stream(_audio_files(paths, left_out), keep_signals=keep_signals):
        yield result
    for one in left_out:
        err.print(f"Left out: {one.name}: {one.reason}", markup=False)
    if result is None:
        raise SampleMindError("No audio file was found there.", f"Known endings: {', '.join(sorted(AUDIO_SUFFIXES))}.")


def _check_listening(windows: bool, way: str | None, csv_file: Path | None) -> None:
    """Refuse what would go unheard, or fail only after an hour of listening."""
    if way is not None:
        from samplemind_core.inference.windows import check_way

        check_way(way)
        if not windows:
            raise SampleMindError("--way says how long files are gone through.", "Add --windows.")
    if csv_file is not None and csv_file.is_dir():
        raise SampleMindError(f"'{csv_file}' is a folder.", "Name a file for the answers, such as answers.csv.")


def _segments(classifier: Classifier, result: Result, way: str) -> tuple[Segment, ...]:
    from samplemind_core.inference.windows import analyse

    assert result.waveform is not None
    return analyse(classifier, result.waveform, way).segments  # type: ignore[arg-type]  # checked there


@contextmanager
def _answer_table(
    path: Path | None, classifier: Classifier, *, windows: bool
) -> Iterator[Callable[[Result, Segment | None], None]]:
    """Yield what takes each answer; with a path they are written there as CSV, whole or not at all."""
    from samplemind_core.files import write_atomic
    from samplemind_core.inference.table import SEGMENT_COLUMNS, answer_columns, answer_row, segment_row

    if path is None:
        yield lambda result, segment: None
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names, several = classifier.class_names, classifier.info.several_labels
    writer.writerow([*SEGMENT_COLUMNS, "error"] if windows else answer_columns(names, several_labels=several))

    def keep(result: Result, segment: Segment | None) -> None:
        if not windows:
            writer.writerow(answer_row(result, names, several_labels=several))
        elif segment is None:
            failed = answer_row(result, ())
            writer.writerow([failed[0], *([""] * (len(SEGMENT_COLUMNS) - 1)), failed[-1]])
        else:
            writer.writerow([*segment_row(result.name, segment), ""])

    yield keep
    write_atomic(path, text.getvalue().encode("utf-8", "backslashreplace"))


def _show_answer(result: Result, top: int, as_json: bool) -> None:
    if as_json:
        _print_json(result.as_dict(), compact=True)
    elif result.error is not None:
        print(result.name, "–", result.error, sep="\t", flush=True)  # rich would expand the tabs
    else:
        ranked = result.ranked()[:top]
        if result.several_labels and top == 1:  # as many as reach their thresholds
            ranked = [(label, result.probs[label]) for label in result.labels]
        shown = [part for label, sure in ranked for part in (label, f"{sure:.1%}")] or [result.shown_label]
        print(result.name, *shown, *(["undecided"] if result.undecided else []), sep="\t", flush=True)


def _show_segment(name: str, segment: Segment, as_json: bool) -> None:
    if as_json:
        _print_json({"path": name, **segment.as_dict()}, compact=True)
    else:
        span = f"{segment.start_s:.2f}\t{segment.end_s:.2f}"
        print(name, span, segment.label, f"{segment.confidence:.1%}", sep="\t", flush=True)


def _show_evaluation(evaluation: Evaluation, split: str) -> None:
    low, high = evaluation.accuracy_interval
    out.print(
        f"accuracy {evaluation.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}), "
        f"balanced accuracy {evaluation.balanced_accuracy:.1%}, macro F1 {evaluation.macro_f1:.3f}, "
        f"{evaluation.num_clips:,} {split} clips",
        markup=False,
    )
    _table(
        ("class", "precision", "recall", "F1", "clips"),
        [
            (row.label, *("–" if x is None else f"{x:.3f}" for x in (row.precision, row.recall, row.f1)), row.support)
            for row in evaluation.per_class
        ],
    )
    _table(
        ("true \\ predicted", *evaluation.class_names),
        [(label, *row) for label, row in zip(evaluation.class_names, evaluation.confusion, strict=True)],
    )


def _audio_files(paths: Iterable[Path], left_out: list[Reject]) -> Iterator[Path]:
    """Yield files as given, and every sound in folders, as a batch takes them; add what is none to ``left_out``."""
    from samplemind_core.batches.work import walk_audio

    for path in paths:
        if path.is_dir():
            yield from (path / name for name in walk_audio(path, left_out))
        else:
            yield path


if __name__ == "__main__":
    main()
