"""Sorting the files of a batch: looked at first, then done in a task, into a folder or a zip."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplemind_core.batches.work import answer_file, audio_folder, batch_folder
from samplemind_core.errors import DataError
from samplemind_core.files import make_folder, storage_error, write_atomic
from samplemind_core.inference.classifier import Result
from samplemind_core.inference.sorting import (
    DEFAULT_PATTERN,
    SortPlan,
    check_destination,
    new_journal,
    plan_sorting,
    sort_into,
    write_zip,
)
from samplemind_core.inference.table import NONE
from samplemind_core.store.records import Answer, Batch, Task

if TYPE_CHECKING:
    from samplemind_core.tasks import TaskContext
    from samplemind_core.workspace import Workspace

ZIP = "sorted.zip"


@dataclass(frozen=True)
class Preview:
    """What sorting would do: files by class, their bytes, some targets, and what stays, counted by reason."""

    by_class: dict[str, int]
    num_bytes: int
    examples: tuple[str, ...]
    num_left: int
    left: dict[str, int]

    @property
    def num_copies(self) -> int:
        """Files that would be copied."""
        return sum(self.by_class.values())


def zip_path(workspace: Workspace, batch_id: str) -> Path:
    """Return where the zip of a sorted batch lies once it is made."""
    return batch_folder(workspace.root, batch_id) / ZIP


def plan(
    workspace: Workspace,
    batch: Batch,
    destination: Path | None,
    *,
    pattern: str = DEFAULT_PATTERN,
    min_confidence: float = 0.0,
    journal: Path | None = None,
) -> SortPlan:
    """Return which file of a batch would go where; see :func:`samplemind_core.inference.sorting.plan_sorting`.

    ``destination`` is None for a zip, where no name is taken yet.

    Raises
    ------
    ConfigError
        If the pattern or the confidence is not usable.
    DataError
        If the destination lies inside the folder that was classified: the copies would be classified next time.
    """
    root = audio_folder(workspace.root, batch)
    if destination is not None and batch.kind == "folder":
        check_destination(destination, [root])
    target = destination.expanduser() if destination is not None else zip_path(workspace, batch.id) / "inside"
    return plan_sorting(
        _results(workspace, batch),
        target,
        pattern=pattern,
        min_confidence=min_confidence,
        sources=lambda result: answer_file(workspace.root, batch, result.name),
        journal=journal,
    )


def preview(found: SortPlan, *, num_examples: int = 6) -> Preview:
    """Return a plan in few words."""
    reasons = Counter(_kind(reason) for _, reason in found.left)
    step = max(1, len(found.copies) // num_examples)
    return Preview(
        found.by_class(),
        found.num_bytes,
        tuple(copy.target for copy in found.copies[::step][:num_examples]),
        len(found.left),
        dict(reasons.most_common()),
    )


def submit(
    workspace: Workspace,
    batch: Batch,
    destination: Path | None,
    *,
    pattern: str,
    min_confidence: float,
    owner: str = "",
) -> Task:
    """Queue the copying of a batch's files; it is planned anew when it starts, and goes on when it is resumed."""
    params: dict[str, Any] = {"batch": batch.id, "pattern": pattern, "min_confidence": min_confidence}
    params["destination"] = None if destination is None else str(destination.expanduser().resolve())
    title = f"Pack {batch.title}" if destination is None else f"Sort {batch.title}"
    return workspace.tasks.submit("sort", title, params, owner=owner)


def run(context: TaskContext) -> dict[str, Any]:
    """Do a task of the kind ``sort``."""
    workspace, params = context.workspace, context.params
    batch = workspace.store.answers.batch(params["batch"])
    destination = None if params["destination"] is None else Path(params["destination"])
    context.progress(0, None, "Planning")
    asked = {"pattern": params["pattern"], "min_confidence": params["min_confidence"]}
    journal = None if destination is None else _journal(context, destination)
    found = plan(workspace, batch, destination, **asked, journal=journal)
    if not found.copies:
        raise DataError("No file would be copied.", "Lower the confidence that is asked for.")
    if destination is None:
        final = zip_path(workspace, batch.id)
        part = final.with_suffix(".part")
        make_folder(part.parent)
        try:
            left = write_zip(found, part, progress=_checked(context))
            part.replace(final)
        except OSError as error:
            raise storage_error(part, error) from error
        finally:
            part.unlink(missing_ok=True)
        return {"batch": batch.id, "files": len(found.copies) - len(left), "left": len(found.left) + len(left)}
    done = sort_into(found, destination, journal=journal, progress=context.progress, should_stop=context.should_stop)
    return {
        "batch": batch.id,
        "files": done.done,
        "left": len(found.left) + len(done.left),
        "destination": str(destination),
    }


def _journal(context: TaskContext, destination: Path) -> Path:
    """Return the journal of this task, the same one when it is resumed unless it was undone meanwhile."""
    kept = context.folder / "journal"
    if kept.exists() and (journal := Path(os.fsdecode(kept.read_bytes()))).exists():
        return journal
    make_folder(destination)
    journal = new_journal(destination)
    write_atomic(kept, os.fsencode(journal))
    return journal


def _checked(context: TaskContext) -> Any:
    def report(done: int, total: int | None, what: str) -> None:
        context.check()
        context.progress(done, total, what)

    return report


def _results(workspace: Workspace, batch: Batch) -> Iterator[Result]:
    for answer in workspace.store.answers.iterate(batch.id):
        yield as_result(answer)


def as_result(answer: Answer) -> Result:
    """Return the stored part of a result; its name is the file's path below the batch's folder."""
    none = answer.details.get("none")
    label = answer.label if answer.label is not None or answer.error else NONE
    probs = answer.details.get("probs") or {}
    return Result(
        answer.file or answer.name,
        label,
        answer.confidence,
        probs,
        none=none,
        labels=tuple(answer.details.get("labels", ())),
        thresholds=answer.details.get("thresholds", {}),
        error=answer.error,
    )


def _kind(reason: str) -> str:
    if "% sure" in reason:
        return "None of the classes" if reason.startswith("It is like nothing") else "Not sure enough"
    return "No label reaches its threshold" if reason.startswith("No label") else "Could not be read"
