"""One uploaded file, warm, from its bytes to probabilities, beside the plain librosa way.

    python -m benchmarks.latency

Both sides use the same network on the same stereo 44.1 kHz WAV files of 0.3 to 2 s. The plain way is
``librosa.load``, ``librosa.feature.melspectrogram``, ``librosa.power_to_db`` and the network; ours also
says "none of these", the prediction set and the nearest training clips.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from benchmarks.machine import machine_line
from benchmarks.measure import table
from samplemind_core import Workspace, build_config
from samplemind_core.audio.synth import SAMPLE_RATE_HZ, voice
from samplemind_core.inference.classifier import Classifier


def upload(number: int) -> bytes:
    """Return a stereo WAV as somebody would drop it."""
    sound = voice(number % 6, number, seed=9).waveform
    buffer = io.BytesIO()
    sf.write(buffer, np.stack([sound, 0.9 * sound], axis=1), SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def plain(classifier: Classifier, content: bytes) -> np.ndarray:
    """Return probabilities the way a notebook would."""
    import librosa

    waveform, rate = librosa.load(io.BytesIO(content), sr=22_050, mono=True, duration=2.0)
    waveform = np.pad(waveform, (0, 44_100 - len(waveform)))
    mel = librosa.feature.melspectrogram(y=waveform, sr=rate, n_mels=128, pad_mode="constant")
    log_mel = librosa.power_to_db(mel, ref=np.max)
    with torch.inference_mode():
        return torch.softmax(classifier.model(torch.from_numpy(log_mel)[None, None]), dim=1).numpy()[0]


def milliseconds(work: Callable[[bytes], object], files: list[bytes]) -> float:
    """Return the median time of a file."""
    times = []
    for content in files:
        started = time.perf_counter()
        work(content)
        times.append(time.perf_counter() - started)
    return 1_000 * statistics.median(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(machine_line())
    files = [upload(number) for number in range(arguments.files)]
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder))
        workspace.make_demo(per_class=40)
        # One epoch: how good the network is plays no part in how fast it answers.
        run = workspace.train("demo", build_config("quick", {"epochs": 1}))
        classifier = workspace.classifier(run.id)
        sides = (lambda b: classifier.predict([("a.wav", b)]), lambda b: plain(classifier, b))
        for work in sides:
            milliseconds(work, files[:10])
        rounds = [[milliseconds(work, files) for work in sides] for _ in range(arguments.rounds)]
        workspace.close()
    ours, theirs = zip(*rounds, strict=True)
    rows = [
        ["SampleMind", f"{statistics.median(ours):.1f}", f"{min(ours):.1f}"],
        ["plain librosa", f"{statistics.median(theirs):.1f}", f"{min(theirs):.1f}"],
        ["times as fast", f"{statistics.median(b / a for a, b in rounds):.1f}", ""],
    ]
    print("\n" + table(["one file, bytes to probabilities", "median ms", "best round's median ms"], rows))


if __name__ == "__main__":
    main()
