"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tagging_orchestration.clients.sources.base import FileSource, Record, Table, reading
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.models import RejectedRow

if TYPE_CHECKING:
    import pyarrow

BATCH_ROWS = 1_000


class ParquetSource(FileSource):
    """A Parquet file, read a batch of rows at a time."""

    @contextmanager
    def open_table(self) -> Iterator[Table]:
        """Open the file; see TableSource."""
        import pyarrow
        import pyarrow.parquet

        with reading(self.path):
            try:
                with pyarrow.parquet.ParquetFile(self.path) as file:
                    if file.metadata.num_rows == 0:
                        raise SourceError(f"{self.path}: has no rows; nothing was changed")
                    yield Table(list(file.schema_arrow.names), self._records(file))
            except pyarrow.ArrowException as error:
                raise SourceError(f"{self.path}: cannot be read as Parquet ({error})") from error

    def _records(self, file: Any) -> Iterator[Record | RejectedRow]:
        row_number = 0
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            names = batch.schema.names
            for values in zip(*map(_values, batch.columns), strict=True):
                row_number += 1
                yield Record(row_number, dict(zip(names, values, strict=True)))


def _values(column: pyarrow.Array) -> list[Any]:
    import pyarrow
    from pyarrow import types

    if types.is_timestamp(column.type) and column.type.unit == "ns":
        # Python's datetime ends at microseconds; Arrow would hand out pandas' type instead.
        column = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False)
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        # Arrow does not check its strings; only the rows with bad ones are to be refused.
        values = column.cast(pyarrow.large_binary()).to_pylist()
        return [value and value.decode("utf-8", "surrogateescape") for value in values]
