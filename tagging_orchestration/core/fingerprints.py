"""Fingerprints: what a content's tags were made from, computed alike here and in the database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def sha256_hex(text: str) -> str:
    """Hex SHA-256 of the UTF-8 bytes of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()


def text_hash(title: str, body: str) -> str:
    """Hash of what is embedded. Equal to `tagging.text_hash(title, body)` in the database.

    The title's length leads, so that moving a word between title and body changes the hash.
    """
    return sha256_hex(f"{len(title)}:{title}{body}")


def version_hash(components: Mapping[str, Any]) -> str:
    """Hash of a tagger version's components, independent of key order."""
    return sha256_hex(json.dumps(components, sort_keys=True, ensure_ascii=False, default=str))[:16]
