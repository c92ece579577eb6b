"""From a WAV file to its log-mel spectrogram: our front end beside a plain librosa loop.

Ours is what fills the feature cache: files are decoded by two threads, a batch ahead, and
transformed by batches. Theirs is the usual loop, one file after the other.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import librosa
import numpy as np
import soundfile as sf
import torch
from numpy.typing import NDArray

from benchmarks.machine import machine_line
from benchmarks.measure import in_turns, ratio, table
from samplemind_core.audio.decode import decode
from samplemind_core.audio.features import LogMel
from samplemind_core.audio.window import fit_window
from samplemind_core.config import FeatureConfig

CONFIG = FeatureConfig()
BATCH = 64
THREADS = 2


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=128, help="WAV files of 2 s that are made for this (128)")
    parser.add_argument("--rate", type=int, default=44_100, help="their sample rate, in Hz (44100)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of both sides (5)")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder), options.files, options.rate)
        front_end = LogMel(CONFIG)
        ours, theirs = in_turns((lambda: run_ours(files, front_end), lambda: run_librosa(files)), options.rounds)
        transform_db, whole_db = differences(files, front_end)

    wall, cpu = ratio(ours, theirs)
    print(f"{machine_line()}; librosa {librosa.__version__}\n")
    print(
        table(
            (f"{len(files)} files of 2 s at {options.rate:,} Hz", "files/s", "CPU ms per file"),
            [
                (name, f"{len(files) / times.wall:,.0f}", f"{1e3 * times.cpu / len(files):.2f}")
                for name, times in (("SampleMind: decode and LogMel", ours), ("librosa, one process", theirs))
            ]
            + [("times as fast (median of the rounds)", f"{wall:.2f}", f"{cpu:.2f}")],
        )
    )
    print(
        f"\nLargest difference of the log-mel on the same waveform: {transform_db:.1e} dB; "
        f"from the file: {whole_db:.1e} dB."
    )


def make_files(folder: Path, count: int, rate_hz: int) -> list[Path]:
    """Write decaying tones in noise, all different: (2 s, mono, 16 bit)."""
    time_s = np.arange(2 * rate_hz) / rate_hz
    files = []
    for number in range(count):
        rng = np.random.default_rng(number)
        tone = np.sin(2 * np.pi * rng.uniform(60, 6_000) * time_s) * np.exp(-time_s / rng.uniform(0.05, 0.8))
        files.append(folder / f"{number:05d}.wav")
        sf.write(files[-1], 0.6 * tone + rng.normal(0, 0.02, time_s.shape), rate_hz, subtype="PCM_16")
    return files


def run_ours(files: Sequence[Path], front_end: LogMel) -> NDArray[np.float32]:
    """Return log-mel spectrograms (N, n_mels, frames)."""
    parts = []
    with ThreadPoolExecutor(THREADS) as pool, torch.inference_mode():
        ahead = [pool.submit(_window, file) for file in files[:BATCH]]
        for start in range(0, len(files), BATCH):
            batch = ahead
            ahead = [pool.submit(_window, file) for file in files[start + BATCH : start + 2 * BATCH]]
            windows = np.stack([future.result() for future in batch])
            parts.append(front_end(torch.from_numpy(windows))[:, 0].numpy())
    return np.concatenate(parts)


def run_librosa(files: Sequence[Path]) -> NDArray[np.float32]:
    """Return log-mel spectrograms (N, n_mels, frames)."""
    return np.stack([_librosa_log_mel(_librosa_waveform(file)) for file in files])


def differences(files: Sequence[Path], front_end: LogMel) -> tuple[float, float]:
    """Return the largest difference in dB from the same waveform, and from the same file."""
    some = files[:32]
    ours = run_ours(some, front_end)
    same = np.stack([_librosa_log_mel(_window(file)) for file in some])
    return float(np.abs(ours - same).max()), float(np.abs(ours - run_librosa(some)).max())


def _window(file: Path) -> NDArray[np.float32]:
    return fit_window(decode(file, CONFIG.sample_rate_hz).waveform, CONFIG)[0]


def _librosa_waveform(file: Path) -> NDArray[np.float32]:
    waveform, _ = librosa.load(file, sr=CONFIG.sample_rate_hz, mono=True, duration=CONFIG.duration_s)
    return librosa.util.fix_length(waveform, size=CONFIG.num_samples)


def _librosa_log_mel(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    power = librosa.feature.melspectrogram(
        y=waveform, sr=CONFIG.sample_rate_hz, n_fft=CONFIG.n_fft, hop_length=CONFIG.hop_length, n_mels=CONFIG.n_mels
    )
    return librosa.power_to_db(power, ref=np.max, top_db=CONFIG.top_db)


if __name__ == "__main__":
    main()
