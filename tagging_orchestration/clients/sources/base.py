"""What all sources have in common: settings, files, and the way from records to rows."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from io import BufferedReader, TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any, cast

from tagging_orchestration.clients.sources.cleaning import RowCleaner
from tagging_orchestration.clients.sources.mapping import Columns, missing_column, resolve_columns
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.models import RejectedRow, SourceRow
from tagging_orchestration.settings import SourceSettings

# Rows looked at before the first is mapped, to learn the keys of JSON objects and how dates are written.
SAMPLE_ROWS = 200
SAMPLE_CHARACTERS = 4_000_000
# One record is held in memory; a longer one is a broken file, not a text.
MAX_RECORD_CHARACTERS = 128_000_000

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a source by column; rows are numbered from 1 as people see them (a header is row 1)."""

    row_number: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """An opened source: its columns (None when only the records tell) and its records, read as asked for."""

    columns: list[str] | None
    records: Iterator[Record | RejectedRow]


class Source(ABC):
    """A source as `raw_content` reads it (core.ports.RowSource)."""

    def __init__(self, settings: SourceSettings) -> None:
        self.settings = settings

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.settings.name

    @property
    def organization_id(self) -> str:
        """Organisation of rows that do not say theirs."""
        return self.settings.organization_id

    @property
    def full_snapshot(self) -> bool:
        """Whether contents it no longer holds are gone."""
        return self.settings.full_snapshot

    @property
    @abstractmethod
    def location(self) -> str:
        """Where it is, for people."""

    @abstractmethod
    def describe(self) -> str:
        """Which column feeds which field, one a line."""

    @abstractmethod
    def fingerprint(self) -> str | None:
        """Equal as long as `rows` would yield the same; None when only reading can tell."""

    @abstractmethod
    def rows(self) -> Iterator[SourceRow | RejectedRow]:
        """The rows, read as they are asked for. Raises SourceError when the whole source cannot be read."""


class TableSource(Source):
    """A source of records with named columns."""

    @abstractmethod
    def open_table(self) -> AbstractContextManager[Table]:
        """Open the source for one reading."""

    def describe(self) -> str:
        """Which column feeds which field, one a line. Reads the first rows only."""
        with self.open_table() as table:
            sample = _sample(item for item in table.records if isinstance(item, Record))
            if not sample:
                raise SourceError(f"{self.location}: holds no row that can be read")
            columns, _ = self._columns(table, sample)
        return columns.describe()

    def rows(self) -> Iterator[SourceRow | RejectedRow]:
        """The rows, read as they are asked for; see core.ports.RowSource."""
        with self.open_table() as table:
            for item in table.records:
                if isinstance(item, Record):
                    break
                yield item
            else:
                return
            sample = _sample(chain([item], table.records))
            columns, cleaner = self._columns(table, sample)
            keep_long = columns.metadata is not None
            seen: set[str] = set(table.columns or ())
            for item in chain(sample, table.records):
                if isinstance(item, RejectedRow):
                    yield item
                    continue
                if table.columns is None:
                    seen.update(item.values)
                yield cleaner.clean(
                    columns.pick(item.values), item.row_number, columns.by_field, keep_long_metadata=keep_long
                )
        self._refuse_unseen(columns, seen)

    def _columns(self, table: Table, sample: Sequence[Record | RejectedRow]) -> tuple[Columns, RowCleaner]:
        records = [item.values for item in sample if isinstance(item, Record)]
        if table.columns is not None:
            columns = resolve_columns(table.columns, self.settings.columns, self.location)
        else:
            # A stated column may be rare; those no object has are refused at the end.
            stated = self.settings.columns.model_dump(exclude={"metadata"})
            found = dict.fromkeys(name for values in records for name in values)
            found |= dict.fromkeys(filter(None, [*stated.values(), *(self.settings.columns.metadata or ())]))
            columns = resolve_columns(list(found), self.settings.columns, self.location)
        cleaner = RowCleaner(self.settings, self.location)
        dates = {
            name: [values.get(columns.by_field[name]) for values in records]
            for name in ("created_at", "updated_at")
            if name in columns.by_field
        }
        cleaner.dates.learn(chain.from_iterable(dates.values()))
        for name, values in dates.items():
            if name in columns.guessed and not _any_date(cleaner, values):
                columns = columns.without(name)
        return columns, cleaner

    def _refuse_unseen(self, columns: Columns, seen: set[str]) -> None:
        stated = [(name, column) for name, column in columns.by_field.items() if name not in columns.guessed]
        for field_name, column in [*stated, *(("metadata", name) for name in columns.metadata or ())]:
            if column not in seen:
                raise missing_column(field_name, column, sorted(seen), self.location)


class FileSource(TableSource):
    """A source that is one file."""

    def __init__(self, settings: SourceSettings, path: Path) -> None:
        super().__init__(settings)
        self.path = path

    @property
    def location(self) -> str:
        """The file's path."""
        return str(self.path)

    def fingerprint(self) -> str | None:
        """Hash of the file's bytes, the source's settings and this project's version."""
        with reading(self.path), self.path.open("rb") as file:
            return combined_fingerprint(self.settings, hashlib.file_digest(file, "sha256").hexdigest())


def combined_fingerprint(settings: SourceSettings, content_digest: str) -> str:
    """Hash of what a reading's result depends on: content, settings, and the version of the readers."""
    parts = (content_digest, settings.model_dump_json(), version("tagging-orchestration"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what goes wrong while a file is read into a SourceError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file or folder") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{path}: the compressed file is damaged ({error})") from error
    except UnicodeError as error:
        raise SourceError(f"{path}: cannot be decoded ({error}): set the source's encoding") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from error


@contextmanager
def open_bytes(path: Path) -> Iterator[BufferedReader]:
    """The file's bytes, decompressed when its name ends in .gz. Raises SourceError, also when it is empty."""
    with reading(path):
        if path.is_dir():
            raise SourceError(f"{path}: is a folder, a file was expected")
        if path.stat().st_size == 0:
            raise SourceError(f"{path}: is empty; nothing was changed")
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            yield cast("BufferedReader", file)


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[TextIOWrapper]:
    """The file's text with line ends as they are. A byte order mark wins over `encoding`.

    Bytes that are not valid become lone surrogates, so that only their rows are refused. Raises SourceError.
    """
    with open_bytes(path) as binary:
        actual = marked_encoding(binary.peek(4)) or encoding
        try:
            text = TextIOWrapper(binary, encoding=actual, errors="surrogateescape", newline="")
        except LookupError:
            raise SourceError(
                f"{path}: {encoding!r} is no text encoding Python knows (encoding of the source)"
            ) from None
        with text:
            yield text


def marked_encoding(start: bytes) -> str | None:
    """The encoding that a byte order mark states."""
    return next((name for mark, name in _BYTE_ORDER_MARKS if start.startswith(mark)), None)


def _sample(records: Iterable[Record | RejectedRow]) -> list[Record | RejectedRow]:
    sample: list[Record | RejectedRow] = []
    room = SAMPLE_CHARACTERS
    for item in records:
        sample.append(item)
        if isinstance(item, Record):
            room -= sum(len(value) for value in item.values.values() if isinstance(value, str))
        if room < 0 or len(sample) >= SAMPLE_ROWS:
            break
    return sample


def _any_date(cleaner: RowCleaner, values: list[Any]) -> bool:
    stated = [value for value in values if value not in (None, "")]
    for value in stated:
        try:
            cleaner.dates.read(value)
        except ValueError:
            continue
        return True
    return not stated
