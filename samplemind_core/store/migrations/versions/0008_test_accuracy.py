"""The accuracy of stored predictions, so that a list of runs need not open their files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("predictions", recreate="never") as table:
        table.add_column(sa.Column("accuracy", sa.Float(53), nullable=True))


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("predictions") as table:
        table.drop_column("accuracy")
