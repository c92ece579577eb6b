"""Fixtures for all tests: both databases, an empty workspace, small sounds. Nothing outlives its test."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import hypothesis
import numpy as np
import psycopg
import pytest
import soundfile as sf

from samplemind_core.settings import Settings
from samplemind_core.store import Store
from samplemind_core.store.database import HEAD
from samplemind_core.store.tables import Base
from samplemind_core.workspace import Workspace

# How long an example takes says how busy the machine is: a first one that compiles something is no failure.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

START_DEADLINE_S = 60.0
_numbers = itertools.count()


class Postgres:
    """A PostgreSQL server of our own in a temporary folder, reached by a socket in it.

    A socket needs no port, so any number of test processes start side by side without agreeing on one.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # Not below pytest's folder: that one is closed to the other user which the server has to be.
        self._folder = Path(tempfile.mkdtemp(prefix="samplemind-pg-"))
        self._user = _server_user()
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        data, log = self._folder / "data", self._folder / "server.log"
        with log.open("wb") as output:
            made = self._run("initdb", "--pgdata", data, "--auth=trust", "--username=samplemind", "--encoding=UTF8",
                             "--locale=C", "--no-sync", output=output)  # fmt: skip
            if made.wait(START_DEADLINE_S) != 0:
                raise RuntimeError(f"initdb failed:\n{log.read_text()}")
            options = ("listen_addresses=", f"unix_socket_directories={self._folder}", "fsync=off",
                       "synchronous_commit=off", "full_page_writes=off", "max_connections=100")  # fmt: skip
            flags = [part for option in options for part in ("-c", option)]
            self._server = self._run("postgres", "-D", data, *flags, output=output)
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                self.execute("select 1")
                break
            except psycopg.OperationalError:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}") from None
                time.sleep(0.02)
        self.execute("create database reused")
        Store(self.url("reused")).close()

    def stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)  # "fast shutdown": do not wait for clients
            try:
                self._server.wait(START_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, name: str) -> str:
        return f"postgresql://samplemind@/{name}?host={self._folder}"

    def create(self) -> str:
        """Make a database without any table and return its name."""
        name = f"test_{next(_numbers)}"
        self.execute(f"create database {name} template template0")
        return name

    def reset(self) -> None:
        """Bring the reused database back to how a fresh one is; half a second less than making one."""
        self.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid != pg_backend_pid()",
            f"update alembic_version set version_num = '{HEAD}'",
            f"truncate {', '.join(Base.metadata.tables)} restart identity cascade",
            database="reused",
        )

    def drop(self, name: str) -> None:
        self.execute(f"drop database {name} with (force)")

    def execute(self, *statements: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str | Path, output: object) -> subprocess.Popen[bytes]:
        command = [str(self._programs / program), *map(str, arguments)]
        as_user = {} if self._user is None else {"user": self._user, "group": _group_of(self._user), "extra_groups": []}
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self._folder,
                                start_new_session=True, **as_user)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SAMPLEMIND_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's PostgreSQL server; the test is skipped where PostgreSQL is not installed."""
    programs = _postgres_programs()
    if programs is None:
        reason = "PostgreSQL is not installed (Debian, Ubuntu: apt install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    server = Postgres(programs)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "samplemind.db"
    Store(f"sqlite:///{file}").close()
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without any table, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database with all tables, of each kind."""
    if request.param == "sqlite":
        file = tmp_path / "samplemind.db"
        shutil.copy(request.getfixturevalue("_sqlite_template"), file)
        yield f"sqlite:///{file}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    yield server.url("reused")
    server.reset()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store, on SQLite and on PostgreSQL."""
    opened = Store(store_url)
    yield opened
    opened.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty workspace that starts no worker by itself."""
    return Settings(workspace=tmp_path / "workspace", worker="external")


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    """An empty workspace that starts no worker by itself."""
    opened = Workspace(settings)
    yield opened
    opened.close()


@pytest.fixture
def bursts(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder per class of short decaying tones: one pitch per class, a little different each time."""

    def make(
        class_names: Sequence[str] = ("high", "low"),
        per_class: int = 8,
        *,
        sources: int = 0,
        seconds: float = 0.2,
        rate_hz: int = 8_000,
        folder: str = "bursts",
    ) -> Path:
        """``sources`` > 0 spreads each class over that many subfolders."""
        root = tmp_path / folder
        time_s = np.arange(round(seconds * rate_hz)) / rate_hz
        for target, label in enumerate(class_names):
            for number in range(per_class):
                rng = np.random.default_rng((target, number))
                pitch_hz = 200.0 * 2.0**target * rng.uniform(0.95, 1.05)
                tone = np.sin(2 * np.pi * pitch_hz * time_s) * np.exp(-time_s / rng.uniform(0.05, 0.15))
                waveform = 0.5 * tone + rng.normal(0.0, 0.005, time_s.shape)
                place = root / label / (f"source{number % sources}" if sources else "")
                place.mkdir(parents=True, exist_ok=True)
                sf.write(place / f"{label}-{number:03d}.wav", waveform, rate_hz, subtype="PCM_16")
        return root

    return make


def _postgres_programs() -> Path | None:
    found = shutil.which("initdb")
    debian = Path("/usr/lib/postgresql")
    versions = sorted(debian.glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name), reverse=True)
    initdb = versions[0] if versions else Path(found) if found else None
    return initdb.resolve().parent if initdb else None


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root; name another user then."""
    import pwd

    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid
