"""One source of business facts, read row by row: typed facts, or rejected rows that say what is wrong."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import chain, islice
from typing import Any, get_args, get_type_hints
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from tagging_orchestration.clients.business_sources import expressions
from tagging_orchestration.clients.business_sources.columns import COMMON_WORDS, column_names, guess
from tagging_orchestration.clients.sources.base import (
    SAMPLE_ROWS,
    Record,
    Table,
    TableSource,
)
from tagging_orchestration.clients.sources.cleaning import printable, rejection
from tagging_orchestration.clients.sources.dates import DateReader
from tagging_orchestration.clients.sources.factory import open_source
from tagging_orchestration.core.business.facts import TABLES, Fact, FactRow, FactTable, contradictions
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.models import RejectedRow, RejectionCode
from tagging_orchestration.settings import BusinessJoin, BusinessSettings, BusinessSource, SourceSettings

Values = Mapping[str, Any]
# Rows of one group with their row numbers; without `group_by` each row is a group of its own.
Group = list[Record]

_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_CALENDAR_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class BusinessReader:
    """Reads one source. Once `rows` is exhausted, `left_out` counts the rows that `where` did not ask for, and
    `guesses` names the columns that nobody mapped: ours, and what was taken for it."""

    def __init__(self, source: BusinessSource, business: BusinessSettings, now: datetime) -> None:
        self.source = source
        self.business = business
        self.now = now
        self.table: FactTable = TABLES[source.table]
        self.timezone_name = source.timezone or business.timezone
        self.left_out = 0
        self.guesses: tuple[tuple[str, str], ...] = ()
        self._name = f"business.{source.table}"
        self._file = _table_source(
            SourceSettings(
                name=self._name,
                path=source.path,
                type="postgres" if source.query else None,
                url_env=source.url_env,
                query=source.query,
                encoding=source.encoding,
            )
        )

    @property
    def location(self) -> str:
        """The file's path, or the variable that holds the database's address."""
        return self._file.location

    def fingerprint(self) -> str | None:
        """Equal as long as `rows` would give the same but for the future; None when only reading can tell."""
        prints = [self._file.fingerprint(), *(_joined(join).fingerprint() for join in self.source.join)]
        if None in prints:
            return None
        said = (*prints, self.source.model_dump_json(), self.timezone_name, self.business.currency)
        return hashlib.sha256("\n".join(map(str, said)).encode()).hexdigest()

    def rows(self) -> Iterator[FactRow | RejectedRow]:
        """The rows, read as they are asked for; grouped rows when all are read. Raises SourceError when the whole
        source cannot be read, and ConfigurationError for a formula that cannot be."""
        self.left_out = 0
        with self._file.open_table() as table:
            sample = list(islice(table.records, SAMPLE_ROWS))
            records = [item for item in sample if isinstance(item, Record)]
            joins = [self._join(join, table.columns) for join in self.source.join]
            feeds = self._feeds(table, records)
            dates = self._date_reader(feeds, [self._with_joins(record, joins) for record in records])
            row_of = _RowMaker(self, feeds, dates)
            for item in self._groups(chain(sample, table.records), joins):
                yield item if isinstance(item, RejectedRow) else row_of(item)

    # ----------------------------------------------------------------------------------------- columns

    def _feeds(self, table: Table, sample: Sequence[Record]) -> dict[str, tuple[str, expressions.Formula]]:
        """For each column of ours: what feeds it, in words, and the formula that gives its value."""
        source = self.source
        found = list(table.columns or dict.fromkeys(name for record in sample for name in record.values))
        found += [name for join in source.join for name in join.columns]
        feeds: dict[str, tuple[str, expressions.Formula]] = {}
        for ours, value in source.constants.items():
            feeds[ours] = (f"always {value!r}", lambda _, value=value: value)
        for ours, text in source.computed.items():
            feeds[ours] = (text, self._formula(text, found, table, f"computed.{ours}"))
        for ours, theirs in source.columns.items():
            # An empty name stands for "none, do not guess".
            if theirs:
                self._must_have(theirs, found, table, f"columns.{ours}")
                feeds[ours] = (theirs, _column(theirs))
        settled = {**feeds, **source.columns}
        guessed = guess(self.table, found, settled)
        self.guesses = tuple((ours, theirs) for ours, theirs in guessed.items() if ours != theirs)
        for ours, theirs in guessed.items():
            feeds[ours] = (theirs if theirs == ours else f"{theirs} (guessed)", _column(theirs))
        if source.content_source:
            feeds["content_source"] = (
                f"always {source.content_source!r}", lambda _: source.content_source
            )  # fmt: skip
            own = feeds.get(self.table.key[0])
            if own is not None:
                feeds.setdefault("content_external_id", own)
        if "currency" in self.table.columns:
            feeds.setdefault("currency", (f"always {self.business.currency}", lambda _: self.business.currency))
        self._must_be_complete(feeds, found)
        if source.where:
            self._formula(source.where, found, table, "where")
        for name in source.group_by:
            self._must_have(name, found, table, "group_by")
        return {ours: feeds[ours] for ours in column_names(self.table) if ours in feeds}

    def _formula(self, text: str, found: list[str], table: Table, where: str) -> expressions.Formula:
        formula, read = expressions.parse(text)
        for name in sorted(read):
            self._must_have(name, found, table, where)
        return formula

    def _must_have(self, name: str, found: list[str], table: Table, where: str) -> None:
        # Objects need not all have the same keys: a rare one may come later.
        if table.columns is None or name in found:
            return
        close = get_close_matches(name, found, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise SourceError(
            f"{self.location}: there is no column {name!r} (business source {self.source.table}, {where}).{hint}"
            f" Columns found: {', '.join(map(repr, found))}"
        )

    def _must_be_complete(self, feeds: Mapping[str, Any], found: list[str]) -> None:
        made = {"line_number"}
        missing = [name for name in self.table.required if name not in feeds and name not in made]
        if missing:
            raise SourceError(
                f"{self.location}: nothing is known to hold {', '.join(missing)} of raw.{self.source.table}."
                " Say it in its entry in tagging.yaml, like columns: {"
                + missing[0]
                + ": <column>}. Columns found: "
                f"{', '.join(map(repr, found)) or 'none'}"
            )

    def _date_reader(self, feeds: Mapping[str, Any], sample: Sequence[Record]) -> DateReader:
        reader = DateReader(self.source.date_format, self.timezone_name)
        for ours, kind in _kinds(self.table).items():
            if kind in (date, datetime) and ours in feeds:
                reader.learn(feeds[ours][1]([record.values]) for record in sample)
        return reader

    # ------------------------------------------------------------------------------------------ groups

    def _groups(
        self, items: Iterator[Record | RejectedRow], joins: Sequence[_Join]
    ) -> Iterator[Group | RejectedRow]:
        wanted = expressions.parse(self.source.where)[0] if self.source.where else None
        groups: dict[tuple[Any, ...], Group] = {}
        for item in items:
            if isinstance(item, RejectedRow):
                yield item
                continue
            record = self._with_joins(item, joins)
            try:
                asked_for = wanted is None or wanted([record.values])
            except ValueError as error:
                yield self.reject(record.row_number, RejectionCode.BAD_VALUE, f"where: {error}")
                continue
            if not asked_for:
                self.left_out += 1
            elif self.source.group_by:
                key = tuple(_plain(record.values.get(name)) for name in self.source.group_by)
                groups.setdefault(key, []).append(record)
            else:
                yield [record]
        yield from groups.values()

    def _join(self, join: BusinessJoin, found: list[str] | None) -> _Join:
        if found is not None and join.by not in found:
            raise SourceError(
                f"{self.location}: there is no column {join.by!r} (business source {self.source.table}, join.by)."
                f" Columns found: {', '.join(map(repr, found))}"
            )
        formulas = {name: expressions.parse(text) for name, text in join.columns.items()}
        match = join.match or join.by
        needed = {match, *(name for _, read in formulas.values() for name in read)}
        rows: dict[Any, list[Values]] = {}
        source = _joined(join)
        with source.open_table() as table:
            for name in sorted(needed - set(table.columns or needed)):
                raise SourceError(
                    f"{source.location}: there is no column {name!r} (business source {self.source.table}, join)."
                    f" Columns found: {', '.join(map(repr, table.columns or []))}"
                )
            for item in table.records:
                if isinstance(item, Record):
                    kept = {name: item.values.get(name) for name in needed}
                    rows.setdefault(_plain(kept[match]), []).append(kept)
        try:
            values = {
                key: {name: formula(group) for name, (formula, _) in formulas.items()}
                for key, group in rows.items()
            }
        except ValueError as error:
            raise SourceError(f"{source.location}: cannot be joined: {error}") from None
        return _Join(join.by, values, dict.fromkeys(formulas))

    @staticmethod
    def _with_joins(record: Record | RejectedRow, joins: Sequence[_Join]) -> Any:
        if not joins or isinstance(record, RejectedRow):
            return record
        values = dict(record.values)
        for join in joins:
            values.update(join.values.get(_plain(values.get(join.by)), join.nothing))
        return Record(record.row_number, values)

    def reject(
        self,
        row_number: int,
        code: RejectionCode,
        reason: str,
        *,
        column: str | None = None,
        external_id: str | None = None,
        value: Any = None,
    ) -> RejectedRow:
        """A rejected row of this source."""
        return rejection(
            self._name,
            self.location,
            row_number,
            code,
            reason,
            column=column,
            external_id=external_id,
            value=value,
        )


class _Join:
    """Values that a second file adds, by what the source's rows say in `by`."""

    def __init__(self, by: str, values: Mapping[Any, Values], nothing: Values) -> None:
        self.by, self.values, self.nothing = by, values, nothing


class _Bad(ValueError):
    """A value that makes its row unusable."""

    def __init__(
        self, column: str, reason: str, value: Any, code: RejectionCode = RejectionCode.BAD_VALUE
    ) -> None:
        super().__init__(reason)
        self.column, self.value, self.code = column, value, code


class _RowMaker:
    """Makes facts of groups of rows."""

    def __init__(
        self, reader: BusinessReader, feeds: Mapping[str, tuple[str, expressions.Formula]], dates: DateReader
    ) -> None:
        self.reader, self.feeds, self.dates = reader, feeds, dates
        self.table = reader.table
        self.kinds = _kinds(self.table)
        self.closed = self.table.closed
        self.adapter: TypeAdapter[Fact] = TypeAdapter(self.table.row)
        self.lines: dict[str, int] = {}
        self.zone = ZoneInfo(reader.timezone_name)

    def __call__(self, group: Group) -> FactRow | RejectedRow:
        values: dict[str, Any] = {}
        row_number = group[0].row_number
        rows = [record.values for record in group]
        try:
            for ours, (_, formula) in self.feeds.items():
                value = self._value(ours, formula, rows)
                if value is not None:
                    values[ours] = value
            newest = values.pop("updated_at", None)
            if "line_number" in self.kinds and "line_number" not in self.feeds and "order_id" in values:
                # Lines that have no number of their own are counted in the order of the source.
                values["line_number"] = self.lines[values["order_id"]] = self.lines.get(values["order_id"], 0) + 1
            fact = self.adapter.validate_python(values)
        except _Bad as error:
            return self._reject(row_number, values, error.column, str(error), error.value, error.code)
        except ValidationError as error:
            return self._invalid(row_number, values, error)
        for contradiction in contradictions(fact, self.reader.now):
            column = contradiction.column
            return self._reject(row_number, values, column, contradiction.reason, values.get(column))
        return FactRow(row_number, fact, newest)

    def _value(self, ours: str, formula: expressions.Formula, rows: list[Values]) -> Any:
        try:
            value = formula(rows)
        except ValueError as error:
            raise _Bad(ours, str(error), None) from None
        if expressions.is_missing(value) or (isinstance(value, str) and not value.strip()):
            return None
        kind = self.kinds.get(ours, datetime)
        value = self._translated(ours, value)
        if kind is str:
            text = value.isoformat() if isinstance(value, datetime | date) else str(value).strip()
            if "\x00" in text or printable(text) != text:
                raise _Bad(ours, "holds bytes that are no text", text, RejectionCode.INVALID_ENCODING)
            return text.upper() if ours == "currency" else text
        if kind is datetime or kind is date:
            return self._moment(ours, value, kind)
        if isinstance(value, str):
            text = value.strip()
            return text.replace(",", "") if _THOUSANDS.fullmatch(text) else text
        if isinstance(value, float):
            return Decimal(repr(value))
        return value

    def _translated(self, ours: str, value: Any) -> Any:
        said = str(value).strip()
        words = self.reader.source.values.get(ours, {})
        if said in words:
            return words[said]
        for pattern, word in words.items():
            if fnmatchcase(said, pattern):
                return word
        common = COMMON_WORDS.get(ours) if ours in self.closed else None
        if common is None:
            return value
        folded = said.casefold().replace("_", " ")
        return common.get(folded, folded)

    def _moment(self, ours: str, value: Any, kind: type) -> datetime | date | None:
        if kind is date:
            if isinstance(value, date) and not isinstance(value, datetime):
                return value
            if isinstance(value, str) and _CALENDAR_DATE.fullmatch(value.strip()):
                try:
                    return date.fromisoformat(value.strip())
                except ValueError as error:
                    raise _Bad(ours, str(error), value, RejectionCode.BAD_DATE) from None
        try:
            moment = self.dates.read(float(value) if isinstance(value, Decimal) else value)
        except ValueError as error:
            raise _Bad(ours, str(error), value, RejectionCode.BAD_DATE) from None
        if moment is None or kind is datetime:
            return moment
        return moment.astimezone(self.zone).date()

    def _invalid(self, row_number: int, values: Values, error: ValidationError) -> RejectedRow:
        first = error.errors(include_url=False, include_context=False)[0]
        column = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "missing":
            code = RejectionCode.MISSING_ID if column in self.table.key else RejectionCode.BAD_VALUE
            return self._reject(row_number, values, column, "is missing", None, code)
        value = values.get(column)
        return self._reject(row_number, values, column, f"{str(value)[:60]!r}: {first['msg'].lower()}", value)

    def _reject(
        self,
        row_number: int,
        values: Values,
        column: str,
        reason: str,
        value: Any,
        code: RejectionCode = RejectionCode.BAD_VALUE,
    ) -> RejectedRow:
        said = self.feeds[column][0] if column in self.feeds else ""
        key = [str(values[name]) for name in self.table.key if name in values]
        return self.reader.reject(
            row_number,
            code,
            reason + (f" (read from {said})" if said and said != column else ""),
            column=column,
            external_id=printable(" ".join(key))[:200] or None,
            value=value,
        )


def _column(name: str) -> Callable[[Sequence[Values]], Any]:
    return lambda rows: rows[0].get(name)


def _plain(value: Any) -> Any:
    """A value that equals its like of another file: 12 and '12' are one key."""
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else value


def _kinds(table: FactTable) -> dict[str, type]:
    """Whether a column holds texts, instants, days, amounts or whole numbers."""
    kinds: dict[str, type] = {}
    for name, hint in get_type_hints(table.row).items():
        options = [option for option in get_args(hint) if option is not type(None)] if get_args(hint) else [hint]
        kinds[name] = options[0] if isinstance(options[0], type) else str
    return kinds


def _joined(join: BusinessJoin) -> TableSource:
    return _table_source(SourceSettings(name="join", path=join.path, encoding=join.encoding))


def _table_source(settings: SourceSettings) -> TableSource:
    source = open_source(settings)
    if not isinstance(source, TableSource):
        raise SourceError(f"{source.location}: a file of rows is expected (CSV, TSV, JSONL, Parquet), no folder")
    return source
