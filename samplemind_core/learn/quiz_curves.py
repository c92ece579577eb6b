"""Real curves for a quiz, trained once and stored: ``python -m samplemind_core.learn.quiz_curves`` trains them anew.

Each is a run of the product's trainer on made-up kits; its verdict is that of ``training.health``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samplemind_core.files import write_atomic

FILE = Path(__file__).with_name("quiz_curves.json")

RUNS: dict[str, tuple[tuple[str, ...], Mapping[str, Any]]] = {
    "overfitting": ((), {}),
    "underfitting": (("more",), {"train.lr": 4e-6, "train.epochs": 30, "model.width": 0.5}),
    "healthy": (("more", "augment", "decay"), {}),
}
"""Cures and further settings of each run, by the verdict that it is to end with."""


@dataclass(frozen=True)
class QuizCurve:
    """One run: ``rows`` with ``epoch train_loss val_loss train_accuracy val_accuracy``, and its last verdict.

    ``train_loss`` and ``train_accuracy`` are those of the verdicts: training clips measured as
    validation clips are.
    """

    verdict: str
    title: str
    reason: str
    rows: tuple[dict[str, float], ...]


def quiz_curves() -> list[QuizCurve]:
    """Return the stored runs, in a fixed order."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    return [QuizCurve(item["verdict"], item["title"], item["reason"], tuple(item["rows"])) for item in stored]


def train_quiz_curves() -> list[dict[str, Any]]:
    """Train every run of the quiz; takes about a minute on one core."""
    from samplemind_core.config import apply_changes
    from samplemind_core.learn.cures import curve_rows, lesson_config, lesson_data
    from samplemind_core.learn.practice import Practice

    found = []
    for cures, changes in RUNS.values():
        run = Practice(apply_changes(lesson_config(cures), changes), lesson_data(cures))
        while run.advance():
            pass
        health = run.history[-1].health
        rows = [
            {name: value if name == "epoch" else round(value, 4) for name, value in row.items()}
            for row in curve_rows(run.history)
        ]
        found.append({name: health[name] for name in ("verdict", "title", "reason")} | {"rows": rows})
    return found


if __name__ == "__main__":
    write_atomic(FILE, (json.dumps(train_quiz_curves(), indent=None, separators=(",", ":")) + "\n").encode())
