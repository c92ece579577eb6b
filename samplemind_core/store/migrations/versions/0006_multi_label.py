"""Datasets whose clips have several labels each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    # In place: copying a table in SQLite and dropping the old one takes along whatever refers to its rows.
    with op.batch_alter_table("datasets", recreate="never") as table:
        table.add_column(sa.Column("multi_label", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("clips", recreate="never") as table:
        table.add_column(sa.Column("labels", sa.Text(), nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("clips") as table:
        table.drop_column("labels")
    with op.batch_alter_table("datasets") as table:
        table.drop_column("multi_label")
