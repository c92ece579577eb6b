"""Datasets, their clips and what was not imported."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar, cast

from sqlalchemy import Table, Text, bindparam, func, insert, or_, select, type_coerce
from sqlalchemy.exc import IntegrityError

from samplemind_core.errors import NameTakenError, NotFoundError
from samplemind_core.store.database import Database
from samplemind_core.store.records import Clip, Dataset, Reject, Split, joined
from samplemind_core.store.tables import ClipRow, DatasetRow, RejectRow, RunRow
from samplemind_core.store.versions import clip_record, first_version, insert_version

T = TypeVar("T")
BATCH = 5_000

_CLIPS = cast("Table", ClipRow.__table__)  # for thousands of rows, without what sessions do for each


class Datasets:
    """The dataset tables of a database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, dataset: Dataset, clips: Iterable[Clip], rejects: Iterable[Reject] = ()) -> Dataset:
        """Store a dataset with all its clips as its first version, whole or not at all.

        Raises
        ------
        NameTakenError
            If a dataset of that name exists.
        """
        values = asdict(dataset) | {"class_names": list(dataset.class_names), "warnings": list(dataset.warnings)}
        try:
            with self._db.write() as session:
                session.execute(insert(DatasetRow), values)
                for rows in _batches(clips):
                    session.execute(insert(_CLIPS), [_clip_values(clip, dataset.id) for clip in rows])
                for bad in _batches(rejects):
                    session.execute(insert(RejectRow), [{"dataset_id": dataset.id, **asdict(row)} for row in bad])
                insert_version(session, first_version(dataset))
        except IntegrityError as error:
            if self.find(dataset.name) is None:
                raise
            raise name_taken("dataset", dataset.name) from error
        return dataset

    def all(self) -> list[Dataset]:
        """Return all datasets, newest first."""
        with self._db.read() as session:
            return [_dataset(row) for row in session.scalars(select(DatasetRow).order_by(DatasetRow.created_at.desc()))]

    def find(self, name_or_id: str) -> Dataset | None:
        """Return the dataset of that id or name, or None."""
        with self._db.read() as session:
            query = select(DatasetRow).where(or_(DatasetRow.id == name_or_id, DatasetRow.name == name_or_id))
            # An id wins over another dataset's name.
            rows = sorted(session.scalars(query), key=lambda row: row.id != name_or_id)
            return _dataset(rows[0]) if rows else None

    def get(self, name_or_id: str) -> Dataset:
        """Return the dataset of that id or name; raise :class:`NotFoundError` if there is none."""
        dataset = self.find(name_or_id)
        if dataset is None:
            names = ", ".join(repr(row.name) for row in self.all()[:10]) or "none yet"
            raise NotFoundError(f"There is no dataset '{name_or_id}'.", f"Datasets here: {names}.")
        return dataset

    def num_rows(self, dataset_id: str) -> int:
        """Return how many clips a dataset holds in all, whatever version they belong to."""
        with self._db.read() as session:
            query = select(func.count()).select_from(ClipRow).where(ClipRow.dataset_id == dataset_id)
            return session.scalar(query) or 0

    def clips(
        self,
        dataset_id: str,
        *,
        split: Split | None = None,
        label: str | None = None,
        source: str | None = None,
        text: str | None = None,
        ids: Collection[int] | None = None,
        excluded: bool | None = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Clip]:
        """Return clips in the order of their cache rows, filtered and paged by the database.

        Parameters
        ----------
        dataset_id : str
        split, label, source : str, optional
            Only clips of these; of several labels of a clip one is enough.
        text : str, optional
            Only clips with this in their name or source.
        ids : collection of int, optional
            Only these clips.
        excluded : bool, optional
            Excluded clips instead of those that take part; both if None.
        limit, offset : int
            The page.
        """
        where = {"split": split, "label": label, "source": source, "excluded": excluded}
        query = _clips_query(dataset_id, where, text, ids).order_by(ClipRow.row).limit(limit).offset(offset)
        with self._db.read() as session:
            return [clip_record(row) for row in session.scalars(query)]

    def count_clips(
        self,
        dataset_id: str,
        *,
        split: Split | None = None,
        label: str | None = None,
        source: str | None = None,
        text: str | None = None,
        ids: Collection[int] | None = None,
        excluded: bool | None = False,
    ) -> int:
        """Return how many clips a filter leaves; see :meth:`clips`."""
        where = {"split": split, "label": label, "source": source, "excluded": excluded}
        query = select(func.count()).select_from(_clips_query(dataset_id, where, text, ids).subquery())
        with self._db.read() as session:
            return session.scalar(query) or 0

    def clip(self, clip_id: int) -> Clip:
        """Return one clip by its id."""
        with self._db.read() as session:
            row = session.get(ClipRow, clip_id)
            if row is None:
                raise NotFoundError(f"There is no clip {clip_id}.", "It may have been deleted with its dataset.")
            return clip_record(row)

    def clips_at(self, dataset_id: str, rows: Collection[int]) -> dict[int, Clip]:
        """Return the clips at some rows of the feature cache, by row; those set aside too."""
        places: Any = bindparam("rows", [int(row) for row in rows], expanding=True, literal_execute=True)
        query = select(ClipRow).where(ClipRow.dataset_id == dataset_id, ClipRow.row.in_(places))
        with self._db.read() as session:
            return {row.row: clip_record(row) for row in session.scalars(query)}

    def sources(self, dataset_id: str) -> dict[str, dict[str, dict[str, int]]]:
        """Return the number of clips that take part, as ``{source: {label: {split: n}}}``.

        Each clip is counted once: several labels of a clip are joined to one.
        """
        query = (
            select(ClipRow.source, ClipRow.label, ClipRow.labels, ClipRow.split, func.count())
            .where(ClipRow.dataset_id == dataset_id, ClipRow.excluded.is_(False))
            .group_by(ClipRow.source, ClipRow.label, ClipRow.labels, ClipRow.split)
            .order_by(ClipRow.source)
        )
        table: dict[str, dict[str, dict[str, int]]] = {}
        with self._db.read() as session:
            for source, label, labels, split, count in session.execute(query):
                table.setdefault(source, {}).setdefault(joined(labels) or label, {})[split] = count
        return table

    def count_sources(self, dataset_id: str) -> int:
        """Return how many sources the clips that take part have."""
        query = select(func.count(func.distinct(ClipRow.source))).where(
            ClipRow.dataset_id == dataset_id, ClipRow.excluded.is_(False)
        )
        with self._db.read() as session:
            return session.scalar(query) or 0

    def counts(self, dataset_id: str) -> dict[str, dict[str, int]]:
        """Return the number of clips that take part, as ``{label: {split: n}}``; one with several counts for each."""
        query = (
            select(ClipRow.label, ClipRow.labels, ClipRow.split, func.count())
            .where(ClipRow.dataset_id == dataset_id, ClipRow.excluded.is_(False))
            .group_by(ClipRow.label, ClipRow.labels, ClipRow.split)
        )
        table: dict[str, dict[str, int]] = {}
        with self._db.read() as session:
            for label, labels, split, count in session.execute(query):
                for name in labels or (label,):
                    row = table.setdefault(name, {})
                    row[split] = row.get(split, 0) + count
        return table

    def split_sizes(self, dataset_id: str) -> dict[str, int]:
        """Return how many of the clips that take part each split has."""
        query = (
            select(ClipRow.split, func.count())
            .where(ClipRow.dataset_id == dataset_id, ClipRow.excluded.is_(False))
            .group_by(ClipRow.split)
        )
        with self._db.read() as session:
            return {row[0]: row[1] for row in session.execute(query)}

    def rejects(self, dataset_id: str, *, limit: int | None = None, offset: int = 0) -> list[Reject]:
        """Return what was not imported, in the order it was met."""
        query = select(RejectRow).where(RejectRow.dataset_id == dataset_id).order_by(RejectRow.id)
        with self._db.read() as session:
            return [Reject(row.name, row.reason) for row in session.scalars(query.limit(limit).offset(offset))]

    def delete(self, dataset_id: str) -> None:
        """Delete a dataset that no run was trained on; the caller deletes its folder."""
        with self._db.write() as session:
            used = session.scalar(select(func.count()).select_from(RunRow).where(RunRow.dataset_id == dataset_id))
            if used:
                what = "1 run belongs" if used == 1 else f"{used:,} runs belong"
                raise NameTakenError(f"{what} to this dataset.", "Delete what was trained on it first.")
            row = session.get(DatasetRow, dataset_id)
            if row is not None:
                session.delete(row)


def name_taken(kind: str, name: str) -> NameTakenError:
    """Return the error for a name that is in use."""
    return NameTakenError(f"There is already a {kind} named '{name}'.", "Choose another name.")


def _clips_query(dataset_id: str, where: dict[str, Any], text: str | None, ids: Collection[int] | None) -> Any:
    query = select(ClipRow).where(ClipRow.dataset_id == dataset_id)
    query = query.filter_by(**{name: value for name, value in where.items() if value is not None and name != "label"})
    if (label := where["label"]) is not None:
        # LIKE would not tell capitals from small letters in SQLite, and would in PostgreSQL.
        labels = type_coerce(ClipRow.labels, Text)
        query = query.where(or_(ClipRow.label == label, func.replace(labels, f"|{label}|", "") != labels))
    if ids is not None:
        # Written into the statement: neither database takes more than some ten thousand parameters.
        query = query.where(
            ClipRow.id.in_(bindparam("ids", [int(i) for i in ids], expanding=True, literal_execute=True))
        )
    if text:
        query = query.where(
            or_(ClipRow.name.icontains(text, autoescape=True), ClipRow.source.icontains(text, autoescape=True))
        )
    return query


def _clip_values(clip: Clip, dataset_id: str) -> dict[str, Any]:
    values = {name: getattr(clip, name) for name in Clip.__dataclass_fields__}  # dataclasses.asdict copies deeply: slow
    del values["id"]
    values["dataset_id"] = dataset_id
    return values


def _dataset(row: DatasetRow) -> Dataset:
    return Dataset(
        **{name: getattr(row, name) for name in Dataset.__dataclass_fields__}
        | {"class_names": tuple(row.class_names), "warnings": tuple(row.warnings)}
    )


def _batches(rows: Iterable[T]) -> Iterable[Sequence[T]]:
    batch: list[T] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
