"""Tag names from a JSON Lines file, and answers into another."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.vocabulary.listed import ListedTag

_FAULTS_SHOWN = 20


def read_names(file: Path) -> list[ListedTag]:
    """The names of a file with {"tag", "domain"?} a line; empty lines are skipped.

    Raises SourceError that names every line that is no such object, or when the file is no UTF-8 text.
    """
    try:
        lines = file.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise SourceError(f"{file} is no UTF-8 text ({error.reason})") from None
    rows, faults = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row, fault = _row(line)
        if row is None:
            faults.append(f"line {number}: {fault}")
        else:
            rows.append(row)
    if faults:
        more = [f"and {len(faults) - _FAULTS_SHOWN:,} more"] if len(faults) > _FAULTS_SHOWN else []
        raise SourceError("\n  ".join([f"{file} has lines that name no tag:", *faults[:_FAULTS_SHOWN], *more]))
    return rows


def _row(line: str) -> tuple[ListedTag | None, str]:
    try:
        data = json.loads(line)
    except ValueError as error:
        return None, f"no JSON ({error})"
    if not isinstance(data, dict):
        return None, "no JSON object"
    name, domain = data.get("tag"), data.get("domain")
    if not isinstance(name, str) or not name.strip():
        return None, 'no text under "tag"'
    if domain is not None and not isinstance(domain, str):
        return None, '"domain" is no text'
    return ListedTag(name, domain), ""


def write_rows(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line. Raises SourceError when the file cannot be written."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SourceError(f"{file} cannot be written: {error.strerror}") from None
