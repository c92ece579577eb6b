"""What a random split pretends: accuracy of a quick baseline by random and by group-safe folds.

    python -m benchmarks.leakage --manifest PATH/MANIFEST.csv --group-column group \
        --classes kick,snare,hihat,clap,tom,cymbal [--layers 1500]

With ``--layers`` up to three sounds of different classes and one source are played together, so that clips have
several labels and mean average precision is measured.

The same figures as the health report of a dataset shows, on the same clips, here with more repeats.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf

from benchmarks.machine import machine_line
from samplemind_core import Workspace
from samplemind_core.config import USUAL_FEATURES
from samplemind_core.data.cache import clip_waveform
from samplemind_core.data.dataset import load_clips
from samplemind_core.data.incoming import dataset_folder
from samplemind_core.data.leakage import measure_leakage, summaries
from samplemind_core.data.sources import ImportOptions
from samplemind_core.store import Clip, Dataset

RATE_HZ = 22_050


def layered(workspace: Workspace, dataset: Dataset, folder: Path, count: int) -> Path:
    """Write so many clips of one to three sounds of one source at once, and return their manifest."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    clips = workspace.clips(dataset.id)
    lines = ["path,labels,group"]
    for number in range(count):
        first = clips[rng.integers(len(clips))]
        voices = {first.label: first}
        for clip in _shuffled([clip for clip in clips if clip.source == first.source], rng):
            if len(voices) <= number % 3:
                voices.setdefault(clip.label, clip)
        sounds = [clip_waveform(dataset_folder(workspace.root, dataset.id), clip, RATE_HZ) for clip in voices.values()]
        mix = np.zeros(max(map(len, sounds)))
        for sound in sounds:
            mix[: len(sound)] += sound / max(float(np.abs(sound).max()), 1e-6) * rng.uniform(0.3, 1.0)
        sf.write(folder / f"{number}.wav", 0.9 * mix / np.abs(mix).max(), RATE_HZ)
        lines.append(f'{number}.wav,{"|".join(sorted(voices))},"{first.source}"')
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder / "manifest.csv"


def _shuffled(clips: list[Clip], rng: np.random.Generator) -> list[Clip]:
    return [clips[place] for place in rng.permutation(len(clips))]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--group-column", default="group")
    parser.add_argument("--classes", default=None)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--layers", type=int, default=0, help="Clips with several labels to make of the sounds.")
    arguments = parser.parse_args()
    print(machine_line())
    classes = tuple(arguments.classes.split(",")) if arguments.classes else None
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder))
        options = ImportOptions(group_column=arguments.group_column, classes=classes)
        dataset = workspace.import_dataset(arguments.manifest, name="leakage", options=options)
        if arguments.layers:
            manifest = layered(workspace, dataset, Path(folder) / "layers", arguments.layers)
            dataset = workspace.import_dataset(manifest, name="layers")
        data = load_clips(workspace.root, workspace.store, dataset, USUAL_FEATURES)
        clips = workspace.clips(dataset.id)
        features = summaries(data.log_mel, np.array([clip.row for clip in clips]))
        began = time.perf_counter()
        found = measure_leakage(clips, [], features, repeats=arguments.repeats)
        seconds = time.perf_counter() - began
        workspace.close()
    print(f"\n{len(clips):,} clips of {len({clip.source for clip in clips})} sources; baseline: {found.baseline}.\n")
    print(f"| folds | {'mAP' if arguments.layers else 'accuracy'} | 95 % interval |\n|---|---|---|")
    if found.naive is None or found.safe is None or found.gap is None:
        raise SystemExit(found.sentence)
    for name, score in (("random by clip", found.naive), ("groups kept whole", found.safe)):
        print(f"| {name} | {score.value:.1%} | {score.low:.1%} to {score.high:.1%} |")
    print(f"| difference, points | {100 * found.gap:.1f} | {100 * found.gap_low:.1f} to {100 * found.gap_high:.1f} |")  # type: ignore[operator]
    print(f"\n{arguments.repeats} cross-validations of each kind in {seconds:.1f} s. {found.sentence}")


if __name__ == "__main__":
    main()
