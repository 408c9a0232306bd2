"""JSON Lines files: one object a line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

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


class JsonLinesSource(FileSource):
    """A file of JSON objects, one a line; empty lines are skipped. NaN and Infinity count as missing."""

    @contextmanager
    def open_table(self) -> Iterator[Table]:
        """Open the file; see TableSource."""
        with open_text(self.path, self.settings.encoding) as file:
            yield Table(None, self._records(file))

    def _records(self, file: io.TextIOWrapper) -> Iterator[Record | RejectedRow]:
        row_number, rows = 0, 0
        while line := file.readline(MAX_RECORD_CHARACTERS):
            row_number += 1
            length = len(line)
            while not line.endswith(("\n", "\r")) and (rest := file.readline(MAX_RECORD_CHARACTERS)):
                length += len(rest)
                line = line[:1_000] + rest[-1:]
            if not line.strip():
                continue
            if not rows and line.lstrip().startswith("["):
                raise SourceError(
                    f"{self.path}: is one JSON array, not one object a line. Convert it: "
                    f"jq -c '.[]' {self.path.name} > {self.path.stem}.jsonl"
                )
            rows += 1
            if length > MAX_RECORD_CHARACTERS:
                yield self._reject(
                    row_number, f"the line has more than {MAX_RECORD_CHARACTERS:,} characters", line
                )
            else:
                yield self._record(row_number, line)
        if not rows:
            raise SourceError(f"{self.path}: has no rows; nothing was changed")

    def _record(self, row_number: int, line: str) -> Record | RejectedRow:
        try:
            values = json.loads(line, parse_constant=lambda _: None)
        except (ValueError, RecursionError) as error:
            return self._reject(row_number, f"is not valid JSON ({error})", line)
        if not isinstance(values, dict):
            return self._reject(row_number, f"a JSON object expected, not {type(values).__name__}", line)
        return Record(row_number, values)

    def _reject(self, row_number: int, reason: str, line: str) -> RejectedRow:
        return rejection(self.name, self.location, row_number, RejectionCode.MALFORMED, reason, value=line.strip())
