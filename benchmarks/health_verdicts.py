"""Are the verdicts on runs right? Runs with a known fault are trained, stored as curves, and judged.

    python -m benchmarks.health_verdicts --replay            judge the stored curves, in a second
    python -m benchmarks.health_verdicts --manifest FILE     train what is not stored yet, then judge

Which verdicts are right for a kind stands in ``health_kinds.KINDS`` and was set down first. A fault that was
built in need not show: a network may overfit less than meant. So each run is also asked about clips that
neither training nor the verdict sees, and a run counts only where those confirm what it was made to be.
Thresholds were chosen on runs with even seeds; those with odd seeds, which share no made-up clip with
them, are the report.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.health_kinds import KINDS, config_of, material
from benchmarks.machine import machine_line
from benchmarks.measure import table
from samplemind_core.config import RunConfig
from samplemind_core.training import health

FOLDER = Path(__file__).with_name("health_runs")
SEEDS = 4
CURVES = ("probe_loss", "probe_accuracy", "val_loss", "val_loss_se", "val_accuracy", "test_loss", "test_accuracy")
BETTER, WORSE, GAP, BY_HEART = 1.10, 1.15, 0.2, 0.97
"""A healthy run's test loss ends below 1.10 times its lowest, and its test accuracy within 20 points of its training
accuracy. An overfitting one's loss ends above 1.15 times its lowest, or it knows its training clips by heart, 97 %,
with such a gap."""
LEARNED = {"real": 0.6, "made-up": 0.75}
"""Test accuracy from which a run has learned its task; one that has not, or is spoilt, ends below."""


@dataclass(frozen=True)
class StoredRun:
    """The curves of one run and what the verdict may know of it."""

    kind: str
    variant: str
    seed: int
    num_probe: int
    num_val: int
    class_shares: tuple[float, ...]
    total_epochs: int
    twin_share: float
    curves: dict[str, list[float]]

    @property
    def half(self) -> str:
        """Which half of the study it belongs to."""
        return "report" if self.seed % 2 else "develop"

    @property
    def confirmed(self) -> bool:
        """Whether clips that nobody saw confirm what it was made to be."""
        loss = smoothed(self.curves["test_loss"])
        accuracy = median(self.curves["test_accuracy"][-3:])
        learned = accuracy >= LEARNED["real" if "real" in self.variant else "made-up"]
        known = median(self.curves["probe_accuracy"][-3:])
        gap = known - accuracy
        if self.kind == "healthy":
            return learned and loss[-1] <= BETTER * min(loss) and gap < GAP
        if self.kind.startswith("overfit"):
            return loss[-1] >= WORSE * min(loss) or (known >= BY_HEART and gap >= GAP)
        if self.kind in {"underfit", "rate too low", "rate too high"}:
            return not learned
        return True  # wrong by construction

    def verdict(self, epoch: int | None = None) -> health.Verdict:
        """Return what the product says after an epoch; after the last one if None."""
        names = ("probe_loss", "probe_accuracy", "val_loss", "val_loss_se", "val_accuracy")
        columns = [self.curves[name][:epoch] for name in names]
        points = [health.Point(number, *row) for number, row in enumerate(zip(*columns, strict=True), start=1)]
        return health.assess(
            points,
            num_probe=self.num_probe,
            num_val=self.num_val,
            class_shares=self.class_shares,
            total_epochs=self.total_epochs,
            twin_share=self.twin_share,
        )


def smoothed(values: Sequence[float]) -> list[float]:
    """Return each value's median with its neighbours: the study may look ahead."""
    return [median(values[max(0, i - 1) : i + 2]) for i in range(len(values))]


# -- training --------------------------------------------------------------------------------------


def train(kind: str, variant: str, seed: int, manifest: Path | None) -> StoredRun:
    """Train a run with the product's trainer, step by step, and keep what each epoch measured."""
    import torch

    from samplemind_core.errors import NonFiniteLossError
    from samplemind_core.learn.practice import Practice, lesson_turn
    from samplemind_core.training.twins import twin_share

    source, changes = KINDS[kind].variants[variant]
    given = material(source, seed, manifest)
    config: RunConfig = config_of(changes, seed)
    run = Practice(config, given.data)
    test_rows = torch.from_numpy(given.test_rows)
    tested: list[tuple[float, float]] = []
    going = True
    while going:
        try:
            going = run.advance()
        except NonFiniteLossError:
            going = False  # the product fails such a run with words of its own; what it said before counts here
        if len(run.history) > len(tested):
            with lesson_turn():
                judged = run._judge(test_rows)
            tested.append((judged.losses.mean().item(), judged.correct.double().mean().item()))
    history = run.history
    columns = {
        "probe_loss": [epoch.health["probe_loss"] for epoch in history],
        "probe_accuracy": [epoch.health["probe_accuracy"] for epoch in history],
        "val_loss": [epoch.val_loss for epoch in history],
        "val_loss_se": [epoch.health["val_loss_se"] for epoch in history],
        "val_accuracy": [epoch.val_accuracy for epoch in history],
        "test_loss": [loss for loss, _ in tested],
        "test_accuracy": [accuracy for _, accuracy in tested],
    }
    data = given.data
    counts = Counter(data.targets[data.val_rows].tolist())
    return StoredRun(
        kind,
        variant,
        seed,
        num_probe=len(run.probe_rows),
        num_val=len(data.val_rows),
        class_shares=tuple(round(counts[target] / len(data.val_rows), 4) for target in range(len(data.class_names))),
        total_epochs=config.train.epochs,
        twin_share=round(twin_share(data.log_mel, data.train_rows, data.val_rows), 4),
        curves={name: [float(f"{value:.4g}") for value in values] for name, values in columns.items()},
    )


def planned(kinds: Collection[str], with_real: bool) -> Iterator[tuple[str, str, int]]:
    """Yield every run of the study, all kinds of one seed before the next."""
    for seed in range(SEEDS):
        for kind, recipe in KINDS.items():
            if kind not in kinds:
                continue
            for variant, (source, _) in recipe.variants.items():
                if with_real or not source.startswith("real"):
                    yield kind, variant, seed


def collect(kinds: Collection[str], manifest: Path | None, minutes: float) -> None:
    """Train runs that are not stored yet, for so long."""
    deadline = time.monotonic() + 60 * minutes
    known = {(run.kind, run.variant, run.seed) for run in stored()}
    for key in planned(kinds, manifest is not None):
        if key in known:
            continue
        if time.monotonic() > deadline:
            print("Time is up; call again to go on.")
            return
        started = time.monotonic()
        run = train(*key, manifest)
        with (FOLDER / f"{run.kind.replace(' ', '_')}.jsonl").open("a") as file:
            file.write(json.dumps(vars(run), separators=(",", ":")) + "\n")
        print(*key, f"{time.monotonic() - started:.1f} s", "confirmed" if run.confirmed else "unconfirmed", flush=True)


def stored() -> list[StoredRun]:
    """Return the stored runs."""
    lines = [line for file in sorted(FOLDER.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return [StoredRun(**json.loads(line)) for line in lines]


# -- judging ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """How many last verdicts are right, and how many healthy runs are told that they are not."""

    num_runs: int
    right: int
    healthy_runs: int
    false_alarms: int


def score(runs: Sequence[StoredRun]) -> Score:
    """Judge confirmed runs by their last verdict."""
    judged = [(run, run.verdict().verdict) for run in runs if run.confirmed]
    healthy = [said for run, said in judged if run.kind == "healthy"]
    right = sum(said in KINDS[run.kind].accepted for run, said in judged)
    return Score(len(judged), right, len(healthy), sum(said != "healthy" for said in healthy))


def report(runs: Sequence[StoredRun]) -> str:
    """Return the confusion table and the scores of both halves."""
    lines = []
    for half in ("develop", "report"):
        part = [run for run in runs if run.half == half]
        found = score(part)
        epochs = [
            run.verdict(epoch).verdict
            for run in part
            if run.kind == "healthy" and run.confirmed
            for epoch in range(health.MIN_EPOCHS, len(run.curves["val_loss"]) + 1)
        ]
        alarms = sum(said != "healthy" for said in epochs)
        lines.append(
            f"{half}: {found.right} of {found.num_runs} right ({found.right / max(1, found.num_runs):.1%}); "
            f"{found.false_alarms} of {found.healthy_runs} healthy runs end with a false alarm, which also stands in "
            f"{alarms} of {len(epochs)} of their epochs"
        )
    header = ("made to be", "runs", "unconfirmed", *health.TITLES.values(), "right")
    for half in ("develop", "report"):
        rows = []
        for kind, recipe in KINDS.items():
            part = [run for run in runs if run.kind == kind and run.half == half]
            judged = Counter(run.verdict().verdict for run in part if run.confirmed)
            right = sum(judged[name] for name in recipe.accepted)
            cells = (f"{judged[name] or ''}" for name in health.TITLES)
            counts = (str(judged.total()), str(len(part) - judged.total()))
            rows.append((kind, *counts, *cells, f"{right / max(1, judged.total()):.0%}"))
        lines += ["", half, "", table(header, rows)]
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replay", action="store_true", help="judge the stored curves only")
    parser.add_argument("--manifest", type=Path, help="CSV of real one-shots with the columns path, label and fold")
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), help="train these only")
    parser.add_argument("--minutes", type=float, default=1e9, help="train for so long at most")
    parser.add_argument("--wrong", action="store_true", help="name every run that is judged wrongly")
    options = parser.parse_args()
    print(machine_line())
    if not options.replay:
        collect(options.kinds or KINDS, options.manifest, options.minutes)
    runs = stored()
    print(report(runs))
    for run in runs if options.wrong else ():
        said = run.verdict()
        if run.confirmed and said.verdict not in KINDS[run.kind].accepted:
            print(f"\n{run.half}: {run.kind}, {run.variant}, seed {run.seed}: {said.title}. {said.reason}")


if __name__ == "__main__":
    main()
