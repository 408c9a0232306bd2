"""CSV and TSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tagging_orchestration.clients.sources.base import (
    MAX_RECORD_CHARACTERS,
    FileSource,
    Record,
    Table,
    open_text,
)
from tagging_orchestration.clients.sources.cleaning import rejection
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.models import RejectedRow, RejectionCode

DELIMITERS = ",;\t|"


class DelimitedSource(FileSource):
    """A CSV or TSV file with a header. Spreadsheets that write semicolons are understood from the header."""

    @contextmanager
    def open_table(self) -> Iterator[Table]:
        """Open the file; see TableSource."""
        csv.field_size_limit(MAX_RECORD_CHARACTERS)
        with open_text(self.path, self.settings.encoding) as file:
            first = file.readline(MAX_RECORD_CHARACTERS)
            if "\x00" in first:
                raise SourceError(f"{self.path}: is not a text file (its header holds NUL characters)")
            delimiter = "\t" if self.settings.type == "tsv" else max(DELIMITERS, key=first.count)
            reader = csv.reader(_again(first, file), delimiter=delimiter, strict=True)
            try:
                header = next(reader)
            except (StopIteration, csv.Error) as error:
                raise SourceError(f"{self.path}: the header cannot be read ({str(error) or 'no line'})") from None
            names = [name.strip() or f"column_{number}" for number, name in enumerate(header, start=1)]
            yield Table(names, self._records(reader, names))

    def _records(self, reader: Any, names: list[str]) -> Iterator[Record | RejectedRow]:
        row_number, width, rows = 1, len(names), 0
        while True:
            line = reader.line_num + 1
            row_number += 1
            try:
                values = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                if "field limit" in str(error):
                    raise SourceError(
                        f"{self.path}, row {row_number}: from line {line} on a field is longer than "
                        f"{MAX_RECORD_CHARACTERS:,} characters: a quote is not closed"
                    ) from None
                rows += 1
                yield self._malformed(row_number, line, str(error))
                continue
            if not values:
                row_number -= 1
                continue
            rows += 1
            if len(values) > width and not any(values[width:]):
                values = values[:width]
            if len(values) != width:
                yield rejection(
                    self.name,
                    self.location,
                    row_number,
                    RejectionCode.MALFORMED,
                    f"{len(values)} fields where the header has {width} (line {line} of the file): a delimiter or "
                    "a quote is missing or too much",
                    value=",".join(values),
                )
                continue
            yield Record(row_number, dict(zip(names, values, strict=True)))
        if not rows:
            raise SourceError(f"{self.path}: has a header but no rows; nothing was changed")

    def _malformed(self, row_number: int, line: int, error: str) -> RejectedRow:
        if "unexpected end of data" in error:
            reason = f"a quote is never closed; everything from line {line} to the end was read as this row"
        else:
            reason = f"broken quoting from line {line} on ({error}): a quote inside a field must be doubled"
        return rejection(self.name, self.location, row_number, RejectionCode.MALFORMED, reason)


def _again(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines
