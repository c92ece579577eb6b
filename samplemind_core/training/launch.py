"""A run on several devices: one process each, started and watched over by torchrun's own launcher.

The worker stays what it is, the one that holds the lease and writes to the store; it passes on what the first
process tells it. No process outlives the worker, and where one ends before its time, the others end too.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from samplemind_core.config import RunConfig
from samplemind_core.errors import TrainingError
from samplemind_core.training.handover import Job, Listener, log_name, read_trouble, write_job
from samplemind_core.training.observer import Observer, Outcome
from samplemind_core.training.training_data import TrainingData, check

LOOK_EVERY_S = 0.1
ENDED_BY_US = {0, 1, -signal.SIGTERM}
"""Exit codes of processes that ended by themselves, or because others had."""
GRACE_S = 10
"""What a process gets to end after it was asked to, before it is killed."""


def fit_on_several(
    config: RunConfig,
    data: TrainingData,
    folder: Path,
    observer: Observer,
    num_processes: int,
    device: torch.device,
    last: Path | None = None,
    record: Path | None = None,
) -> Outcome:
    """Train a run with several processes to its end; return how it ended.

    Parameters
    ----------
    config : RunConfig
    data : TrainingData
        Arrays that are mapped from files are read from there by each process.
    folder : Path
        Where checkpoints are written.
    observer : Observer
        Told by a thread of its own what the first process tells.
    num_processes : int
        From :func:`~samplemind_core.training.device.count_processes`; two or more.
    device : torch.device
        Of which kind theirs are.
    last : Path, optional
        Checkpoint to go on from.
    record : Path, optional
        Where to note what each validation clip was called.

    Raises
    ------
    TrainingError
        If a process ended before its time.
    SampleMindError
        What a process ran into.
    """
    check(config, data)
    threads = max(1, torch.get_num_threads() // num_processes)
    # Not in the workspace: that may be a network drive, or full.
    place = Path(tempfile.mkdtemp(prefix="samplemind-ranks-"))
    try:
        write_job(place, Job(config, data, folder, device.type, threads, last, record))
        listener = Listener(place, observer)
        with _listening(listener):
            _launch(place, num_processes)
        listener.look()
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if listener.outcome is None:
        raise TrainingError("The training processes ended without a word.", "Resume goes on from its last checkpoint.")
    return listener.outcome


def _launch(place: Path, num_processes: int) -> None:
    """Start the processes and wait for their end."""
    launch = elastic_launch(
        LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=num_processes,
            run_id=place.name,
            # A file, not a port: nothing listens to the network.
            rdzv_backend="c10d",
            rdzv_endpoint=str(place / "rendezvous"),
            rdzv_configs={"store_type": "file"},
            local_addr="localhost",
            max_restarts=0,  # what is to be done after a failure is for people to say
            monitor_interval=LOOK_EVERY_S,
            logs_specs=DefaultLogsSpecs(log_dir=str(place)),
            signals_to_handle="SIGTERM",
            shutdown_timeout=GRACE_S,
        ),
        sys.executable,
    )
    try:
        with _own_signals(), _quietly():
            launch("-m", "samplemind_core.training.rank", str(place))
    except ChildFailedError as error:
        trouble = read_trouble(place)
        died = [failure for failure in error.failures.values() if failure.exitcode not in ENDED_BY_US]
        # The others of a process that was killed lose their connection, which is no news.
        if trouble is not None and not (died and isinstance(trouble, RuntimeError)):
            raise trouble from error
        raise _died((died or [error.get_first_failure()[1]])[0], place, num_processes) from error
    except SignalException as error:
        # The processes have ended; now what the signal was for.
        shutil.rmtree(place, ignore_errors=True)
        os.kill(os.getpid(), error.sigval)
        raise


def _died(failure: ProcessFailure, place: Path, num_processes: int) -> TrainingError:
    """Say which process ended first and how, where it could not do so itself."""
    how = f"exit code {failure.exitcode}"
    if failure.exitcode < 0:
        with suppress(ValueError):
            how = signal.Signals(-failure.exitcode).name
    likely = " Most likely memory ran out." if failure.exitcode == -9 else ""
    log = place / log_name(failure.local_rank)
    lines = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
    said = f" Its last words: {lines[0][:300]}" if lines else ""
    return TrainingError(
        f"Training process {failure.local_rank + 1} of {num_processes} ended before its time ({how}), "
        f"and the run with it.{likely}{said}",
        "Resume goes on from the last checkpoint.",
    )


@contextmanager
def _listening(listener: Listener) -> Iterator[None]:
    """Pass on what is told meanwhile; what goes wrong there is raised at the end."""
    over = threading.Event()
    problems: list[BaseException] = []

    def listen() -> None:
        try:
            while not over.wait(LOOK_EVERY_S):
                listener.look()
        except BaseException as problem:
            problems.append(problem)
            listener.stop()

    thread = threading.Thread(target=listen, name="samplemind-ranks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if problems:
        raise problems[0]


@contextmanager
def _own_signals() -> Iterator[None]:
    """Give back what the launcher changes: how signals are handled, and what it says to processes it starts."""
    changed = ("TORCHELASTIC_SIGNALS_TO_HANDLE", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "PYTHONPATH")
    before = {name: os.environ.get(name) for name in changed}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if main else None
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # the processes meet in a file; it would open a port
    package = str(Path(__file__).resolve().parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [package, before["PYTHONPATH"]]))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the launcher's own log out of the terminal: what matters of it is said in our words."""
    log = logging.getLogger("torch.distributed.elastic")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
