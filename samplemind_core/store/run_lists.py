"""What a list of many runs shows besides the runs: their curves and test scores, one question each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import select, update

from samplemind_core.store.database import Database
from samplemind_core.store.records import Curve
from samplemind_core.store.tables import CheckpointRow, EpochRow, PredictionRow, RunRow


class RunLists:
    """Questions about all runs at once."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def curves(self, run_ids: Sequence[str] | None = None) -> dict[str, Curve]:
        """Return the validation curves of runs, or of all, by run id; without those that have no epoch."""
        columns = (EpochRow.run_id, EpochRow.epoch, EpochRow.val_loss, EpochRow.val_accuracy, EpochRow.seconds)
        query = select(*columns).order_by(EpochRow.run_id, EpochRow.epoch)
        if run_ids is not None:
            query = query.where(EpochRow.run_id.in_(run_ids))
        with self._db.read() as session:
            found = {}
            for run_id, rows in groupby(session.execute(query), key=lambda row: row[0]):
                _, epochs, losses, accuracies, seconds = zip(*rows, strict=True)
                found[run_id] = Curve(epochs, losses, accuracies, sum(seconds))
            return found

    def test_accuracies(self) -> dict[str, float]:
        """Return the accuracy of each run's best checkpoint on its own test split, where that was judged."""
        query = (
            select(CheckpointRow.run_id, PredictionRow.accuracy)
            .join(CheckpointRow, CheckpointRow.id == PredictionRow.checkpoint_id)
            .join(RunRow, RunRow.id == CheckpointRow.run_id)
            .where(*_BEST_ON_TEST, PredictionRow.accuracy.is_not(None))
        )
        with self._db.read() as session:
            return {run_id: accuracy for run_id, accuracy in session.execute(query) if accuracy is not None}

    def unmeasured(self) -> dict[int, str]:
        """Return the files of test predictions whose accuracy was never worked out, by id, the newest first."""
        query = (
            select(PredictionRow.id, PredictionRow.path)
            .join(CheckpointRow, CheckpointRow.id == PredictionRow.checkpoint_id)
            .join(RunRow, RunRow.id == CheckpointRow.run_id)
            .where(*_BEST_ON_TEST, PredictionRow.accuracy.is_(None))
            .order_by(PredictionRow.id.desc())
        )
        with self._db.read() as session:
            return {row.id: row.path for row in session.execute(query)}

    def put_accuracies(self, accuracies: dict[int, float]) -> None:
        """Store the accuracy of predictions, by their id."""
        if not accuracies:
            return
        with self._db.write() as session:
            rows = [{"id": key, "accuracy": value} for key, value in accuracies.items()]
            session.execute(update(PredictionRow), rows)


_BEST_ON_TEST = (
    CheckpointRow.kind == "best",
    PredictionRow.epoch == CheckpointRow.epoch,
    PredictionRow.dataset_id == RunRow.dataset_id,
    PredictionRow.split == "test",
)
