"""Fixtures of all tests: the embedded Postgres, and a fresh migrated database for each test that asks.

Tests never touch the user's database: TAGGING_HOME is the clone's .tagging-test/, and variables that name
another database are dropped before the first setting is read.
"""

# ruff: noqa: E402 (the environment is set before the libraries that read it are imported)
from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[1]
TEST_HOME = ROOT / ".tagging-test"
for name in [name for name in os.environ if re.fullmatch(r"(TAGGING_|DAGSTER_|PG)\w*", name)]:
    del os.environ[name]
os.environ |= {
    "TAGGING_HOME": str(TEST_HOME / "18"),
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    # Test processes have terminals of different widths, or none.
    "COLUMNS": "100",
}

import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg_pool import ConnectionPool

from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.settings import CONFIG_FILE, Settings, get_settings
from tagging_orchestration.storage import migrate
from tagging_orchestration.storage.connection import create_pool, with_database

# Nothing in a test's database has to survive a power cut.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
# DROP DATABASE ... WITH (FORCE) fails for an ordinary role while the superuser's autovacuum works there.
FAST |= {"autovacuum": "off"}
LOCK = 7_416_734
TEMPLATES_KEPT = 3


@pytest.fixture(scope="session")
def _test_homes() -> Iterator[Path]:
    """The folder of the test servers. The last test session to end stops them: several may run at once."""
    TEST_HOME.mkdir(exist_ok=True)
    with (TEST_HOME / "sessions").open("w") as sessions:
        fcntl.flock(sessions, fcntl.LOCK_SH)
        yield TEST_HOME
        try:
            fcntl.flock(sessions, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for major in (16, 18):
            EmbeddedServer(TEST_HOME / str(major), major).stop()


@pytest.fixture(scope="session")
def postgres_major() -> int:
    """Major version of the server; tests/storage runs with each that is packaged."""
    return 18


@pytest.fixture(scope="session")
def postgres_server(_test_homes: Path, postgres_major: int) -> EmbeddedServer:
    """The running embedded server of the tests."""
    server = EmbeddedServer(_test_homes / str(postgres_major), postgres_major, FAST)
    server.start()
    with _administrator(server) as connection:
        for name in _databases(connection, r"^test_\d+_"):
            if not psutil.pid_exists(int(name.split("_")[1])):
                _drop(connection, name)
    return server


@pytest.fixture(scope="session")
def template_database(postgres_server: EmbeddedServer) -> str:
    """Name of a migrated, empty database; kept between test sessions until a migration changes."""
    files = sorted([*(migrate.FOLDER / "sql").glob("*.sql"), *(migrate.FOLDER / "versions").glob("*.py")])
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    name = f"template_{digest}"
    with _administrator(postgres_server) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        templates = _databases(connection, "^template_")
        if name not in templates:
            # The newest ones may be in use by sessions that started before a migration was edited.
            for old in templates[:-TEMPLATES_KEPT]:
                _drop(connection, old)
            new = f"test_{os.getpid()}_{uuid4().hex[:8]}"
            migrate.upgrade(with_database(postgres_server.url(), new))
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(new), sql.Identifier(name))
            )
    return name


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedServer) -> Iterator[str]:
    """URL of a fresh database without the project's schema."""
    yield from fresh_database(postgres_server, "template1")


@pytest.fixture
def database_url(postgres_server: EmbeddedServer, template_database: str) -> Iterator[str]:
    """URL of a fresh migrated database."""
    yield from fresh_database(postgres_server, template_database)


@pytest.fixture
def pool(database_url: str) -> Iterator[ConnectionPool]:
    """Connections to a fresh migrated database."""
    with create_pool(database_url) as pool:
        yield pool


@pytest.fixture
def settings(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings as `get_settings()` gives them too: a project folder of its own (the working directory), an
    empty TAGGING_HOME, a fresh migrated database. The clone's tagging.yaml is not read."""
    (tmp_path / CONFIG_FILE).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAGGING_HOME", str(tmp_path / ".tagging"))
    monkeypatch.setenv("TAGGING_DATABASE_URL", database_url)
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


def fresh_database(server: EmbeddedServer, template: str) -> Iterator[str]:
    """URL of a copy of a database; the copy is dropped afterwards."""
    name = f"test_{os.getpid()}_{uuid4().hex[:8]}"
    with _administrator(server) as connection:
        # Without fsync, copying files (0.05 s) beats logging their pages (0.14 s).
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    yield server.url(name)
    with _administrator(server) as connection:
        _drop(connection, name)


def _administrator(server: EmbeddedServer) -> psycopg.Connection:
    return psycopg.connect(server.url("postgres"), autocommit=True)


def _databases(connection: psycopg.Connection, pattern: str) -> list[str]:
    rows = connection.execute("SELECT datname FROM pg_database WHERE datname ~ %s ORDER BY oid", [pattern])
    return [row[0] for row in rows]


def _drop(connection: psycopg.Connection, name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
