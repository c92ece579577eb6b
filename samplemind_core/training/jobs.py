"""Who trains what: the queue's rules, and what a run leaves in the store while it goes.

How a worker is told from a dead one stands in :mod:`samplemind_core.workers`.
"""

from __future__ import annotations

import importlib
import logging
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplemind_core.config import RunConfig
from samplemind_core.errors import SampleMindError, StoppedError, StorageError
from samplemind_core.files import drop_partial
from samplemind_core.settings import Settings
from samplemind_core.store import Epoch, Run, Store
from samplemind_core.store.records import ACTIVE
from samplemind_core.training.elsewhere import elsewhere
from samplemind_core.training.usage import Usage
from samplemind_core.workers import Crew, Lease, file_log, forget, identity, is_gone, patiently, ran_out_of_memory

if TYPE_CHECKING:
    import torch

    from samplemind_core.data.dataset import ClipData

__all__ = [
    "StoreObserver",
    "as_worker",
    "execute",
    "identity",
    "is_gone",
    "run_folder",
    "start_worker",
    "tend",
    "worker_running",
]

TRAINERS = Crew("samplemind_core.training.worker", "worker", "Another worker is training in this workspace.")
Listener = Callable[[str, Any], None]

AFTER_TRAINING = "samplemind_core.inference.trust:leave_trust"
"""``module:function`` called for the checkpoints of a run that ended; by name, as it stands above this room."""

RESULTS = {"finished", "stopped"}
"""Ways to end that leave checkpoints in good order."""


# -- workers -------------------------------------------------------------------------------------


def tend(store: Store, settings: Settings) -> None:
    """Mark runs whose worker is gone as interrupted, and see to it that queued runs find a worker."""
    for run in store.runs.all(statuses=ACTIVE):
        if is_gone(run, settings.lease_s) and store.runs.interrupt(
            run, "The training process ended without a word; resume goes on from its last checkpoint."
        ):
            forget(run)
    if settings.worker == "auto" and store.runs.all(statuses=("queued",)):
        TRAINERS.ensure(settings)


def worker_running(settings: Settings) -> bool:
    """Return whether a worker of this workspace holds its lock."""
    return TRAINERS.running(settings)


def start_worker(settings: Settings) -> int:
    """Start a worker as a process of its own, which outlives this one; return its pid."""
    return TRAINERS.start(settings)


def as_worker(settings: Settings, timeout: float = 0) -> AbstractContextManager[None]:
    """Hold the workspace's worker lock; raises :class:`JobError` if another worker keeps it for ``timeout`` seconds."""
    return TRAINERS.hold(settings, timeout)


# -- one run -------------------------------------------------------------------------------------


def execute(
    store: Store, settings: Settings, run: Run, worker: dict[str, Any], listener: Listener | None = None
) -> Run:
    """Train a claimed run to its end and record how it ended; errors end the run, not the worker."""
    folder = run_folder(settings, run.id)
    folder.mkdir(parents=True, exist_ok=True)
    drop_partial(folder)
    with file_log(f"samplemind.run.{run.id}", folder / "worker.log") as log:
        log.info("run %s (%s) claimed by pid %s on %s", run.name, run.id, worker["pid"], worker["host"])
        told = elsewhere(settings, run, folder, store.datasets.get(run.dataset_id).class_names, log)
        observer = StoreObserver(store, run, worker, log, settings.root, told.joined(listener))
        try:
            with observer, told:
                status, reason, error = _train(store, settings, run, observer)
                told.status = status
        except StorageError as problem:
            kept = "What was saved before is unharmed; resume goes on from there."
            status, reason, error = "failed", f"{problem} {kept}", None
            log.error("failed: %s", problem)
        except SampleMindError as problem:
            status, reason, error = "failed", str(problem), None
            log.error("failed: %s", problem)
        except Exception as problem:
            status, reason, error = "failed", f"An unexpected error: {problem!r}.", traceback.format_exc()
            if ran_out_of_memory(problem):
                reason = "Memory ran out. Use a smaller batch size or network."
            log.exception("failed")
        if observer.lost:
            log.warning("the run was declared interrupted meanwhile; nothing more is recorded")
        else:
            observer.finish(status, reason, error)
            log.info("%s: %s", status, reason)
            # Takes seconds and nobody need wait for it: whoever asks sooner has it made on the spot.
            _call_after_training(store, settings, run, log)
    return store.runs.get(run.id)


def run_folder(settings: Settings, run_id: str) -> Path:
    """Return the folder of a run's files."""
    return settings.root / "runs" / run_id


class StoreObserver:
    """Tell the store how a run goes. Used as a context manager, whose block is the run."""

    def __init__(
        self, store: Store, run: Run, worker: dict[str, Any], log: logging.Logger, root: Path, listener: Listener | None
    ) -> None:
        self._store, self._run, self._worker, self.log, self._root = store, run, worker, log, root
        self._listener = listener or (lambda kind, value: None)
        self._progress: dict[str, Any] = {}
        self._usage = Usage()
        self._lease = Lease(self._renew, log)
        self._persist = self._lease.persist

    def __enter__(self) -> StoreObserver:
        self._lease.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._lease.__exit__(*error)

    def _renew(self) -> bool:
        return self._store.runs.heartbeat(self._run.id, self._worker, progress=self._progress | self._usage.read())

    @property
    def lost(self) -> bool:
        """Whether the run is no longer this worker's."""
        return self._lease.lost

    def on_start(self, device: str, num_parameters: int) -> None:
        """Record where the run trains."""
        self._usage.watch_gpu()
        values = {"device": device, "num_parameters": num_parameters}
        self._persist(lambda: self._store.runs.heartbeat(self._run.id, self._worker, **values))
        self.log.info("training on %s, %s parameters", device, f"{num_parameters:,}")

    def count_children(self) -> None:
        """Let the memory that is shown be that of all processes of this run."""
        self._usage.with_children = True

    def on_progress(self, progress: dict[str, Any]) -> None:
        """Keep the latest progress; the next heartbeat carries it."""
        self._progress = progress
        self._listener("progress", progress)

    def on_epoch(self, epoch: Epoch) -> None:
        """Record an epoch."""
        self._persist(lambda: self._store.runs.add_epoch(self._run.id, epoch))
        self.log.info(
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
        self.log.info("going on after epoch %d", last)
        self._listener("resume", last)

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
        self.log.info("%s", message)
        self._listener("event", message)

    def should_stop(self) -> bool:
        """Return whether somebody asked this run to stop, or it is no longer ours."""
        return self._lease.should_stop()

    def settle(self) -> None:
        """Wait until everything recorded so far is in the store."""
        self._lease.settle()

    def finish(self, status: str, reason: str, error: str | None) -> None:
        """Record the end, waiting for the database if it is away."""
        self._lease.finish(lambda: self._store.runs.end(self._run.id, status, reason, error))  # type: ignore[arg-type]


def _train(store: Store, settings: Settings, run: Run, observer: StoreObserver) -> tuple[str, str, str | None]:
    """Train, and leave the logits of the best and the last checkpoint behind."""
    from samplemind_core.data.dataset import load_clips
    from samplemind_core.training.clip_record import FILE as CLIP_RECORD
    from samplemind_core.training.clip_record import ClipRecord
    from samplemind_core.training.device import count_processes, device_of, make_current
    from samplemind_core.training.trainer import Trainer
    from samplemind_core.training.training_data import TrainingData
    from samplemind_core.training.variants import with_variants

    config = RunConfig.model_validate(run.config)
    # A run goes on with what it began with, whatever the dataset became meanwhile.
    dataset = patiently(
        lambda: store.versions.at(store.datasets.get(run.dataset_id), run.dataset_version), observer.log
    )

    def features_progress(done: int, total: int | None, what: str) -> None:
        observer.on_progress({"stage": what, "step": done, "steps": total or 0})
        if observer.should_stop():
            raise StoppedError("Stopped on request before the first epoch.", "Resume goes on where it was.")

    try:
        clips = patiently(
            lambda: load_clips(settings.root, store, dataset, config.features, progress=features_progress),
            observer.log,
        )
        plain = TrainingData.of(clips)
        data = patiently(
            lambda: with_variants(plain, config, settings.root, store, clips, features_progress), observer.log
        )
    except StoppedError as stop:
        return "stopped", stop.problem, None
    folder = run_folder(settings, run.id) / "checkpoints"
    # It notes the one class that each clip was called.
    noted = None if data.several_labels else run_folder(settings, run.id) / CLIP_RECORD
    device = device_of(config.train, settings.device)
    kept = folder / "last.safetensors"
    last = kept if kept.exists() else None
    if last is None:
        observer.on_resume([])  # an attempt that died before its first checkpoint leaves nothing to build on
    if (several := count_processes(config.train, settings.device)) > 1:
        from samplemind_core.training.launch import fit_on_several

        observer.count_children()
        outcome = fit_on_several(config, data, folder, observer, several, device, last, noted)
    else:
        make_current(device)
        record = ClipRecord.of(noted, data, config.train.epochs) if noted else None
        trainer = Trainer(config, data, folder, observer, device=settings.device, record=record)
        if last is not None:
            trainer.restore(last)
        outcome = trainer.fit()
    if outcome.best_epoch is not None:
        observer.on_progress({"stage": "Judging the best checkpoint on the validation and test clips"})
        observer.settle()
        patiently(lambda: _judge_checkpoints(store, settings, run.id, clips, device, observer), observer.log)
    return outcome.status, outcome.reason, None


def _judge_checkpoints(
    store: Store, settings: Settings, run_id: str, clips: ClipData, device: torch.device, observer: StoreObserver
) -> None:
    """Leave what the best and the last checkpoint say of validation and test clips, and calibrate them."""
    from samplemind_core.training.checkpoints import read_info
    from samplemind_core.training.label_thresholds import choose_label_thresholds
    from samplemind_core.training.predictions import leave_predictions
    from samplemind_core.training.temperature import calibrate_checkpoint

    for kept in store.runs.checkpoints(run_id):
        path = settings.root / kept.path
        info = read_info(path)
        if info.epoch != kept.epoch:  # killed between the file and its record, and stopped soon after
            observer.on_checkpoint(kept.kind, info.epoch, path, path.stat().st_size, info.metrics)
            observer.settle()
    for checkpoint in store.runs.checkpoints(run_id):
        if checkpoint.kind in {"best", "last"}:
            for split in ("val", "test"):
                leave_predictions(store, settings.root, checkpoint, clips, split, clips.class_names, device)
            settle = choose_label_thresholds if clips.multi_label else calibrate_checkpoint
            settle(store, settings.root, checkpoint, clips.dataset.id)


def _call_after_training(store: Store, settings: Settings, run: Run, log: logging.Logger) -> None:
    """Let a higher room add what the checkpoints of an ended run need; without it they are still good."""
    module, _, name = AFTER_TRAINING.partition(":")
    try:
        if store.runs.get(run.id).status in RESULTS:
            for checkpoint in store.runs.checkpoints(run.id):
                if checkpoint.kind in {"best", "last"}:
                    getattr(importlib.import_module(module), name)(store, settings, run, checkpoint)
    except SampleMindError as error:
        log.warning("confidence could not be measured: %s", error)
    except Exception:
        log.exception("confidence could not be measured")
