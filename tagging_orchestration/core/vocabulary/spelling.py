"""How alike two normal forms are written."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from rapidfuzz.distance import OSA

from tagging_orchestration.core.tagging.scripts import has_han

_JOINABLE = re.compile(r"(?<!\d)[ .]|[ .](?!\d)")
_ACCENT = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_NEGATING_WORDS = "anti de dis il im in ir mis no non not off un without"
_NEGATIONS = frozenset(_NEGATING_WORDS.split())
_NEGATING_CHARACTERS = frozenset("不未無无非沒没反")


@lru_cache(maxsize=200_000)
def spelling_key(form: str) -> str:
    """A normal form without inner spaces and points, but between digits: "e commerce" and "ecommerce", "node.js"
    and "nodejs" have the same key, ".net" and "net", "3.1" and "31", "c" and "c++" have not."""
    return form[:1] + _JOINABLE.sub("", form[1:]) if form[:1] == "." else _JOINABLE.sub("", form)


@lru_cache(maxsize=200_000)
def without_accents(form: str) -> str:
    """The spelling key with the accents of Latin letters taken off."""
    return unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFD", spelling_key(form))))


def edit_similarity(first: str, second: str) -> float:
    """1 less the share of characters to insert, delete, replace or swap (optimal string alignment); in [0, 1]."""
    return OSA.normalized_similarity(first, second)


def same_words(first: str, second: str) -> bool:
    """The same words, two or more, in another order."""
    words = first.split()
    return len(words) > 1 and first != second and sorted(words) == sorted(second.split())


def contains_words(first: str, second: str) -> bool:
    """Whether one form is the other with more words, as a broader term and a narrower one are."""
    short, long = sorted((first, second), key=len)
    words, more = set(short.split()), set(long.split())
    if words < more:
        return True
    return has_han(short) and short != long and short in long


def is_acronym(first: str, second: str) -> bool:
    """Whether one form consists of the initials of the other's words."""
    short, long = sorted((first, second), key=len)
    words = long.split()
    return len(words) > 1 and short == "".join(word[0] for word in words)


def numbers_differ(first: str, second: str) -> bool:
    """Whether the numbers in two forms differ: versions, years and sizes make different tags."""
    return _NUMBERS.findall(first) != _NUMBERS.findall(second)


def negates(first: str, second: str) -> bool:
    """Whether one form seems to deny the other, as "non profit" does "profit", "unstable" "stable", 非法 合法."""
    if (_NEGATING_CHARACTERS & set(first)) != (_NEGATING_CHARACTERS & set(second)):
        return True
    words, others = set(first.split()), set(second.split())
    if _NEGATIONS & words != _NEGATIONS & others:
        return True
    pairs = ((word, other) for word in words - others for other in others - words)
    return any(long == prefix + short or short == prefix + long for short, long in pairs for prefix in _NEGATIONS)
