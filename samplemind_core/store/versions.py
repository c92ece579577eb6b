"""Versions of datasets: every change is one, none is ever lost, and each can be read as it was.

The clips hold the newest state. What a version changed is stored as the value before and after, so
that an older state is the newest one with the changes since then taken back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from samplemind_core.errors import NotFoundError, VersionConflictError
from samplemind_core.store.database import Database
from samplemind_core.store.records import Change, Clip, Dataset, Version
from samplemind_core.store.tables import ChangeRow, ClipRow, DatasetRow, KeptRow, VersionRow
from samplemind_core.store.values import storable

# SQLite takes some thousands of values in one statement.
BATCH = 1_000
# What a dataset and each of its versions both say.
STATE = ("version", "fingerprint", "class_names", "num_clips", "num_excluded", "seed")


class Versions:
    """The tables of a database that hold what changed in datasets."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, version: Version, changes: Sequence[Change], clips: Sequence[Clip] = ()) -> Version:
        """Make the next version of a dataset: all of its changes, or none.

        Parameters
        ----------
        version : Version
            Its number is one more than that of the version it was made from.
        changes : sequence of Change
            Against that version.
        clips : sequence of Clip
            New ones, with the cache rows after the last. In every older version they are excluded.

        Raises
        ------
        VersionConflictError
            If the dataset has another version by now: somebody else was faster.
        NotFoundError
            If the dataset is gone.
        """
        with self._db.write() as session:
            row = session.get(DatasetRow, version.dataset_id, with_for_update=True)
            if row is None:
                raise NotFoundError(f"There is no dataset '{version.dataset_id}'.", "It may have been deleted.")
            if row.version != version.version - 1:
                newest = session.get_one(VersionRow, (row.id, row.version))
                raise conflict(_version(newest), version.version - 1)
            changes = [*changes, *_insert(session, row.id, clips)]
            _apply(session, changes)
            relabelled = any(change.field == "label" for change in changes)
            if relabelled or clips or tuple(row.class_names) != version.class_names:
                _number(session, row.id, version.class_names)
            for name in STATE:
                setattr(row, name, _values(version)[name])
            stored = replace(version, created_at=time.time(), num_changes=len(changes))
            session.execute(insert(VersionRow), _values(stored))
            key = {"dataset_id": row.id, "version": version.version}
            for part in _batches(changes):
                session.execute(insert(ChangeRow), [key | asdict(change) for change in part])
        return stored

    def all(self, dataset_id: str) -> list[Version]:
        """Return the versions of a dataset, oldest first."""
        query = select(VersionRow).where(VersionRow.dataset_id == dataset_id).order_by(VersionRow.version)
        with self._db.read() as session:
            return [_version(row) for row in session.scalars(query)]

    def get(self, dataset_id: str, version: int) -> Version:
        """Return one version; raise :class:`NotFoundError` if there is none."""
        with self._db.read() as session:
            row = session.get(VersionRow, (dataset_id, version))
            if row is not None:
                return _version(row)
            newest = session.scalar(select(func.max(VersionRow.version)).where(VersionRow.dataset_id == dataset_id))
        there = f"It has versions 1 to {newest}." if newest else "There is no such dataset."
        raise NotFoundError(f"The dataset has no version {version}.", there)

    def at(self, dataset: Dataset, version: int) -> Dataset:
        """Return a dataset as it was in one of its versions."""
        if version == dataset.version:
            return dataset
        found = self.get(dataset.id, version)
        return replace(dataset, **{name: getattr(found, name) for name in STATE})

    def changes(self, dataset_id: str, version: int, *, limit: int | None = None) -> list[Change]:
        """Return what a version changed, in the order of the clips' ids."""
        query = select(ChangeRow).where(ChangeRow.dataset_id == dataset_id, ChangeRow.version == version)
        with self._db.read() as session:
            return [_change(row) for row in session.scalars(query.order_by(ChangeRow.id).limit(limit))]

    def clips(self, dataset: Dataset) -> list[Clip]:
        """Return all clips as they were in the version that ``dataset`` is, excluded ones included.

        They come in the order of their cache rows; ``target`` is the place of the label in that
        version's class names, -1 where it is none of them.
        """
        past = select(ChangeRow).where(ChangeRow.dataset_id == dataset.id, ChangeRow.version > dataset.version)
        with self._db.read() as session:
            # Clips first: a version made between the two queries is then taken back as well.
            query = select(ClipRow).where(ClipRow.dataset_id == dataset.id).order_by(ClipRow.row)
            found = [clip_record(row) for row in session.scalars(query)]
            before: dict[int, dict[str, Any]] = {}
            for row in session.scalars(past.order_by(ChangeRow.version.desc(), ChangeRow.id.desc())):
                before.setdefault(row.clip_id, {})[row.field] = _value(row.before)
        places = {name: place for place, name in enumerate(dataset.class_names)}
        clips = []
        for clip in found:
            was = replace(clip, **before[clip.id]) if clip.id in before else clip
            target = places.get(was.label, -1)
            clips.append(was if was.target == target else replace(was, target=target))
        return clips

    # -- findings that are in order --------------------------------------------------------------

    def keep(self, dataset_id: str, key: str, author: str) -> None:
        """Remember that a finding was looked at and is in order."""
        try:
            with self._db.write() as session:
                row = {"dataset_id": dataset_id, "key": key, "author": author, "created_at": time.time()}
                session.execute(insert(KeptRow), storable(row))
        except IntegrityError:
            if key not in self.kept(dataset_id):
                raise

    def unkeep(self, dataset_id: str, key: str) -> None:
        """Bring a finding back."""
        with self._db.write() as session:
            session.execute(delete(KeptRow).where(KeptRow.dataset_id == dataset_id, KeptRow.key == key))

    def kept(self, dataset_id: str) -> dict[str, str]:
        """Return who looked at which finding, by its key."""
        with self._db.read() as session:
            query = select(KeptRow.key, KeptRow.author).where(KeptRow.dataset_id == dataset_id)
            return {row.key: row.author for row in session.execute(query)}


def first_version(dataset: Dataset) -> Version:
    """Return the version that an import makes."""
    return Version(
        dataset_id=dataset.id,
        version=1,
        kind="import",
        message=dataset.origin,
        author="",
        created_at=dataset.created_at,
        **{name: getattr(dataset, name) for name in STATE if name != "version"},
    )


def conflict(newest: Version, base: int) -> VersionConflictError:
    """Return the error for a change to a version that is no longer the newest."""
    by = f" by {newest.author}" if newest.author else ""
    return VersionConflictError(
        f"The dataset changed meanwhile: version {newest.version}{by}: {newest.message}. "
        f"Your change was made to version {base}.",
        "Look at the new version, then do it again if it is still needed.",
    )


def clip_record(row: ClipRow) -> Clip:
    """Return a clip of the table as a record."""
    return Clip(**{name: getattr(row, name) for name in Clip.__dataclass_fields__})


def insert_version(session: Session, version: Version) -> None:
    """Store a version inside a transaction that somebody else began."""
    session.execute(insert(VersionRow), _values(version))


def _insert(session: Session, dataset_id: str, clips: Sequence[Clip]) -> list[Change]:
    """Store new clips as excluded, and return the changes that take them in."""
    changes = []
    for clip in clips:
        values = asdict(clip) | {"dataset_id": dataset_id, "excluded": True}
        del values["id"]
        key = session.execute(insert(ClipRow).returning(ClipRow.id), storable(values)).scalar_one()
        changes.append(Change(key, "excluded", True, False))
    return changes


def _apply(session: Session, changes: Sequence[Change]) -> None:
    """Set the new values, with one statement for the clips that get the same one."""
    same: dict[tuple[str, Any], list[int]] = {}
    for change in changes:
        same.setdefault((change.field, change.after), []).append(change.clip_id)
    for (field, value), ids in same.items():
        for part in _batches(ids):
            session.execute(update(ClipRow).where(ClipRow.id.in_(part)).values({field: value}))


def _number(session: Session, dataset_id: str, class_names: Sequence[str]) -> None:
    """Make every clip's target the place of its label."""
    mine = ClipRow.dataset_id == dataset_id
    for place, name in enumerate(class_names):
        session.execute(update(ClipRow).where(mine, ClipRow.label == name).values(target=place))
    session.execute(update(ClipRow).where(mine, ClipRow.label.not_in(class_names)).values(target=-1))


def _values(version: Version) -> dict[str, Any]:
    return storable(asdict(version))


def _version(row: VersionRow) -> Version:
    values = {field.name: getattr(row, field.name) for field in fields(Version)}
    return Version(**values | {"class_names": tuple(row.class_names)})


def _change(row: ChangeRow) -> Change:
    return Change(row.clip_id, row.field, _value(row.before), _value(row.after))  # type: ignore[arg-type]


def _value(stored: Any) -> Any:
    """Return the value of a field from JSON, which knows lists only."""
    return tuple(stored) if isinstance(stored, list) else stored


def _batches(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]
