"""Engine, transactions and migrations: SQLite in WAL mode by default, PostgreSQL by URL."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from samplemind_core.errors import StorageError, StoreError
from samplemind_core.files import make_folder

HEAD = "0009"
BUSY_TIMEOUT_MS = 15_000
MIGRATION_TIMEOUT_S = 60.0
_MIGRATION_LOCK = 0x5A_4D_1D  # any number; the same in every process


class Database:
    """A database at its current schema.

    Parameters
    ----------
    url : str
        SQLAlchemy URL: ``sqlite:///path`` or ``postgresql://…``.

    Raises
    ------
    StoreError
        If the URL is not usable, the database cannot be reached, or was written by a newer version.
    StorageError
        If the folder of an SQLite database cannot be made or written.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        try:
            self._migrate()
        except BaseException as error:
            self.engine.dispose()
            if isinstance(error, DBAPIError):
                raise _away(error) from error
            raise

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session that only reads."""
        with self._session(write=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Give a session whose changes are committed together when the block ends."""
        with self._session(write=True) as session:
            yield session

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _session(self, *, write: bool) -> Iterator[Session]:
        try:
            with (
                self.engine.connect().execution_options(write=write) as connection,
                connection.begin(),
                Session(connection, expire_on_commit=False) as session,
            ):
                yield session
                session.flush()
        except DBAPIError as error:
            if error.connection_invalidated or "OperationalError" in type(error.orig).__name__:
                raise _away(error) from error
            raise

    def _migrate(self) -> None:
        # A new SQLite file turns to WAL with its first connection. Two that try at once do not wait for each
        # other, whatever the busy timeout says: one fails. So there the lock comes before the first connection.
        if self.engine.dialect.name == "postgresql" and self._revision() == HEAD:
            return
        with self._one_migrator():
            found = self._revision()
            if found == HEAD:
                return
            # Alembic is imported only when there is something to do: it costs a tenth of a second.
            from alembic import command
            from alembic.config import Config
            from alembic.script import ScriptDirectory

            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            if found is not None and found not in known:
                raise StoreError(
                    f"The database has schema {found}, this version knows up to {HEAD}.",
                    "Start the newer SampleMind that wrote it, or choose another SAMPLEMIND_WORKSPACE.",
                )
            with self.engine.connect().execution_options(write=True) as connection, connection.begin():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")

    def _revision(self) -> str | None:
        with self.engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("select version_num from alembic_version")).scalar()

    @contextmanager
    def _one_migrator(self) -> Iterator[None]:
        if self.engine.dialect.name == "postgresql":
            with self.engine.connect() as connection:
                connection.execute(text("select pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
                try:
                    yield
                finally:
                    connection.execute(text("select pg_advisory_unlock(:key)"), {"key": _MIGRATION_LOCK})
                    connection.commit()
            return
        file = self.engine.url.database
        if not file or file == ":memory:":
            yield
            return
        lock = FileLock(f"{file}.migrate.lock", timeout=MIGRATION_TIMEOUT_S)
        try:
            lock.acquire()
        except Timeout:
            raise StoreError(
                f"Another process has been preparing the database for {MIGRATION_TIMEOUT_S:.0f} seconds.",
                "End it and try again.",
            ) from None
        except OSError as error:
            raise StorageError(
                f"The folder of the database cannot be written: {error.strerror or error} ({Path(file).parent}).",
                "Check its rights, or choose another one with SAMPLEMIND_WORKSPACE.",
            ) from error
        try:
            yield
        finally:
            lock.release()


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise StoreError(
            f"The database URL cannot be used: {str(error).rstrip('.')}.",
            "Expected sqlite:///path/to/file.db or postgresql://user@host/name in SAMPLEMIND_DATABASE_URL.",
        ) from error
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_size=5)
    if parsed.get_backend_name() != "sqlite":
        raise StoreError(
            f"The database must be SQLite or PostgreSQL, got '{parsed.get_backend_name()}'.",
            "Correct SAMPLEMIND_DATABASE_URL.",
        )
    if parsed.database and parsed.database != ":memory:":
        make_folder(Path(parsed.database).parent)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, see below
        connection.create_function("lower", 1, _lower, deterministic=True)
        cursor = connection.cursor()
        cursor.execute("pragma journal_mode=wal")
        cursor.execute("pragma synchronous=normal")
        cursor.execute("pragma foreign_keys=on")
        cursor.execute(f"pragma busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        # A deferred transaction that turns to writing fails at once when another writes; ask for the lock first.
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("begin immediate" if write else "begin")

    return engine


def _lower(value: Any) -> Any:
    """Return a text in small letters, accents as one sign: SQLite's own knows A to Z, and a Mac writes two signs."""
    return unicodedata.normalize("NFC", value).lower() if isinstance(value, str) else value


def _away(error: DBAPIError) -> StoreError:
    cause = " ".join(str(error.orig).split()).rstrip(".?")
    return StoreError(
        f"The database did not answer: {cause}.",
        "Check that it is running, that its disk is not full and that nothing else locks it, then try again.",
    )
