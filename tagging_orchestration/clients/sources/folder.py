"""Folders of text files: .txt, Markdown (with front matter) and HTML, one content a file."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tagging_orchestration.clients.sources.base import Source, combined_fingerprint, marked_encoding, reading
from tagging_orchestration.clients.sources.cleaning import (
    EXCERPT_CHARACTERS,
    BadValueError,
    RowCleaner,
    encoding_hint,
    printable,
    rejection,
)
from tagging_orchestration.clients.sources.mapping import RawRow, guess_columns
from tagging_orchestration.clients.sources.markup import read_page
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.models import RejectedRow, RejectionCode, SourceRow
from tagging_orchestration.settings import SourceSettings

PLAIN, MARKDOWN, HTML = (".txt", ".text"), (".md", ".markdown"), (".html", ".htm", ".xhtml")
SUFFIXES = (*PLAIN, *MARKDOWN, *HTML)

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)?(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_CHARSET = re.compile(rb"<meta[^>]+charset=[\"']?([A-Za-z0-9_-]+)", re.IGNORECASE)
_HEADING = re.compile(r"^#{1,2}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A folder or link that could not be followed, and why."""

    path: Path
    reason: str


class FolderSource(Source):
    """The text files of a folder and its subfolders, or a single one; names that begin with a dot are left out.

    The path inside the folder is the id, the time of the last change is `updated_at`. Title, tags, dates and the
    like come from Markdown front matter or the HTML head.
    """

    def __init__(self, settings: SourceSettings, path: Path) -> None:
        super().__init__(settings)
        self.path = path
        self.root = path.parent if path.is_file() else path

    @property
    def location(self) -> str:
        """The folder's path."""
        return str(self.path)

    def describe(self) -> str:
        """Where each field comes from, one a line."""
        return (
            "id <- path inside the folder\nbody <- text of the file\n"
            "title <- front matter, <title> or first heading\ntags <- front matter or keywords of the HTML head\n"
            "created_at <- front matter\nupdated_at <- front matter, else last change of the file"
        )

    def fingerprint(self) -> str | None:
        """Hash of all files' names and bytes; None when something in the folder cannot be read."""
        digest = hashlib.sha256()
        for file in self._files():
            if isinstance(file, Unreadable):
                return None
            try:
                if not stat.S_ISREG(file.stat().st_mode):
                    return None
                with file.open("rb") as opened:
                    content = hashlib.file_digest(opened, "sha256").hexdigest()
            except OSError:
                return None
            digest.update(f"{content} {file.relative_to(self.root)}\n".encode("utf-8", "surrogateescape"))
        return combined_fingerprint(self.settings, digest.hexdigest())

    def rows(self) -> Iterator[SourceRow | RejectedRow]:
        """One row a file, in the order of their paths. Raises SourceError when there is none."""
        cleaner = RowCleaner(self.settings, self.location)
        number = 0
        for number, file in enumerate(self._files(), start=1):
            if isinstance(file, Unreadable):
                yield self._reject(file.path, RejectionCode.UNREADABLE, file.reason)
            else:
                yield self._row(file, number, cleaner)
        if not number:
            raise SourceError(f"{self.path}: holds no {', '.join(SUFFIXES)} file; nothing was changed")

    def _files(self) -> Iterator[Path | Unreadable]:
        with reading(self.path):
            if self.path.is_file():
                return iter([self.path])
            with os.scandir(self.path):
                return walk(self.path, SUFFIXES)

    def _row(self, path: Path, number: int, cleaner: RowCleaner) -> SourceRow | RejectedRow:
        relative = path.relative_to(self.root).as_posix()
        # macOS writes names decomposed; the same folder elsewhere must give the same ids.
        external_id = unicodedata.normalize("NFC", relative)
        if printable(external_id) != external_id:
            reason = f"the file's name is not valid text ({printable(relative)}): rename it"
            return self._reject(path, RejectionCode.BAD_ID, reason)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                reason = "is neither a file nor a link to one"
                return self._reject(path, RejectionCode.UNREADABLE, reason, external_id)
            limit = self.settings.max_text_bytes
            if status.st_size > limit:
                reason = (
                    f"the file has {status.st_size:,} bytes, {limit:,} are allowed (max_text_bytes of the source)"
                )
                return self._reject(path, RejectionCode.TEXT_TOO_LONG, reason, external_id)
            data = path.read_bytes()
        except OSError as error:
            reason = f"cannot be read ({error.strerror or error})"
            return self._reject(path, RejectionCode.UNREADABLE, reason, external_id)
        try:
            raw, columns = self._parse(path.suffix.lower(), data)
        except BadValueError as error:
            return self._reject(path, error.code, error.reason, external_id, error.column)
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        raw = replace(raw, id=external_id, updated_at=raw.updated_at or modified)
        keep_long = self.settings.columns.metadata is not None
        return cleaner.clean(raw, number, columns, keep_long_metadata=keep_long, location=str(path))

    def _parse(self, suffix: str, data: bytes) -> tuple[RawRow, Mapping[str, str]]:
        """The file's fields, and the keys of its front matter that feed them."""
        if suffix in HTML:
            page = read_page(self._decode(data, _CHARSET.search(data[:4096])))
            return RawRow(title=page.title, body=page.text, language=page.language, tags=page.keywords), {}
        text = self._decode(data)
        if suffix not in MARKDOWN:
            return RawRow(body=text), {}
        front: dict[str, Any] = {}
        if match := _FRONT_MATTER.match(text):
            front, text = _front_matter(match[1] or ""), text[match.end() :]
        # The file itself is the id and the body, whatever the front matter says.
        columns = guess_columns(list(front), self.settings.columns.model_copy(update={"id": "", "body": ""}))
        raw = columns.pick(front)
        if not raw.title and (heading := _HEADING.search(text)):
            raw = replace(raw, title=heading[1])
        return replace(raw, body=text), columns.by_field

    def _decode(self, data: bytes, declared: re.Match[bytes] | None = None) -> str:
        encoding = marked_encoding(data) or self.settings.encoding
        for name in (encoding, declared[1].decode() if declared else encoding):
            with suppress(UnicodeError, LookupError):
                text = data.decode(name)
                if "\x00" in text:
                    break
                return text.replace("\r\n", "\n").replace("\r", "\n")
        if b"\x00" in data:
            raise BadValueError(RejectionCode.NOT_TEXT, None, "is not a text file (it holds NUL bytes)")
        reason = f"is not valid {encoding}{encoding_hint(data)}"
        raise BadValueError(RejectionCode.INVALID_ENCODING, None, reason, data[:EXCERPT_CHARACTERS])

    def _reject(
        self,
        path: Path,
        code: RejectionCode,
        reason: str,
        external_id: str | None = None,
        column: str | None = None,
    ) -> RejectedRow:
        return rejection(self.name, str(path), 0, code, reason, external_id=external_id, column=column)


def walk(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path | Unreadable]:
    """Files with these suffixes below a folder, sorted; each real folder once, so that links cannot loop."""
    visited: set[tuple[int, int]] = set()

    def visit(directory: Path) -> Iterator[Path | Unreadable]:
        try:
            status = directory.stat()
            if (status.st_dev, status.st_ino) in visited:
                return
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(directory) as entries:
                found = sorted(
                    (entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name
                )
        except OSError as error:
            yield Unreadable(directory, f"the folder cannot be read ({error.strerror or error})")
            return
        for entry in found:
            path = directory / entry.name
            if path.is_dir():
                yield from visit(path)
            elif entry.name.lower().endswith(suffixes):
                yield path

    return visit(folder)


def _front_matter(text: str) -> dict[str, Any]:
    import yaml

    try:
        front = yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = f"the front matter is not valid YAML ({' '.join(str(error).split())})"
        raise BadValueError(RejectionCode.MALFORMED, "front matter", reason) from None
    if not isinstance(front, dict):
        return {}
    return {str(key): value for key, value in front.items()}
