"""What is done to a run from the command line: stop, resume, extend, write beside it, delete and restore."""

from __future__ import annotations

from typing import Annotated

import typer

from samplemind_core.terminal import Json, failing, out, print_json
from samplemind_core.workspace import Workspace

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Its id or name.")]


def stop(
    run: RunName,
    pause: Annotated[bool, typer.Option("--pause", help="Say that it is meant to go on later.")] = False,
    as_json: Json = False,
) -> None:
    """Have a run finish its batch, save and end; a queued one leaves the queue."""
    with failing(as_json):
        workspace = Workspace()
        workspace.stop(run, pause=pause)
        _told(workspace, run, "pauses" if pause else "stops", as_json)


def resume(run: RunName, as_json: Json = False) -> None:
    """Queue a stopped, failed or interrupted run again, to go on from its last checkpoint."""
    with failing(as_json):
        workspace = Workspace()
        workspace.resume(run)
        _told(workspace, run, "is queued", as_json)


def extend(
    run: RunName,
    epochs: Annotated[int, typer.Option(help="How many more.", min=1, max=10_000)] = 10,
    as_json: Json = False,
) -> None:
    """Let a finished run train for more epochs; its schedule gets a tail of its own."""
    with failing(as_json):
        workspace = Workspace()
        workspace.extend(run, epochs)
        _told(workspace, run, f"is queued for {epochs} more epochs", as_json)


def describe(
    run: RunName,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    notes: Annotated[str | None, typer.Option(help="What to remember about it; empty takes them away.")] = None,
    tags: Annotated[str | None, typer.Option(help="Tags with commas between them, in place of those it has.")] = None,
    as_json: Json = False,
) -> None:
    """Change the name, notes or tags of a run."""
    with failing(as_json):
        workspace = Workspace()
        found = workspace.describe_run(run, name=name, notes=notes, tags=None if tags is None else tags.split(","))
        _told(workspace, found.id, f"has the tags {', '.join(found.tags) or 'none'}", as_json)


def delete(run: RunName, as_json: Json = False) -> None:
    """Hide a run from every list; for a while it can be restored, then its files go."""
    with failing(as_json):
        workspace = Workspace()
        found = workspace.delete_run(run)
        hours = workspace.settings.keep_deleted_h
        _told(workspace, found.id, f"can be restored for {hours:g} hours", as_json)


def restore(run: RunName, as_json: Json = False) -> None:
    """Bring a deleted run back."""
    with failing(as_json):
        workspace = Workspace()
        _told(workspace, workspace.restore_run(run).id, "is back", as_json)


def _told(workspace: Workspace, run: str, what: str, as_json: bool) -> None:
    found = workspace.run(run)
    if as_json:
        print_json({"run": found.as_dict()}, compact=True)
    else:
        out.print(f"{found.name} {what}.", markup=False)
