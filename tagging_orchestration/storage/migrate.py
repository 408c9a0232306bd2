"""Schema migrations: Alembic runs the plain SQL of migrations/sql, forward only.

A new migration is two files: sql/NNNN_name.sql, and versions/NNNN_name.py that runs it (copy 0001). All that
are missing run in one transaction, so CREATE INDEX CONCURRENTLY and the like cannot be in them.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, cast

import psycopg
from psycopg import Connection, sql

from tagging_orchestration.core.errors import ConfigurationError, DatabaseUnavailable
from tagging_orchestration.settings import get_settings
from tagging_orchestration.storage.connection import (
    SEARCH_PATH,
    connect,
    ensure_database,
)

if TYPE_CHECKING:
    import sqlalchemy

SCHEMA = "tagging"
VERSION_TABLE = "schema_version"
FOLDER = Path(str(files("tagging_orchestration.storage") / "migrations"))

# Any fixed number: starters that race wait here for the first one. ("tag_migr" in ASCII)
ADVISORY_LOCK = 0x7461675F6D696772


def head() -> str:
    """The newest schema version this code knows."""
    return max(path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*.py"))


def current(url: str) -> str | None:
    """The database's schema version; None before the first migration."""
    with connect(url) as connection:
        return _current(connection)


def upgrade(url: str) -> bool:
    """Bring the database to `head()`; False when it was there, which costs one connection and one query.

    Creates a missing database and pgvector where the role may. Processes that call it at once wait for the
    first. All or nothing. Raises ConfigurationError when the database is newer than the code, or pgvector
    cannot be created.
    """
    try:
        connection = connect(url)
    except DatabaseUnavailable:
        ensure_database(url)
        connection = connect(url)
    with connection:
        if _is_current(connection):
            return False

    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(url), poolclass=NullPool)
    with engine.begin() as bind:
        connection = cast("Connection", bind.connection.driver_connection)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        if _is_current(connection):
            return False
        connection.execute(sql.SQL("SET LOCAL search_path = " + SEARCH_PATH))
        create_extension(connection)
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
        config.attributes["connection"] = bind
        command.upgrade(config, head())
        if get_settings().database_transaction_pooling:
            # A pooler hands out sessions that cannot be given a search path: the role's default says it.
            connection.execute(
                sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET search_path = " + SEARCH_PATH).format(
                    sql.Identifier(connection.info.dbname)
                )
            )
    return True


def run_sql_file(bind: sqlalchemy.Connection, name: str) -> None:
    """Run a file of migrations/sql as it stands, on Alembic's connection.

    SQLAlchemy would take colons, and the driver per cent signs, for parameters; the driver without parameters
    takes neither, and takes many statements at once.
    """
    connection = cast("Connection", bind.connection.driver_connection)
    connection.execute((FOLDER / "sql" / name).read_bytes())


def create_extension(connection: Connection) -> None:
    """Create pgvector unless it is there: in the schema `extensions` where there is one, as on Supabase, else
    in `public`. Raises ConfigurationError when the role may not."""
    found = connection.execute(
        "SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
        " to_regnamespace('extensions') IS NOT NULL"
    ).fetchone()
    installed, has_extensions = found or (None, False)
    if installed is not None:
        return
    schema = sql.Identifier("extensions" if has_extensions else "public")
    try:
        connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS vector SCHEMA {}").format(schema))
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"pgvector is not enabled in the database {connection.info.dbname} on {connection.info.host}, and "
            "this role may not enable it: have an administrator run CREATE EXTENSION vector there"
        ) from error


def _current(connection: Connection) -> str | None:
    try:
        with connection.transaction():
            row = connection.execute(
                sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(SCHEMA, VERSION_TABLE))
            ).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    return row[0] if row else None


def _is_current(connection: Connection) -> bool:
    version = _current(connection)
    if version is not None and version > head():
        raise ConfigurationError(
            f"the database {connection.info.dbname} on {connection.info.host} has schema version {version}, newer "
            f"than this code's {head()}: update the code"
        )
    return version == head()
