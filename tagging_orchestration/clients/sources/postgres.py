"""A table or query of a Postgres database."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row
from psycopg.types.datetime import DateLoader, TimestampLoader, TimestamptzLoader

from tagging_orchestration.clients.sources.base import Record, Table, TableSource
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.models import RejectedRow

CONNECT_SECONDS = 10


class LenientDate(DateLoader):
    """Hands on as text what Python has no date for (infinity, years BC): that refuses its row, not the table."""

    def load(self, data: Buffer) -> Any:
        return _date_or_text(super().load, data)


class LenientTimestamp(TimestampLoader):
    """As LenientDate, for timestamps without a time zone."""

    def load(self, data: Buffer) -> Any:
        return _date_or_text(super().load, data)


class LenientTimestamptz(TimestamptzLoader):
    """As LenientDate, for timestamps with a time zone."""

    def load(self, data: Buffer) -> Any:
        return _date_or_text(super().load, data)


LOADERS = {"date": LenientDate, "timestamp": LenientTimestamp, "timestamptz": LenientTimestamptz}


class PostgresSource(TableSource):
    """Rows of another database, in a read-only transaction, streamed as they are asked for."""

    @property
    def location(self) -> str:
        """The variable that holds the address, and what is read; never the address itself."""
        return f"${self.settings.url_env} {self.settings.table or 'query'}"

    def fingerprint(self) -> str | None:
        """None: only reading tells whether a table changed."""
        return None

    @contextmanager
    def open_table(self) -> Iterator[Table]:
        """Connect and start the query; see TableSource."""
        url, password = self._address()
        try:
            with (
                psycopg.connect(
                    url, connect_timeout=CONNECT_SECONDS, application_name="tagging", client_encoding="utf8"
                ) as connection,
                connection.cursor(row_factory=tuple_row) as cursor,
            ):
                connection.read_only = True
                for name, loader in LOADERS.items():
                    cursor.adapters.register_loader(name, loader)
                with closing(cast("Generator", cursor.stream(self._query()))) as stream:
                    first = next(stream, None)
                    names = [column.name for column in cursor.description or ()]
                    yield Table(names, _records(first, stream, names))
        except psycopg.Error as error:
            said = " ".join(str(error).split())
            for secret in (url, password):
                said = said.replace(secret, "***") if secret else said
            raise SourceError(f"{self.location}: {said}") from None

    def _query(self) -> sql.SQL | sql.Composed:
        if self.settings.table is not None:
            return sql.SQL("SELECT * FROM {}").format(sql.Identifier(*self.settings.table.split(".")))
        # The query is the user's own, from tagging.yaml.
        return sql.SQL(cast("LiteralString", (self.settings.query or "").rstrip().rstrip(";")))

    def _address(self) -> tuple[str, str]:
        variable = self.settings.url_env or ""
        url = os.environ.get(variable, "")
        if not url:
            raise SourceError(
                f"source {self.name}: the environment variable {variable} is not set; it holds the database's "
                "address, like postgresql://user:password@host:5432/database"
            )
        try:
            parts = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # libpq quotes what it cannot read, and the password may be in it.
            raise SourceError(
                f"source {self.name}: the value of {variable} is not a Postgres address, which looks like "
                "postgresql://user:password@host:5432/database"
            ) from None
        return url, str(parts.get("password") or "")


def _records(
    first: tuple[Any, ...] | None, rest: Iterator[tuple[Any, ...]], names: list[str]
) -> Iterator[Record | RejectedRow]:
    if first is None:
        return
    yield Record(1, dict(zip(names, first, strict=True)))
    for row_number, values in enumerate(rest, start=2):
        yield Record(row_number, dict(zip(names, values, strict=True)))


def _date_or_text(load: Callable[[Buffer], Any], data: Buffer) -> Any:
    try:
        return load(data)
    except psycopg.DataError:
        return bytes(data).decode()
