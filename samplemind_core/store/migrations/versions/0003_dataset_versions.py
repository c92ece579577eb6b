"""Versions of datasets, excluded clips, findings that were looked at, and which version a run trained on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    # Columns with a default are added in place. SQLite would copy the table for anything more, and
    # dropping the old one takes along whatever refers to its rows.
    with op.batch_alter_table("datasets") as table:
        table.add_column(sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
        table.add_column(sa.Column("num_excluded", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("clips") as table:
        table.add_column(sa.Column("excluded", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("runs") as table:
        table.add_column(sa.Column("dataset_version", sa.Integer(), nullable=False, server_default="1"))
        table.add_column(sa.Column("dataset_fingerprint", sa.String(length=64), nullable=True))
    op.create_table(
        "dataset_versions",
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("class_names", sa.JSON(), nullable=False),
        sa.Column("num_clips", sa.Integer(), nullable=False),
        sa.Column("num_excluded", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("num_changes", sa.Integer(), nullable=False),
        sa.Column("reverts", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_dataset_versions_dataset_id_datasets"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "version", name=op.f("pk_dataset_versions")),
    )
    op.create_table(
        "clip_changes",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("clip_id", _KEY, nullable=False),
        sa.Column("field", sa.String(length=16), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_clip_changes_dataset_id_datasets"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clip_changes")),
    )
    op.create_index("ix_clip_changes_dataset_version", "clip_changes", ["dataset_id", "version"])
    op.create_table(
        "kept_findings",
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_kept_findings_dataset_id_datasets"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "key", name=op.f("pk_kept_findings")),
    )
    # What was imported before there were versions is the first one of each dataset.
    op.execute(
        "insert into dataset_versions (dataset_id, version, kind, message, author, created_at, fingerprint,"
        " class_names, num_clips, num_excluded, seed, num_changes)"
        " select id, 1, 'import', origin, '', created_at, fingerprint, class_names, num_clips, 0, seed, 0 from datasets"
    )
    op.execute(
        "update runs set dataset_fingerprint = (select fingerprint from datasets where datasets.id = runs.dataset_id)"
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("kept_findings")
    op.drop_index("ix_clip_changes_dataset_version", table_name="clip_changes")
    op.drop_table("clip_changes")
    op.drop_table("dataset_versions")
    with op.batch_alter_table("runs") as table:
        table.drop_column("dataset_fingerprint")
        table.drop_column("dataset_version")
    with op.batch_alter_table("clips") as table:
        table.drop_column("excluded")
    with op.batch_alter_table("datasets") as table:
        table.drop_column("num_excluded")
        table.drop_column("version")
