"""Importing samples beside a plain librosa loop over the same files, in the same run.

Ours is a whole import: search, read, decode, hash, checks, copy, log-mel spectrograms, split,
database; its processes are ready (``--threads``: it has none). Theirs only loads 2 s at 22.05 kHz in
mono and computes the log-mel spectrogram, one file after the other. ``--memory N`` also imports N
files in a process of its own, which starts others if these are enough, and tells its seconds and peak memory.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf

from benchmarks.machine import machine_line, peak_memory_mib
from benchmarks.measure import in_turns, ratio, table
from samplemind_core.audio.decode import AUDIO_SUFFIXES
from samplemind_core.audio.listeners import listeners
from samplemind_core.config import USUAL_FEATURES
from samplemind_core.data.cache import cache_file
from samplemind_core.data.importer import import_dataset
from samplemind_core.store import Dataset, Store

CONFIG = USUAL_FEATURES


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="one-shots to import, searched deeply (made for this by default)")
    parser.add_argument("--files", type=int, default=600, help="how many of them (600)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of both sides (3)")
    parser.add_argument("--threads", action="store_true", help="without processes, as for few files")
    parser.add_argument(
        "--memory",
        type=int,
        default=0,
        help="also import so many files afresh, and tell what it takes",
    )
    parser.add_argument("--import-only", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.import_only:
        with tempfile.TemporaryDirectory(prefix="samplemind-speed-") as folder:
            store = Store(f"sqlite:///{folder}/samplemind.db")
            started = time.perf_counter()
            dataset = run_import(store, Path(folder), options.import_only, "set")
            seconds = time.perf_counter() - started
            store.close()
        print(f"{dataset.num_clips} {seconds} {peak_memory_mib():.0f}")
        return

    with tempfile.TemporaryDirectory(prefix="samplemind-speed-") as folder:
        source = Path(folder) / "source"
        if options.folder is None:
            make_one_shots(source, options.files)
        else:
            copy_some(options.folder, source, options.files)
        files = sorted(path for path in source.rglob("*") if path.is_file())
        root = Path(folder) / "workspace"
        store = Store(f"sqlite:///{root / 'samplemind.db'}")
        names = (f"set{number}" for number in range(1_000))
        sides = (lambda: run_import(store, root, source, next(names)), lambda: run_librosa(files))
        if not options.threads:
            listeners().start()
            listeners().wait()
        ours, theirs = in_turns(sides, options.rounds)
        store.close()
    wall, cpu = ratio(ours, theirs)
    print(f"{machine_line()}\n")
    print(
        table(
            (f"{len(files)} files", "files/s", "CPU ms per file"),
            [
                (name, f"{len(files) / times.wall:,.0f}", f"{1e3 * times.cpu / len(files):.2f}")
                for name, times in (("SampleMind: the whole import", ours), ("librosa loop, one process", theirs))
            ]
            + [("times as fast (median of the rounds)", f"{wall:.2f}", f"{cpu:.2f}")],
        )
    )
    if options.memory:
        print(f"\n{memory_of(options.memory)}")


def run_import(store: Store, root: Path, source: Path, name: str) -> Dataset:
    """Import into a workspace, spectrograms included."""
    dataset = import_dataset(store, root, source, name)
    assert cache_file(root, dataset.id, CONFIG).is_file()
    return dataset


def run_librosa(files: Sequence[Path]) -> None:
    """Do what a notebook does."""
    import librosa

    for file in files:
        waveform, _ = librosa.load(file, sr=CONFIG.sample_rate_hz, mono=True, duration=CONFIG.duration_s)
        waveform = librosa.util.fix_length(waveform, size=CONFIG.num_samples)
        power = librosa.feature.melspectrogram(y=waveform, sr=CONFIG.sample_rate_hz)
        librosa.power_to_db(power, ref=np.max)


def copy_some(folder: Path, target: Path, count: int) -> None:
    """Copy sounds from all over a folder into one folder per class, as their own folders name them."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    chosen = np.random.default_rng(0).permutation(len(found))[:count]
    for number in chosen:
        place = target / found[number].parent.name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(found[number], place / f"{number:06d}{found[number].suffix}")


def make_one_shots(target: Path, count: int, rate_hz: int = 44_100) -> None:
    """Write decaying tones in noise of 0.2 to 0.8 s, all different, in two classes."""
    for number in range(count):
        rng = np.random.default_rng(number)
        time_s = np.arange(round(rng.uniform(0.2, 0.8) * rate_hz)) / rate_hz
        tone = np.sin(2 * np.pi * rng.uniform(60, 6_000) * time_s) * np.exp(-time_s / 0.1)
        place = target / ("low", "high")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        sf.write(place / f"{number:06d}.wav", 0.6 * tone + rng.normal(0, 0.02, len(time_s)), rate_hz, subtype="PCM_16")


def memory_of(count: int) -> str:
    """Return the peak memory of importing so many files in a fresh process, as a sentence."""
    with tempfile.TemporaryDirectory(prefix="samplemind-speed-") as folder:
        make_one_shots(Path(folder), count)
        command = [sys.executable, "-m", "benchmarks.import_speed", "--import-only", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported, seconds, peak = done.stdout.split()
    return (
        f"Importing {int(imported):,} files takes {float(seconds):.1f} s in a process that has just started, "
        f"and at most {int(peak):,} MiB of it."
    )


if __name__ == "__main__":
    main()
