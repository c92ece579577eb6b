"""What helps to choose settings, without a browser: a learning rate, and the largest batch of a GPU."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from samplemind_core.terminal import Json, ctrl_c, failing, out, print_json, progress, table
from samplemind_core.workspace import Workspace

Preset = Annotated[str, typer.Option(help="Where the settings start from.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Any setting as key=value; repeatable.")]
DatasetName = Annotated[str, typer.Argument(metavar="DATASET", show_default=False)]


def find_lr(
    dataset: DatasetName,
    preset: Preset = "quick",
    settings: Settings = None,
    steps: Annotated[int, typer.Option(min=10, help="Steps of the test.")] = 120,
    as_json: Json = False,
) -> None:
    """Raise the learning rate from step to step, and name the rate at which the loss falls fastest."""
    from samplemind_core.config import build_config, parse_assignments

    with failing(as_json):
        config = build_config(preset, parse_assignments(settings or []))
        stopped = threading.Event()
        with progress() as report, ctrl_c(stopped.set):
            curve = Workspace().find_lr(dataset, config, steps, report, stopped.is_set)
    if as_json:
        print_json(curve.as_dict())
        return
    every = max(1, len(curve.lrs) // 12)
    rows = list(zip(curve.lrs, curve.losses, strict=True))[::every]
    table(("learning rate", "loss"), [(f"{lr:.2e}", f"{loss:.3f}") for lr, loss in rows])
    if curve.suggestion is None:
        out.print("The loss never fell clearly: no rate can be named.")
    else:
        out.print(f"The loss falls fastest at {curve.suggestion:.2g}: train with --set lr={curve.suggestion:.2g}")


def find_batch(
    dataset: DatasetName,
    preset: Preset = "quick",
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Find the largest batch that fits a CUDA device's memory, by doubling until it does not."""
    from samplemind_core.config import build_config, parse_assignments

    with failing(as_json):
        config = build_config(preset, parse_assignments(settings or []))
        with progress() as report:
            found = Workspace().find_batch_size(dataset, config, report)
    if as_json:
        print_json({"largest": found.largest, "tried": [{"size": size, "fits": fits} for size, fits in found.tried]})
        return
    table(("clips", "fits"), [(size, "yes" if fits else "no") for size, fits in found.tried])
    out.print(f"The largest batch that fits: --set batch_size={found.largest}")
