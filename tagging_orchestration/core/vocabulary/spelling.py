"""How alike two normal forms are written."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from rapidfuzz.distance import JaroWinkler

from tagging_orchestration.core.tagging.scripts import has_han

_JOINABLE = re.compile(r"(?<!\d)[ .]|[ .](?!\d)")
_ACCENT = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_BRACKETS = re.compile(r"^(.*\S)\s*[(（\[](.+?)[)）\]]\s*$")
_NUMERONYM = re.compile(r"([a-z])(\d+)([a-z])")
_NEGATING_WORDS = "anti de dis il im in ir mis no non not off un without"
_NEGATIONS = frozenset(_NEGATING_WORDS.split())
_NEGATING_CHARACTERS = frozenset("不未無无非沒没反")
# Opposites that models of meaning take for likenesses.
_OPPOSITE_WORDS = """
top/bottom up/down left/right high/low import/export input/output upload/download buy/sell male/female min/max
minimum/maximum internal/external indoor/outdoor inbound/outbound before/after open/closed north/south east/west
offline/online 上/下 左/右 高/低 大/小 進/出 进/出 入/出 買/賣 买/卖 男/女 內/外 内/外 前/後 前/后 頂/底 顶/底
正/負 正/负 南/北 東/西 东/西 長/短 长/短 多/少 新/舊 新/旧 開/關 开/关
"""
_OPPOSITES = {frozenset(pair.split("/")) for pair in _OPPOSITE_WORDS.split()}
# Words that acronyms leave out.
_SMALL = "a an and as at by de for from in la of on or the to with"
_SMALL_WORDS = frozenset(_SMALL.split())
# The regular differences of British and American spelling, each brought to one side.
_ENGLISHES = (
    (re.compile(r"(?<=[a-z]{2})is(?=(?:e|ed|er|ers|es|ing|ation|ations|ational)\b)"), "iz"),
    (re.compile(r"(?<=[a-z])ys(?=(?:e|ed|er|ers|es|ing)\b)"), "yz"),
    (re.compile(r"(?<=[a-z]{2})our(?=(?:s|ed|ing|ite|ites|able|al|ism|hood)?\b)"), "or"),
    (re.compile(r"(?<=[a-z]{2}[bcdgptv])re\b"), "er"),
    (re.compile(r"(?<=[a-z]{2})ogue\b"), "og"),
    (re.compile(r"(?<=[a-z]{2}[aeiou])ll(?=(?:ed|er|ers|ing|or)\b)"), "l"),
    (re.compile(r"\bprogramme\b"), "program"),
    (re.compile(r"(?<=[a-z])ence\b"), "ense"),
    (re.compile(r"ae|oe"), "e"),
)


@lru_cache(maxsize=200_000)
def spelling_key(form: str) -> str:
    """A normal form without inner spaces and points, but between digits: "e commerce" and "ecommerce", "node.js"
    and "nodejs" have the same key, ".net" and "net", "3.1" and "31", "c" and "c++" have not."""
    return form[:1] + _JOINABLE.sub("", form[1:]) if form[:1] == "." else _JOINABLE.sub("", form)


@lru_cache(maxsize=200_000)
def without_accents(form: str) -> str:
    """The spelling key with the accents of Latin letters taken off."""
    return unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFD", spelling_key(form))))


@lru_cache(maxsize=200_000)
def english_key(form: str) -> str:
    """The key without accents in which British and American spellings are one: "organisation", "organization"."""
    for pattern, one in _ENGLISHES:
        form = pattern.sub(one, form)
    return without_accents(form)


@lru_cache(maxsize=500_000)
def word_likeness(first: str, second: str) -> float:
    """How likely two words are forms of one, in [0, 1]: equal, or mostly the same beginning."""
    return 1.0 if first == second else JaroWinkler.similarity(first, second, prefix_weight=0.1)


def brackets(name: str) -> tuple[str, str] | None:
    """What stands before and inside the brackets that end a name, as in "SaaS (software as a service)"."""
    found = _BRACKETS.match(name)
    return (found[1], found[2]) if found else None


def initials(form: str) -> str:
    """First letters of the words, small words left out; of a single word nothing."""
    words = [word for word in form.split() if word not in _SMALL_WORDS]
    return "".join(word[0] for word in words) if len(words) > 1 else ""


def abbreviates(first: str, second: str) -> float:
    """How well one form explains the other as its short form, in [0, 1].

    1 for initials and numeronyms ("k8s"), shared words aside; 0.8 where every word gives its beginning ("action
    rpg", "arpg"); 0.4 where the short form's letters stand in the long one in order; 0 for anything else.
    """
    short, long = sorted((first, second), key=len)
    ours, theirs = _without_shared(short.split(), long.split())
    if len(ours) == 1 and len(theirs) > 1:
        short, long = ours[0], " ".join(theirs)
    elif len(ours) != 1 or len(theirs) != 1:
        return 0.0
    else:
        short, long = ours[0], theirs[0]
    if len(short) < 2 or len(short) >= len(long) or short[0] != long[0]:
        return 0.0
    if short in (initials(long), "".join(word[0] for word in long.split())) or _is_numeronym(short, long):
        return 1.0
    words = long.split()
    if len(words) > 1 and _made_of_beginnings(short, words):
        return 0.8
    place = -1
    for character in short:
        place = long.find(character, place + 1)
        if place < 0:
            return 0.0
    return 0.4


def _without_shared(short: list[str], long: list[str]) -> tuple[list[str], list[str]]:
    """Both lists of words without what they begin and end with alike."""
    start = 0
    while start < min(len(short), len(long)) and short[start] == long[start]:
        start += 1
    short, long = short[start:], long[start:]
    while short and long and short[-1] == long[-1]:
        short, long = short[:-1], long[:-1]
    return short, long


def _is_numeronym(short: str, long: str) -> bool:
    found = _NUMERONYM.fullmatch(short)
    return bool(found) and long[-1] == found[3] and len(long) - 2 == int(found[2])


def _made_of_beginnings(short: str, words: list[str]) -> bool:
    """Whether `short` is a beginning of each word after the other; small words may give nothing."""
    if not words:
        return not short
    word = words[0]
    if word in _SMALL_WORDS and _made_of_beginnings(short, words[1:]):
        return True
    most = 0
    while most < min(len(short), len(word)) and short[most] == word[most]:
        most += 1
    return any(_made_of_beginnings(short[taken:], words[1:]) for taken in range(most, 0, -1))


@lru_cache(maxsize=200_000)
def numbers_of(form: str) -> tuple[str, ...]:
    """The numbers in a form, in order: versions, years and sizes."""
    return tuple(_NUMBERS.findall(form))


@lru_cache(maxsize=200_000)
def without_numbers(form: str) -> str:
    """The spelling key without its numbers."""
    return _NUMBERS.sub("", spelling_key(form))


def numbers_differ(first: str, second: str) -> bool:
    """Whether the numbers in two forms differ: versions, years and sizes make different tags."""
    return numbers_of(first) != numbers_of(second)


def negates(first: str, second: str) -> bool:
    """Whether one form seems to deny the other, as "non profit" does "profit", "unstable" "stable", 非法 合法."""
    chinese = not (first.isascii() and second.isascii())
    if chinese and (_NEGATING_CHARACTERS & set(first)) != (_NEGATING_CHARACTERS & set(second)):
        return True
    words, others = set(first.split()), set(second.split())
    if _NEGATIONS & words != _NEGATIONS & others:
        return True
    left, right = words - others, others - words
    return _denies(left, right) or _denies(right, left)


def _denies(words: set[str], others: set[str]) -> bool:
    """Whether a word is another one behind a negating prefix."""
    return any(
        word.endswith(other) and word != other and word[: -len(other)] in _NEGATIONS
        for word in words
        for other in others
    )


def opposes(first: str, second: str) -> bool:
    """Whether the forms differ in opposite words only: "top down design" and "bottom up design", 進口 and 出口."""
    if has_han(first) and has_han(second):
        ours, theirs = list(first), list(second)
    else:
        ours, theirs = first.split(), second.split()
    if len(ours) != len(theirs):
        return False
    differing = [frozenset(pair) for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
    return bool(differing) and all(pair in _OPPOSITES for pair in differing)
