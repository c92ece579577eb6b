"""Corrections of answers: who said what, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import asdict, fields

from sqlalchemy import func, insert, select, update

from samplemind_core.errors import JobError, NotFoundError
from samplemind_core.store.database import Database
from samplemind_core.store.records import Correction, CorrectionStatus
from samplemind_core.store.tables import CorrectionRow
from samplemind_core.store.values import storable


class Corrections:
    """The table of corrections of a database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, correction: Correction) -> Correction:
        """Put a correction into the queue and return it with its id.

        One that waits already for the same sound, by the same person, is replaced: minds change.
        """
        values = storable(asdict(correction))
        del values["id"]
        with self._db.write() as session:
            mine = session.scalar(
                select(CorrectionRow).where(
                    CorrectionRow.content_hash == correction.content_hash,
                    CorrectionRow.by == correction.by,
                    CorrectionRow.status == "waiting",
                )
            )
            if mine is not None:
                for name, value in values.items():
                    setattr(mine, name, value)
                session.flush()
                return _correction(mine)
            key = session.execute(insert(CorrectionRow).returning(CorrectionRow.id), values).scalar_one()
            return _correction(session.get_one(CorrectionRow, key))

    def all(self, *, status: CorrectionStatus | None = None, limit: int | None = None) -> list[Correction]:
        """Return corrections, the oldest first, as a queue is worked through."""
        query = select(CorrectionRow).order_by(CorrectionRow.at, CorrectionRow.id).limit(limit)
        if status is not None:
            query = query.where(CorrectionRow.status == status)
        with self._db.read() as session:
            return [_correction(row) for row in session.scalars(query)]

    def count(self, status: CorrectionStatus) -> int:
        """Return how many corrections have a status."""
        with self._db.read() as session:
            query = select(func.count()).select_from(CorrectionRow).where(CorrectionRow.status == status)
            return session.scalar(query) or 0

    def get(self, ids: Collection[int]) -> list[Correction]:
        """Return corrections by id; raise :class:`NotFoundError` if one is gone."""
        with self._db.read() as session:
            found = [
                _correction(row) for row in session.scalars(select(CorrectionRow).where(CorrectionRow.id.in_(ids)))
            ]
        missing = set(ids) - {row.id for row in found}
        if missing:
            raise NotFoundError(f"There is no correction {min(missing)}.", "Load the queue again.")
        return sorted(found, key=lambda row: row.id)

    def settle(
        self,
        ids: Collection[int],
        status: CorrectionStatus,
        by: str,
        *,
        dataset_id: str | None = None,
        version: int | None = None,
    ) -> None:
        """Record what a reviewer decided: all of them, or none.

        Raises
        ------
        JobError
            If somebody else decided about one of them meanwhile.
        """
        values = {"status": status, "reviewed_by": by, "reviewed_at": time.time()}
        with self._db.write() as session:
            done = session.execute(
                update(CorrectionRow)
                .where(CorrectionRow.id.in_(ids), CorrectionRow.status == "waiting")
                .values(**storable(values), dataset_id=dataset_id, version=version)
            )
            if done.rowcount != len(set(ids)):  # type: ignore[attr-defined]
                raise JobError("Somebody else decided about one of these meanwhile.", "Load the queue again.")


def _correction(row: CorrectionRow) -> Correction:
    return Correction(**{field.name: getattr(row, field.name) for field in fields(Correction)})
