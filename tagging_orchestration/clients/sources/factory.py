"""From settings, or just a path, to sources."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

from tagging_orchestration.clients.sources.base import FileSource, Source
from tagging_orchestration.clients.sources.delimited import DelimitedSource
from tagging_orchestration.clients.sources.folder import SUFFIXES, FolderSource, Unreadable, walk
from tagging_orchestration.clients.sources.jsonl import JsonLinesSource
from tagging_orchestration.clients.sources.parquet import ParquetSource
from tagging_orchestration.clients.sources.postgres import PostgresSource
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.settings import SourceSettings

FileType = Literal["csv", "tsv", "jsonl", "parquet"]

FILE_TYPES: Mapping[str, FileType] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSED = tuple(f"{suffix}.gz" for suffix, kind in FILE_TYPES.items() if kind != "parquet")
READERS: Mapping[FileType, type[FileSource]] = {
    "csv": DelimitedSource,
    "tsv": DelimitedSource,
    "jsonl": JsonLinesSource,
    "parquet": ParquetSource,
}


def open_source(settings: SourceSettings) -> Source:
    """The source these settings describe; nothing is read yet.

    Raises SourceError when the kind of file cannot be told.
    """
    if settings.path is None:
        return PostgresSource(settings)
    path = settings.path.expanduser()
    if settings.type == "folder" or (settings.type is None and (path.is_dir() or _is_text(path))):
        return FolderSource(settings, path)
    kind = settings.type or file_type(path)
    if kind is None or kind == "postgres":
        raise SourceError(
            f"{path}: "
            + (
                "there is no such file or folder"
                if not path.exists()
                else "the kind of file is not known by its name"
            )
            + f". Known are {', '.join(FILE_TYPES)} (the text ones also with .gz), and folders of "
            f"{', '.join(SUFFIXES)}; or say it: type: csv | tsv | jsonl | parquet | folder"
        )
    return READERS[cast("FileType", kind)](settings.model_copy(update={"type": kind}), path)


def guess_sources(path: Path) -> list[SourceSettings]:
    """Settings for a file or folder nobody described: a data file is a source, a folder's texts are one.

    Raises SourceError when there is nothing to read.
    """
    path = path.expanduser().absolute()
    if not path.exists():
        raise SourceError(f"{path}: there is no such file or folder")
    if path.is_file():
        settings = _guessed(path, "folder" if _is_text(path) else file_type(path))
        open_source(settings)
        return [settings]
    found = [
        file for file in walk(path, (*FILE_TYPES, *COMPRESSED, *SUFFIXES)) if not isinstance(file, Unreadable)
    ]
    texts = [file for file in found if file_type(file) is None]
    sources = [_guessed(file, kind) for file in found if (kind := file_type(file))]
    if texts:
        sources.append(_guessed(path, "folder"))
    if not sources:
        raise SourceError(
            f"{path}: holds nothing to read. Known are {', '.join((*FILE_TYPES, *SUFFIXES))} (the text ones also "
            "with .gz)"
        )
    return sources


def file_type(path: Path) -> FileType | None:
    """The kind of data file by its name; None for anything else."""
    name = path.name.lower().removesuffix(".gz")
    return FILE_TYPES.get(Path(name).suffix)


def _is_text(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _guessed(path: Path, kind: FileType | Literal["folder"] | None) -> SourceSettings:
    # Two files called data.csv are two sources: without the path's hash the second would replace the first.
    stem = path.name if path.is_dir() else path.name.split(".")[0]
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_") or kind or "source"
    digest = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return SourceSettings(name=f"{readable[:50]}-{digest}", type=kind, path=path)
