"""Texts, with people's tags or without, from a JSON Lines file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tagging_orchestration.clients.json_lines import read_rows
from tagging_orchestration.core.tagging.corpus_tagger import Text

# Where people's tags of a labelled text may be.
TAG_FIELDS = ("tags", "gold", "labels")


def read_texts(file: Path, *, labelled: bool = False) -> list[Text]:
    """The texts of a file with {"id", "title"?, "text"} a line; `labelled` ones carry people's tags besides.

    Raises SourceError that names every line that is no such object, or when the file is no UTF-8 text.
    """
    return read_rows(file, partial(_text, labelled=labelled))


def _text(data: Mapping[str, Any], *, labelled: bool) -> Text:
    identity, title, body = data.get("id"), data.get("title") or "", data.get("text")
    if not isinstance(identity, str | int) or identity == "":
        raise ValueError('no "id"')
    if not isinstance(title, str):
        raise ValueError('"title" is no text')
    if not isinstance(body, str):
        raise ValueError('no text under "text"')
    return Text(identity, title, body, _tags(data) if labelled else ())


def _tags(data: Mapping[str, Any]) -> tuple[str, ...]:
    field = next((field for field in TAG_FIELDS if field in data), None)
    if field is None:
        raise ValueError(f"no tags under {' or '.join(map(repr, TAG_FIELDS))}")
    tags = data[field]
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag.strip() for tag in tags):
        raise ValueError(f"{field!r} is no list of texts")
    return tuple(tags)
