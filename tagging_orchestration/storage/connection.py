"""Connections to the database: which one, how opened, and transactions that say who changes what and why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import psycopg
from pgvector.psycopg import register_vector
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolTimeout

from tagging_orchestration.core.errors import ConfigurationError, DatabaseUnavailable, TransientError
from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.postgres.server import DAGSTER_DATABASE, EmbeddedServer
from tagging_orchestration.settings import Settings, get_settings

if TYPE_CHECKING:
    from sqlalchemy import URL

APPLICATION = "tagging"
# `extensions` is where Supabase keeps pgvector; schemas that do not exist are skipped by Postgres.
SEARCH_PATH = "tagging, analytics, ai, public, extensions"
SESSION_OPTIONS = f"-c search_path={SEARCH_PATH.replace(' ', '')} -c timezone=UTC"
MINIMUM_POSTGRES = 16
MINIMUM_PGVECTOR = (0, 7)
CONNECT_SECONDS = 10

# Servers whose versions this process has looked at, as (host, port, database).
_checked: set[tuple[str, ...]] = set()


# ------------------------------------------------------------------------------------------------ which one


def embedded_server(settings: Settings | None = None) -> EmbeddedServer:
    """The embedded server of TAGGING_HOME, started or not."""
    settings = settings or get_settings()
    return EmbeddedServer(settings.home, settings.postgres_major)


def database_url(settings: Settings | None = None) -> str:
    """URL of the `tagging` database: TAGGING_DATABASE_URL, else the embedded server's, started on demand.

    Holds the password: print `masked(url)`. Raises DatabaseUnavailable when the server does not start, and
    ConfigurationError when the setting is no Postgres URL.
    """
    settings = settings or get_settings()
    if settings.database_url is not None:
        return render_url(url_parts(settings.database_url.get_secret_value()))
    server = embedded_server(settings)
    server.start()
    return server.url()


def dagster_database_url(settings: Settings | None = None) -> str:
    """URL of Dagster's own database: TAGGING_DAGSTER_DATABASE_URL, else `dagster` on the same server."""
    settings = settings or get_settings()
    if settings.dagster_database_url is not None:
        return render_url(url_parts(settings.dagster_database_url.get_secret_value()))
    return with_database(database_url(settings), DAGSTER_DATABASE)


def url_parts(url: str) -> Mapping[str, str]:
    """Parameters of a Postgres URL or key=value string; SQLAlchemy's "+driver" is put up with.

    Raises ConfigurationError, without repeating the text, when it is neither.
    """
    try:
        parts = conninfo_to_dict(re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", url))
    except psycopg.ProgrammingError:
        # libpq quotes the text it cannot read, and the password may be in it.
        raise ConfigurationError(
            "the database URL cannot be read: it looks like postgresql://user:password@host:5432/database, "
            "with special characters of the password percent-encoded (TAGGING_DATABASE_URL, "
            "TAGGING_DAGSTER_DATABASE_URL)"
        ) from None
    return {name: str(value) for name, value in parts.items() if value is not None}


def render_url(parts: Mapping[str, str]) -> str:
    """The URL of such parameters; sockets and lists of hosts go into its query."""
    parts = dict(parts)
    user, password, database = (quote(parts.pop(name, ""), safe="") for name in ("user", "password", "dbname"))
    login = f"{user}{':' if password else ''}{password}{'@' if user or password else ''}"
    address = ""
    if not set(parts.get("host", "")) & set("/,"):
        host, port = parts.pop("host", ""), parts.pop("port", "")
        address = f"{f'[{host}]' if ':' in host else host}{':' if port else ''}{port}"
    query = urlencode(parts, quote_via=quote)
    return f"postgresql://{login}{address}/{database}{'?' if query else ''}{query}"


def with_database(url: str, database: str) -> str:
    """The same server and user, another database."""
    return render_url({**url_parts(url), "dbname": database})


def sqlalchemy_url(url: str) -> URL:
    """The URL for SQLAlchemy's psycopg2 driver, the only one dagster-postgres works with."""
    from sqlalchemy import make_url

    return make_url(url).set(drivername="postgresql+psycopg2")


def masked(url: str) -> str:
    """The URL without its password, for messages and logs."""
    try:
        parts = url_parts(url)
    except ConfigurationError:
        return "(not a Postgres URL)"
    return render_url({name: parts[name] for name in ("user", "host", "port", "dbname") if name in parts})


# ---------------------------------------------------------------------------------------------- how opened


def connect(
    url: str,
    *,
    autocommit: bool = False,
    application_name: str = APPLICATION,
    transaction_pooling: bool | None = None,
) -> Connection:
    """One connection: UTC, search path `tagging, public, extensions`, pgvector's types known.

    `transaction_pooling` (default: the setting) is for PgBouncer and its like, which hand each transaction
    another session: no prepared statements, no session settings. Raises DatabaseUnavailable when there is no
    connection to be had, ConfigurationError when the server is too old.
    """
    arguments = _arguments(url, application_name, transaction_pooling)
    try:
        connection = psycopg.connect(url, autocommit=autocommit, **arguments)
    except psycopg.OperationalError as error:
        raise _unavailable(url, error) from None
    try:
        _first_use(connection, url)
        _register_types(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def create_pool(
    url: str,
    *,
    min_size: int = 1,
    max_size: int = 4,
    application_name: str = APPLICATION,
    transaction_pooling: bool | None = None,
) -> ConnectionPool:
    """An open pool of connections like `connect` makes; use it as a context manager or close it.

    Connections lost by a restart of the server are replaced. Raises as `connect` does.
    """
    # A pool only ever says "timeout"; one plain connection says what is wrong, at once.
    connect(url, application_name=application_name, transaction_pooling=transaction_pooling).close()
    pool: ConnectionPool[Connection] = ConnectionPool(
        url,
        kwargs=_arguments(url, application_name, transaction_pooling),
        min_size=min_size,
        max_size=max_size,
        configure=_register_types,
        check=ConnectionPool.check_connection,
        name=application_name,
        open=False,
    )
    try:
        pool.open(wait=True, timeout=3 * CONNECT_SECONDS)
    except PoolTimeout as error:
        pool.close()
        raise _unavailable(url, error) from None
    return pool


@contextmanager
def transaction(pool: ConnectionPool, context: ChangeContext | None = None) -> Iterator[Connection]:
    """One transaction on a pooled connection: committed at the end, rolled back on an exception.

    `context` is known to the triggers that write tag events, for this transaction only. Raises
    TransientError when the connection is lost, a lock is not to be had, or the server asks for another try.
    """
    try:
        with pool.connection() as connection, connection.transaction():
            if context is not None:
                connection.execute(
                    "SELECT set_config('tagging.actor', %s, true), set_config('tagging.run_id', %s, true),"
                    " set_config('tagging.reason', %s, true), set_config('tagging.operation_id', %s, true)",
                    [
                        context.actor,
                        context.run_id or "",
                        context.reason,
                        str(context.operation_id) if context.operation_id else "",
                    ],
                )
            yield connection
    except psycopg.OperationalError as error:
        raise TransientError(f"the transaction was rolled back and can be tried again: {_said(error)}") from error


# ----------------------------------------------------------------------------------------------- first use


def check_versions(server_version: int, encoding: str, installed: str | None, available: str | None) -> None:
    """Raise ConfigurationError unless the server is new enough, speaks UTF-8 and has pgvector.

    `server_version` is Postgres' server_version_num; `installed` and `available` are pgvector's versions in
    this database and on this server, None where there is none.
    """
    major = server_version // 10_000
    if major < MINIMUM_POSTGRES:
        raise ConfigurationError(
            f"the server is Postgres {major}; Postgres {MINIMUM_POSTGRES} or newer is needed. Upgrade it, or "
            "unset TAGGING_DATABASE_URL to use the embedded one"
        )
    if encoding != "UTF8":
        raise ConfigurationError(
            f"the database's encoding is {encoding}; UTF8 is needed: CREATE DATABASE ... ENCODING 'UTF8' "
            "TEMPLATE template0"
        )
    needed = ".".join(map(str, MINIMUM_PGVECTOR))
    if installed is None and available is None:
        raise ConfigurationError(
            f"the server has no pgvector; version {needed} or newer is needed. Install it (package "
            f"postgresql-{major}-pgvector, or your provider's list of extensions)"
        )
    if _version(installed or available or "") < MINIMUM_PGVECTOR:
        update = (
            "run ALTER EXTENSION vector UPDATE in this database"
            if _version(available or "") >= MINIMUM_PGVECTOR
            else "install a newer package on the server, then run ALTER EXTENSION vector UPDATE"
        )
        raise ConfigurationError(
            f"pgvector is {installed or available}; version {needed} or newer is needed: {update}"
        )


def ensure_database(url: str) -> None:
    """Create the URL's database where the server lacks it.

    Raises DatabaseUnavailable when the server cannot be reached or the role may not create databases.
    """
    name = url_parts(url).get("dbname", "")
    try:
        psycopg.connect(url, **_arguments(url, APPLICATION, None)).close()
        return
    except psycopg.OperationalError as error:
        unavailable = _unavailable(url, error)
    # libpq does not say *why* it was refused in a way programs can read: ask the maintenance database.
    try:
        maintenance = psycopg.connect(
            with_database(url, "postgres"), autocommit=True, connect_timeout=CONNECT_SECONDS
        )
    except psycopg.OperationalError:
        raise unavailable from None
    with maintenance:
        if maintenance.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None:
            raise unavailable
        try:
            with suppress(psycopg.errors.DuplicateDatabase):
                maintenance.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseUnavailable(
                f"the database {name} is missing on {masked(url)} and this role may not create it: create it "
                "yourself, or name an existing one in TAGGING_DATABASE_URL and TAGGING_DAGSTER_DATABASE_URL"
            ) from error


def _first_use(connection: Connection, url: str) -> None:
    info = connection.info
    server = (info.host, str(info.port), info.dbname)
    if server in _checked:
        return
    with connection.transaction():
        row = connection.execute(
            "SELECT current_setting('server_encoding'),"
            " (SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
            " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')"
        ).fetchone()
    encoding, installed, available = row or ("", None, None)
    try:
        check_versions(info.server_version, encoding, installed, available)
    except ConfigurationError as error:
        raise ConfigurationError(f"{masked(url)}: {error}") from None
    if installed is not None:
        _checked.add(server)


def _register_types(connection: Connection) -> None:
    # A database that is not migrated yet has no vector type; its connections see none either.
    with suppress(psycopg.ProgrammingError):
        register_vector(connection)


# ------------------------------------------------------------------------------------------------ helpers


def _arguments(url: str, application_name: str, transaction_pooling: bool | None) -> dict[str, Any]:
    parts = url_parts(url)
    if transaction_pooling is None:
        transaction_pooling = get_settings().database_transaction_pooling
    arguments: dict[str, Any] = {"application_name": application_name}
    if "connect_timeout" not in parts:
        arguments["connect_timeout"] = CONNECT_SECONDS
    if transaction_pooling:
        return arguments | {"prepare_threshold": None}
    return arguments | {"options": f"{parts.get('options', '')} {SESSION_OPTIONS}".strip()}


def _unavailable(url: str, error: Exception) -> DatabaseUnavailable:
    password = url_parts(url).get("password")
    said = _said(error)
    if password:
        said = said.replace(password, "***")
    advice = (
        "This is a pooler in transaction mode: set TAGGING_DATABASE_TRANSACTION_POOLING=true"
        if "unsupported startup parameter" in said
        else "Is the server up, and are host, port, user and password of TAGGING_DATABASE_URL right? "
        "(`tagging db status` shows the embedded server)"
    )
    return DatabaseUnavailable(f"no connection to {masked(url)}: {said}. {advice}")


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])
