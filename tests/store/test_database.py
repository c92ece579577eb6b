"""Opening, migrating, waiting and failing."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import text

import samplemind_core.store.database as database_module
from samplemind_core.errors import StorageError, StoreError
from samplemind_core.store import Dataset, Run, Store
from samplemind_core.store.database import HEAD, Database
from samplemind_core.store.tables import Base

Together = Callable[..., list[str]]


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database_module.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_migrations_make_the_tables_that_the_code_declares(store_url: str) -> None:
    database = Database(store_url)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == HEAD
    database.close()


def test_a_fresh_database_is_ready_at_once(empty_url: str) -> None:
    for _ in range(2):
        store = Store(empty_url)
        assert store.runs.all() == []
        store.close()


def test_a_newer_schema_is_left_alone(store_url: str) -> None:
    database = Database(store_url)
    with database.write() as session:
        session.execute(text("update alembic_version set version_num = '9999'"))
    database.close()
    with pytest.raises(StoreError, match=f"has schema 9999, this version knows up to {HEAD}. Start the newer"):
        Store(store_url)


def test_two_processes_open_a_fresh_database_at_once(empty_url: str, together: Together) -> None:
    together("Store(url).close()", empty_url, processes=2)
    database = Database(empty_url)
    with database.read() as session:
        assert session.execute(text("select version_num from alembic_version")).all() == [(HEAD,)]
    database.close()


def test_threads_open_a_fresh_database_at_once(empty_url: str) -> None:
    start = threading.Barrier(4)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            start.wait()
            Store(empty_url).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_a_file_is_not_touched_while_another_prepares_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "new.db"
    monkeypatch.setattr(database_module, "MIGRATION_TIMEOUT_S", 0.0)
    with FileLock(f"{file}.migrate.lock"), pytest.raises(StoreError, match="Another process has been preparing"):
        Store(f"sqlite:///{file}")
    assert not file.exists()


def test_a_failed_block_changes_nothing(store_url: str) -> None:
    database = Database(store_url)

    def write_and_fail() -> None:
        with database.write() as session:
            session.execute(text("insert into alembic_version (version_num) values ('x')"))
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        write_and_fail()
    with database.read() as session:
        assert session.execute(text("select count(*) from alembic_version")).scalar() == 1
    database.close()


def test_many_writers_lose_nothing(store: Store, make_run: Callable[..., Run]) -> None:
    run = make_run()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for count in range(10):
                store.runs.add_event(run.id, "note", f"{number}/{count}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    written = [event.message for event in store.runs.events(run.id) if event.kind == "note"]
    assert sorted(written) == sorted(f"{number}/{count}" for number in range(6) for count in range(10))


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
class TestSqlite:
    def test_a_writer_waits_for_another(self, store: Store, store_url: str, make_run: Callable[..., Run]) -> None:
        run = make_run()
        other = sqlite3.connect(store_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
        other.execute("begin immediate")
        began, done = threading.Event(), threading.Event()

        def write() -> None:
            began.set()
            store.runs.add_event(run.id, "note", "waited")
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        assert began.wait(30)
        assert store.runs.get(run.id) == run  # reading goes on meanwhile
        assert not done.is_set()
        other.execute("commit")
        writer.join(30)
        other.close()
        assert done.is_set()
        assert store.runs.events(run.id)[-1].message == "waited"

    def test_a_lock_that_stays_is_told(
        self, store_url: str, monkeypatch: pytest.MonkeyPatch, make_dataset: Callable[..., Dataset]
    ) -> None:
        monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 50)
        store = Store(store_url)
        other = sqlite3.connect(store_url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(StoreError, match=r"database is locked.*nothing else locks it"):
            store.datasets.add(make_dataset(), ())
        other.execute("rollback")
        other.close()
        store.datasets.add(make_dataset(), ())
        store.close()

    def test_the_journal_lets_readers_and_a_writer_work_side_by_side(self, store_url: str) -> None:
        database = Database(store_url)
        with database.read() as session:
            assert session.execute(text("pragma journal_mode")).scalar() == "wal"
            assert session.execute(text("pragma foreign_keys")).scalar() == 1
        database.close()

    def test_a_file_that_is_no_database_is_told(self, store_url: str) -> None:
        file = Path(store_url.removeprefix("sqlite:///"))
        file.write_bytes(b"this is not a database" * 100)
        with pytest.raises(StoreError, match="not a database"):
            Store(store_url)


def test_the_folder_of_a_new_database_is_made(tmp_path: Path) -> None:
    Store(f"sqlite:///{tmp_path / 'a' / 'b' / 'samplemind.db'}").close()
    assert (tmp_path / "a" / "b" / "samplemind.db").is_file()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"file' cannot be made: File exists.*SAMPLEMIND_WORKSPACE"):
        Store(f"sqlite:///{tmp_path / 'file' / 'samplemind.db'}")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.db.migrate.lock").mkdir()  # like a read-only disk, but for every user
    with pytest.raises(StorageError, match="cannot be written"):
        Database(f"sqlite:///{tmp_path / 'a.db'}")


def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"did not answer.*on that socket\. Check that it is running"):
        Store(f"postgresql://samplemind@/nothing?host={tmp_path}")


def test_a_server_that_goes_away_is_told_and_found_again(postgres: Any) -> None:
    name = postgres.create()
    store = Store(postgres.url(name))
    assert store.runs.all() == []
    postgres.execute(f"alter database {name} with allow_connections false")
    postgres.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")
    with pytest.raises(StoreError, match="did not answer"):
        store.runs.all()
    postgres.execute(f"alter database {name} with allow_connections true")
    assert store.runs.all() == []
    store.close()
    postgres.drop(name)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://somebody@somewhere/name", "SQLite or PostgreSQL, got 'mysql'"),
        ("nonsense", "cannot be used"),
        ("", "cannot be used"),
        ("postgresql://somebody@localhost:port/name", "cannot be used"),
    ],
)
def test_a_url_that_cannot_be_used_is_told(url: str, told: str) -> None:
    with pytest.raises(StoreError, match=told) as caught:
        Store(url)
    assert "SAMPLEMIND_DATABASE_URL" in str(caught.value)


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        Store(f"postgresql://samplemind:geheim@/nothing?host={tmp_path}")
    assert "geheim" not in str(caught.value)
