"""How work changes hands: the same for runs and for background tasks."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from samplemind_core.store.tables import RunRow, TaskRow
from samplemind_core.store.values import storable

ATTEMPTS = 10
"""How often a worker that was beaten to a row looks for another."""


def take_oldest(
    session: Session,
    table: type[RunRow] | type[TaskRow],
    worker: dict[str, Any],
    wanted: str | None,
    **values: Any,
) -> tuple[str | None, bool]:
    """Give the oldest queued row (or the one wanted) to a worker, in one statement.

    Parameters
    ----------
    session : Session
        Of a transaction that writes.
    table : type
        Rows with a status, a queue time, a worker and a heartbeat.
    worker : dict
        Who takes it.
    wanted : str, optional
        Id of the only row to take.
    values
        Further columns of the table to set.

    Returns
    -------
    id : str or None
        None where nothing is queued.
    taken : bool
        False where somebody else was faster.
    """
    query = select(table.id).where(table.status == "queued")
    if wanted is not None:
        query = query.where(table.id == wanted)
    candidate = session.scalar(query.order_by(table.queued_at, table.id).limit(1))
    if candidate is None:
        return None, False
    now = time.time()
    taken = session.execute(
        update(table)
        .where(table.id == candidate, table.status == "queued")
        .values(
            status="running",
            worker=storable(worker),
            heartbeat_at=now,
            started_at=func.coalesce(table.started_at, now),
            ended_at=None,
            stop_requested=False,
            **values,
        )
    )
    session.flush()
    return candidate, taken.rowcount == 1  # type: ignore[attr-defined]
