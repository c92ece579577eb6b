"""Labels that can be guessed without listening: how often the probe of several labels is wrong, and what it finds.

    python -m benchmarks.label_shortcuts

Made-up facts of packs that each have their own ways. Either no fact knows a label, or one label is tied
to a fact; a verdict other than "none" is a false alarm in the first case, and in the second the label
has to be named, with its fact.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from benchmarks.machine import machine_line
from samplemind_core.data.label_shortcuts import probe_label_shortcuts

FACTS = ("length", "silence at the start", "silence at the end", "peak level", "sample rate", "bit depth", "channels",
         "encoding", "DC offset")  # fmt: skip
LENGTH, RATE = FACTS.index("length"), FACTS.index("sample rate")
SIZES = ((150, 15, 5), (600, 30, 5), (600, 30, 20))
PREVALENCE, TIED = 0.25, 1
World = tuple[np.ndarray, np.ndarray, np.ndarray]
Tie = Callable[[np.ndarray, np.ndarray, np.random.Generator], None]


def world(num_clips: int, num_packs: int, num_labels: int, by_pack: bool, rng: np.random.Generator) -> World:
    """Return facts (N, F), which clip has which label (N, C) and packs (N,) that know nothing of each other."""
    groups = np.arange(num_clips) % num_packs
    habits = rng.normal(0, 1, (num_packs, len(FACTS)))
    facts = habits[groups] + rng.normal(0, 0.3, (num_clips, len(FACTS)))
    facts[:, RATE] = rng.choice([44_100, 48_000], num_packs)[groups]
    truth = (rng.random((num_packs, num_labels)) < PREVALENCE)[groups] if by_pack else None
    return facts, rng.random((num_clips, num_labels)) < PREVALENCE if truth is None else truth, groups


def rate(facts: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> None:
    """Tie a label to a sample rate, but for one clip in ten."""
    facts[:, RATE] = np.where(truth[:, TIED] ^ (rng.random(len(truth)) < 0.1), 48_000, 44_100)


def length(facts: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> None:
    """Make clips with a label longer by two standard deviations."""
    facts[:, LENGTH] = 2.0 * truth[:, TIED] + rng.normal(0, 1, len(truth))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=100, help="Made-up sets of each kind and size.")
    arguments = parser.parse_args()
    began = time.perf_counter()
    print(f"{machine_line()}\n\n| clips | packs | labels | false alarms, labels by clip | by pack "
          "| found: sample rate | found: length |\n|" + "---:|" * 7)  # fmt: skip
    for size in SIZES:
        cells = []
        for by_pack, tie, fact in ((False, None, ""), (True, None, ""), (False, rate, "sample rate"),
                                   (False, length, "length")):  # fmt: skip
            hits = asked = 0
            for seed in range(arguments.sets):
                rng = np.random.default_rng(seed)
                facts, truth, groups = world(*size, by_pack, rng)
                if tie is not None:
                    tie(facts, truth, rng)
                names = [str(place) for place in range(size[2])]
                found = probe_label_shortcuts(FACTS, facts, names, truth, groups, permutations=39, seed=seed)
                if found is not None:
                    asked += 1
                    told = {(guess.label, guess.fact) for guess in found.labels if guess.told}
                    hits += found.verdict != "none" if tie is None else (str(TIED), fact) in told
            cells.append(f"{hits} of {asked}")
        print(f"| {' | '.join([*(f'{number:,}' for number in size), *cells])} |", flush=True)
    print(f"\n{time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
