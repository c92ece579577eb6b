"""The demo dataset from pressing Start to a finished run: seconds, memory, test accuracy on unseen kits.

    python -m benchmarks.demo --seeds 3

Each seed makes its own dataset, its own split by kit and its own network; the run goes through the
queue and a worker process, as on the Train page.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.machine import machine_line
from samplemind_core import Workspace, build_config
from samplemind_core.store.records import ENDED


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--per-class", type=int, default=200)
    parser.add_argument("--presets", default="quick", help="separated by commas")
    arguments = parser.parse_args()
    print(machine_line())
    print(
        "\n| preset | seed | dataset s | start to finished s | best epoch | val accuracy | test accuracy | test clips |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder))
        for seed in range(arguments.seeds):
            started = time.perf_counter()
            workspace.make_demo(per_class=arguments.per_class, seed=seed, name=f"demo-{seed}")
            making_s = time.perf_counter() - started
            for preset in arguments.presets.split(","):
                started = time.perf_counter()
                run = workspace.submit(f"demo-{seed}", build_config(preset, {"seed": seed}))
                while (run := workspace.run(run.id)).status not in ENDED:
                    workspace.tend()
                    time.sleep(0.1)
                seconds = time.perf_counter() - started
                if run.status != "finished":
                    raise SystemExit(f"{run.name} {run.status}: {run.end_reason}")
                _, best = workspace.resolve(run.id)
                test = workspace.evaluate(run.id)
                print(
                    f"| {preset} | {seed} | {making_s:.1f} | {seconds:.1f} | {best.epoch} | {best.val_accuracy:.1%} | "
                    f"{test.accuracy:.1%} | {test.num_clips} |",
                    flush=True,
                )
        _summary(workspace)
        workspace.close()


def _summary(workspace: Workspace) -> None:
    by_preset: dict[str, list[float]] = {}
    for run in workspace.runs():
        by_preset.setdefault(run.config["preset"], []).append(workspace.evaluate(run.id).accuracy)
    for preset, accuracies in by_preset.items():
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        print(f"\n{preset}: test accuracy {statistics.mean(accuracies):.1%} ± {spread:.1%} (mean ± sd of seeds)")


if __name__ == "__main__":
    main()
