"""What a random split pretends: accuracy of a quick baseline by random and by group-safe folds.

    python -m benchmarks.leakage --manifest PATH/MANIFEST.csv --group-column group \
        --classes kick,snare,hihat,clap,tom,cymbal

The same figures as the health report of a dataset shows, on the same clips, here with more repeats.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import machine_line
from samplemind_core import Workspace
from samplemind_core.config import USUAL_FEATURES
from samplemind_core.data.dataset import load_clips
from samplemind_core.data.leakage import BASELINE, measure_leakage, summaries
from samplemind_core.data.sources import ImportOptions


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--group-column", default="group")
    parser.add_argument("--classes", default=None)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(machine_line())
    classes = tuple(arguments.classes.split(",")) if arguments.classes else None
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder))
        options = ImportOptions(group_column=arguments.group_column, classes=classes)
        dataset = workspace.import_dataset(arguments.manifest, name="leakage", options=options)
        data = load_clips(workspace.root, workspace.store, dataset, USUAL_FEATURES)
        clips = workspace.clips("leakage")
        features = summaries(data.log_mel, np.array([clip.row for clip in clips]))
        began = time.perf_counter()
        found = measure_leakage(clips, [], features, repeats=arguments.repeats)
        seconds = time.perf_counter() - began
        workspace.close()
    print(f"\n{len(clips):,} clips of {len({clip.source for clip in clips})} sources; baseline: {BASELINE}.\n")
    print("| folds | accuracy | 95 % interval |\n|---|---|---|")
    if found.naive is None or found.safe is None or found.gap is None:
        raise SystemExit(found.sentence)
    for name, score in (("random by clip", found.naive), ("groups kept whole", found.safe)):
        print(f"| {name} | {score.value:.1%} | {score.low:.1%} to {score.high:.1%} |")
    print(f"| difference, points | {100 * found.gap:.1f} | {100 * found.gap_low:.1f} to {100 * found.gap_high:.1f} |")  # type: ignore[operator]
    print(f"\n{arguments.repeats} cross-validations of each kind in {seconds:.1f} s. {found.sentence}")


if __name__ == "__main__":
    main()
