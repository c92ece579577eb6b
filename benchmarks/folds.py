"""Accuracy on sources never heard: cross-validation by the folds of a manifest.

    python -m benchmarks.folds --manifest PATH/MANIFEST.csv --group-column group --fold-column fold \
        --classes kick,snare,hihat,clap,tom,cymbal --presets quick

Fold k is the test set, fold k + 1 the validation set that chooses the epoch, the rest is trained on;
every clip is tested once. Folds must keep sources whole, or the figure flatters.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine_line, peak_memory_mib
from samplemind_core import Workspace, build_config
from samplemind_core.config import RunConfig, parse_assignments
from samplemind_core.data.dataset import ClipData, load_clips
from samplemind_core.data.sources import ImportOptions
from samplemind_core.evaluation.metrics import evaluate_logits
from samplemind_core.training.predictions import compute_logits
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData


class Silent:
    """An observer that hears nothing and never stops."""

    def should_stop(self) -> bool:
        """Return False."""
        return False

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def run_fold(config: RunConfig, clips: ClipData, folds: np.ndarray, fold: Any, following: Any, folder: Path) -> Any:
    """Train without a fold and return its evaluation."""
    test = folds == fold
    val = folds == following
    data = TrainingData(
        log_mel=clips.log_mel,
        targets=clips.targets,
        train_rows=np.flatnonzero(~test & ~val),
        val_rows=np.flatnonzero(val),
        class_names=clips.class_names,
        description={"fingerprint": f"fold {fold}"},
    )
    Trainer(config, data, folder, Silent()).fit()  # type: ignore[arg-type]
    rows = np.flatnonzero(test)
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
    parser.add_argument("--set", action="append", default=[], help="key=value, for every preset")
    arguments = parser.parse_args()
    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder))
        classes = tuple(arguments.classes.split(",")) if arguments.classes else None
        options = ImportOptions(group_column=arguments.group_column, classes=classes)
        dataset = workspace.import_dataset(arguments.manifest, name="folds", options=options)
        rows = workspace.store.datasets.clips(dataset.id)
        folds = np.array([clip.fold or clip.extra.get(arguments.fold_column, "") for clip in rows])
        names = sorted(set(folds.tolist()))
        print(f"\n{len(rows)} clips, {len(names)} folds: {', '.join(names)}")
        print("\n| preset | seed | accuracy by fold | accuracy | balanced accuracy | s per fold |")
        print("|---|---|---|---|---|---|")
        for preset in arguments.presets.split(","):
            for seed in range(arguments.seeds):
                config = build_config(preset, {"seed": seed, **parse_assignments(arguments.set)})
                clips = load_clips(workspace.root, workspace.store, dataset, config.features)
                found, seconds = [], []
                for place, fold in enumerate(names):
                    started = time.perf_counter()
                    following = names[(place + 1) % len(names)]
                    found.append(run_fold(config, clips, folds, fold, following, Path(folder) / "run"))
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
    return f"{statistics.mean(values):.1%} ± {statistics.stdev(values):.1%}"


if __name__ == "__main__":
    main()
