"""What people write beside a run, where its settings came from, and runs that were deleted but can come back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    # In place: copying a table in SQLite and dropping the old one takes along whatever refers to its rows.
    with op.batch_alter_table("runs", recreate="never") as table:
        table.add_column(sa.Column("notes", sa.Text(), nullable=False, server_default=sa.text("''")))
        table.add_column(sa.Column("tags", sa.JSON(), nullable=True))
        table.add_column(sa.Column("based_on", sa.String(32), nullable=True))
        table.add_column(sa.Column("paused", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("deleted_at", sa.Float(53), nullable=True))


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("runs") as table:
        for name in ("deleted_at", "paused", "based_on", "tags", "notes"):
            table.drop_column(name)
