"""Two sides measured in turns, and a Markdown table of what came out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.machine import children_cpu_s


@dataclass
class Timings:
    """Seconds of each round: on the clock, and of this process and those that work for it, on all cores."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def add(self, work: Callable[[], object]) -> None:
        """Do the work and keep what it took."""
        wall, cpu = time.perf_counter(), time.process_time() + children_cpu_s()
        work()
        self.wall_s.append(time.perf_counter() - wall)
        self.cpu_s.append(time.process_time() + children_cpu_s() - cpu)

    @property
    def wall(self) -> float:
        """Median of the rounds, in seconds."""
        return statistics.median(self.wall_s)

    @property
    def cpu(self) -> float:
        """Median of the rounds, in CPU seconds."""
        return statistics.median(self.cpu_s)


def in_turns(sides: Sequence[Callable[[], object]], rounds: int) -> list[Timings]:
    """Run each side once unmeasured, then all sides in every round, so that other load meets them alike.

    The order turns with every round: whoever comes first finds a cooler machine.
    """
    timings = [Timings() for _ in sides]
    for work in sides:
        work()
    for number in range(rounds):
        for place in range(len(sides)):
            side = (place + number) % len(sides)
            timings[side].add(sides[side])
    return timings


def ratio(ours: Timings, theirs: Timings) -> tuple[float, float]:
    """Return how many times as fast ours is, by wall time and by CPU time: medians over the rounds' own ratios."""
    return (
        statistics.median(b / a for a, b in zip(ours.wall_s, theirs.wall_s, strict=True)),
        statistics.median(b / a for a, b in zip(ours.cpu_s, theirs.cpu_s, strict=True)),
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is text, the others are figures."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
