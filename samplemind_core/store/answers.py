"""What was classified, with which checkpoint, and what came out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from sqlalchemy import ColumnElement, Integer, cast, delete, func, insert, or_, select, update

from samplemind_core.errors import NotFoundError
from samplemind_core.store.database import Database
from samplemind_core.store.records import Answer, AnswerFilter, Batch
from samplemind_core.store.tables import AnswerRow, BatchRow
from samplemind_core.store.values import storable

Order = Literal["position", "name", "label", "confidence", "-confidence"]
NUM_BINS = 20
"""Bins of the confidence histogram, equally wide in [0, 1]."""
EVERYTHING = AnswerFilter()


@dataclass(frozen=True)
class AnswerSummary:
    """A batch in numbers.

    ``by_label`` counts answers by class, None being none of these; ``histogram`` counts them in
    :data:`NUM_BINS` equal bins of confidence; ``num_failed`` counts files that could not be heard.
    """

    num_answers: int
    num_failed: int
    by_label: dict[str | None, int]
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class Tally:
    """How many files of a batch were called what, the most frequent first; None is none of these."""

    by_label: dict[str | None, int]
    num_failed: int

    @property
    def num_answers(self) -> int:
        """Files with an answer, those that could not be heard among them."""
        return sum(self.by_label.values()) + self.num_failed


class Answers:
    """The tables of classified files."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # -- batches ---------------------------------------------------------------------------------

    def add(self, batch: Batch) -> Batch:
        """Store a new batch, without answers."""
        with self._db.write() as session:
            session.execute(insert(BatchRow), storable(asdict(batch)))
        return batch

    def batches(self, *, text: str = "", owner: str | None = None, limit: int = 200) -> list[Batch]:
        """Return batches, newest first; with ``text`` those that hold it.

        It is looked for in their title, origin, owner and run, and in the names and classes of their files.
        """
        query = select(BatchRow).order_by(BatchRow.created_at.desc(), BatchRow.id).limit(limit)
        if owner is not None:
            query = query.where(BatchRow.owner == owner)
        if text:
            inside = select(AnswerRow.batch_id).where(or_(_holds(AnswerRow.name, text), _holds(AnswerRow.label, text)))
            mine = (BatchRow.title, BatchRow.origin, BatchRow.owner, BatchRow.checkpoint["run"].as_string())
            query = query.where(or_(*(_holds(column, text) for column in mine), BatchRow.id.in_(inside)))
        with self._db.read() as session:
            return [_batch(row) for row in session.scalars(query)]

    def tally(self, batch_ids: Sequence[str]) -> dict[str, Tally]:
        """Return what the files of each batch were called; batches without answers are left out."""
        heard = AnswerRow.error.is_(None)
        query = (
            select(AnswerRow.batch_id, AnswerRow.label, heard, func.count())
            .where(AnswerRow.batch_id.in_(batch_ids))
            .group_by(AnswerRow.batch_id, AnswerRow.label, heard)
        )
        found: dict[str, Tally] = {}
        with self._db.read() as session:
            rows = sorted(session.execute(query).all(), key=lambda row: (-row[3], row[1] or ""))
        for batch_id, label, was_heard, count in rows:
            one = found.setdefault(batch_id, Tally({}, 0))
            labels = {**one.by_label, label: count} if was_heard else one.by_label
            found[batch_id] = Tally(labels, one.num_failed + (0 if was_heard else count))
        return found

    def batch(self, batch_id: str) -> Batch:
        """Return a batch; raise :class:`NotFoundError` if there is none of that id."""
        with self._db.read() as session:
            row = session.get(BatchRow, batch_id)
            if row is None:
                raise NotFoundError(f"There is no batch '{batch_id}'.", "It may have been deleted.")
            return _batch(row)

    def describe(
        self,
        batch_id: str,
        *,
        num_files: int | None = None,
        task_id: str | None = None,
        checkpoint: dict[str, Any] | None = None,
    ) -> None:
        """Record what became known after a batch was stored."""
        known = {"num_files": num_files, "task_id": task_id, "checkpoint": checkpoint}
        values = storable({name: value for name, value in known.items() if value is not None})
        if values:
            with self._db.write() as session:
                session.execute(update(BatchRow).where(BatchRow.id == batch_id).values(**values))

    def delete(self, batch_id: str) -> None:
        """Forget a batch and its answers; the caller deletes its files."""
        with self._db.write() as session:
            session.execute(delete(AnswerRow).where(AnswerRow.batch_id == batch_id))
            session.execute(delete(BatchRow).where(BatchRow.id == batch_id))

    # -- answers ---------------------------------------------------------------------------------

    def append(self, batch_id: str, answers: Sequence[Answer]) -> None:
        """Store answers, all of them or none; each position once."""
        rows = [storable({**asdict(answer), "batch_id": batch_id}) for answer in answers]
        if rows:
            with self._db.write() as session:
                session.execute(insert(AnswerRow), rows)

    def count(self, batch_id: str, where: AnswerFilter = EVERYTHING) -> int:
        """Return how many answers there are."""
        with self._db.read() as session:
            query = select(func.count()).select_from(AnswerRow).where(AnswerRow.batch_id == batch_id, *_parts(where))
            return session.scalar(query) or 0

    def answer(self, batch_id: str, position: int) -> Answer:
        """Return one answer; raise :class:`NotFoundError` if there is none."""
        with self._db.read() as session:
            row = session.get(AnswerRow, (batch_id, position))
            if row is None:
                raise NotFoundError(f"Batch '{batch_id}' has no file {position}.", "It may have been deleted.")
            return _answer(row)

    def page(
        self,
        batch_id: str,
        where: AnswerFilter = EVERYTHING,
        *,
        order: Order = "position",
        limit: int = 50,
        offset: int = 0,
    ) -> list[Answer]:
        """Return answers in an order, filtered and paged by the database."""
        column = getattr(AnswerRow, order.lstrip("-"))
        by = column.desc().nulls_last() if order.startswith("-") else column.asc().nulls_last()
        query = (
            select(AnswerRow)
            .where(AnswerRow.batch_id == batch_id, *_parts(where))
            .order_by(by, AnswerRow.position)
            .limit(limit)
            .offset(offset)
        )
        with self._db.read() as session:
            return [_answer(row) for row in session.scalars(query)]

    def iterate(self, batch_id: str, where: AnswerFilter = EVERYTHING, *, chunk: int = 1_000) -> Iterator[Answer]:
        """Yield answers by position, a chunk in memory at a time."""
        after = -1
        while True:
            query = (
                select(AnswerRow)
                .where(AnswerRow.batch_id == batch_id, AnswerRow.position > after, *_parts(where))
                .order_by(AnswerRow.position)
                .limit(chunk)
            )
            with self._db.read() as session:
                found = [_answer(row) for row in session.scalars(query)]
            yield from found
            if len(found) < chunk:
                return
            after = found[-1].position

    def summary(self, batch_id: str, where: AnswerFilter = EVERYTHING) -> AnswerSummary:
        """Return counts by class and by confidence."""
        mine = (AnswerRow.batch_id == batch_id, *_parts(where))
        heard = AnswerRow.error.is_(None)
        # 1.0 belongs to the last bin; casting a float rounds on PostgreSQL and cuts on SQLite, a floor does neither.
        place = cast(func.floor(AnswerRow.confidence * NUM_BINS), Integer)
        with self._db.read() as session:
            total = session.scalar(select(func.count()).select_from(AnswerRow).where(*mine)) or 0
            labels = session.execute(
                select(AnswerRow.label, func.count()).where(*mine, heard).group_by(AnswerRow.label)
            ).all()
            bins = session.execute(
                select(place, func.count()).where(*mine, AnswerRow.confidence.is_not(None)).group_by(place)
            ).all()
        histogram = [0] * NUM_BINS
        for index, count in bins:
            histogram[min(int(index), NUM_BINS - 1)] += count
        by_label = {row[0]: row[1] for row in sorted(labels, key=lambda row: (-row[1], row[0] or ""))}
        return AnswerSummary(total, total - sum(by_label.values()), by_label, tuple(histogram))


def _parts(where: AnswerFilter) -> list[ColumnElement[bool]]:
    parts: list[ColumnElement[bool]] = []
    if where.labels is not None:
        named = [label for label in where.labels if label is not None]
        choice = AnswerRow.label.in_(named)
        none = AnswerRow.label.is_(None) & AnswerRow.error.is_(None)
        parts.append(or_(choice, none) if None in where.labels else choice)
    if where.min_confidence is not None:
        parts.append(AnswerRow.confidence >= where.min_confidence)
    if where.max_confidence is not None:
        parts.append(AnswerRow.confidence <= where.max_confidence)
    if where.set_sizes is not None:
        parts.append(AnswerRow.set_size.in_(where.set_sizes))
    if where.failed is not None:
        parts.append(AnswerRow.error.is_not(None) if where.failed else AnswerRow.error.is_(None))
    if where.text:
        parts.append(_holds(AnswerRow.name, where.text))
    return parts


def _holds(column: Any, text: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = column.icontains(text, autoescape=True)
    return found


def _batch(row: BatchRow) -> Batch:
    return Batch(**{field.name: getattr(row, field.name) for field in fields(Batch)})


def _answer(row: AnswerRow) -> Answer:
    return Answer(**{field.name: getattr(row, field.name) for field in fields(Answer)})
