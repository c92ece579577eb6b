"""Processes that work beside the dashboard: who they are, whether they live, and what they hold.

A piece of work (a run, a task) belongs to the worker that claimed it. The worker renews its lease
every second; work whose worker is gone becomes ``interrupted`` and can be resumed. On the same
machine "gone" is asked of the operating system; from elsewhere it means that the heartbeat has not
changed for the length of the lease, measured by the observer's own monotonic clock, so that no
clock needs to agree. No clock that can be set decides anything: one that jumps by an hour kills no
run and keeps none alive.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import psutil
from filelock import FileLock, Timeout

from samplemind_core.errors import JobError, SampleMindError, StoreError
from samplemind_core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

HEARTBEAT_S = 1.0
FLUSH_DEADLINE_S = 60.0
_seen: dict[str, tuple[float | None, float]] = {}  # id of the work: its heartbeat, and when it last changed (monotonic)


class Work(Protocol):
    """What a worker can hold: a stored run or task."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def worker(self) -> dict[str, Any] | None:
        """Who claimed it, as :func:`identity` describes a process."""

    @property
    def heartbeat_at(self) -> float | None:
        """When the lease was last renewed, by the worker's clock."""


def asked_to_serve(arguments: Sequence[str], module: str, what: str) -> bool:
    """Return whether a worker's command line has ``--serve``; anything else on it ends the process with a word."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=what)
    parser.add_argument("--serve", action="store_true", help="wait for more instead of ending when none is left")
    return bool(parser.parse_args(arguments).serve)


def identity() -> dict[str, Any]:
    """Return what tells this process from every other: host, pid, and when it started."""
    return {"host": _host(), "pid": os.getpid(), "started": _birth(psutil.Process())}


def is_gone(work: Work, lease_s: float) -> bool:
    """Return whether the worker of a piece of work that is under way no longer exists."""
    worker = work.worker or {}
    if worker.get("host") == _host():
        try:
            process = psutil.Process(int(worker["pid"]))
            return _birth(process) != worker["started"] or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
    now = time.monotonic()
    heartbeat, since = _seen.get(work.id, (None, now))
    if heartbeat != work.heartbeat_at:
        _seen[work.id] = (work.heartbeat_at, now)
        return False
    return now - since > lease_s


def forget(work: Work) -> None:
    """Drop what :func:`is_gone` remembers of work that has ended."""
    _seen.pop(work.id, None)


@dataclass(frozen=True)
class Crew:
    """The workers of one kind, of which a workspace has at most one at a time: it holds the kind's lock.

    Parameters
    ----------
    module : str
        What the process runs: ``python -m module``.
    name : str
        First part of the names of its lock, its log and its pid file in the workspace.
    busy : str
        What to say when another one holds the lock.
    """

    module: str
    name: str
    busy: str

    def running(self, settings: Settings) -> bool:
        """Return whether a worker of this workspace holds its lock."""
        try:
            with self._lock(settings).acquire(timeout=0):
                return False
        except Timeout:
            return True

    def ensure(self, settings: Settings) -> None:
        """Start a worker if none is running or on its way."""
        if not self._on_its_way(settings) and not self.running(settings):
            self.start(settings)

    def start(self, settings: Settings) -> int:
        """Start a worker as a process of its own, which outlives this one; return its pid."""
        settings.root.mkdir(parents=True, exist_ok=True)
        package = Path(__file__).resolve().parents[1]
        environment = os.environ | {
            "SAMPLEMIND_WORKSPACE": str(settings.root),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH", "")])),
        }
        if settings.database_url:
            environment["SAMPLEMIND_DATABASE_URL"] = settings.database_url
        apart: dict[str, Any] = (
            {"creationflags": 0x00000208}  # DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP
            if os.name == "nt"
            else {"start_new_session": True}  # Ctrl-C in the dashboard's terminal must not reach it
        )
        with (settings.root / f"{self.name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                **apart,
            )
        _started[self.name, settings.root] = process
        # Someone has to wait for it, or it stays a zombie that looks alive.
        threading.Thread(target=process.wait, daemon=True).start()
        return process.pid

    @contextmanager
    def hold(self, settings: Settings, timeout: float = 0) -> Iterator[None]:
        """Hold the lock of this kind.

        Raises
        ------
        JobError
            If another worker holds it for longer than ``timeout`` seconds.
        """
        settings.root.mkdir(parents=True, exist_ok=True)
        try:
            with self._lock(settings).acquire(timeout=timeout, poll_interval=0.2):
                self._pid_file(settings).write_text(str(os.getpid()))
                yield
        except Timeout:
            raise JobError(self.busy, "Wait for it, or queue the work.") from None

    def _on_its_way(self, settings: Settings) -> bool:
        """Return whether the worker we started last is alive and has yet to take the lock for the first time."""
        process = _started.get((self.name, settings.root))
        if process is None or process.poll() is not None:
            return False
        try:
            return self._pid_file(settings).read_text() != str(process.pid)
        except OSError:
            return True

    def _pid_file(self, settings: Settings) -> Path:
        return settings.root / f"{self.name}.pid"

    def _lock(self, settings: Settings) -> FileLock:
        return FileLock(settings.root / f"{self.name}.lock")


_started: dict[tuple[str, Path], subprocess.Popen[bytes]] = {}  # the worker this process started last, by workspace


def patiently(action: Callable[[], T], log: logging.Logger) -> T:
    """Return what an action returns that can be repeated, waiting while the database is away.

    Raises
    ------
    StoreError
        If it stays away.
    """
    deadline = time.monotonic() + FLUSH_DEADLINE_S
    while True:
        try:
            return action()
        except StoreError as error:
            if time.monotonic() > deadline:
                raise
            log.warning("the database is away, trying again: %s", error)
            time.sleep(HEARTBEAT_S)


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out: this machine's or a GPU's, whoever asked for it."""
    # PyTorch has an error of its own for GPUs, known by name as it need not be loaded, and none for the machine's.
    by_torch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and by_torch)


class Lease:
    """Keep a claimed piece of work ours, and never let the store's troubles stop it.

    What cannot be written now (database locked or away) waits in order and is tried again with
    every heartbeat. Used as a context manager, whose block is the work.

    Parameters
    ----------
    renew : callable
        Renews the lease in the store and returns whether a stop was asked for; raises
        :class:`JobError` if the work is no longer ours.
    log : logging.Logger
        Told of the store's troubles.
    """

    def __init__(self, renew: Callable[[], bool], log: logging.Logger) -> None:
        self._renew, self._log = renew, log
        self._pending: deque[Callable[[], object]] = deque()
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._over = threading.Event()
        self.lost = False
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def should_stop(self) -> bool:
        """Return whether somebody asked this work to stop, or it is no longer ours."""
        return self._stop.is_set()

    def persist(self, write: Callable[[], object]) -> None:
        """Write to the store, in order, as soon as it takes it."""
        with self._lock:
            self._pending.append(write)
        self._flush()

    def finish(self, write: Callable[[], object]) -> None:
        """Write the end; see :meth:`settle`.

        Where that fails the process has to end: while it lives, its work would seem under way.
        """
        self.persist(write)
        self.settle()

    def settle(self) -> None:
        """Wait until all that was to be written is written.

        Raises
        ------
        StoreError
            If the database stays away.
        """
        deadline = time.monotonic() + FLUSH_DEADLINE_S
        while self._pending and not self.lost:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"The database has been away for {FLUSH_DEADLINE_S:.0f} seconds, so that the end of the work could "
                    "not be recorded.",
                    "Once it is back, the work counts as interrupted and can be resumed from where it was.",
                )
            time.sleep(HEARTBEAT_S)
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            while self._pending and not self.lost:
                try:
                    self._pending[0]()
                except StoreError as error:
                    self._log.warning("the database is away, trying again: %s", error)
                    return
                except JobError as error:
                    self._lose(error)
                    return
                self._pending.popleft()

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_S) and not self.lost:
            self._flush()
            try:
                if self._renew():
                    self._stop.set()
            except StoreError as error:
                self._log.warning("no heartbeat: %s", error)
            except SampleMindError as error:
                self._lose(error)

    def _lose(self, error: SampleMindError) -> None:
        self._log.warning("%s", error)
        self.lost = True
        self._stop.set()


@contextmanager
def file_log(name: str, path: Path) -> Iterator[logging.Logger]:
    """Yield a log that goes to a file of its own, closed at the end of the block."""
    log = logging.getLogger(name)
    log.setLevel(logging.INFO)
    log.propagate = False
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    try:
        yield log
    finally:
        log.removeHandler(handler)
        handler.close()


def _birth(process: psutil.Process) -> str:
    """Return when a process started, as something that no later setting of the clock changes.

    Where there is ``/proc``, psutil adds the ticks since boot to a time of boot that moves with the clock.
    """
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return f"{process.create_time():.2f}"
    return f"{boot}/{stat.rpartition(')')[2].split()[19]}"


def _host() -> str:
    """Return this machine's name, with the process namespace where pids mean something else."""
    try:
        return f"{platform.node()}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()
