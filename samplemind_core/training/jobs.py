"""Who trains what: the queue's rules, heartbeats, and what happens when a worker dies.

A run belongs to the worker that claimed it. The worker renews its lease every second; a run whose
worker is gone becomes ``interrupted`` and can be resumed. On the same machine "gone" is asked of
the operating system; from elsewhere it means that the heartbeat has not changed for the length of
the lease, measured by the observer's own monotonic clock, so that no clock needs to agree.
"""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from filelock import FileLock, Timeout

from samplemind_core.config import RunConfig
from samplemind_core.errors import JobError, SampleMindError, StoreError
from samplemind_core.settings import Settings
from samplemind_core.store import Epoch, Run, Store
from samplemind_core.store.records import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

HEARTBEAT_S = 1.0
FLUSH_DEADLINE_S = 60.0
Listener = Callable[[str, Any], None]
_started: dict[Path, subprocess.Popen[bytes]] = {}  # the worker this process started last, by workspace
_seen: dict[str, tuple[float | None, float]] = {}  # run id: its heartbeat, and when it last changed (monotonic)


# -- workers -------------------------------------------------------------------------------------


def identity() -> dict[str, Any]:
    """Return what tells this process from every other: host, pid, start time."""
    process = psutil.Process()
    return {"host": _host(), "pid": process.pid, "started": process.create_time()}


def is_gone(run: Run, lease_s: float) -> bool:
    """Return whether the worker of an active run no longer exists."""
    worker = run.worker or {}
    if worker.get("host") == _host():
        try:
            process = psutil.Process(int(worker["pid"]))
            same = abs(process.create_time() - float(worker["started"])) < 1.0
            return not same or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
    now = time.monotonic()
    heartbeat, since = _seen.get(run.id, (None, now))
    if heartbeat != run.heartbeat_at:
        _seen[run.id] = (run.heartbeat_at, now)
        return False
    return now - since > lease_s


def tend(store: Store, settings: Settings) -> None:
    """Mark runs whose worker is gone as interrupted, and see to it that queued runs find a worker."""
    for run in store.runs.all(statuses=ACTIVE):
        if is_gone(run, settings.lease_s) and store.runs.interrupt(
            run, "The training process ended without a word; resume goes on from its last checkpoint."
        ):
            _seen.pop(run.id, None)
    if settings.worker != "auto" or not store.runs.all(statuses=("queued",)):
        return
    if not _on_its_way(settings) and not worker_running(settings):
        start_worker(settings)


def worker_running(settings: Settings) -> bool:
    """Return whether a worker of this workspace holds its lock."""
    try:
        with _worker_lock(settings).acquire(timeout=0):
            return False
    except Timeout:
        return True


def start_worker(settings: Settings) -> int:
    """Start a worker as a process of its own, which outlives this one; return its pid."""
    settings.root.mkdir(parents=True, exist_ok=True)
    package = Path(__file__).resolve().parents[2]
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
    with (settings.root / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "samplemind_core.training.worker"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            **apart,
        )
    _started[settings.root] = process
    # Someone has to wait for it, or it stays a zombie that looks alive.
    threading.Thread(target=process.wait, daemon=True).start()
    return process.pid


@contextmanager
def as_worker(settings: Settings, timeout: float = 0) -> Iterator[None]:
    """Hold the workspace's worker lock.

    Raises
    ------
    JobError
        If another worker holds it for longer than ``timeout`` seconds.
    """
    settings.root.mkdir(parents=True, exist_ok=True)
    try:
        with _worker_lock(settings).acquire(timeout=timeout, poll_interval=0.2):
            _pid_file(settings).write_text(str(os.getpid()))
            yield
    except Timeout:
        raise JobError("Another worker is training in this workspace.", "Wait for it, or queue the run.") from None


# -- one run -------------------------------------------------------------------------------------


def execute(
    store: Store, settings: Settings, run: Run, worker: dict[str, Any], listener: Listener | None = None
) -> Run:
    """Train a claimed run to its end and record how it ended; errors end the run, not the worker."""
    folder = run_folder(settings, run.id)
    folder.mkdir(parents=True, exist_ok=True)
    log = _run_log(folder / "worker.log")
    log.info("run %s (%s) claimed by pid %s on %s", run.name, run.id, worker["pid"], worker["host"])
    observer = StoreObserver(store, run, worker, log, settings.root, listener)
    try:
        with observer:
            status, reason, error = _train(store, settings, run, observer)
    except SampleMindError as problem:
        status, reason, error = "failed", str(problem), None
        log.error("failed: %s", problem)
    except MemoryError:
        status, reason, error = "failed", "Memory ran out. Use a smaller batch size or network.", traceback.format_exc()
        log.exception("failed")
    except Exception as problem:
        status, reason, error = "failed", f"An unexpected error: {problem!r}.", traceback.format_exc()
        log.exception("failed")
    if observer.lost:
        log.warning("the run was declared interrupted meanwhile; nothing more is recorded")
    else:
        observer.finish(status, reason, error)
        log.info("%s: %s", status, reason)
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    return store.runs.get(run.id)


def run_folder(settings: Settings, run_id: str) -> Path:
    """Return the folder of a run's files."""
    return settings.root / "runs" / run_id


class StoreObserver:
    """Tell the store how a run goes, and never let the store's troubles stop the training.

    What cannot be written now (database locked or away) waits in order and is tried again with
    every heartbeat. Used as a context manager, whose block is the run.
    """

    def __init__(
        self, store: Store, run: Run, worker: dict[str, Any], log: logging.Logger, root: Path, listener: Listener | None
    ) -> None:
        self._store, self._run, self._worker, self._log, self._root = store, run, worker, log, root
        self._listener = listener or (lambda kind, value: None)
        self._pending: deque[Callable[[], object]] = deque()
        self._lock = threading.RLock()
        self._progress: dict[str, Any] = {}
        self._stop = threading.Event()
        self._over = threading.Event()
        self.lost = False
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> StoreObserver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def on_start(self, device: str, num_parameters: int) -> None:
        """Record where the run trains."""
        values = {"device": device, "num_parameters": num_parameters}
        self._persist(lambda: self._store.runs.heartbeat(self._run.id, self._worker, **values))
        self._log.info("training on %s, %s parameters", device, f"{num_parameters:,}")

    def on_progress(self, progress: dict[str, Any]) -> None:
        """Keep the latest progress; the next heartbeat carries it."""
        self._progress = progress
        self._listener("progress", progress)

    def on_epoch(self, epoch: Epoch) -> None:
        """Record an epoch."""
        self._persist(lambda: self._store.runs.add_epoch(self._run.id, epoch))
        self._log.info(
            "epoch %d: loss %.4f / %.4f, accuracy %.4f / %.4f (train / validation), %.0f clips/s, %s",
            epoch.epoch,
            epoch.train_loss,
            epoch.val_loss,
            epoch.train_accuracy,
            epoch.val_accuracy,
            epoch.clips_per_s,
            epoch.health["verdict"],
        )
        self._listener("epoch", epoch)

    def on_resume(self, epochs: list[Epoch]) -> None:
        """Make the stored epochs equal those that the run goes on from."""
        last = epochs[-1].epoch if epochs else 0

        def write() -> None:
            known = {epoch.epoch for epoch in self._store.runs.epochs(self._run.id)}
            self._store.runs.truncate_epochs(self._run.id, last)
            for epoch in epochs:
                if epoch.epoch not in known:
                    self._store.runs.add_epoch(self._run.id, epoch)

        self._persist(write)
        self._log.info("going on after epoch %d", last)

    def on_checkpoint(self, kind: str, epoch: int, path: Path, num_bytes: int, metrics: dict[str, float]) -> None:
        """Record a checkpoint."""
        values = {
            "kind": kind,
            "epoch": epoch,
            "path": path.relative_to(self._root).as_posix(),
            "val_loss": metrics["val_loss"],
            "val_accuracy": metrics["val_accuracy"],
            "num_bytes": num_bytes,
        }
        self._persist(lambda: self._store.runs.put_checkpoint(self._run.id, values))
        if kind == "best":
            self._persist(lambda: self._store.runs.heartbeat(self._run.id, self._worker, best_epoch=epoch))

    def on_event(self, kind: str, message: str) -> None:
        """Record an event."""
        self._persist(lambda: self._store.runs.add_event(self._run.id, kind, message))
        self._log.info("%s", message)
        self._listener("event", message)

    def should_stop(self) -> bool:
        """Return whether somebody asked this run to stop, or it is no longer ours."""
        return self._stop.is_set()

    def finish(self, status: str, reason: str, error: str | None) -> None:
        """Record the end, waiting for the database if it is away."""
        self._persist(lambda: self._store.runs.end(self._run.id, status, reason, error))  # type: ignore[arg-type]
        deadline = time.monotonic() + FLUSH_DEADLINE_S
        while self._pending and time.monotonic() < deadline:
            time.sleep(HEARTBEAT_S)
            self._flush()

    def _persist(self, write: Callable[[], object]) -> None:
        with self._lock:
            self._pending.append(write)
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
                if self._store.runs.heartbeat(self._run.id, self._worker, progress=self._progress):
                    self._stop.set()
            except StoreError as error:
                self._log.warning("no heartbeat: %s", error)
            except SampleMindError as error:
                self._lose(error)

    def _lose(self, error: SampleMindError) -> None:
        self._log.warning("%s", error)
        self.lost = True
        self._stop.set()


def _train(store: Store, settings: Settings, run: Run, observer: StoreObserver) -> tuple[str, str, str | None]:
    """Train, and leave the logits of the best and the last checkpoint behind."""
    from samplemind_core.data.dataset import load_clips
    from samplemind_core.training.predictions import leave_predictions
    from samplemind_core.training.trainer import Trainer, TrainingData, describe_dataset

    config = RunConfig.model_validate(run.config)
    dataset = store.datasets.get(run.dataset_id)

    def features_progress(done: int, total: int | None, what: str) -> None:
        observer.on_progress({"stage": what, "step": done, "steps": total or 0})
        if observer.should_stop():
            raise _StoppedError

    try:
        clips = load_clips(settings.root, store, dataset, config.features, progress=features_progress)
    except _StoppedError:
        return "stopped", "Stopped on request before the first epoch.", None
    data = TrainingData(
        log_mel=clips.log_mel,
        targets=clips.targets,
        train_rows=clips.indices("train"),
        val_rows=clips.indices("val"),
        class_names=clips.class_names,
        description=describe_dataset(dataset.as_dict()),
    )
    folder = run_folder(settings, run.id) / "checkpoints"
    trainer = Trainer(config, data, folder, observer, device=settings.device)
    last = folder / "last.safetensors"
    if last.exists():
        trainer.restore(last)
    else:
        observer.on_resume([])  # an attempt that died before its first checkpoint leaves nothing to build on
    outcome = trainer.fit()
    if outcome.best_epoch is not None:
        observer.on_progress({"stage": "Judging the best checkpoint on the validation and test clips"})
        for checkpoint in store.runs.checkpoints(run.id):
            if checkpoint.kind in {"best", "last"}:
                for split in ("val", "test"):
                    leave_predictions(store, settings.root, checkpoint, clips, split, clips.class_names, trainer.device)
    return outcome.status, outcome.reason, None


class _StoppedError(Exception):
    """Leaves the preparation of features when Stop was pressed."""


def _on_its_way(settings: Settings) -> bool:
    """Return whether the worker we started last is alive and has yet to take the lock for the first time."""
    process = _started.get(settings.root)
    if process is None or process.poll() is not None:
        return False
    try:
        return _pid_file(settings).read_text() != str(process.pid)
    except OSError:
        return True


def _pid_file(settings: Settings) -> Path:
    return settings.root / "worker.pid"


def _worker_lock(settings: Settings) -> FileLock:
    return FileLock(settings.root / "worker.lock")


def _host() -> str:
    """Return this machine's name, with the process namespace where pids mean something else."""
    try:
        return f"{platform.node()}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def _run_log(path: Path) -> logging.Logger:
    log = logging.getLogger(f"samplemind.run.{path.parent.name}")
    log.setLevel(logging.INFO)
    log.propagate = False
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    return log
