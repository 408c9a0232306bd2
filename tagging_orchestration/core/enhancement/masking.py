"""Masking of whole documents: what a prompt is rendered from, without personal data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from tagging_orchestration.core.enhancement.models import Masker

Document = TypeVar("Document")

# References to evidence, identifiers, hashes, dates and times are no personal data and must stay what they are.
_KEPT = re.compile(
    r"(?:tag|content|row|alert|metric|insight|recommendation|context):[\w./:-]+"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}"
    r"|\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?(?:Z|[+-]\d{2}:?\d{2})?"
    r"|[a-z][a-z_.]*\d{0,3}",
    re.IGNORECASE | re.ASCII,
)
# A character of private use, which no recogniser takes for a part of anything.
_BORDER = "\ue000"


def mask_document(document: Document, masker: Masker, language: str | None = None) -> Document:
    """The document in the same shape with every text masked, keys that are no plain names included.

    All texts are masked together, so that equal data get equal marks wherever they stand. Evidence references,
    UUIDs, hashes, ISO dates and single words stay as they are, and so does all that is no text.
    """
    texts = list(dict.fromkeys(_texts(document)))
    if not texts:
        return document
    width = 1
    while any(_BORDER * width in text for text in texts):
        width += 1
    border = f"\n{_BORDER * width}\n"
    masked = dict(zip(texts, masker.mask(border.join(texts), language).split(border), strict=True))
    return _rebuilt(document, masked)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value and not _KEPT.fullmatch(value):
            yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for item in value:
            yield from _texts(item)


def _rebuilt(value: Any, masked: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return masked.get(value, value)
    if isinstance(value, Mapping):
        return {_rebuilt(key, masked): _rebuilt(item, masked) for key, item in value.items()}
    if isinstance(value, tuple):
        items = [_rebuilt(item, masked) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_rebuilt(item, masked) for item in value]
    return value
