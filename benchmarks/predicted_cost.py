"""What the Train page says a run will cost, beside what the run then takes: seconds and memory.

    python -m benchmarks.predicted_cost

Each line is one recipe on the demo dataset: the cost is measured as the page measures it (a few steps in a
process of its own, before anything has run), then the run goes through the queue and a worker process.
The actual seconds count from pressing Start to the finished run; the actual memory is the most that the
worker held.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from benchmarks.machine import machine_line
from benchmarks.measure import table
from samplemind_core import Workspace, build_config
from samplemind_core.store.records import ENDED, Run
from samplemind_core.training.cost import Cost, Estimate, estimate, run_probe

LOOK_S = 0.05
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "quick": ("quick", {}),
    "quick, batch of 8": ("quick", {"batch_size": 8, "epochs": 6}),
    "quick, batch of 128": ("quick", {"batch_size": 128, "epochs": 10}),
    "quick, BC-ResNet": ("quick", {"model.name": "bc_resnet", "epochs": 4}),
    "balanced, 10 epochs": ("balanced", {"epochs": 10}),
    "best, 4 epochs": ("best", {"epochs": 4}),
    "tutorial, 4 epochs": ("tutorial", {"epochs": 4, "early_stopping_patience": None}),
}


def predict(workspace: Workspace, dataset: str, preset: str, changes: Mapping[str, Any]) -> Estimate:
    """Return what the Train page would say."""
    config = build_config(preset, changes)
    clips = workspace.clips(dataset)
    splits = [clip.split for clip in clips]
    answer = run_probe(
        {
            "config": config.model_dump(mode="json"),
            "batch_size": min(config.train.batch_size, splits.count("train")),
            "num_classes": len(workspace.dataset(dataset).class_names),
            "device": workspace.settings.device,
        }
    )
    return estimate(
        Cost(**answer),
        config,
        num_train=splits.count("train"),
        num_val=splits.count("val"),
        num_test=splits.count("test"),
        num_clips=len(clips),
    )


def take(workspace: Workspace, dataset: str, preset: str, changes: Mapping[str, Any]) -> tuple[float, int]:
    """Train it; return the seconds until it was finished and the worker's largest memory in bytes."""
    started, most = time.perf_counter(), 0
    run = workspace.submit(dataset, build_config(preset, changes))
    while (run := workspace.run(run.id)).status not in ENDED:
        workspace.tend()
        most = max(most, _held(run))
        time.sleep(LOOK_S)
    if run.status != "finished":
        raise SystemExit(f"{run.name} {run.status}: {run.end_reason}")
    return time.perf_counter() - started, most


def _held(run: Run) -> int:
    pid = (run.worker or {}).get("pid")
    try:
        return int(psutil.Process(pid).memory_info().rss) if pid else 0
    except psutil.NoSuchProcess:
        return 0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-class", type=int, default=200)
    parser.add_argument("--only", action="append", choices=RECIPES, help="a recipe; all by default")
    given = parser.parse_args()
    print(machine_line(), flush=True)
    rows = []
    inside = 0
    for name in given.only or RECIPES:
        # A workspace each: a worker that has trained something else holds on to some of its memory.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # an idle worker leaves by and by
            workspace = Workspace.open(Path(folder))
            workspace.make_demo(per_class=given.per_class, name="demo")
            expected = predict(workspace, "demo", *RECIPES[name])
            seconds, memory = take(workspace, "demo", *RECIPES[name])
            workspace.close()
        inside += abs(seconds / expected.seconds - 1) <= expected.spread
        rows.append(
            (
                name,
                f"{expected.seconds:.0f} ± {expected.spread:.0%}",
                f"{seconds:.0f}",
                f"{seconds / expected.seconds:.2f}",
                f"{expected.memory_bytes / 2**20:,.0f}",
                f"{memory / 2**20:,.0f}",
                f"{memory / expected.memory_bytes:.2f}",
            )
        )
        print(" | ".join(rows[-1]), flush=True)
    head = ("recipe", "said, s", "took, s", "took / said", "said, MiB", "held, MiB", "held / said")
    print(f"\n{table(head, rows)}\n\n{inside} of {len(rows)} within what was said.")


if __name__ == "__main__":
    main()
