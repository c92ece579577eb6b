"""Alembic's entry point; the connection comes from :class:`samplemind_core.store.database.Database`."""

from __future__ import annotations

from alembic import context

from samplemind_core.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
