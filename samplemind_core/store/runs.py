"""Runs and everything that hangs on them: the queue, epochs, events, checkpoints, predictions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

from sqlalchemy import delete, func, insert, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from samplemind_core.errors import JobError, NameTakenError, NotFoundError
from samplemind_core.store.database import Database
from samplemind_core.store.datasets import name_taken
from samplemind_core.store.queue import ATTEMPTS, take_oldest
from samplemind_core.store.records import ACTIVE, Checkpoint, Epoch, Event, Prediction, Run, RunStatus
from samplemind_core.store.tables import CheckpointRow, EpochRow, EventRow, PredictionRow, RunRow
from samplemind_core.store.values import storable

T = TypeVar("T")


class Runs:
    """The run tables of a database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # -- runs ------------------------------------------------------------------------------------

    def add(self, run: Run) -> Run:
        """Store a new run; raise :class:`NameTakenError` if its name is in use."""
        try:
            with self._db.write() as session:
                session.execute(insert(RunRow), storable(asdict(run)))
                _event(session, run.id, "queued", f"{run.owner} queued this run")
        except IntegrityError as error:
            if self.find(run.name) is None:
                raise
            raise self._taken(run.name) from error
        return run

    def all(
        self,
        *,
        statuses: Sequence[RunStatus] | None = None,
        dataset_id: str | None = None,
        deleted: bool | None = False,
    ) -> list[Run]:
        """Return runs, newest first: those that are there, the deleted ones that can come back, or (None) both."""
        query = select(RunRow).order_by(RunRow.created_at.desc(), RunRow.id)
        if deleted is not None:
            query = query.where(RunRow.deleted_at.is_not(None) if deleted else RunRow.deleted_at.is_(None))
        if statuses is not None:
            query = query.where(RunRow.status.in_(statuses))
        if dataset_id is not None:
            query = query.where(RunRow.dataset_id == dataset_id)
        with self._db.read() as session:
            return [_run(row) for row in session.scalars(query)]

    def find(self, name_or_id: str) -> Run | None:
        """Return the run of that id or name, or None; one that was deleted too, while it can come back."""
        with self._db.read() as session:
            query = select(RunRow).where(or_(RunRow.id == name_or_id, RunRow.name == name_or_id))
            rows = sorted(session.scalars(query), key=lambda row: row.id != name_or_id)
            return _run(rows[0]) if rows else None

    def get(self, name_or_id: str) -> Run:
        """Return the run of that id or name; raise :class:`NotFoundError` if there is none."""
        run = self.find(name_or_id)
        if run is None:
            names = ", ".join(repr(row.name) for row in self.all()[:10]) or "none yet"
            raise NotFoundError(f"There is no run '{name_or_id}'.", f"Newest runs: {names}.")
        return run

    def queue_position(self, run_id: str) -> int | None:
        """Return 1 for the run that starts next, 2 for the one after; None if it is not queued."""
        run = self.get(run_id)
        if run.status != "queued":
            return None
        query = (
            select(func.count())
            .select_from(RunRow)
            .where(
                RunRow.status == "queued",
                or_(
                    RunRow.queued_at < run.queued_at,
                    (RunRow.queued_at == run.queued_at) & (RunRow.id <= run.id),
                ),
            )
        )
        with self._db.read() as session:
            return session.scalar(query)

    def describe(self, run_id: str, **values: Any) -> Run:
        """Change what people say of a run: its ``name``, ``notes`` or ``tags``.

        Raises
        ------
        NameTakenError
            If another run has that name.
        """
        if unknown := values.keys() - {"name", "notes", "tags"}:
            raise TypeError(f"not for people to change: {sorted(unknown)}")
        try:
            with self._db.write() as session:
                row = _locked(session, run_id)
                _assign(row, values)
                session.flush()
                return _run(row)
        except IntegrityError as error:
            raise self._taken(str(values.get("name"))) from error

    def hide(self, run_id: str, by: str = "") -> Run:
        """Delete a run so that it can come back; a queued one leaves the queue first."""
        with self._db.write() as session:
            row = _locked(session, run_id)
            if row.status in ACTIVE:
                raise JobError(f"Run '{row.name}' is {row.status}.", "Stop it first.")
            if row.status == "queued":
                _leave_queue(row)
            row.deleted_at = time.time()
            _event(session, run_id, "deleted", f"{by or 'Somebody'} deleted this run")
            session.flush()
            return _run(row)

    def bring_back(self, run_id: str, by: str = "") -> Run:
        """Undo :meth:`hide`."""
        with self._db.write() as session:
            row = _locked(session, run_id)
            if row.deleted_at is None:
                raise JobError(f"Run '{row.name}' was not deleted.", "There is nothing to undo.")
            row.deleted_at = None
            _event(session, run_id, "restored", f"{by or 'Somebody'} brought this run back")
            session.flush()
            return _run(row)

    def delete(self, run_id: str) -> None:
        """Delete a run that is not training, for good; the caller deletes its folder."""
        with self._db.write() as session:
            row = _locked(session, run_id)
            if row.status in ACTIVE:
                raise JobError(f"Run '{row.name}' is {row.status}.", "Stop it first.")
            session.delete(row)

    def _taken(self, name: str) -> NameTakenError:
        holder = self.find(name)
        if holder is not None and holder.deleted_at is not None:
            return NameTakenError(
                f"A run named '{name}' was deleted, and can still be brought back.", "Choose another name."
            )
        return name_taken("run", name)

    # -- the queue -------------------------------------------------------------------------------

    def claim(self, worker: dict[str, Any], run_id: str | None = None) -> Run | None:
        """Take the oldest queued run (or the one named) for a worker; None if there is none to take.

        Two workers never get the same run: the row changes hands in one statement.
        """
        for _ in range(ATTEMPTS):
            with self._db.write() as session:
                candidate, taken = take_oldest(session, RunRow, worker, run_id, end_reason=None, error=None)
                if candidate is None:
                    return None
                if taken:
                    _event(session, candidate, "started", f"Training started on {worker.get('host', 'this machine')}")
                    session.flush()
                    return _run(session.get_one(RunRow, candidate))
        return None

    def heartbeat(self, run_id: str, worker: dict[str, Any], **values: Any) -> bool:
        """Renew a worker's lease, with other columns to change; return whether Stop was asked for.

        Raises
        ------
        JobError
            If the run is no longer this worker's: it was declared interrupted meanwhile.
        """
        with self._db.write() as session:
            row = _locked(session, run_id)
            if row.status not in ACTIVE or row.worker != storable(worker):
                raise JobError(
                    f"Run '{row.name}' no longer belongs to this worker (it is {row.status}).",
                    "This worker stops; resume the run from the Train page.",
                )
            row.heartbeat_at = time.time()
            _assign(row, values)
            return row.stop_requested

    def request_stop(self, run_id: str, by: str = "", *, pause: bool = False) -> RunStatus:
        """Ask a run to stop after its current batch; a queued one stops at once.

        A run that is paused ends in the same way; it only says that it is meant to go on.
        """
        with self._db.write() as session:
            row = _locked(session, run_id)
            if row.status == "queued":
                _leave_queue(row)
            elif row.status == "running":
                row.status, row.stop_requested = "stopping", True
            elif row.status != "stopping":
                raise JobError(f"Run '{row.name}' has already {row.status}.", "There is nothing to stop.")
            row.paused = pause
            wish = "pause" if pause else "stop"
            _event(session, run_id, wish, f"{by or 'Somebody'} asked this run to {wish}")
            return row.status  # type: ignore[return-value]

    def requeue(
        self, run_id: str, allowed: Sequence[RunStatus], by: str = "", *, config: dict[str, Any] | None = None
    ) -> Run:
        """Put an ended run back into the queue, to go on from its last checkpoint, perhaps for longer (``config``)."""
        with self._db.write() as session:
            row = _locked(session, run_id)
            if row.status not in allowed:
                raise JobError(
                    f"Run '{row.name}' is {row.status}; only {', '.join(allowed)} runs can be resumed.",
                    "Start a new run with the same settings instead.",
                )
            if row.deleted_at is not None:
                raise JobError(f"Run '{row.name}' was deleted.", "Bring it back first.")
            row.status, row.queued_at, row.stop_requested, row.worker = "queued", time.time(), False, None
            row.ended_at = row.end_reason = row.error = None
            row.paused = False
            if config is not None:
                _assign(row, {"config": config, "progress": row.progress | {"epochs": config["train"]["epochs"]}})
            _event(session, run_id, "resumed", f"{by or 'Somebody'} asked this run to go on")
            session.flush()
            return _run(row)

    def end(self, run_id: str, status: RunStatus, reason: str, error: str | None = None) -> None:
        """Record how a run ended."""
        with self._db.write() as session:
            row = _locked(session, run_id)
            _end(session, row, status, reason, error)

    def interrupt(self, run: Run, reason: str) -> bool:
        """Mark a run whose worker is gone; return False if it changed since ``run`` was read."""
        with self._db.write() as session:
            row = _locked(session, run.id)
            if row.status not in ACTIVE or row.heartbeat_at != run.heartbeat_at or row.worker != run.worker:
                return False
            _end(session, row, "interrupted", reason, None)
            return True

    # -- epochs and events -----------------------------------------------------------------------

    def add_epoch(self, run_id: str, epoch: Epoch) -> None:
        """Store one epoch, in place of what an interrupted attempt left there."""
        with self._db.write() as session:
            session.execute(delete(EpochRow).where(EpochRow.run_id == run_id, EpochRow.epoch == epoch.epoch))
            session.execute(insert(EpochRow), storable(asdict(epoch) | {"run_id": run_id}))

    def truncate_epochs(self, run_id: str, last: int) -> None:
        """Forget epochs after ``last``: a resumed run computes them again."""
        with self._db.write() as session:
            session.execute(delete(EpochRow).where(EpochRow.run_id == run_id, EpochRow.epoch > last))

    def epochs(self, run_id: str, *, after: int = 0) -> list[Epoch]:
        """Return the epochs after the given one, in order."""
        query = select(EpochRow).where(EpochRow.run_id == run_id, EpochRow.epoch > after).order_by(EpochRow.epoch)
        with self._db.read() as session:
            return [_epoch(row) for row in session.scalars(query)]

    def add_event(self, run_id: str, kind: str, message: str) -> None:
        """Tell something about a run."""
        with self._db.write() as session:
            _event(session, run_id, kind, message)

    def events(self, run_id: str, *, after: int = 0) -> list[Event]:
        """Return the events after the given id, in order."""
        query = select(EventRow).where(EventRow.run_id == run_id, EventRow.id > after).order_by(EventRow.id)
        with self._db.read() as session:
            return [_record(Event, row) for row in session.scalars(query)]

    # -- checkpoints and predictions -------------------------------------------------------------

    def put_checkpoint(self, run_id: str, values: dict[str, Any]) -> Checkpoint:
        """Insert or replace the checkpoint at ``values['path']``.

        Other weights may be of the same epoch, where a run stopped within the next one: what the ones before
        said of clips is forgotten.
        """
        with self._db.write() as session:
            query = select(CheckpointRow).where(CheckpointRow.run_id == run_id, CheckpointRow.path == values["path"])
            row = session.scalar(query)
            if row is None:
                row = CheckpointRow(run_id=run_id)
                session.add(row)
            else:
                said = PredictionRow.checkpoint_id == row.id, PredictionRow.epoch == values["epoch"]
                session.execute(delete(PredictionRow).where(*said))
            _assign(row, values)
            row.created_at = time.time()
            session.flush()
            return _record(Checkpoint, row)

    def checkpoints(self, run_id: str) -> list[Checkpoint]:
        """Return a run's checkpoints: best, last, then kept epochs in order."""
        query = select(CheckpointRow).where(CheckpointRow.run_id == run_id).order_by(CheckpointRow.epoch)
        order = {"best": 0, "last": 1, "epoch": 2}
        with self._db.read() as session:
            rows = [_record(Checkpoint, row) for row in session.scalars(query)]
        return sorted(rows, key=lambda row: (order[row.kind], row.epoch))

    def put_prediction(self, values: dict[str, Any]) -> Prediction:
        """Insert or replace the stored logits of one checkpoint, epoch, dataset and split."""
        key = ("checkpoint_id", "epoch", "dataset_id", "split")
        with self._db.write() as session:
            row = session.scalar(select(PredictionRow).filter_by(**{name: values[name] for name in key}))
            if row is None:
                row = PredictionRow(**{name: values[name] for name in key})
                session.add(row)
            row.path, row.num_clips, row.created_at = values["path"], values["num_clips"], time.time()
            row.accuracy = values.get("accuracy")
            session.flush()
            return _record(Prediction, row)

    def prediction(self, checkpoint: Checkpoint, dataset_id: str, split: str) -> Prediction | None:
        """Return the stored logits of a checkpoint as it is now, or None."""
        query = select(PredictionRow).filter_by(
            checkpoint_id=checkpoint.id, epoch=checkpoint.epoch, dataset_id=dataset_id, split=split
        )
        with self._db.read() as session:
            row = session.scalar(query)
            return None if row is None else _record(Prediction, row)


def _locked(session: Session, run_id: str) -> RunRow:
    row = session.get(RunRow, run_id, with_for_update=True)
    if row is None:
        raise NotFoundError(f"There is no run '{run_id}'.", "It may have been deleted.")
    return row


def _assign(row: RunRow | CheckpointRow, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if name not in row.__table__.columns:
            raise TypeError(f"{row.__tablename__} has no column '{name}'")  # setattr would take it and forget it
        setattr(row, name, storable({name: value})[name])


def _leave_queue(row: RunRow) -> None:
    row.status, row.ended_at, row.end_reason = "stopped", time.time(), "Taken from the queue before it began."


def _end(session: Session, row: RunRow, status: RunStatus, reason: str, error: str | None) -> None:
    row.status, row.ended_at, row.stop_requested = status, time.time(), False
    row.paused = row.paused and status == "stopped"
    _assign(row, {"end_reason": reason, "error": error})
    _event(session, row.id, status, reason)


def _event(session: Session, run_id: str, kind: str, message: str) -> None:
    values = {"run_id": run_id, "at": time.time(), "kind": kind, "message": message}
    session.execute(insert(EventRow), storable(values))


def _record(kind: type[T], row: Any) -> T:
    return kind(**{field.name: getattr(row, field.name) for field in fields(kind)})  # type: ignore[arg-type]


def _run(row: RunRow) -> Run:
    values = {name: getattr(row, name) for name in Run.__dataclass_fields__}
    return Run(**values | {"tags": tuple(row.tags or ())})


def _epoch(row: EpochRow) -> Epoch:
    values = {name: getattr(row, name) for name in Epoch.__dataclass_fields__}
    return Epoch(**values | {"recall": tuple(row.recall)})
