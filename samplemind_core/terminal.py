"""How commands talk: results on stdout, progress and errors on stderr, JSON where asked for."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
import typer.core
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from samplemind_core.errors import SampleMindError

out = Console(soft_wrap=True, highlight=False, emoji=False)
err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
OtherDataset = Annotated[str | None, typer.Option("--dataset", help="Judge on this dataset instead of the run's own.")]
Split = Annotated[str, typer.Option("--split", help="train, val, test, all, or fold:NAME.")]
MAX_SEED = 2**31 - 1


_WIDE = 1_000


class Commands(typer.core.TyperGroup):
    """Commands of which a wrong line is told as JSON too, where that was asked for."""

    def invoke(self, ctx: Any) -> Any:
        """Do the command that was given."""
        given = tuple(ctx.args)  # emptied on the way
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            if "--json" in given:
                advice = f"{ctx.info_name} {ctx.invoked_subcommand or ''}".rstrip() + " --help shows what it takes."
                print_json({"error": error.format_message(), "advice": advice, "kind": "UsageError"}, compact=True)
            raise


def table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print rows of cells below a header."""
    # Names are the user's: "[b]" in one of them is no markup.
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for title in header:
        drawn.add_column(Text(title))
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))
    # A pipe has no width to fit into: what reads it wants names whole and a row a line.
    wide = out if out.is_terminal else Console(file=out.file, width=_WIDE, soft_wrap=True, highlight=False, emoji=False)
    wide.print(drawn)


def print_json(value: Any, *, compact: bool = False) -> None:
    """Print one JSON value."""
    # ASCII only: it survives every pipe, and so does a file name that is not UTF-8.
    print(json.dumps(value, indent=None if compact else 2, allow_nan=False), flush=True)


def print_json_lines(rows: Iterable[dict[str, Any]]) -> None:
    """Print one JSON object a line."""
    for row in rows:
        print_json(row, compact=True)


@contextmanager
def failing(as_json: bool) -> Iterator[None]:
    """Turn errors of our own tree into a message and exit code 1."""
    try:
        yield
    except SampleMindError as error:
        fail(error, as_json)


def fail(error: SampleMindError, as_json: bool) -> NoReturn:
    """Print an error and end with exit code 1."""
    if as_json:
        print_json({"error": error.problem, "advice": error.advice, "kind": type(error).__name__}, compact=True)
    err.print(f"[bold red]Error:[/bold red] {escape(str(error))}")
    raise typer.Exit(1) from None


@contextmanager
def progress() -> Iterator[Callable[[int, int | None, str], None]]:
    """Give a function that shows how far something is: done, total, what."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("Starting", total=None)

        def report(done: int, total: int | None, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield report


@contextmanager
def ctrl_c(stop: Callable[[], None]) -> Iterator[None]:
    """Make the first Ctrl-C ask for a stop; a second one ends the process; what was saved can be resumed."""
    before = signal.getsignal(signal.SIGINT)

    def ask() -> None:
        err.print("Stopping after this batch and saving; Ctrl-C again ends at once.")
        try:
            stop()
        except SampleMindError as error:
            err.print(str(error), markup=False)

    def first(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        # Not in this thread: it may be in the middle of the very transaction that the request waits for.
        threading.Thread(target=ask, daemon=True).start()

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
