"""One of the processes that train a run together: ``python -m samplemind_core.training.rank FOLDER``, by torchrun.

What to do stands in the folder (:mod:`samplemind_core.training.handover`).
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import psutil
import torch
from torch import distributed as dist

from samplemind_core.training.clip_record import ClipRecord
from samplemind_core.training.distributed import Ranks
from samplemind_core.training.handover import Job, Teller, log_name, read_job, write_trouble
from samplemind_core.training.observer import Silent
from samplemind_core.training.trainer import Trainer

PATIENCE = timedelta(hours=1)
"""How long a process waits for the others: while one writes a large checkpoint, or reads a large dataset."""
PARENT_EVERY_S = 0.5


def main(arguments: list[str]) -> int:
    """Train; return the process's exit code."""
    place = Path(arguments[0])
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    with (place / log_name(rank)).open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    job, parent = read_job(place)
    threading.Thread(target=_end_with, args=(parent, place), name="parent", daemon=True).start()
    try:
        device = torch.device(job.device)
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        else:
            torch.set_num_threads(job.threads)
        if loopback := _loopback():
            os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=(place / "processes").as_uri(),
            rank=rank,
            world_size=size,
            timeout=PATIENCE,
        )
        fit(job, place, Ranks(device))
        dist.destroy_process_group()
    except BaseException as error:
        if _is_there(parent):  # or nobody reads it, and the folder is gone
            write_trouble(place, rank, error)
        raise
    return 0


def fit(job: Job, place: Path, ranks: Ranks) -> None:
    """Train this process's part of a job; the first one tells how it goes."""
    teller = Teller(place) if ranks.rank == 0 else None
    record = None
    if teller and job.record:
        record = ClipRecord.of(job.record, job.data, job.config.train.epochs)
    trainer = Trainer(job.config, job.data, job.folder, teller or Silent(), record=record, group=ranks)
    if job.last:
        trainer.restore(job.last)
    outcome = trainer.fit()
    if teller:
        teller.end(outcome)


def _end_with(parent: int, place: Path) -> None:
    """End this process as soon as the one that started it is gone, wherever it is waiting."""
    while _is_there(parent):
        time.sleep(PARENT_EVERY_S)
    shutil.rmtree(place, ignore_errors=True)
    os._exit(1)


def _is_there(parent: int) -> bool:
    return psutil.pid_exists(parent) if os.name == "nt" else os.getppid() == parent


def _loopback() -> str | None:
    """Return the network interface that reaches this machine only."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address == "127.0.0.1" for address in addresses):
            return name
    return None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
