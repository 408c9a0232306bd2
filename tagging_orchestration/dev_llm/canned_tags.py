"""Canned answers to a prompt that shows contents with candidates for their tags."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

MOST_TAGS = 3
QUOTE_CHARACTERS = 60
_FENCED = re.compile(r"^(`{3,})[^\n]*\n(.*?)\n\1[ \t]*$", re.M | re.S)
_TEXTS = ("text", "body", "content", "title")
_CANDIDATES = ("tags", "candidates", "candidate_tags", "vocabulary")
_NAMES = ("name", "tag", "label")


def shown_contents(prompt: str) -> list[Mapping[str, Any]]:
    """The numbered contents that a prompt shows as JSON in a fence; none where it shows no such thing."""
    for _, block in _FENCED.findall(prompt):
        try:
            found = json.loads(block)
        except ValueError:
            continue
        if isinstance(found, dict):
            found = found.get("contents")
        if isinstance(found, list) and found and all(isinstance(one, dict) and "number" in one for one in found):
            return found
    return []


def canned_tags(content: Mapping[str, Any], reason: str) -> list[dict[str, Any]]:
    """Tags for a content: of its candidates those its text names, else the first; none without candidates."""
    text = next((content[key] for key in _TEXTS if isinstance(content.get(key), str) and content[key].strip()), "")
    everything = " ".join(str(content.get(key, "")) for key in _TEXTS).casefold()
    names = [name for key in _CANDIDATES for name in _names(content.get(key))]
    named = [name for name in names if name.casefold() in everything]
    chosen = list(dict.fromkeys(named or names[:1]))[:MOST_TAGS]
    return [
        {
            "name": name,
            "is_new": False,
            "confidence": 0.8 if name in named else 0.6,
            "reason": reason,
            "quote": _quote(text, name),
        }
        for name in chosen
    ]


def _names(candidates: Any) -> list[str]:
    """The names in a list of names, or of objects that have one."""
    names = []
    for one in candidates if isinstance(candidates, list) else []:
        if isinstance(one, Mapping):
            one = next((one[key] for key in _NAMES if isinstance(one.get(key), str)), None)
        if isinstance(one, str) and one.strip():
            # A description may follow a name.
            names.append(one.partition(": ")[0].strip())
    return names


def _quote(text: str, name: str) -> str:
    """A piece of the text word for word, around the name where it stands there."""
    at = max(0, text.casefold().find(name.casefold()))
    start = max(0, at - QUOTE_CHARACTERS // 2) if at + len(name) > QUOTE_CHARACTERS else 0
    return text[start : start + QUOTE_CHARACTERS].strip()
