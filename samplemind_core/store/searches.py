"""Hyper-parameter searches and their journals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import func, insert, select, update

from samplemind_core.errors import NotFoundError
from samplemind_core.store.database import Database
from samplemind_core.store.records import Search
from samplemind_core.store.tables import SearchEntryRow, SearchRow
from samplemind_core.store.values import storable


class Searches:
    """The tables of searches."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, search: Search) -> Search:
        """Store a new search, without entries."""
        with self._db.write() as session:
            session.execute(insert(SearchRow), storable(asdict(search)))
        return search

    def all(self, limit: int = 200) -> list[Search]:
        """Return searches, newest first."""
        query = select(SearchRow).order_by(SearchRow.created_at.desc(), SearchRow.id).limit(limit)
        with self._db.read() as session:
            return [_search(row) for row in session.scalars(query)]

    def get(self, search_id: str) -> Search:
        """Return a search; raise :class:`NotFoundError` if there is none of that id or name."""
        query = select(SearchRow).where((SearchRow.id == search_id) | (SearchRow.name == search_id))
        with self._db.read() as session:
            rows = sorted(session.scalars(query), key=lambda row: (row.id != search_id, -row.created_at))
            if not rows:
                raise NotFoundError(f"There is no search '{search_id}'.", "It may have been deleted.")
            return _search(rows[0])

    def extend(self, search_id: str, num_trials: int, task_id: str | None = None) -> None:
        """Record how many trials a search is to have in all, and which task is to try them."""
        with self._db.write() as session:
            values = {"num_trials": num_trials} | ({} if task_id is None else {"task_id": task_id})
            session.execute(update(SearchRow).where(SearchRow.id == search_id).values(**values))

    # -- the journal -----------------------------------------------------------------------------

    def entries(self, search_id: str, start: int = 0) -> list[dict[str, Any]]:
        """Return the entries of a search's journal from a number on, in order."""
        query = (
            select(SearchEntryRow.entry)
            .where(SearchEntryRow.search_id == search_id, SearchEntryRow.number >= start)
            .order_by(SearchEntryRow.number)
        )
        with self._db.read() as session:
            return list(session.scalars(query))

    def num_entries(self, search_id: str) -> int:
        """Return how long a search's journal is."""
        with self._db.read() as session:
            query = select(func.count()).select_from(SearchEntryRow).where(SearchEntryRow.search_id == search_id)
            return session.scalar(query) or 0

    def append(self, search_id: str, entries: Sequence[dict[str, Any]]) -> None:
        """Append entries to a search's journal, all of them or none; two processes never take one number.

        Raises
        ------
        NotFoundError
            If there is no search of that id.
        """
        if not entries:
            return
        newest = select(func.max(SearchEntryRow.number)).where(SearchEntryRow.search_id == search_id)
        with self._db.write() as session:
            # The row of the search is the lock: whoever appends waits for its turn, then counts on.
            if session.get(SearchRow, search_id, with_for_update=True) is None:
                raise NotFoundError(f"There is no search '{search_id}'.", "It may have been deleted.")
            last = session.scalar(newest)
            rows = [
                {"search_id": search_id, "number": number, **storable({"entry": dict(entry)})}
                for number, entry in enumerate(entries, 0 if last is None else last + 1)
            ]
            session.execute(insert(SearchEntryRow), rows)


def _search(row: SearchRow) -> Search:
    return Search(**{field.name: getattr(row, field.name) for field in fields(Search)})
