"""The only SQL of the project: datasets, clips, runs, epochs, events, checkpoints, tasks, answers, searches."""

from __future__ import annotations

from samplemind_core.store.answers import Answers
from samplemind_core.store.corrections import Corrections
from samplemind_core.store.database import Database
from samplemind_core.store.datasets import Datasets
from samplemind_core.store.records import (
    Answer,
    AnswerFilter,
    Batch,
    Change,
    Checkpoint,
    Clip,
    Correction,
    Curve,
    Dataset,
    Epoch,
    Event,
    Prediction,
    Reject,
    Run,
    Search,
    Task,
    Version,
)
from samplemind_core.store.run_lists import RunLists
from samplemind_core.store.runs import Runs
from samplemind_core.store.searches import Searches
from samplemind_core.store.tasks import Tasks
from samplemind_core.store.versions import Versions

__all__ = [
    "Answer",
    "AnswerFilter",
    "Batch",
    "Change",
    "Checkpoint",
    "Clip",
    "Correction",
    "Curve",
    "Dataset",
    "Epoch",
    "Event",
    "Prediction",
    "Reject",
    "Run",
    "Search",
    "Store",
    "Task",
    "Version",
]


class Store:
    """All tables of one database, opened at its current schema.

    Parameters
    ----------
    url : str
        ``sqlite:///path/to/file.db`` or ``postgresql://user@host/name``.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self.datasets = Datasets(self._database)
        self.versions = Versions(self._database)
        self.runs = Runs(self._database)
        self.run_lists = RunLists(self._database)
        self.tasks = Tasks(self._database)
        self.answers = Answers(self._database)
        self.corrections = Corrections(self._database)
        self.searches = Searches(self._database)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()
