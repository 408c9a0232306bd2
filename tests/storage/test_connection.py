"""Connections say what they are, refuse what they cannot use, and keep passwords to themselves."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg_pool import ConnectionPool
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from tagging_orchestration.core.errors import ConfigurationError, DatabaseUnavailable, TransientError
from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.settings import Settings, get_settings
from tagging_orchestration.storage import connection as connection_module
from tagging_orchestration.storage import migrate
from tagging_orchestration.storage.connection import (
    check_versions,
    connect,
    create_pool,
    dagster_database_url,
    database_url,
    ensure_database,
    masked,
    sqlalchemy_url,
    transaction,
    with_database,
)

URLS = [
    "postgresql://user:p%40ss%2F@host:5433/db?sslmode=require",
    "postgresql://user:p@[::1]:5433/db",
    "postgresql://user:p@/db?host=%2Ftmp%2Fsocket&port=5433",
    "postgresql://user:p@/db?host=one%2Ctwo&port=1%2C2&target_session_attrs=any",
    "postgresql:///",
]


def test_a_session_has_search_path_utc_name_and_vectors(database_url: str) -> None:
    with connect(database_url, application_name="tagging test") as session:
        row = session.execute(
            "SELECT current_setting('search_path'), current_setting('application_name'), now(), %s::vector",
            [np.array([0.6, 0.8], dtype=np.float32)],
        ).fetchone()
    assert row is not None
    path, name, now, vector = row
    assert (path, name) == ("tagging,analytics,ai,public,extensions", "tagging test")
    assert now.utcoffset() == timedelta(0)
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
    np.testing.assert_allclose(vector.to_numpy(), [0.6, 0.8], rtol=1e-6)


def test_the_context_is_known_to_its_transaction_only(pool: ConnectionPool) -> None:
    context = ChangeContext(actor="user:王小明", reason="合併重複標籤", run_id="run-1", operation_id=uuid4())
    query = (
        "SELECT " + ", ".join(f"current_setting('tagging.{name}', true)" for name in context.__slots__)
    ).encode()
    with transaction(pool, context) as session:
        row = session.execute(query).fetchone()
        assert row == (context.actor, context.reason, context.run_id, str(context.operation_id))
    with transaction(pool) as session:
        assert not any(session.execute(query).fetchone() or ())


def test_an_exception_rolls_back(pool: ConnectionPool) -> None:
    def fail() -> None:
        with transaction(pool) as session:
            session.execute("INSERT INTO contents (source, external_id) VALUES ('s', '1')")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with transaction(pool) as session:
        assert session.execute("SELECT count(*) FROM contents").fetchone() == (0,)


def test_a_lost_connection_is_transient_and_the_pool_recovers(pool: ConnectionPool) -> None:
    def lose() -> None:
        with transaction(pool) as session:
            session.execute("INSERT INTO contents (source, external_id) VALUES ('s', '1')")
            session.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(TransientError, match="can be tried again"):
        lose()
    with transaction(pool) as session:
        assert session.execute("SELECT count(*) FROM contents").fetchone() == (0,)


def test_transaction_pooling_asks_nothing_of_the_session(database_url: str) -> None:
    """What a transaction pooler cannot keep: startup options and prepared statements."""
    with create_pool(database_url, transaction_pooling=True, max_size=1) as pool:
        for _ in range(8):
            with transaction(pool) as session:
                session.execute("SELECT 1")
        with transaction(pool) as session:
            assert session.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
            assert session.execute("SELECT current_setting('search_path')").fetchone() == ('"$user", public',)


def test_transaction_pooling_makes_the_search_path_the_roles_default(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGGING_DATABASE_TRANSACTION_POOLING", "true")
    get_settings.cache_clear()
    try:
        migrate.upgrade(empty_database_url)
        with connect(empty_database_url) as session:
            assert session.execute("SHOW search_path").fetchone() == (
                "tagging, analytics, ai, public, extensions",
            )
    finally:
        get_settings.cache_clear()


# -------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ((150_008, "UTF8", "0.8.0", "0.8.0"), "Postgres 15; Postgres 16 or newer is needed"),
        ((160_004, "SQL_ASCII", "0.8.0", "0.8.0"), "encoding is SQL_ASCII; UTF8 is needed"),
        ((180_004, "UTF8", None, None), "no pgvector; version 0.7 or newer .* postgresql-18-pgvector"),
        ((180_004, "UTF8", "0.6.2", "0.8.5"), "pgvector is 0.6.2; .* run ALTER EXTENSION vector UPDATE in this"),
        ((180_004, "UTF8", None, "0.6.2"), "pgvector is 0.6.2; .* install a newer package"),
    ],
)
def test_unfit_servers_are_refused(versions: tuple, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_versions(*versions)


@pytest.mark.parametrize("versions", [(160_000, "UTF8", "0.7.0", "0.7.0"), (190_001, "UTF8", None, "0.10.0")])
def test_fit_servers_pass(versions: tuple) -> None:
    check_versions(*versions)


def test_too_old_pgvector_is_told_with_the_database(
    postgres_server: EmbeddedServer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "_checked", set())
    name = database_url.rpartition("/")[2]
    with psycopg.connect(postgres_server.url(name, superuser=True)) as superuser:
        superuser.execute("UPDATE pg_extension SET extversion = '0.5.1' WHERE extname = 'vector'")
    with pytest.raises(ConfigurationError, match=rf"/{name}: pgvector is 0.5.1; .* ALTER EXTENSION vector UPDATE"):
        connect(database_url)


# --------------------------------------------------------------------------------- errors keep the password


def test_refused_connections_name_the_server_and_hide_the_password(database_url: str) -> None:
    password = database_url.split(":")[2].partition("@")[0]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"postgresql://tagging:{password}@127.0.0.1:{closed.getsockname()[1]}/tagging"
        for url in (nobody, database_url.replace(password, "wrong-secret"), f"{database_url}_missing"):
            for attempt in (connect, create_pool):
                with pytest.raises(DatabaseUnavailable) as refusal:
                    attempt(url)
                assert masked(url) in str(refusal.value)
                assert password not in str(refusal.value)
                assert "wrong-secret" not in str(refusal.value)


def test_an_unreadable_url_is_not_repeated() -> None:
    url = "postgresql://user:hush%ZZ@host/db"
    with pytest.raises(ConfigurationError, match="percent-encoded") as refusal:
        connect(url)
    assert "hush" not in f"{refusal.value}{masked(url)}"


# ---------------------------------------------------------------------------------------------------- URLs


@pytest.mark.parametrize("url", URLS)
def test_urls_keep_their_parts(url: str) -> None:
    assert with_database(url, "db") == (url if "db" in url else "postgresql:///db")
    assert (
        "p" not in masked(url).removeprefix("postgresql://user@").removeprefix("postgresql://").partition("/")[0]
    )
    assert sqlalchemy_url(url).drivername == "postgresql+psycopg2"


def test_sqlalchemy_reaches_the_same_database(database_url: str) -> None:
    with create_engine(sqlalchemy_url(database_url)).connect() as session:
        assert session.execute(text("SELECT current_database()")).scalar() == database_url.rpartition("/")[2]


def test_the_named_database_is_used_and_the_embedded_server_left_alone(settings: Settings, tmp_path: Path) -> None:
    assert settings.database_url is not None
    assert database_url() == settings.database_url.get_secret_value()
    assert dagster_database_url() == with_database(database_url(), "dagster")
    assert not (tmp_path / ".tagging").exists()


@pytest.mark.parametrize(
    "spelling", ["postgres://u:p@h/d", "postgresql+psycopg2://u:p@h/d", "host=h user=u password=p dbname=d"]
)
def test_other_spellings_of_a_url_are_understood(spelling: str, settings: Settings) -> None:
    named = settings.model_copy(update={"database_url": SecretStr(spelling)})
    assert database_url(named) == "postgresql://u:p@h/d"


# --------------------------------------------------------------------------------------- missing databases


def test_a_missing_database_is_created_once(database_url: str) -> None:
    name = f"{database_url.rpartition('/')[2]}_新"
    url = with_database(database_url, name)
    ensure_database(url)
    ensure_database(url)
    with connect(url) as session:
        assert session.info.dbname == name
    with connect(database_url, autocommit=True) as session:
        session.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        with pytest.raises(DatabaseUnavailable, match="not currently accepting connections"):
            ensure_database(url)
        session.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def test_a_role_that_may_not_create_databases_is_told_so(
    postgres_server: EmbeddedServer, database_url: str
) -> None:
    role = f"reader_{uuid4().hex[:8]}"
    with psycopg.connect(postgres_server.url("postgres", superuser=True), autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p'".encode())
        try:
            address = database_url.rpartition("@")[2].partition("/")[0]
            with pytest.raises(DatabaseUnavailable, match="may not create it"):
                ensure_database(f"postgresql://{role}:p@{address}/{role}")
        finally:
            superuser.execute(f"DROP ROLE {role}".encode())
