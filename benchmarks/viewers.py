"""How soon fifty viewers of one live run see an epoch, and what they cost the dashboard.

    python -m benchmarks.viewers
    python -m benchmarks.viewers --viewers 50 --epochs 20 --every 2

A dashboard is started as a person starts it, on a workspace of its own, and this process is the run's worker: it
stores an epoch every few seconds and its progress every second, as a real one does. Each viewer is a WebSocket as a
browser opens it (``static/live.js``). The delay is from the moment the epoch is stored to its arrival at a viewer.
"CPU" is the dashboard's share of one core: with nobody there, with all viewers on a run that has ended, and with all
of them on the live run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from websockets.asyncio.client import connect

from benchmarks.dashboard import dashboard
from benchmarks.machine import machine_line
from samplemind_core import server
from samplemind_core.config import RunConfig
from samplemind_core.store import Clip, Dataset, Epoch, Run
from samplemind_core.training import jobs
from samplemind_core.workspace import Workspace

CLASSES = ("kick", "snare", "hihat", "clap", "tom", "cymbal")
MEASURED_S = 10.0


@dataclass
class Delays:
    """When each epoch was stored, and how long after that it arrived, in seconds."""

    stored: dict[int, float] = field(default_factory=dict)
    arrived: list[float] = field(default_factory=list)


def make(workspace: Workspace) -> tuple[Run, Run]:
    """Store a live run that belongs to this process, and one that has ended."""
    now = time.time()
    clip = Clip(0, "a.wav", "kick", 0, "pack", "test", "hash", "a.wav")
    workspace.store.datasets.add(Dataset("d", "drums", "audio", CLASSES, 1, 0, "p", "benchmark", 0, now), [clip], [])
    config = RunConfig().model_dump(mode="json")
    live = Run("live", "live", "d", "running", config, "me", now, now, worker=jobs.identity())
    ended = Run("ended", "ended", "d", "finished", config, "me", now, now)
    for run in (live, ended):
        workspace.store.runs.add(run)
        for number in range(1, 21):
            workspace.store.runs.add_epoch(run.id, epoch(number))
    return live, ended


def epoch(number: int) -> Epoch:
    """Return an epoch as large as a real one."""
    health = {"verdict": "healthy", "title": "Healthy", "reason": "The gap is inside the noise.", "gap": 0.01,
              "probe_loss": 0.5, "probe_accuracy": 0.8, "val_loss_se": 0.02, "onset": None, "remedies": []}  # fmt: skip
    return Epoch(number, 1 / number, 1.2 / number, 0.8, 0.75, 1e-3, 1.0, 900.0, health, (0.5,) * len(CLASSES))


async def watch(base: str, run: Run, delays: Delays, ready: asyncio.Event, over: asyncio.Event) -> None:
    """Be one viewer until it is over."""
    async with connect(base + server.stream_url(run.id), max_size=None) as stream:
        await stream.recv()
        ready.set()
        while not over.is_set():
            try:
                message = json.loads(await asyncio.wait_for(stream.recv(), 0.5))
            except TimeoutError:
                continue
            now = time.time()
            for row in message.get("epochs", ()):
                if row["epoch"] in delays.stored:
                    delays.arrived.append(now - delays.stored[row["epoch"]])


async def with_viewers(base: str, run: Run, viewers: int, delays: Delays, meanwhile: object) -> None:
    """Open viewers of a run, do what is to be done meanwhile, and close them."""
    over = asyncio.Event()
    ready = [asyncio.Event() for _ in range(viewers)]
    tasks = [asyncio.create_task(watch(base, run, delays, one, over)) for one in ready]
    await asyncio.gather(*(one.wait() for one in ready))
    await meanwhile  # type: ignore[misc]
    over.set()
    await asyncio.gather(*tasks)


async def train(workspace: Workspace, run: Run, epochs: int, every_s: float, delays: Delays) -> None:
    """Store epochs and progress as a worker does."""
    for number in range(21, 21 + epochs):
        until = time.monotonic() + every_s
        step = 0
        while time.monotonic() < until:
            step += 1
            progress = {"epoch": number, "epochs": 400, "step": step, "steps": 10, "clips_per_s": 900.0, "eta_s": 99.0}
            await asyncio.to_thread(workspace.store.runs.heartbeat, run.id, jobs.identity(), progress=progress)
            await asyncio.sleep(min(1.0, max(0.0, until - time.monotonic())))
        await asyncio.to_thread(workspace.store.runs.add_epoch, run.id, epoch(number))
        delays.stored[number] = time.time()
    await asyncio.sleep(2.0)


def cpu_s(process: psutil.Process) -> float:
    """Return the processor time that a process and its children have taken, in seconds."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


async def measure(base: str, dashboard: psutil.Process, workspace: Workspace, options: argparse.Namespace) -> None:
    """Print what the viewers see and cost."""
    live, ended = make(workspace)
    print(f"{'':32} CPU of the dashboard")

    async def share(what: str, during: object) -> None:
        before, began = cpu_s(dashboard), time.perf_counter()
        await during  # type: ignore[misc]
        used = (cpu_s(dashboard) - before) / (time.perf_counter() - began)
        print(f"{what:32} {100 * used:5.1f} % of one core", flush=True)

    delays = Delays()
    await share("nobody there", asyncio.sleep(MEASURED_S))
    idle = share(f"{options.viewers} on a run that has ended", asyncio.sleep(MEASURED_S))
    await with_viewers(base, ended, options.viewers, Delays(), idle)
    going = share(f"{options.viewers} on the live run", train(workspace, live, options.epochs, options.every, delays))
    await with_viewers(base, live, options.viewers, delays, going)

    expected = options.viewers * options.epochs
    found = sorted(delays.arrived)
    print(f"{len(found):,} of {expected:,} arrivals", flush=True)
    if found:
        at = [statistics.median(found), found[int(0.95 * (len(found) - 1))], found[-1]]
        print("delay from the stored epoch to a viewer: median {:.2f} s, 95 % {:.2f} s, most {:.2f} s".format(*at))


def main() -> None:
    """Start a dashboard and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--every", type=float, default=2.0, help="seconds from epoch to epoch")
    options = parser.parse_args()
    print(machine_line())
    os.environ["SAMPLEMIND_KEY"] = secrets.token_hex(16)  # the viewers' tickets are signed here
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(folder)
        with dashboard(Path(folder)) as (port, pid):
            asyncio.run(measure(f"ws://127.0.0.1:{port}", psutil.Process(pid), workspace, options))
        workspace.close()


if __name__ == "__main__":
    main()
