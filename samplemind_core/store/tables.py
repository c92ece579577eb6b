"""The tables. A change here needs a migration in ``migrations/versions`` (a test compares both)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
# SQLite numbers rows by themselves only where the key is a plain INTEGER.
Key = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING)


class Labels(TypeDecorator[tuple[str, ...]]):
    """Several labels in one text, each between bars, so that both databases can look for one; none is empty."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str:
        """Return labels as text."""
        return f"|{'|'.join(value)}|" if value else ""

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:
        """Return the labels of a text."""
        return tuple(part for part in (value or "").split("|") if part)


class DatasetRow(Base):
    """An imported collection."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    class_names: Mapped[list[str]] = mapped_column(JSON)
    num_clips: Mapped[int] = mapped_column(Integer)
    num_rejected: Mapped[int] = mapped_column(Integer)
    fingerprint: Mapped[str] = mapped_column(String(64))
    origin: Mapped[str] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float] = mapped_column(Float(53))
    synthetic: Mapped[bool] = mapped_column(Boolean)
    features: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    warnings: Mapped[list[str]] = mapped_column(JSON)
    version: Mapped[int] = mapped_column(Integer, server_default="1")
    num_excluded: Mapped[int] = mapped_column(Integer, server_default="0")
    multi_label: Mapped[bool] = mapped_column(Boolean, server_default=false())


class ClipRow(Base):
    """One labelled clip of a dataset."""

    __tablename__ = "clips"
    __table_args__ = (Index("ix_clips_dataset_row", "dataset_id", "row", unique=True),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    row: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(String(200))
    target: Mapped[int] = mapped_column(Integer)
    source: Mapped[str] = mapped_column(Text)
    split: Mapped[str] = mapped_column(String(8))
    content_hash: Mapped[str] = mapped_column(String(64))
    file: Mapped[str | None] = mapped_column(Text)
    fold: Mapped[str | None] = mapped_column(String(64))
    sample_rate_hz: Mapped[int | None] = mapped_column(Integer)
    channels: Mapped[int | None] = mapped_column(Integer)
    duration_s: Mapped[float | None] = mapped_column(Float(53))
    num_bytes: Mapped[int | None] = mapped_column(BigInteger)
    extra: Mapped[dict[str, Any]] = mapped_column(JSON)
    excluded: Mapped[bool] = mapped_column(Boolean, server_default=false())
    labels: Mapped[tuple[str, ...]] = mapped_column(Labels, server_default=text("''"))


class VersionRow(Base):
    """What a dataset became by one change."""

    __tablename__ = "dataset_versions"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    message: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[float] = mapped_column(Float(53))
    fingerprint: Mapped[str] = mapped_column(String(64))
    class_names: Mapped[list[str]] = mapped_column(JSON)
    num_clips: Mapped[int] = mapped_column(Integer)
    num_excluded: Mapped[int] = mapped_column(Integer)
    seed: Mapped[int] = mapped_column(BigInteger)
    num_changes: Mapped[int] = mapped_column(Integer)
    reverts: Mapped[int | None] = mapped_column(Integer)


class ChangeRow(Base):
    """One value of one clip that a version changed."""

    __tablename__ = "clip_changes"
    __table_args__ = (Index("ix_clip_changes_dataset_version", "dataset_id", "version"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column(Integer)
    clip_id: Mapped[int] = mapped_column(Key)
    field: Mapped[str] = mapped_column(String(16))
    before: Mapped[Any] = mapped_column(JSON)
    after: Mapped[Any] = mapped_column(JSON)


class KeptRow(Base):
    """A finding about a dataset that somebody looked at and found to be in order."""

    __tablename__ = "kept_findings"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    author: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[float] = mapped_column(Float(53))


class RejectRow(Base):
    """One file that was not imported."""

    __tablename__ = "rejects"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)


class RunRow(Base):
    """One training run."""

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_status_queued_at", "status", "queued_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    status: Mapped[str] = mapped_column(String(16))
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    owner: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[float] = mapped_column(Float(53))
    queued_at: Mapped[float] = mapped_column(Float(53))
    started_at: Mapped[float | None] = mapped_column(Float(53))
    ended_at: Mapped[float | None] = mapped_column(Float(53))
    heartbeat_at: Mapped[float | None] = mapped_column(Float(53))
    worker: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    device: Mapped[str | None] = mapped_column(String(64))
    num_parameters: Mapped[int | None] = mapped_column(BigInteger)
    best_epoch: Mapped[int | None] = mapped_column(Integer)
    progress: Mapped[dict[str, Any]] = mapped_column(JSON)
    stop_requested: Mapped[bool] = mapped_column(Boolean)
    end_reason: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    dataset_version: Mapped[int] = mapped_column(Integer, server_default="1")
    dataset_fingerprint: Mapped[str | None] = mapped_column(String(64))
    notes: Mapped[str] = mapped_column(Text, server_default=text("''"))
    # Nullable: PostgreSQL cannot compare JSON, so a default there could not be checked against the migration.
    tags: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    based_on: Mapped[str | None] = mapped_column(String(32))
    paused: Mapped[bool] = mapped_column(Boolean, server_default=false())
    deleted_at: Mapped[float | None] = mapped_column(Float(53))


class EpochRow(Base):
    """What one epoch measured."""

    __tablename__ = "epochs"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True)
    train_loss: Mapped[float] = mapped_column(Float(53))
    val_loss: Mapped[float] = mapped_column(Float(53))
    train_accuracy: Mapped[float] = mapped_column(Float(53))
    val_accuracy: Mapped[float] = mapped_column(Float(53))
    lr: Mapped[float] = mapped_column(Float(53))
    seconds: Mapped[float] = mapped_column(Float(53))
    clips_per_s: Mapped[float] = mapped_column(Float(53))
    health: Mapped[dict[str, Any]] = mapped_column(JSON)
    recall: Mapped[list[float | None]] = mapped_column(JSON)


class EventRow(Base):
    """Something worth telling about a run."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    at: Mapped[float] = mapped_column(Float(53))
    kind: Mapped[str] = mapped_column(String(32))
    message: Mapped[str] = mapped_column(Text)


class CheckpointRow(Base):
    """A saved network."""

    __tablename__ = "checkpoints"
    __table_args__ = (Index("ix_checkpoints_run_path", "run_id", "path", unique=True),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(8))
    epoch: Mapped[int] = mapped_column(Integer)
    path: Mapped[str] = mapped_column(Text)
    val_loss: Mapped[float] = mapped_column(Float(53))
    val_accuracy: Mapped[float] = mapped_column(Float(53))
    num_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float] = mapped_column(Float(53))


class PredictionRow(Base):
    """Stored logits of a checkpoint on one split."""

    __tablename__ = "predictions"
    __table_args__ = (Index("ix_predictions_checkpoint", "checkpoint_id", "epoch", "dataset_id", "split", unique=True),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id", ondelete="CASCADE"))
    epoch: Mapped[int] = mapped_column(Integer)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    split: Mapped[str] = mapped_column(String(8))
    path: Mapped[str] = mapped_column(Text)
    num_clips: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[float] = mapped_column(Float(53))
    accuracy: Mapped[float | None] = mapped_column(Float(53))


class TaskRow(Base):
    """One piece of background work."""

    __tablename__ = "tasks"
    __table_args__ = (Index("ix_tasks_status_queued_at", "status", "queued_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(64), index=True)
    title: Mapped[str] = mapped_column(Text)
    params: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16))
    owner: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[float] = mapped_column(Float(53))
    queued_at: Mapped[float] = mapped_column(Float(53))
    started_at: Mapped[float | None] = mapped_column(Float(53))
    ended_at: Mapped[float | None] = mapped_column(Float(53))
    heartbeat_at: Mapped[float | None] = mapped_column(Float(53))
    worker: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    progress: Mapped[dict[str, Any]] = mapped_column(JSON)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    stop_requested: Mapped[bool] = mapped_column(Boolean)


class BatchRow(Base):
    """Files classified together."""

    __tablename__ = "batches"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(16))
    origin: Mapped[str] = mapped_column(Text)
    owner: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[float] = mapped_column(Float(53), index=True)
    checkpoint: Mapped[dict[str, Any]] = mapped_column(JSON)
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    num_files: Mapped[int | None] = mapped_column(Integer)
    task_id: Mapped[str | None] = mapped_column(String(32))


class AnswerRow(Base):
    """What one file was called."""

    __tablename__ = "answers"
    __table_args__ = (
        Index("ix_answers_label", "batch_id", "label"),
        Index("ix_answers_confidence", "batch_id", "confidence"),
    )

    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    file: Mapped[str | None] = mapped_column(Text)
    label: Mapped[str | None] = mapped_column(String(200))
    confidence: Mapped[float | None] = mapped_column(Float(53))
    set_size: Mapped[int | None] = mapped_column(Integer)
    duration_s: Mapped[float | None] = mapped_column(Float(53))
    error: Mapped[str | None] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSON)


class CorrectionRow(Base):
    """What somebody says a classified file really is."""

    __tablename__ = "corrections"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(String(200))
    called: Mapped[str | None] = mapped_column(String(200))
    confidence: Mapped[float | None] = mapped_column(Float(53))
    content_hash: Mapped[str] = mapped_column(String(64), index=True)
    file: Mapped[str] = mapped_column(Text)
    by: Mapped[str] = mapped_column(String(200))
    at: Mapped[float] = mapped_column(Float(53))
    checkpoint: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16), index=True)
    reviewed_by: Mapped[str | None] = mapped_column(String(200))
    reviewed_at: Mapped[float | None] = mapped_column(Float(53))
    dataset_id: Mapped[str | None] = mapped_column(String(32))
    version: Mapped[int | None] = mapped_column(Integer)
    note: Mapped[str] = mapped_column(Text)


class SearchRow(Base):
    """A search for better settings."""

    __tablename__ = "searches"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), index=True)
    dataset_version: Mapped[int] = mapped_column(Integer)
    plan: Mapped[dict[str, Any]] = mapped_column(JSON)
    num_trials: Mapped[int] = mapped_column(Integer)
    owner: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[float] = mapped_column(Float(53), index=True)
    task_id: Mapped[str | None] = mapped_column(String(32))


class SearchEntryRow(Base):
    """One entry of a search's journal, as Optuna writes it."""

    __tablename__ = "search_entries"

    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    entry: Mapped[dict[str, Any]] = mapped_column(JSON)
