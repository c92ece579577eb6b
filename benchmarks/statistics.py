"""Whether the statistics keep their promises: coverage of the intervals, false verdicts, and their speed.

    python -m benchmarks.statistics

Packs of clips pull both models and differ in how much they favour one of them; the true differences are
known, so it can be counted how often a 95 % interval holds them. False verdicts are counted between
models that are equally good.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.machine import machine_line
from samplemind_core.evaluation.comparison import compare_many
from samplemind_core.evaluation.resampling import SCORES, resample_scores

CLASSES = 6


def answer(targets: np.ndarray, accuracy: np.ndarray | float, rng: np.random.Generator) -> np.ndarray:
    """Return answers that are right with some probability and otherwise any other class."""
    right = rng.random(len(targets)) < accuracy
    return np.where(right, targets, (targets + rng.integers(1, CLASSES, len(targets))) % CLASSES)


def packs(num_packs: int, mean_size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the pack of each clip; packs differ in size."""
    return np.repeat(np.arange(num_packs), 1 + rng.poisson(mean_size - 1, num_packs))


def coverage(num_packs: int, mean_size: int, spread: float, repetitions: int, rng: np.random.Generator) -> list[float]:
    """Return how often the interval of each score's difference holds the truth."""
    hits = np.zeros(len(SCORES))
    base = (0.80, 0.86)
    for _ in range(repetitions):
        groups = packs(num_packs, mean_size, rng)
        targets = rng.integers(0, CLASSES, len(groups))
        # A symmetric pull within [0, 1]: each model's true accuracy stays its base.
        pull = spread * rng.choice([-1.0, 1.0], (2, num_packs))
        answers = np.stack([answer(targets, base[i] + pull[i, groups], rng) for i in (0, 1)])
        found = resample_scores(answers, targets, CLASSES, groups, resamples=1_000, seed=int(rng.integers(1 << 31)))
        for place, score in enumerate(SCORES):
            low, high = found.interval(score, 1, minus=0)
            hits[place] += low <= base[1] - base[0] <= high
    return (hits / repetitions).tolist()


def false_verdicts(num_models: int, num_packs: int, repetitions: int, rng: np.random.Generator) -> float:
    """Return how often one of several equally good models is called better or worse than the first."""
    told = 0
    for _ in range(repetitions):
        groups = packs(num_packs, 6, rng)
        targets = rng.integers(0, CLASSES, len(groups))
        pull = 0.12 * rng.choice([-1.0, 1.0], (num_models, num_packs))
        models = [
            (str(number), np.eye(CLASSES)[answer(targets, 0.85 + pull[number, groups], rng)])
            for number in range(num_models)
        ]
        told += any(one.verdict != "undecided" for one in compare_many(models, targets, groups=groups, resamples=1_000))
    return told / repetitions


def speed(num_clips: int, num_groups: int | None, rng: np.random.Generator) -> float:
    """Return the seconds of 10,000 resamples of two models, the fastest of five."""
    targets = rng.integers(0, CLASSES, num_clips)
    answers = np.stack([answer(targets, accuracy, rng) for accuracy in (0.9, 0.92)])
    groups = None if num_groups is None else rng.integers(0, num_groups, num_clips)
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        found = resample_scores(answers, targets, CLASSES, groups)
        for score in SCORES:
            found.interval(score, 1, minus=0)
        taken.append(time.perf_counter() - started)
    return min(taken)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    print(machine_line())
    print(f"\n95 % intervals of the difference, {arguments.repetitions} repetitions each\n")
    print("| packs | clips a pack | pull of a pack | " + " | ".join(name.replace("_", " ") for name in SCORES) + " |")
    print("|---:|---:|---:|---:|---:|---:|")
    for num_packs, size, spread in ((20, 10, 0.1), (40, 10, 0.0), (40, 10, 0.12), (100, 6, 0.12), (400, 2, 0.12)):
        shares = coverage(num_packs, size, spread, arguments.repetitions, rng)
        print(
            f"| {num_packs} | {size} | ±{spread:.0%} | " + " | ".join(f"{share:.1%}" for share in shares) + " |",
            flush=True,
        )
    print("\nfalse verdicts between equally good models\n\n| models | packs | told apart |\n|---:|---:|---:|")
    for num_models, num_packs in ((2, 40), (2, 100), (4, 100)):
        share = false_verdicts(num_models, num_packs, arguments.repetitions, rng)
        print(f"| {num_models} | {num_packs} | {share:.1%} |", flush=True)
    print("\n10,000 resamples of two models on 2,000 clips, three scores\n\n| sources | seconds |\n|---:|---:|")
    for num_groups in (None, 100, 500, 1_500):
        print(f"| {num_groups or 'each clip by itself'} | {speed(2_000, num_groups, rng):.2f} |")


if __name__ == "__main__":
    main()
