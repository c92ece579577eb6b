"""``classify --sort-into`` and ``classify --undo``: what is done, and what is said about it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from samplemind_core.errors import DataError, SampleMindError
from samplemind_core.inference.sorting import (
    DEFAULT_PATTERN,
    check_destination,
    check_pattern,
    journals,
    plan_sorting,
    sort_into,
    undo,
)
from samplemind_core.terminal import err, print_json

if TYPE_CHECKING:
    from samplemind_core.inference.classifier import Result

Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class Report:
    """What a command did.

    ``facts`` is its answer as JSON-ready values, ``lines`` the same for people; ``complete`` says
    whether all that was asked for was done.
    """

    facts: dict[str, Any]
    lines: tuple[str, ...]
    complete: bool


def check_sorting(destination: Path, paths: Iterable[Path], pattern: str | None) -> None:
    """Refuse what could not end well, before an hour of listening rather than after.

    Raises
    ------
    ConfigError
        If the pattern is not usable.
    DataError
        If the destination is one of the folders that are read, or lies inside one: the copies
        would be classified next time.
    """
    if pattern is not None:
        check_pattern(pattern)
    check_destination(destination, (path for path in paths if path.is_dir()))
    target = destination.expanduser()
    if target.exists() and not target.is_dir():
        raise DataError(f"'{destination}' is a file.", "Choose a folder for the copies.")


def sort_files(
    results: Iterable[Result],
    destination: Path,
    pattern: str | None,
    min_confidence: float,
    dry_run: bool,
    *,
    progress: Progress,
    keep: Callable[[Result, None], None],
) -> Report:
    """Copy classified files into folders of their classes, or only say what would go where.

    ``keep`` is called with every result, whether its file is copied or not.

    Raises
    ------
    ConfigError
        If the pattern or the confidence is not usable.
    DataError
        If there was no file, or none to copy.
    StorageError
        If the copies cannot be written; those that were made can be undone.
    """
    destination = destination.expanduser()
    broken: list[str] = []

    def heard() -> Iterator[Result]:
        for count, result in enumerate(results, 1):
            progress(count, None, f"Classified {count:,}")
            if result.error is not None:
                broken.append(result.name)
            keep(result, None)
            yield result

    plan = plan_sorting(heard(), destination, pattern=pattern or DEFAULT_PATTERN, min_confidence=min_confidence)
    by_class = plan.by_class()
    facts: dict[str, Any] = {
        "sorted_into": str(destination),
        "dry_run": dry_run,
        "by_class": by_class,
        "num_bytes": plan.num_bytes,
        "copies": [
            {
                "path": str(copy.source),
                "to": str(destination / copy.target),
                "label": copy.label,
                "confidence": copy.confidence,
            }
            for copy in plan.copies
        ],
    }
    left = list(plan.left)
    lines: list[str] = []
    if dry_run:
        for label, count in by_class.items():
            lines.append(f"{label}: {count:,} {_files(count)}")
            lines += [
                f"  {copy.source}\t→ {destination / copy.target}\t{copy.confidence:.1%}"
                for copy in plan.copies
                if copy.label == label
            ]
        lines += _staying(left)
        total = len(plan.copies)
        lines.append(
            f"{total:,} {_files(total)}, {plan.num_bytes / 1e6:,.1f} MB, would be copied; {len(left):,} would stay. "
            "Nothing was touched."
        )
        return Report(facts | {"stay": _as_dicts(left)}, tuple(lines), not broken)
    if not plan.copies:
        raise DataError(
            f"None of {len(left):,} {_files(len(left))} would be copied, the first because: {left[0][1]}"
            if left
            else "There is no file to copy.",
            "Look with --dry-run, or ask for less with --min-confidence.",
        )
    done = sort_into(plan, destination, progress=progress)
    left += done.left
    lost = {name for name, _ in done.left}
    facts["copies"] = [copy for copy in facts["copies"] if copy["path"] not in lost]
    command = _undo_command(destination)
    lines += [f"{label}: {count:,} {_files(count)}" for label, count in by_class.items()]
    lines += _staying(left)
    lines.append(f"{done.done:,} {_files(done.done)} copied into {destination}; the originals are where they were.")
    lines.append(f"To undo: {command}")
    facts |= {"stay": _as_dicts(left), "copied": done.done, "journal": str(done.journal), "undo": command}
    return Report(facts, tuple(lines), not broken and not done.left)


def undo_sorting(destination: Path) -> Report:
    """Take the newest sorting into a folder back; a copy that was changed since stays.

    Raises
    ------
    NotFoundError
        If nothing is left to undo.
    StorageError
        If a copy cannot be removed.
    """
    destination = destination.expanduser()
    done = undo(destination)
    lines = [
        *_staying(done.left),
        f"{done.done:,} {'copy' if done.done == 1 else 'copies'} removed from {destination}.",
    ]
    facts = {
        "undone": str(destination),
        "removed": done.done,
        "left": _as_dicts(done.left),
        "journal": str(done.journal),
    }
    # A copy that is gone needs no undoing; one that was changed does.
    complete = not any(os.path.lexists(destination / name) for name, _ in done.left)
    return Report(facts, tuple(lines), complete)


@contextmanager
def undo_hint(destination: Path) -> Iterator[None]:
    """Say how to take back what a sorting that ends early has copied."""
    before = journals(destination.expanduser())
    try:
        yield
    except (SampleMindError, KeyboardInterrupt):
        if len(journals(destination.expanduser())) > len(before):
            err.print(f"To undo what was copied until then: {_undo_command(destination)}", markup=False)
        raise


def show(report: Report, as_json: bool) -> None:
    """Print what a command did; exit with 1 if something is missing."""
    if as_json:
        print_json(report.facts)
    else:
        print(*report.lines, sep="\n", flush=True)  # rich would expand the tabs
    if not report.complete:
        raise typer.Exit(1)


def check_options(sorting: Path | None, undoing: Path | None, others: dict[str, bool]) -> None:
    """Refuse options that would go unheard.

    Parameters
    ----------
    others : dict of str to bool
        Whether ``--dry-run``, ``--pattern``, ``--min-confidence`` and ``--windows`` were given.

    Raises
    ------
    SampleMindError
        If an option needs ``--sort-into`` or cannot go with it.
    """
    if sorting is not None and undoing is not None:
        raise SampleMindError("--sort-into and --undo were both given.", "Undo first, then sort.")
    alone = [name for name in ("--dry-run", "--pattern", "--min-confidence") if others[name]]
    if sorting is None and alone:
        raise SampleMindError(f"{alone[0]} says how files are sorted.", "Add --sort-into FOLDER.")
    if sorting is not None and others["--windows"]:
        raise SampleMindError("--windows and --sort-into were both given.", "A file is sorted as a whole.")


def _staying(left: Iterable[tuple[str, str]]) -> list[str]:
    lines = [f"  {name}\t{reason}" for name, reason in left]
    return [f"Left where they are: {len(lines):,}", *lines] if lines else []


def _as_dicts(left: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"path": name, "reason": reason} for name, reason in left]


def _undo_command(destination: Path) -> str:
    return f"python -m samplemind_core classify --undo {shlex.quote(str(destination))}"


def _files(count: int) -> str:
    return "file" if count == 1 else "files"
