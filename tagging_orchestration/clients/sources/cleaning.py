"""One row's values, checked and mended: a SourceRow, or a RejectedRow that says what a person has to change."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from tagging_orchestration.clients.sources.dates import DateReader
from tagging_orchestration.clients.sources.mapping import RawRow
from tagging_orchestration.clients.sources.markup import plain_text
from tagging_orchestration.core.models import RejectedRow, RejectionCode, SourceRow
from tagging_orchestration.settings import SourceSettings

EXCERPT_CHARACTERS = 200
# The id is part of an index, whose entries cannot be longer than a third of a page.
MAX_ID_BYTES = 1_000
MAX_TAG_CHARACTERS = 200
MAX_TAGS = 200
# Columns nobody asked for are kept while they are short, so that metadata does not become a second body.
MAX_METADATA_CHARACTERS = 16_384
MAX_UNASKED_VALUE = 1_000

TAG_SEPARATORS = "|;；,，、"

_CHINESE_SCRIPTS = {"tw": "Hant", "hk": "Hant", "mo": "Hant", "cn": "Hans", "sg": "Hans", "my": "Hans"}


class BadValueError(ValueError):
    """A value that makes its row unusable. `value` is what an excerpt is taken from."""

    def __init__(self, code: RejectionCode, column: str | None, reason: str, value: Any = None) -> None:
        super().__init__(reason)
        self.code, self.column, self.reason, self.value = code, column, reason, value


def rejection(
    source: str,
    location: str,
    row_number: int,
    code: RejectionCode,
    reason: str,
    *,
    column: str | None = None,
    external_id: str | None = None,
    value: Any = None,
) -> RejectedRow:
    """A rejected row whose message names file, row and column. All its texts can be stored and printed."""
    where = ", ".join(
        part
        for part in (location, f"row {row_number}" if row_number else "", f"column {column!r}" if column else "")
        if part
    )
    return RejectedRow(
        source=source,
        location=printable(location),
        row_number=row_number,
        column=printable(column) if column else None,
        code=code,
        message=printable(f"{where}: {reason}"),
        external_id=external_id,
        excerpt=printable(str(value)[:EXCERPT_CHARACTERS])[:EXCERPT_CHARACTERS] if value else None,
    )


def printable(text: str) -> str:
    """The text with NUL characters and undecodable bytes written out, as Postgres can store it."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


class RowCleaner:
    """Checks the rows of one source; holds its settings and the way its dates are written."""

    def __init__(self, settings: SourceSettings, location: str) -> None:
        self.settings = settings
        self.location = location
        self.dates = DateReader(settings.date_format, settings.timezone)
        self.language = language_code(settings.language)
        self._encoding_hint: str | None = None

    def clean(
        self,
        raw: RawRow,
        row_number: int,
        columns: Mapping[str, str],
        *,
        keep_long_metadata: bool = True,
        location: str | None = None,
    ) -> SourceRow | RejectedRow:
        """The row as it goes into `contents`.

        `columns` names the column of each field and `location` a file that is a row by itself, for messages.
        Mended are: surrounding white space, line ends,
        HTML where it is clearly markup, entities, doubled tags. Everything else that is wrong rejects the row.
        """
        external_id = None
        try:
            external_id = self._id(raw.id, columns.get("id"))
            title, body = self._texts(raw, columns)
            return SourceRow(
                source=self.settings.name,
                external_id=external_id,
                title=title,
                body=body,
                row_number=row_number,
                organization_id=self._line(raw.organization, columns.get("organization"))
                or self.settings.organization_id,
                content_type=self._line(raw.content_type, columns.get("content_type"))
                or self.settings.content_type,
                url=self._line(raw.url, columns.get("url")) or None,
                language=language_code(self._line(raw.language, columns.get("language"))) or self.language,
                created_at=self._date(raw.created_at, columns.get("created_at")),
                updated_at=self._date(raw.updated_at, columns.get("updated_at")),
                given_tags=self._tags(raw.tags, columns.get("tags")),
                metadata=self._metadata(raw.metadata, keep_long=keep_long_metadata),
            )
        except BadValueError as error:
            return rejection(
                self.settings.name,
                location or self.location,
                0 if location else row_number,
                error.code,
                error.reason,
                column=error.column,
                external_id=external_id,
                value=error.value,
            )

    def _id(self, value: Any, column: str | None) -> str:
        external_id = self._line(value, column)
        if not external_id:
            raise BadValueError(RejectionCode.MISSING_ID, column, "the id is empty")
        size = len(external_id.encode())
        if size > MAX_ID_BYTES:
            reason = f"the id has {size:,} bytes, {MAX_ID_BYTES:,} are allowed"
            raise BadValueError(RejectionCode.BAD_ID, column, reason, external_id)
        return external_id

    def _texts(self, raw: RawRow, columns: Mapping[str, str]) -> tuple[str, str]:
        title = self._text(raw.title, columns.get("title"))
        body = self._text(raw.body, columns.get("body"))
        limit = self.settings.max_text_bytes
        # A character has one to four bytes: most texts need no counting.
        if (len(title) + len(body)) * 4 > limit:
            size = len(title.encode()) + len(body.encode())
            if size > limit:
                longer = "title" if len(title) > len(body) else "body"
                reason = f"the text has {size:,} bytes, {limit:,} are allowed (max_text_bytes of the source)"
                raise BadValueError(
                    RejectionCode.TEXT_TOO_LONG, columns.get(longer), reason, title if longer == "title" else body
                )
        title, body = " ".join(plain_text(title).split()), plain_text(body).strip()
        if not title and not body:
            what = "empty" if not raw.body else "empty once white space and markup are taken away"
            raise BadValueError(RejectionCode.EMPTY_TEXT, columns.get("body"), f"the text is {what}", raw.body)
        return title, body

    def _text(self, value: Any, column: str | None) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            text = value
        elif isinstance(value, bytes):
            text = value.decode(self.settings.encoding, "surrogateescape")
        elif isinstance(value, list) and all(isinstance(part, str) for part in value):
            text = "\n".join(value)
        elif isinstance(value, float) and (math.isnan(value) or value.is_integer()):
            text = "" if math.isnan(value) else str(int(value))
        elif isinstance(value, int | float | Decimal | UUID | date | datetime):
            text = str(value)
        else:
            reason = f"text expected, not {type(value).__name__}"
            raise BadValueError(RejectionCode.BAD_VALUE, column, reason, value)
        self._check(text, column)
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text

    def _line(self, value: Any, column: str | None) -> str:
        return self._text(value, column).strip()

    def _check(self, text: str, column: str | None) -> None:
        if "\x00" in text:
            position = text.index("\x00") + 1
            reason = f"character {position} is a NUL (\\x00), which text cannot hold: remove it at its origin"
            raise BadValueError(RejectionCode.NUL_BYTE, column, reason, text[max(0, position - 100) :])
        if text.isascii():
            return
        try:
            text.encode()
        except UnicodeEncodeError as error:
            reason = f"character {error.start + 1} is not valid {self.settings.encoding}" + self._other_encoding(
                text
            )
            value = text[max(0, error.start - 100) :]
            raise BadValueError(RejectionCode.INVALID_ENCODING, column, reason, value) from None

    def _other_encoding(self, text: str) -> str:
        if self._encoding_hint is None:
            try:
                data = text.encode(self.settings.encoding, "surrogateescape")
            except UnicodeEncodeError:
                return " (half of a surrogate pair)"
            self._encoding_hint = encoding_hint(data)
        return self._encoding_hint

    def _date(self, value: Any, column: str | None) -> datetime | None:
        try:
            return self.dates.read(value)
        except ValueError as error:
            raise BadValueError(RejectionCode.BAD_DATE, column, str(error), value) from None

    def _tags(self, value: Any, column: str | None) -> tuple[str, ...]:
        if value is None or value == "":
            return ()
        items: Iterable[Any]
        if isinstance(value, str):
            items = self._split(value, column)
        elif isinstance(value, list | tuple):
            items = value
        else:
            reason = f"a list of tags or a text expected, not {type(value).__name__}"
            raise BadValueError(RejectionCode.BAD_TAGS, column, reason, value)
        tags: dict[str, None] = {}
        for item in items:
            if not isinstance(item, str | int | float) or isinstance(item, bool):
                raise BadValueError(RejectionCode.BAD_TAGS, column, "every tag must be a text", item)
            tag = " ".join(self._text(item, column).split())
            if len(tag) > MAX_TAG_CHARACTERS:
                reason = (
                    f"a tag has {len(tag)} characters, {MAX_TAG_CHARACTERS} are allowed: is tag_separator right?"
                )
                raise BadValueError(RejectionCode.BAD_TAGS, column, reason, tag)
            if tag:
                tags[tag] = None
        if len(tags) > MAX_TAGS:
            reason = f"{len(tags)} tags, {MAX_TAGS} are allowed"
            raise BadValueError(RejectionCode.BAD_TAGS, column, reason, value)
        return tuple(tags)

    def _split(self, text: str, column: str | None) -> list[Any]:
        self._check(text, column)
        if text.lstrip().startswith("["):
            try:
                parsed = json.loads(text)
            except (ValueError, RecursionError):
                parsed = None
            if isinstance(parsed, list):
                return parsed
        if self.settings.tag_separator is not None:
            return text.split(self.settings.tag_separator)
        separator = next((mark for mark in TAG_SEPARATORS if mark in text), None)
        return text.split(separator) if separator else [text]

    def _metadata(self, values: Mapping[str, Any], *, keep_long: bool) -> Mapping[str, Any]:
        kept: dict[str, Any] = {}
        room = MAX_METADATA_CHARACTERS
        for column, value in values.items():
            if value is None or value == "":
                continue
            ready = self._json(value, column)
            size = len(ready) if isinstance(ready, str) else len(json.dumps(ready, ensure_ascii=False))
            if size > room or (size > MAX_UNASKED_VALUE and not keep_long):
                if keep_long:
                    reason = f"metadata of more than {MAX_METADATA_CHARACTERS:,} characters: list fewer columns"
                    raise BadValueError(RejectionCode.BAD_VALUE, column, reason, value)
                continue
            if ready is not None:
                self._check(column, column)
                kept[column] = ready
                room -= size
        return kept

    def _json(self, value: Any, column: str) -> Any:
        """The value as Postgres' jsonb takes it; what JSON has no form for is left out."""
        if isinstance(value, str):
            self._check(value, column)
            return value
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, Decimal):
            return float(value) if value.is_finite() else None
        if isinstance(value, date | time):
            return value.isoformat()
        if isinstance(value, Mapping):
            return {self._key(key, column): self._json(item, column) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._json(item, column) for item in value]
        return str(value) if isinstance(value, UUID) else None

    def _key(self, key: Any, column: str) -> str:
        self._check(str(key), column)
        return str(key)


def encoding_hint(data: bytes) -> str:
    """'; it may be big5: ...' for bytes that are not what they were said to be; '' when there is no telling."""
    from charset_normalizer import from_bytes

    best = from_bytes(data[:65_536]).best()
    if best is None or best.encoding in {"utf_8", "ascii"}:
        return ""
    name = best.encoding.replace("_", "-")
    return f"; if the whole file is {name}, set encoding: {name} for the source"


def language_code(value: str | None) -> str | None:
    """A stated language as this project writes it ('en', 'zh-Hant', 'zh-Hans', ...); None when it is no code.

    'en-US' is 'en', 'zh_TW' is 'zh-Hant'. A name such as 'English' is left to detection.
    """
    parts = re.split(r"[-_]", (value or "").strip())
    primary = parts[0].lower()
    if not re.fullmatch(r"[a-z]{2,3}", primary):
        return None
    if primary == "zh":
        for part in parts[1:]:
            script = _CHINESE_SCRIPTS.get(part.lower(), part.title())
            if script in {"Hant", "Hans"}:
                return f"zh-{script}"
    return primary
