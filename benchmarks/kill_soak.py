"""Runs whose worker is killed again and again: each ends as if nothing had happened, bit for bit.

    python -m benchmarks.kill_soak --kills 10

A run is trained undisturbed. Then runs of the same settings lose their workers to SIGKILL: at any time,
while spectrograms are computed, while a checkpoint is half written, while predictions are made. The product
notices each death and the run is resumed, until it ends. Then its weights, epochs and predictions must equal
those of the undisturbed one, every file must be readable, and no process may be left. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from benchmarks.machine import machine_line
from benchmarks.measure import table
from samplemind_core import Workspace, build_config
from samplemind_core.config import RunConfig
from samplemind_core.settings import Settings
from samplemind_core.store import Run
from samplemind_core.store.records import ACTIVE, RESUMABLE

SETTINGS = {"n_mels": 32, "duration_s": 0.5, "width": 0.5, "batch_size": 8, "epochs": 30, "save_every": 3,
            "device": "cpu"}  # fmt: skip
KILLS_PER_RUN = 5
MOMENTS = ("any time", "spectrograms", "writing a checkpoint", "predictions")
STUCK_S = 600.0
TICK_S = 0.001
GONE = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


@dataclass
class Soak:
    """A workspace, what an undisturbed run left, and what was found so far."""

    workspace: Workspace
    chance: random.Random
    life_s: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def worker(self) -> psutil.Process | None:
        """Return the process that trains in this workspace, if there is one."""
        for child in psutil.Process().children():
            try:
                if "samplemind_core.training.worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                    return child
            except psutil.NoSuchProcess:
                continue
        return None

    def status(self, run: Run) -> str:
        """Let the product notice deaths, and return how a run stands."""
        self.workspace.tend(now=True)
        return self.workspace.run(run.id).status

    def until(self, condition: Callable[[], bool], what: str, tick_s: float = 0.02) -> None:
        """Wait for something."""
        deadline = time.monotonic() + STUCK_S
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"Waited {STUCK_S:.0f} s: {what}")
            time.sleep(tick_s)


def alive(process: psutil.Process) -> bool:
    """Return whether a process still does something."""
    try:
        return process.status() not in GONE
    except psutil.NoSuchProcess:
        return False


def disturb(soak: Soak, run: Run, moment: str) -> int | None:
    """Wait for a worker and a moment of its life, kill it and return its pid; None if the run ended before."""
    soak.until(lambda: soak.status(run) == "finished" or soak.worker() is not None, "no worker came")
    worker = soak.worker()
    if worker is None or soak.status(run) == "finished":
        return None
    folder = soak.workspace.root / "runs" / run.id
    cache = soak.workspace.root / "datasets" / run.dataset_id / "cache"
    patterns = {
        "spectrograms": (cache, ".*.part"),
        "writing a checkpoint": (folder / "checkpoints", ".*.part"),
        "predictions": (folder / "predictions", "*"),
    }
    skip = soak.chance.uniform(0, soak.life_s)
    started = time.monotonic()
    while alive(worker):
        lived = time.monotonic() - started
        if moment == "any time":
            if lived > skip:
                break
        else:
            place, pattern = patterns[moment]
            # Not always the first one: let it live a part of its life, then strike at the next sight.
            late = lived > (skip / 2 if moment == "writing a checkpoint" else 0.0)
            if late and place.exists() and next(place.glob(pattern), None) is not None:
                break
        time.sleep(TICK_S)
    try:
        os.kill(worker.pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    soak.until(lambda: soak.worker() != worker, "the killed worker is still there")
    soak.kills[moment] += 1
    return worker.pid


def live(soak: Soak, config: RunConfig, name: str, moments: list[str]) -> Run:
    """Train a run through a number of deaths, to its end."""
    workspace = soak.workspace
    run = workspace.submit("demo", config, name=name, start=False)
    for moment in moments:
        if moment == "spectrograms":  # make them anew, to have something to disturb
            for file in (workspace.root / "datasets").glob("*/cache/*.npy"):
                file.unlink()
        killed = disturb(soak, run, moment)
        if killed is None:
            break

        def noticed(killed: int = killed) -> bool:
            now = workspace.run(run.id)
            return soak.status(run) not in ACTIVE or (now.worker or {}).get("pid") != killed

        soak.until(noticed, "the death was not noticed", 0.05)
        if soak.status(run) in RESUMABLE:
            if workspace.run(run.id).status != "interrupted":
                soak.faults.append(f"{name} ended otherwise: {workspace.run(run.id).end_reason}")
            workspace.store.runs.requeue(run.id, RESUMABLE)
    soak.until(lambda: soak.status(run) not in {"queued", *ACTIVE}, "the run does not end", 0.1)
    return workspace.run(run.id)


def compare(soak: Soak, run: Run, whole: Run) -> None:
    """Note whatever a disturbed run does not have in common with the undisturbed one."""
    import torch
    from safetensors.torch import load_file

    workspace, faults = soak.workspace, soak.faults
    if run.status != "finished":
        faults.append(f"{run.name} is {run.status}: {run.end_reason}")
        return

    def measured(of: Run) -> list[tuple[object, ...]]:
        rows = workspace.epochs(of.id)
        return [(row.epoch, row.train_loss, row.val_loss, row.val_accuracy, row.lr, row.recall) for row in rows]

    if measured(run) != measured(whole):
        faults.append(f"{run.name} has other epochs")
    kinds = {(kept.kind, kept.epoch) for kept in workspace.checkpoints(whole.id)}
    if {(kept.kind, kept.epoch) for kept in workspace.checkpoints(run.id)} != kinds:
        faults.append(f"{run.name} has other checkpoints")
    theirs = {kept.path.rpartition("/")[2]: kept for kept in workspace.checkpoints(whole.id)}
    for kept in workspace.checkpoints(run.id):
        file = kept.path.rpartition("/")[2]
        a, b = load_file(workspace.root / kept.path), load_file(workspace.root / theirs[file].path)
        if a.keys() != b.keys() or not all(torch.equal(tensor, b[name]) for name, tensor in a.items()):
            faults.append(f"{run.name}: {file} has other weights")
        for split in ("val", "test") if kept.kind in {"best", "last"} else ():
            mine = workspace.store.runs.prediction(kept, run.dataset_id, split)
            other = workspace.store.runs.prediction(theirs[file], run.dataset_id, split)
            if mine is None or other is None:
                faults.append(f"{run.name}: {file} left no predictions of {split}")
                continue
            with np.load(workspace.root / mine.path) as one, np.load(workspace.root / other.path) as two:
                if any(not np.array_equal(one[name], two[name]) for name in two.files):
                    faults.append(f"{run.name}: {file} predicts something else on {split}")
    left = [file.name for file in workspace.root.rglob(".*.part")]
    if left:
        faults.append(f"{run.name} left {', '.join(left)}")


def main() -> None:
    """Print how often workers were killed, where, and what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(machine_line(), flush=True)
    config = build_config("quick", SETTINGS)
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(Settings(workspace=Path(scratch) / "workspace", database_url=None, lease_s=3))
        workspace.make_demo(per_class=24, name="demo")
        soak = Soak(workspace, random.Random(options.seed))
        started = time.monotonic()
        whole = live(soak, config, "whole", [])
        soak.life_s = time.monotonic() - started
        print(
            f"undisturbed: {whole.status} in {soak.life_s:.1f} s, {len(workspace.epochs(whole.id))} epochs", flush=True
        )
        soak.until(lambda: soak.worker() is None, "the worker stays")
        rows, number = [], 0
        while soak.kills.total() < options.kills:
            number += 1
            count = min(KILLS_PER_RUN, options.kills - soak.kills.total())
            moments = [soak.chance.choice(MOMENTS) for _ in range(count)]
            before, started = soak.kills.total(), time.monotonic()
            run = live(soak, config, f"disturbed {number}", moments)
            soak.until(lambda: soak.worker() is None, "the worker stays")
            compare(soak, run, whole)
            killed = soak.kills.total() - before
            rows.append((run.name, str(killed), run.status, f"{time.monotonic() - started:.1f}"))
            print(*rows[-1], "; ".join(soak.faults), flush=True)
        workspace.close()
        with closing(sqlite3.connect(workspace.root / "samplemind.db")) as connection:
            (sound,) = connection.execute("pragma integrity_check").fetchone()
        if sound != "ok":
            soak.faults.append(f"the database says {sound}")
    orphans = psutil.Process().children(recursive=True)
    soak.faults += [f"a process is left: {child}" for child in orphans]
    print("\n" + table(("run", "kills", "status", "seconds"), rows))
    places = ", ".join(f"{count} at {moment}" for moment, count in soak.kills.most_common())
    print(
        f"\n{soak.kills.total()} kills ({places}); {len(rows)} runs. "
        + ("; ".join(soak.faults) or "All as undisturbed.")
    )
    raise SystemExit(bool(soak.faults))


if __name__ == "__main__":
    main()
