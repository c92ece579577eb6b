"""How many planted label errors are found: flips of a share of the labels, ranked by out-of-fold answers.

    python -m benchmarks.label_errors --manifest PATH/MANIFEST.csv --group-column group \
        --classes kick,snare,hihat,clap,tom,cymbal --flips 0.05

Labels are flipped to another class at random before any training; folds are those of the manifest where it
has some. Recall is the share of the flips among the most doubtful clips, as many as were flipped.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import machine_line
from samplemind_core import Workspace, build_config
from samplemind_core.config import parse_assignments
from samplemind_core.data.sources import ImportOptions
from samplemind_core.evaluation.label_errors import find_label_errors
from samplemind_core.evaluation.out_of_fold import cross_validate
from samplemind_core.evaluation.second_opinion import second_opinion_on


def plant(workspace: Workspace, name: str, share: float, seed: int) -> dict[int, str]:
    """Give a share of the clips another class; return their ids with the label they had."""
    rng = np.random.default_rng(seed)
    dataset = workspace.dataset(name)
    clips = workspace.store.datasets.clips(dataset.id)
    chosen = rng.choice(len(clips), size=round(share * len(clips)), replace=False)
    flips: dict[str, list[int]] = {}
    for place in chosen.tolist():
        others = [label for label in dataset.class_names if label != clips[place].label]
        flips.setdefault(str(rng.choice(others)), []).append(clips[place].id or 0)
    for label, ids in flips.items():
        workspace.edit(name).relabel(ids, label)
    return {clips[place].id or 0: clips[place].label for place in chosen.tolist()}


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--group-column", default=None)
    parser.add_argument("--classes", default=None)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--flips", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], help="key=value of a setting")
    parser.add_argument("--keep", type=Path, default=None, help="write the out-of-fold answers here as .npz")
    arguments = parser.parse_args()
    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder))
        classes = tuple(arguments.classes.split(",")) if arguments.classes else None
        options = ImportOptions(group_column=arguments.group_column, classes=classes)
        workspace.import_dataset(arguments.manifest, name="planted", options=options)
        flipped = plant(workspace, "planted", arguments.flips, arguments.seed)
        config = build_config(arguments.preset, dict(parse_assignments(arguments.set)))
        run = workspace.submit("planted", config, start=False)
        started = time.perf_counter()
        found = cross_validate(
            workspace.store, workspace.settings, run, Path(folder) / "folds", num_folds=arguments.folds
        )
        assert found is not None
        seconds = time.perf_counter() - started
        if arguments.keep:
            planted = np.isin(found.clip_ids, list(flipped))
            np.savez_compressed(arguments.keep, logits=found.logits, targets=found.targets, planted=planted)
        right = float((found.logits.argmax(axis=1) == found.targets).mean())
        dataset = workspace.dataset("planted")
        second = second_opinion_on(workspace.root, workspace.store, dataset, found.clip_ids, found.targets)
        errors = find_label_errors(found.logits, found.targets, found.class_names, found.clip_ids, second)
        num_folds = int(found.folds.max()) + 1
        print(f"\n{errors.num_clips} clips, {len(flipped)} labels flipped, {num_folds} folds in {seconds:.0f} s")
        print(f"out-of-fold answers equal the (partly wrong) labels on {right:.1%}\n")
        print("| looked at | flips found | recall | precision | flips whose true class is suggested |")
        print("|---|---:|---:|---:|---:|")
        for title, share in (("top 2.5 %", 0.025), ("top 5 %", 0.05), ("top 10 %", 0.1), ("top 20 %", 0.2)):
            top = errors.issues[: round(share * errors.num_clips)]
            hits = [issue for issue in top if issue.clip_id in flipped]
            named = sum(issue.suggested == flipped[issue.clip_id] for issue in hits)
            print(
                f"| {title} | {len(hits)} | {len(hits) / len(flipped):.1%} | {len(hits) / len(top):.1%} "
                f"| {named / max(1, len(hits)):.1%} |"
            )
        flagged = sum(issue.flagged for issue in errors.issues)
        print(f"\nestimated wrong labels: {errors.num_estimated}; flagged: {flagged}")
        workspace.close()


if __name__ == "__main__":
    main()
