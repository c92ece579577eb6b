"""Optuna's journal on the workspace's own database.

Optuna's RDBStorage keeps its schema's version in a table ``alembic_version``, as this project does: in one
database they would take each other's. A journal is one table of entries that are only ever appended.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optuna.storages.journal import BaseJournalBackend

if TYPE_CHECKING:
    from samplemind_core.store import Store


class StoreJournal(BaseJournalBackend):
    """The journal of one search; several processes may read and append at once.

    Parameters
    ----------
    store : Store
    search_id : str
    """

    def __init__(self, store: Store, search_id: str) -> None:
        self._store, self._search_id = store, search_id

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the entries from a number on, in order."""
        return self._store.searches.entries(self._search_id, log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries, all of them or none."""
        self._store.searches.append(self._search_id, logs)
