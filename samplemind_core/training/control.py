"""What people do to a run besides training it: name it, write beside it, delete it and bring it back."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Sequence

from samplemind_core.config import RunConfig, apply_changes
from samplemind_core.errors import ConfigError, JobError, NotFoundError
from samplemind_core.settings import Settings
from samplemind_core.store import Run, Store
from samplemind_core.store.records import RESUMABLE
from samplemind_core.training.jobs import run_folder

TAKEN = re.compile(r"starter|mean\(.*|folds\(.*", re.IGNORECASE)
"""Names that mean something else where a checkpoint is referred to: the shipped model, or several checkpoints."""
MAX_NOTES = 4_000
MAX_TAGS = 20
MAX_TAG = 40
SWEEP_EVERY_S = 60.0


def checked_name(name: str) -> str:
    """Return a run's name without spaces around it; raise :class:`ConfigError` if it cannot be one."""
    name = name.strip()
    if not 1 <= len(name) <= 200 or ":" in name or not name.isprintable():
        raise ConfigError(
            f"A run's name needs 1 to 200 printable characters and no colon, got {name!r}.", "Choose another name."
        )
    if TAKEN.fullmatch(name):
        raise ConfigError(
            f"A run cannot be named {name!r}: where a checkpoint is asked for, that means something else.",
            "Choose another name.",
        )
    return name


def checked_notes(notes: str) -> str:
    """Return notes without blank lines around them; raise :class:`ConfigError` if they are too long."""
    notes = notes.strip()
    if len(notes) > MAX_NOTES:
        raise ConfigError(f"Notes may have {MAX_NOTES:,} characters, these have {len(notes):,}.", "Shorten them.")
    return notes


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags in the order given, each once.

    Raises
    ------
    ConfigError
        Naming every tag that cannot be one, or if there are too many.
    """
    found = tuple(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
    wrong = [tag for tag in found if len(tag) > MAX_TAG or not tag.isprintable() or "," in tag]
    if wrong:
        raise ConfigError(
            f"A tag has at most {MAX_TAG} printable characters and no comma, got {', '.join(map(repr, wrong))}.",
            "Shorten or change these.",
        )
    if len(found) > MAX_TAGS:
        raise ConfigError(f"A run takes {MAX_TAGS} tags, got {len(found)}.", "Leave some out.")
    return found


def describe_run(
    store: Store, run_id: str, *, name: str | None = None, notes: str | None = None, tags: Sequence[str] | None = None
) -> Run:
    """Change a run's name, notes or tags; what is None stays.

    Raises
    ------
    ConfigError
        If one of them cannot be used.
    NameTakenError
        If another run has that name.
    """
    given = {
        "name": None if name is None else checked_name(name),
        "notes": None if notes is None else checked_notes(notes),
        "tags": None if tags is None else checked_tags(tags),
    }
    return store.runs.describe(run_id, **{field: value for field, value in given.items() if value is not None})


def extend_run(store: Store, settings: Settings, run: Run, epochs: int, by: str = "") -> Run:
    """Queue a finished run again, to train for so many more epochs; see :func:`training.schedule.planned_lr`.

    Raises
    ------
    JobError
        If it has not finished, or left nothing to go on from.
    ConfigError
        If it would become longer than any run may be.
    """
    if run.status != "finished":
        advice = "Resume it first." if run.status in RESUMABLE else "Wait for its end."
        raise JobError(f"Run '{run.name}' is {run.status}; only a finished one can be extended.", advice)
    last = next((kept for kept in store.runs.checkpoints(run.id) if kept.kind == "last"), None)
    if last is None or not (settings.root / last.path).exists():
        raise JobError(f"Run '{run.name}' has no last checkpoint to go on from.", "Start a new run with its settings.")
    config = RunConfig.model_validate(run.config)
    changed = apply_changes(config, {"train.epochs": last.epoch + epochs})
    longer = changed.model_copy(update={"extended_at": (*config.extended_at, last.epoch)})
    return store.runs.requeue(run.id, ("finished",), by, config=longer.model_dump(mode="json"))


def still_there(run: Run) -> Run:
    """Return the run; raise :class:`NotFoundError` if it was deleted, even if it can come back."""
    if run.deleted_at is not None:
        raise NotFoundError(f"Run '{run.name}' was deleted.", "Bring it back on the Train page to use it.")
    return run


def delete_for_good(store: Store, settings: Settings, run: Run) -> None:
    """Delete a run with its checkpoints, logits and log."""
    store.runs.delete(run.id)
    shutil.rmtree(run_folder(settings, run.id), ignore_errors=True)


def sweep(store: Store, settings: Settings, *, dataset_id: str | None = None) -> int:
    """Delete for good what was deleted long enough ago, or all that was of one dataset; return how many."""
    before = time.time() - settings.keep_deleted_h * 3600
    swept = 0
    for run in store.runs.all(deleted=True, dataset_id=dataset_id):
        if dataset_id is not None or (run.deleted_at or 0) <= before:
            try:
                delete_for_good(store, settings, run)
            except (JobError, NotFoundError):
                continue  # another dashboard was faster
            swept += 1
    return swept
