"""What input conventions bring: accuracy on the same sounds after silence, other levels, lost treble, other lengths.

    python -m benchmarks.input_conventions --manifest PATH/MANIFEST.csv --group-column group \
        --classes kick,snare,hihat,clap,tom,cymbal
    python -m benchmarks.input_conventions

The second trains on the demo dataset. Each recipe is trained by the preset ``quick`` with one seed per
column of the mean, and judged on the validation clips of the dataset's own split, changed as files before
they are cut to a window. Test clips are not looked at.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.machine import machine_line
from samplemind_core import Workspace, build_config
from samplemind_core.audio import transforms
from samplemind_core.audio.decode import decode
from samplemind_core.audio.features import LogMel
from samplemind_core.audio.window import fit_window
from samplemind_core.config import AUGMENT_PRESETS, FeatureConfig, RunConfig
from samplemind_core.data.dataset import ClipData, load_clips
from samplemind_core.data.incoming import dataset_folder
from samplemind_core.data.sources import ImportOptions
from samplemind_core.training.checkpoints import load_model
from samplemind_core.training.observer import Silent
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData

Change = Callable[[Tensor, int], Tensor]

CHANGES: dict[str, Change] = {
    "as it is": lambda clips, rate: clips,
    "silence 0.1 s": lambda clips, rate: transforms.lead_silence(clips, rate, 0.1),
    "silence 0.25 s": lambda clips, rate: transforms.lead_silence(clips, rate, 0.25),
    "silence 0.5 s": lambda clips, rate: transforms.lead_silence(clips, rate, 0.5),
    "-30 dB": lambda clips, rate: transforms.gain(clips, -30.0),
    "+12 dB, cut": lambda clips, rate: transforms.gain(clips, 12.0),
    "below 8 kHz": lambda clips, rate: transforms.low_pass(clips, rate, 8_000.0),
    "below 4 kHz": lambda clips, rate: transforms.low_pass(clips, rate, 4_000.0),
    "first 0.15 s": lambda clips, rate: transforms.truncate(clips, rate, 0.15),
    "0.25 s + 4 s of nothing": lambda clips, rate: torch.nn.functional.pad(clips, (rate // 4, 4 * rate)),
    "noise -40 dB": lambda clips, rate: transforms.add_noise(clips, rate, -40.0, torch.Generator().manual_seed(0)),
}

RECIPES: dict[str, dict[str, object]] = {
    "none": {"align": "none"},
    "none, shift 250 ms": {"align": "none", "time_shift_ms": 250.0},
    "onset": {"align": "onset"},
    "onset, strong": {"align": "onset"} | AUGMENT_PRESETS["strong"].config.model_dump(),
}


def log_mels(sounds: list[NDArray[np.float32]], change: Change, features: FeatureConfig) -> Tensor:
    """Return the spectrograms (N, 1, n_mels, frames) of sounds of any lengths after a change."""
    front_end = LogMel(features)
    rows = []
    for sound in sounds:
        changed = change(torch.from_numpy(sound)[None], features.sample_rate_hz)[0].numpy()
        rows.append(front_end(torch.from_numpy(fit_window(changed, features)[0])[None]))
    return torch.cat(rows)


def train(config: RunConfig, clips: ClipData, folder: Path) -> Path:
    """Train on the dataset's own split and return the best checkpoint."""
    Trainer(config, TrainingData.of(clips), folder, Silent()).fit()
    return folder / "best.safetensors"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, default=None)
    parser.add_argument("--group-column", default=None)
    parser.add_argument("--classes", default=None)
    parser.add_argument("--recipes", default=",".join(RECIPES).replace(", ", ";"), help="separated by commas")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder))
        if arguments.manifest is None:
            dataset = workspace.make_demo()
        else:
            classes = tuple(arguments.classes.split(",")) if arguments.classes else None
            options = ImportOptions(group_column=arguments.group_column, classes=classes)
            dataset = workspace.import_dataset(arguments.manifest, name="sounds", options=options)
        found = workspace.store.datasets.clips(dataset.id)
        val = [clip for clip in found if clip.split == "val"]
        audio = dataset_folder(workspace.root, dataset.id)
        rate = FeatureConfig().sample_rate_hz
        sounds = [decode(audio / (clip.file or ""), rate, name=clip.name).waveform for clip in val]
        targets = torch.tensor([clip.target for clip in val])
        print(f"\n{len(found)} clips, {len(val)} of them for validation\n")
        print(f"| recipe | {' | '.join(CHANGES)} |\n|{'---|' * (len(CHANGES) + 1)}")
        for name in arguments.recipes.split(","):
            recipe = name.replace(";", ", ")
            accuracies: dict[str, list[float]] = {change: [] for change in CHANGES}
            for seed in range(arguments.seeds):
                settings = {"seed": seed, "epochs": arguments.epochs, **RECIPES[recipe]}
                config = build_config("quick", settings)
                clips = load_clips(workspace.root, workspace.store, dataset, config.features)
                best = train(config, clips, Path(folder) / "run")
                model, info = load_model(best, torch.device("cpu"))
                for change, apply in CHANGES.items():
                    with torch.inference_mode():
                        said = model.eval()(log_mels(sounds, apply, info.features)).argmax(1)
                    accuracies[change].append((said == targets).double().mean().item())
            print(f"| {recipe} | {' | '.join(f'{statistics.mean(a):.1%}' for a in accuracies.values())} |", flush=True)
        workspace.close()


if __name__ == "__main__":
    main()
