"""A folder of one-shots, from files to answers, beside a plain loop over the same files and network.

    python -m benchmarks.batch --folder PATH

Without ``--folder`` 1,000 synthesised sounds are written to a temporary folder. The plain way takes file
by file: ``librosa.load``, ``librosa.feature.melspectrogram``, ``librosa.power_to_db`` and the network;
ours also says "none of these", the prediction set and the nearest training clips. Start-up is in
neither: both sides hear a few files before the clock runs, and ours has its processes ready (``--threads``:
has none). Answers are compared, not only counted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.latency import upload
from benchmarks.machine import machine_line, peak_memory_mib
from benchmarks.measure import Timings, ratio, table
from samplemind_core import Workspace, build_config
from samplemind_core.audio.listeners import listeners
from samplemind_core.batches.work import walk_audio
from samplemind_core.inference.classifier import Classifier, Result

WARM_UP = 40
NUM_COMPARED = 50


def plain(classifier: Classifier, paths: Sequence[Path]) -> list[np.ndarray | None]:
    """Return probabilities file by file, None for what cannot be read, the way a notebook would."""
    import librosa

    features, answers = classifier.info.features, list[np.ndarray | None]()
    for path in paths:
        try:
            waveform, rate = librosa.load(path, sr=features.sample_rate_hz, mono=True, duration=features.duration_s)
        except Exception:  # librosa raises whatever its readers raise
            answers.append(None)
            continue
        waveform = np.pad(waveform, (0, features.num_samples - len(waveform)))
        mel = librosa.feature.melspectrogram(
            y=waveform, sr=rate, n_fft=features.n_fft, hop_length=features.hop_length, n_mels=features.n_mels
        )
        log_mel = librosa.power_to_db(mel, ref=np.max)
        with torch.inference_mode():
            logits = classifier.model(torch.from_numpy(log_mel)[None, None])
        answers.append(torch.softmax(logits, dim=1).numpy()[0])
    return answers


def largest_difference(classifier: Classifier, paths: Sequence[Path], together: Sequence[Result]) -> float:
    """Return how far an answer in the batch is from the same file's answer alone."""
    worst = 0.0
    for path, result in zip(paths, together, strict=True):
        (alone,) = classifier.predict([path])
        for name, share in result.answers().items():
            worst = max(worst, abs(share - alone.answers()[name]))
    return worst


def measure(sides: Sequence[Callable[[Sequence[Path]], object]], paths: Sequence[Path], rounds: int) -> list[Timings]:
    """Warm both sides up, then let them take turns over all files."""
    timings = [Timings() for _ in sides]
    for side in sides:
        side(paths[:WARM_UP])
    for number in range(rounds):
        for place in range(len(sides)):
            which = (place + number) % len(sides)
            timings[which].add(lambda side=sides[which]: side(paths))  # type: ignore[misc]
            print(f"round {number + 1}: {timings[which].wall_s[-1]:.1f} s", flush=True)
    return timings


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", action="store_true", help="without processes, as for a folder of few files")
    arguments = parser.parse_args()
    print(machine_line())
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch) / "sounds"
        if arguments.folder is None:
            folder.mkdir()
            for number in range(arguments.files):
                (folder / f"{number:04d}.wav").write_bytes(upload(number))
        every = [folder / name for name in walk_audio(folder)]
        # Evenly from all of the folder: the first thousand may be one class.
        paths = [every[index * len(every) // arguments.files] for index in range(min(arguments.files, len(every)))]
        if len(every) < arguments.files:
            paths = every
        workspace = Workspace.open(Path(scratch) / "workspace")
        workspace.make_demo(per_class=40)
        # One epoch: how good the network is plays no part in how fast it answers.
        classifier = workspace.classifier(workspace.train("demo", build_config("quick", {"epochs": 1})).id)
        sides = (classifier.predict, lambda files: plain(classifier, files))
        if not arguments.threads:
            listeners().start()
            listeners().wait()
        ours, theirs = measure(sides, paths, arguments.rounds)
        few = paths[:: max(1, len(paths) // NUM_COMPARED)]
        difference = largest_difference(classifier, few, classifier.predict(few))
        workspace.close()
    rows = [
        [name, f"{len(paths) / side.wall:,.0f}", f"{side.wall:.1f}", f"{1_000 * side.cpu / len(paths):.1f}"]
        for name, side in (("SampleMind", ours), ("plain librosa loop", theirs))
    ]
    wall, cpu = ratio(ours, theirs)
    rows.append(["times as fast", f"{wall:.1f}", "", f"{cpu:.1f}"])
    print("\n" + table([f"{len(paths):,} files, decode to results", "files/s", "seconds", "CPU ms per file"], rows))
    print(f"\nLargest difference of an answer alone and in the batch: {difference:.1e}")
    print(f"Peak memory, training and librosa included: {peak_memory_mib():,.0f} MiB")


if __name__ == "__main__":
    main()
