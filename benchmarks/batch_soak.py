"""A batch whose worker is killed again and again: each file is answered exactly once, in bounded memory.

    python -m benchmarks.batch_soak --files 2000 --kills 10

Short synthesised files are classified by a real worker process that gets SIGKILL at random moments and
is started anew each time. Needs Linux, which tells a process's peak memory in ``/proc``.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile as sf

from benchmarks.machine import machine_line
from benchmarks.measure import table
from samplemind_core import Workspace, build_config
from samplemind_core.batches.work import submit_batch
from samplemind_core.settings import Settings

POLL_S = 0.05
STUCK_S = 600.0
RATE_HZ = 22_050
PER_FOLDER = 1_000


def write_sounds(folder: Path, count: int) -> None:
    """Write bursts of noise of 30 to 80 ms, no two alike."""
    for number in range(count):
        rng = np.random.default_rng(number)
        length = int(rng.integers(650, 1_750))
        burst = rng.normal(0.0, 0.2, length) * np.exp(-np.arange(length) / rng.uniform(60.0, 600.0))
        path = folder / f"{number // PER_FOLDER:03d}" / f"{number:06d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, burst, RATE_HZ, subtype="PCM_16")


def peak_mib(pid: int) -> float:
    """Return the largest resident size of a process so far in MiB; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def start_worker(root: Path) -> subprocess.Popen[bytes]:
    """Start the process that does tasks, as a dashboard would."""
    environment = os.environ | {"SAMPLEMIND_WORKSPACE": str(root), "SAMPLEMIND_WORKER": "external"}
    return subprocess.Popen([sys.executable, "-m", "samplemind_core.tasks.worker"], env=environment)


def life(workspace: Workspace, batch_id: str, task_id: str, kill_at: int | None, late_s: float) -> list[str]:
    """Let a worker live until it has answered ``kill_at`` files and a moment more, or is done; return a table row."""
    answers = workspace.store.answers
    before, started, peak = answers.count(batch_id), time.monotonic(), 0.0
    worker = start_worker(workspace.root)
    try:
        while worker.poll() is None:
            if time.monotonic() - started > STUCK_S and answers.count(batch_id) == before:
                raise SystemExit(f"No file was answered in {STUCK_S:.0f} s.")
            peak = max(peak, peak_mib(worker.pid))
            if kill_at is not None and answers.count(batch_id) >= max(kill_at, before + 1):
                time.sleep(late_s)
                break
            time.sleep(POLL_S)
        peak = max(peak, peak_mib(worker.pid))
    finally:
        worker.kill()
        worker.wait()
    deadline = time.monotonic() + 120
    while workspace.tasks.get(task_id).status == "running":  # until the death is noticed
        if time.monotonic() > deadline:
            raise SystemExit("The worker's death was not noticed.")
        workspace.tend(now=True)
        time.sleep(POLL_S)
    after = answers.count(batch_id)
    status = workspace.tasks.get(task_id).status
    return [status, f"{before:,}", f"{after:,}", f"{time.monotonic() - started:.1f}", f"{peak:,.0f}"]


def main() -> None:
    """Print a row for each worker and whether every file was answered once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2_000, help="100000 takes some minutes and 500 MB")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(machine_line(), flush=True)
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        sounds = Path(scratch) / "sounds"
        write_sounds(sounds, arguments.files)
        settings = Settings(workspace=Path(scratch) / "workspace", database_url=None, worker="external")
        workspace = Workspace(settings)
        workspace.make_demo(per_class=20)
        run = workspace.train("demo", build_config("quick", {"epochs": 1}))
        workspace.classifier(run.id)  # measures how far it can be trusted, once
        batch = submit_batch(workspace, run.id, kind="folder", origin=str(sounds))
        task_id = batch.task_id or ""
        places = sorted(chance.randrange(arguments.files) for _ in range(arguments.kills))
        rows = []
        for kill_at in [*places, None]:
            rows.append(life(workspace, batch.id, task_id, kill_at, chance.uniform(0.0, 0.3)))
            print(*rows[-1], flush=True)
            if workspace.tasks.get(task_id).status == "done":
                break
            if workspace.tasks.get(task_id).status != "queued":  # killed before it had taken the task
                workspace.tasks.resume(task_id)
        heard = Counter(answer.file for answer in workspace.store.answers.iterate(batch.id))
        positions = [answer.position for answer in workspace.store.answers.iterate(batch.id)]
        wanted = {path.relative_to(sounds).as_posix() for path in sounds.rglob("*.wav")}
        done = workspace.tasks.get(task_id).status == "done"
        workspace.close()
    once = done and set(heard) == wanted and set(heard.values()) == {1} and positions == list(range(len(wanted)))
    print("\n" + table(["worker", "files before", "files after", "seconds", "peak MiB"], rows))
    verdict = "each exactly once" if once else "NOT each exactly once"
    print(f"\n{len(wanted):,} files, {len(rows) - 1} kills: {verdict}.")
    raise SystemExit(not once)


if __name__ == "__main__":
    main()
