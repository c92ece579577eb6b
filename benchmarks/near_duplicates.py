"""Near duplicates: copies planted among real one-shots, how many are found and how many are wrong.

    python -m benchmarks.near_duplicates --manifest PATH/MANIFEST.csv --group-column group

Every third clip gets one copy: resampled, 12 dB softer or louder, its tail or its attack cut, silence
put before it, encoded as MP3 at 128 kb/s, as FLAC at 16 bit. Packs are halved by the hash of their names:
whoever changes a threshold looks at the first half ("tune") only, and reports the second ("report").

A pair that was not planted is not thereby wrong: real collections hold real twins. It is verified
independently of the finder, at the files' own rate and without any whitening: the two must agree in the
first and in the second part of the sound separately, to ``--verify`` of correlation. Two hits of one drum
agree at first and lose their phase later. All such pairs are listed; precision is given twice: with
every unverified pair counted as wrong, and, as a lower bound, with every pair that was not planted
counted as wrong.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from benchmarks.machine import machine_line
from samplemind_core.data.near_duplicates import RATE_HZ, find_twins, outline

Floats = NDArray[np.float32]
KINDS = ("resampled", "gain", "tail cut", "attack cut", "silence before", "MP3 128 kb/s", "FLAC")


@dataclass(frozen=True)
class Sound:
    """A clip or a planted copy of one: file bytes decoded, at the file's own rate."""

    name: str
    original: int
    kind: str
    waveform: Floats
    rate_hz: int


def encoded(waveform: Floats, rate_hz: int, kind: str) -> tuple[Floats, int]:
    """Return what is left after a file format."""
    buffer = io.BytesIO()
    if kind == "FLAC":
        sf.write(buffer, np.clip(waveform, -1, 1), rate_hz, format="FLAC", subtype="PCM_16")
    else:
        if rate_hz not in (32_000, 44_100, 48_000):
            waveform, rate_hz = soxr.resample(waveform, rate_hz, 44_100), 44_100
        stereo = np.stack([waveform, waveform], axis=1)  # two channels: this quality is 128 kb/s of them
        sf.write(buffer, stereo, rate_hz, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT",
                 compression_level=0.65)  # fmt: skip
    buffer.seek(0)
    decoded, rate_hz = sf.read(buffer, dtype="float32", always_2d=True)
    return decoded.mean(axis=1), rate_hz


def copy_of(waveform: Floats, rate_hz: int, kind: str, rng: np.random.Generator) -> tuple[Floats, int]:
    """Return a copy of the given kind and its rate."""
    if kind == "resampled":
        to_hz = int(rng.choice([hz for hz in (16_000, 22_050, 32_000, 48_000, 96_000) if hz != rate_hz]))
        return soxr.resample(waveform, rate_hz, to_hz), to_hz
    if kind == "gain":
        return waveform * np.float32(10 ** (rng.choice([-12, 12]) / 20)), rate_hz
    if kind == "tail cut":
        cut = waveform[: int(len(waveform) * rng.uniform(0.4, 0.8))].copy()
        fade = min(len(cut), int(0.005 * rate_hz))
        cut[len(cut) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        return cut, rate_hz
    if kind == "attack cut":
        return waveform[min(int(rng.uniform(0.001, 0.01) * rate_hz), len(waveform) // 5) :], rate_hz
    if kind == "silence before":
        return np.concatenate([np.zeros(int(rng.uniform(0.01, 0.3) * rate_hz), np.float32), waveform]), rate_hz
    return encoded(waveform, rate_hz, kind)


def read_sounds(manifest: Path, group_column: str, limit: int | None) -> tuple[list[Sound], list[str]]:
    """Return clips with their planted copies, and the half of each: 'tune' or 'report'."""
    rng = np.random.default_rng(0)
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:limit]
    sounds, halves = [], []
    for number, row in enumerate(rows):
        waveform, rate_hz = sf.read(manifest.parent / row["path"], dtype="float32", always_2d=True)
        mono = waveform.mean(axis=1)
        half = ("tune", "report")[hashlib.sha256(row[group_column].encode()).digest()[0] % 2]
        name = f"{row['path']} ({row[group_column]})"
        sounds.append(Sound(name, number, "original", mono, rate_hz))
        halves.append(half)
        if number % 3 == 0:
            kind = KINDS[number // 3 % len(KINDS)]
            sounds.append(Sound(f"{name} {kind}", number, kind, *copy_of(mono, rate_hz, kind, rng)))
            halves.append(half)
    return sounds, halves


def verified(first: Sound, second: Sound, least: float) -> tuple[bool, float, float]:
    """Return whether two sounds agree in both parts, at their own rate, by plain correlation."""
    rate_hz = min(first.rate_hz, second.rate_hz)
    a, b = (
        sound.waveform if sound.rate_hz == rate_hz else soxr.resample(sound.waveform, sound.rate_hz, rate_hz)
        for sound in (first, second)
    )
    size = 1 << (len(a) + len(b)).bit_length()
    cross = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    lag = int(np.abs(cross).argmax())
    lag -= size if lag > size // 2 else 0
    a, b = a[max(lag, 0) :], b[max(-lag, 0) :]
    length = min(len(a), len(b))
    a, b = a[:length], b[:length]
    energy = np.cumsum(np.square(a, dtype=np.float64))
    middle = max(1, int(np.searchsorted(energy, 0.5 * energy[-1])))
    end = max(middle + 1, int(np.searchsorted(energy, 0.99 * energy[-1])))
    parts = [
        abs(float(a[part] @ b[part])) / max(float(np.linalg.norm(a[part]) * np.linalg.norm(b[part])), 1e-20)
        for part in (slice(0, middle), slice(middle, end))
    ]
    return min(parts) >= least, parts[0], parts[1]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--group-column", default="group")
    parser.add_argument("--verify", type=float, default=0.9)
    parser.add_argument("--limit", type=int, default=None, help="only the first clips")
    arguments = parser.parse_args()
    print(machine_line())
    sounds, halves = read_sounds(arguments.manifest, arguments.group_column, arguments.limit)
    began, cpu = time.perf_counter(), time.process_time()
    at_rate = [soxr.resample(one.waveform, one.rate_hz, RATE_HZ).astype(np.float32) for one in sounds]
    resampling, resampling_cpu = time.perf_counter() - began, time.process_time() - cpu
    began, cpu = time.perf_counter(), time.process_time()
    outlines = np.stack([outline(waveform) for waveform in at_rate])
    outlining_cpu = time.process_time() - cpu
    top_hz = np.array([0.45 * one.rate_hz for one in sounds])
    found = {(a, b): agreement for a, b, agreement in find_twins(outlines, at_rate.__getitem__, top_hz)}
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    thousand = len(sounds) / 1_000
    print(f"\n{len(sounds):,} clips, {sum(one.kind != 'original' for one in sounds):,} of them planted copies.")
    print(
        f"Per 1,000 clips: {seconds / thousand:.1f} s ({cpu / thousand:.1f} s of CPU; outlines "
        f"{outlining_cpu / thousand:.1f} s of it). Before that, resampling to {RATE_HZ:,} Hz: "
        f"{resampling / thousand:.1f} s ({resampling_cpu / thousand:.1f} s of CPU)."
    )
    planted = {(at - 1, at): one.kind for at, one in enumerate(sounds) if one.kind != "original"}
    same = {pair for pair in found if sounds[pair[0]].original == sounds[pair[1]].original}
    others = sorted(set(found) - same)
    checks = {pair: verified(sounds[pair[0]], sounds[pair[1]], arguments.verify) for pair in others}
    print(
        "\n| planted | " + " | ".join(f"{half}: found of planted" for half in ("tune", "report")) + " |\n|---|---|---|"
    )
    for kind in (*KINDS, "all"):
        cells = []
        for half in ("tune", "report"):
            mine = [pair for pair, name in planted.items() if kind in (name, "all") and halves[pair[1]] == half]
            hit = sum(pair in found for pair in mine)
            cells.append(f"{hit} of {len(mine)} ({hit / max(len(mine), 1):.1%})")
        print(f"| {kind} | " + " | ".join(cells) + " |")
    print("\n| precision | pairs | planted | others, verified | others, unverified | precision | lower bound |")
    print("|---|---|---|---|---|---|---|")
    for half in ("tune", "report"):
        mine = [pair for pair in found if half in (halves[pair[0]], halves[pair[1]])]
        kinds = Counter("planted" if p in same else "verified" if checks[p][0] else "unverified" for p in mine)
        total = max(len(mine), 1)
        print(
            f"| {half} | {len(mine)} | {kinds['planted']} | {kinds['verified']} | {kinds['unverified']} | "
            f"{1 - kinds['unverified'] / total:.1%} | {kinds['planted'] / total:.1%} |"
        )
    print("\nPairs that were not planted (correlation found; plain correlation of the first and the second part):")
    for a, b in others:
        if sounds[a].kind == sounds[b].kind == "original":
            good, first, second = checks[a, b]
            word = "verified  " if good else "UNVERIFIED"
            figures = f"{found[a, b].correlation:6.3f}  {first:.3f} {second:.3f}"
            print(f"  {word} {figures}  {sounds[a].name} = {sounds[b].name}")


if __name__ == "__main__":
    main()
