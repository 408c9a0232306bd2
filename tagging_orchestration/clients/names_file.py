"""Tag names from a JSON Lines file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tagging_orchestration.clients.json_lines import read_rows
from tagging_orchestration.core.vocabulary.listed import ListedTag


def read_names(file: Path) -> list[ListedTag]:
    """The names of a file with {"tag", "domain"?} a line; empty lines are skipped.

    Raises SourceError that names every line that is no such object, or when the file is no UTF-8 text.
    """
    return read_rows(file, _name)


def _name(data: Mapping[str, Any]) -> ListedTag:
    name, domain = data.get("tag"), data.get("domain")
    if not isinstance(name, str) or not name.strip():
        raise ValueError('no text under "tag"')
    if domain is not None and not isinstance(domain, str):
        raise ValueError('"domain" is no text')
    return ListedTag(name, domain)
