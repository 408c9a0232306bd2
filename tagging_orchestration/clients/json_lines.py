"""JSON Lines files: objects in, refused whole when a line is wrong; answers out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tagging_orchestration.core.errors import SourceError

_FAULTS_SHOWN = 20

Row = TypeVar("Row")


def read_rows(file: Path, parse: Callable[[Mapping[str, Any]], Row]) -> list[Row]:
    """What `parse` makes of each line's object; empty lines are skipped.

    `parse` raises ValueError with what is wrong of an object. Raises SourceError that names every wrong line, or
    when the file is no UTF-8 text.
    """
    try:
        lines = file.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise SourceError(f"{file} is no UTF-8 text ({error.reason})") from None
    rows, faults = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(parse(_object(line)))
        except ValueError as fault:
            faults.append(f"line {number}: {fault}")
    if faults:
        more = [f"and {len(faults) - _FAULTS_SHOWN:,} more"] if len(faults) > _FAULTS_SHOWN else []
        raise SourceError("\n  ".join([f"{file} has lines that cannot be used:", *faults[:_FAULTS_SHOWN], *more]))
    return rows


def write_rows(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, the whole file or nothing. Raises SourceError when it cannot be written."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    unfinished = file.with_name(f"{file.name}.part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(file)
    except OSError as error:
        raise SourceError(f"{file} cannot be written: {error.strerror}") from None


def _object(line: str) -> Mapping[str, Any]:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise ValueError(f"no JSON ({error})") from None
    if not isinstance(data, dict):
        raise ValueError("no JSON object")
    return data
