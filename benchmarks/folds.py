"""Accuracy on sources never heard: cross-validation by the folds of a manifest.

    python -m benchmarks.folds --manifest PATH/MANIFEST.csv --group-column group --fold-column fold \
        --classes kick,snare,hihat,clap,tom,cymbal --presets quick

Fold k is the test set; every clip is tested once. Folds must keep sources whole, or the figure flatters.
What chooses the epoch is either the whole fold k + 1, as where recipes are compared (``--validation fold``),
or a tenth of the other folds' sources (``groups``) or of their clips (``clips``, where there are few
sources), so that all other folds are trained on. ``--validation-only`` prints the accuracy on what chose
the epoch instead of the test fold's: recipes are chosen by that.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine_line, peak_memory_mib
from samplemind_core import Workspace, build_config
from samplemind_core.config import RunConfig, parse_assignments
from samplemind_core.data.dataset import ClipData, load_clips
from samplemind_core.data.sources import ImportOptions
from samplemind_core.evaluation.metrics import Evaluation, evaluate_logits
from samplemind_core.evaluation.out_of_fold import assign_folds
from samplemind_core.store import Clip
from samplemind_core.training.observer import Silent
from samplemind_core.training.predictions import compute_logits
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData
from samplemind_core.training.variants import with_variants


def folds_of(clips: Sequence[Clip], column: str, group_column: str | None = None) -> np.ndarray:
    """Return the fold (N,) of each clip, as a column of the manifest names it; the groups may be the folds."""
    by_group = column == group_column
    return np.array([clip.source if by_group else clip.fold or clip.extra.get(column, "") for clip in clips])


def chosen_by(
    validation: str, targets: np.ndarray, groups: np.ndarray, folds: np.ndarray, fold: Any, following: Any
) -> np.ndarray:
    """Return which clips (N,) choose the epoch; none of them is of the tested fold."""
    if validation == "fold":
        return np.asarray(folds == following)
    others = np.flatnonzero(folds != fold)
    units = groups[others] if validation == "groups" else np.arange(len(others))
    dealt = assign_folds(targets[others], units, num_folds=10, seed=0)
    val = np.zeros(len(folds), dtype=bool)
    val[others[dealt == 0]] = True
    return val


def run_fold(
    config: RunConfig,
    clips: ClipData,
    test: np.ndarray,
    val: np.ndarray,
    folder: Path,
    *,
    on_val: bool = False,
    workspace: Workspace | None = None,
) -> Evaluation:
    """Train without the clips to test and return the evaluation on them, or on those that chose the epoch."""
    data = TrainingData.of_rows(clips, np.flatnonzero(~test & ~val), np.flatnonzero(val), "fold")
    config = config.for_clips(len(data.train_rows))
    if workspace is not None:  # which variants are made in
        data = with_variants(data, config, workspace.root, workspace.store, clips)
    Trainer(config, data, folder, Silent()).fit()
    rows = np.flatnonzero(val if on_val else test)
    logits = compute_logits(folder / "best.safetensors", clips.log_mel, rows)
    return evaluate_logits(logits, clips.targets[rows], clips.class_names)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--fold-column", default="fold")
    parser.add_argument("--group-column", default=None)
    parser.add_argument("--classes", default=None)
    parser.add_argument("--presets", default="quick")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--validation", choices=("fold", "groups", "clips"), default="fold")
    parser.add_argument("--validation-only", action="store_true", help="do not look at the tested folds")
    parser.add_argument("--folds", default=None, help="only these, separated by commas")
    parser.add_argument("--set", action="append", default=[], help="key=value, for every preset")
    arguments = parser.parse_args()
    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder))
        classes = tuple(arguments.classes.split(",")) if arguments.classes else None
        options = ImportOptions(group_column=arguments.group_column, classes=classes)
        dataset = workspace.import_dataset(arguments.manifest, name="folds", options=options)
        rows = workspace.store.datasets.clips(dataset.id)
        folds = folds_of(rows, arguments.fold_column, arguments.group_column)
        names = sorted(set(folds.tolist()))
        groups = np.array([clip.source for clip in rows])
        wanted = arguments.folds.split(",") if arguments.folds else names
        on = "validation clips" if arguments.validation_only else "tested folds"
        print(f"\n{len(rows)} clips, {len(names)} folds: {', '.join(names)}; accuracy on the {on}")
        print("\n| preset | seed | accuracy by fold | accuracy | balanced accuracy | s per fold |")
        print("|---|---|---|---|---|---|")
        for preset in arguments.presets.split(","):
            for seed in range(arguments.seeds):
                config = build_config(preset, {"seed": seed, **parse_assignments(arguments.set)})
                clips = load_clips(workspace.root, workspace.store, dataset, config.features)
                found, seconds = [], []
                for fold in wanted:
                    started = time.perf_counter()
                    following = names[(names.index(fold) + 1) % len(names)]
                    val = chosen_by(arguments.validation, clips.targets, groups, folds, fold, following)
                    run = Path(folder) / "run"
                    on_val = arguments.validation_only
                    found.append(run_fold(config, clips, folds == fold, val, run, on_val=on_val, workspace=workspace))
                    seconds.append(time.perf_counter() - started)
                accuracy = [one.accuracy for one in found]
                balanced = [one.balanced_accuracy for one in found]
                print(
                    f"| {preset} | {seed} | {' '.join(f'{value:.1%}' for value in accuracy)} | {_spread(accuracy)} | "
                    f"{_spread(balanced)} | {statistics.mean(seconds):.0f} |",
                    flush=True,
                )
        print(f"\npeak memory {peak_memory_mib():,.0f} MiB")
        workspace.close()


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.1%}" + (f" ± {statistics.stdev(values):.1%}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
