"""A language model's tags, read and checked before they count as proposals.

What an answer says of one content can only rest on that content: a quote must stand in its own text, a tag must be
one that was shown for it or have its words there. So neither an order hidden in a text nor another content that
stands in the same prompt can put a tag on it, and a wrong number spoils no more than its own entry.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rapidfuzz import fuzz

from tagging_orchestration.core.enhancement import screening
from tagging_orchestration.core.enhancement.injection import (
    LEFT_OUT,
    gives_orders,
    plain,
    without_orders,
)
from tagging_orchestration.core.enhancement.models import AnswerRejected, ErrorSubtype, Masker, ParsedAnswer
from tagging_orchestration.core.enhancement.parsing import read_object
from tagging_orchestration.core.models import LlmTag, Tag
from tagging_orchestration.core.tagging.names import may_name_tag
from tagging_orchestration.core.tagging.scripts import has_han
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.core.vocabulary.spelling import numbers_differ, opposes, spelling_key

SCHEMA = "tag_generation.v1"
MAX_NAME_CHARACTERS = 60
MAX_CHINESE_CHARACTERS = 12
MAX_QUOTE_CHARACTERS = 300
MAX_REASON_CHARACTERS = 200
# Two spellings that share so much are one tag: "gooseneck kettel" is the tag "gooseneck kettle".
_NEARLY = 92
_LONG_ENOUGH = 6
# A new name stands in a text when all its words do, or so many of its pairs of Chinese characters.
_GROUNDED = 0.6
# So many letters in a row that a reason shares with something it must not tell are a leak.
_LEAK = 24
_CHINESE_LEAK = 12

_URL = re.compile(
    r"[a-z][a-z0-9+.-]{1,12}:/?/|\bwww\.|\b[\w-]+\.(?:com|net|org|io|tw|cn|dev|app|xyz|ru|example)\b|\]\(", re.I
)
_MARK = re.compile(r"<[A-Z_]+_\d+>")
_CODE = re.compile(r"[{}<>`\\|$^~\x00-\x1f]|\[/?|\]\(|==|::|;\s*$|\bnull\b")
# "[canned]": a word in brackets is a remark, not markup.
_REMARK = re.compile(r"\[[a-z]{1,20}\](?!\()")
_WORD = re.compile(r"[^\W_]+")
_SMALL = frozenset(
    {"a", "an", "and", "as", "at", "by", "de", "for", "from", "in", "la", "of", "on", "or", "the", "to"}
)


@dataclass(frozen=True, slots=True)
class ShownContent:
    """A content as the model sees it: masked and shortened, under its number, with the tags it may choose."""

    number: int
    content_id: int
    title: str
    text: str
    choices: tuple[Tag, ...]

    @property
    def whole(self) -> str:
        """Title and text."""
        return f"{self.title}\n{self.text}"


@dataclass(slots=True)
class _Read:
    """What was kept and refused of one content's tags."""

    tags: dict[str, LlmTag] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)


class TagAnswerReader:
    """Reads the answers to one prompt; the `AnswerCheck` of a question for tags."""

    def __init__(
        self,
        shown: Sequence[ShownContent],
        vocabulary: Vocabulary,
        normaliser: Normaliser,
        *,
        max_tags: int,
        max_words: int,
        blocked: frozenset[str] = frozenset(),
        new_tags: bool = True,
        secrets: Sequence[str] = (),
        masker: Masker | None = None,
    ) -> None:
        """`secrets` are texts of ours that no reason may repeat, such as the system message."""
        self._shown = {content.number: content for content in shown}
        self._vocabulary = vocabulary
        self._normaliser = normaliser
        self._max_tags = max_tags
        self._max_words = max_words
        self._blocked = blocked
        self._blocked_keys = frozenset(map(spelling_key, blocked))
        self._new_tags = new_tags
        self._secrets = [_compact(secret) for secret in secrets]
        self._masker = masker
        # What a tag may rest on: the text without the sentences that speak to a model.
        self._grounds = {number: without_orders(content.whole) for number, content in self._shown.items()}
        self._compact = {number: _compact(text) for number, text in self._grounds.items()}
        self._words = {number: self._forms(text) for number, text in self._grounds.items()}
        # A content that speaks to the model gets tags that exist, and no words of the model's.
        self._suspect = {number for number, content in self._shown.items() if _is_suspect(content)}

    def __call__(self, text: str, finish: str) -> ParsedAnswer:
        """The answer in a reply: `contents` with a number each, their tags as `LlmTag` has them, and what was
        refused, counted by why. Raises AnswerRejected when it speaks of none of the contents."""
        reading = read_object(text, finish, {"contents"}, {"contents"})
        entries = reading.value.get("contents") if reading else None
        if not isinstance(entries, list):
            fault = 'the answer must be a JSON object {"contents": [{"number": ..., "tags": [...]}]}'
            raise AnswerRejected("the answer is not in the form asked for", ErrorSubtype.SCHEMA_MISMATCH, (fault,))
        numbers = Counter(_number(entry) for entry in entries)
        flags = list(reading.flags if reading else ())
        read: dict[int, _Read] = {}
        for entry in entries:
            number = _number(entry)
            if number is None or number not in self._shown:
                flags.append("unknown_content")
            elif numbers[number] > 1:
                flags.append(f"doubled_content: {number}")
            elif isinstance(entry.get("tags"), list):
                read[number] = self._tags(number, entry["tags"])
        if not read:
            fault = f"give each of the contents {', '.join(map(str, self._shown))} once, by its number"
            raise AnswerRejected("the answer names none of the contents", ErrorSubtype.SCHEMA_MISMATCH, (fault,))
        flags += [f"missing_content: {number}" for number in self._shown if number not in read]
        confidences = [tag.confidence for found in read.values() for tag in found.tags.values()]
        return ParsedAnswer(
            document={
                "contents": [
                    {
                        "number": number,
                        "tags": [asdict(tag) for tag in found.tags.values()],
                        "refused": dict(found.refused),
                    }
                    for number, found in sorted(read.items())
                ]
            },
            level=reading.level if reading else "exact",
            confidence=round(sum(confidences) / len(confidences), 2) if confidences else 0.0,
            flags=tuple(dict.fromkeys(flags)),
        )

    # ---------------------------------------------------------------------------------------------- one tag

    def _tags(self, number: int, rows: Sequence[Any]) -> _Read:
        found = _Read()
        for row in rows:
            tag, fault = self._tag(number, row)
            if tag is None:
                found.refused[fault] += 1
            elif tag.normal_form in found.tags:
                found.refused["said twice"] += 1
            elif len(found.tags) >= self._max_tags:
                found.refused["too many"] += 1
            else:
                found.tags[tag.normal_form] = tag
        return found

    def _tag(self, number: int, row: Any) -> tuple[LlmTag | None, str]:
        """The tag, or None and why not."""
        if not isinstance(row, Mapping):
            return None, "not in the form asked for"
        name, quote = row.get("name"), row.get("quote")
        confidence = _confidence(row.get("confidence"))
        if not isinstance(name, str) or not isinstance(quote, str) or confidence is None:
            return None, "not in the form asked for"
        fault = self._name_fault(name)
        if fault:
            return None, fault
        if not self._is_quoted(number, quote):
            return None, "quote is not in the text"
        name = self._normaliser.display_form(plain(name))
        form = self._normaliser.normal_form(name)
        if not form or form in self._blocked or spelling_key(form) in self._blocked_keys:
            return None, "blocked"
        known = self._existing(number, form)
        reason = self._reason(number, row.get("reason"))
        if known is not None:
            if known.normal_form in self._blocked:
                return None, "blocked"
            if all(known.id != choice.id for choice in self._shown[number].choices) and not (
                self._is_grounded(number, known.normal_form) or self._is_grounded(number, form)
            ):
                return None, "neither offered nor in the text"
            return LlmTag(known.name, known.normal_form, confidence, reason, _short_quote(quote)), ""
        if self._vocabulary.lookup(form) is not None:
            return None, "blocked" if self._vocabulary.is_blocked(form) else "retired"
        if not self._new_tags:
            return None, "vocabulary is closed"
        if number in self._suspect:
            return None, "text gives orders"
        if not self._is_short(name) or not may_name_tag(name):
            return None, "no name for a tag"
        if not self._is_grounded(number, form):
            return None, "not in the text"
        if not reason:
            return None, "no reason"
        return LlmTag(name, form, confidence, reason, _short_quote(quote)), ""

    def _name_fault(self, name: str) -> str:
        """Why a string can be no tag of anybody, or nothing."""
        seen = plain(name).strip()
        if not seen or len(seen) > MAX_NAME_CHARACTERS or "\n" in name:
            return "no name for a tag"
        if _MARK.search(seen) or (self._masker is not None and self._masker.mask(seen) != seen):
            return "personal data"
        if _URL.search(seen) or screening.unsafe(name):
            return "address or markup"
        if gives_orders(seen):
            return "instruction"
        # Characters nobody sees, or that turn the direction of writing, hide something.
        hidden = any(unicodedata.category(c) in {"Cf", "Co", "Cn", "Cs", "Cc"} for c in name)
        return "no name for a tag" if hidden or _CODE.search(seen) else ""

    def _existing(self, number: int, form: str) -> Tag | None:
        """The active tag that a form is or leads to, or nearly is: then only one shown for the content."""
        tag = self._vocabulary.resolve(form)
        if tag is not None or self._vocabulary.lookup(form) is not None:
            return tag
        for choice in self._shown[number].choices:
            known = choice.normal_form
            if spelling_key(known) == spelling_key(form):
                return choice
            alike = min(len(known), len(form)) >= _LONG_ENOUGH and fuzz.ratio(known, form) >= _NEARLY
            if alike and not numbers_differ(known, form) and not opposes(known, form):
                return choice
        return None

    def _is_short(self, name: str) -> bool:
        if has_han(name):
            return len(name.replace(" ", "")) <= MAX_CHINESE_CHARACTERS
        return len(name.split()) <= self._max_words

    # --------------------------------------------------------------------------------------------- evidence

    def _is_quoted(self, number: int, quote: str) -> bool:
        """Whether a quote stands in the content's own text, spaces and punctuation aside."""
        compact = _compact(quote)
        enough = 2 if has_han(compact) else 3
        return len(compact) >= enough and compact in self._compact[number]

    def _is_grounded(self, number: int, form: str) -> bool:
        """Whether the words of a normal form stand in the content's own text, inflected at most."""
        wanted = self._forms(form)
        pairs = [word for word in wanted if has_han(word)]
        present = sum(self._has(number, word) for word in pairs)
        others = all(self._has(number, word) for word in wanted if not has_han(word))
        return bool(wanted) and others and present >= _GROUNDED * len(pairs)

    def _has(self, number: int, word: str) -> bool:
        words = self._words[number]
        if word in words or has_han(word):
            return word in words
        stem = word[: max(5, math.ceil(0.7 * len(word)))]
        return len(word) > len(stem) and any(other.startswith(stem) for other in words)

    def _forms(self, text: str) -> frozenset[str]:
        """Words of a text by normal form; of Chinese each pair of neighbouring characters."""
        found: set[str] = set()
        for word in _WORD.findall(self._normaliser.normal_form(plain(text))):
            for part in re.findall(r"[^\u3400-\u9fff]+|[\u3400-\u9fff]+", word):
                if has_han(part):
                    found |= {part[at : at + 2] for at in range(max(1, len(part) - 1))}
                elif part not in _SMALL:
                    found.add(part)
        return frozenset(found)

    def _reason(self, number: int, reason: Any) -> str:
        """The reason as it may be shown, or nothing where it says what it must not."""
        if not isinstance(reason, str) or self._suspect:
            return ""
        text = " ".join(plain(reason).split())
        if not text or len(text) > 4 * MAX_REASON_CHARACTERS or _URL.search(text) or gives_orders(text):
            return ""
        bare = _REMARK.sub("", _MARK.sub("", text))
        if screening.unsafe(reason) or _CODE.search(bare) or self._leaks(number, text):
            return ""
        if self._masker is not None:
            text = self._masker.mask(text)
        return text if len(text) <= MAX_REASON_CHARACTERS else text[: MAX_REASON_CHARACTERS - 1].rstrip() + "…"

    def _leaks(self, number: int, text: str) -> bool:
        """Whether a reason repeats much of another content or of our own messages, and not of its content."""
        compact = _compact(text)
        width = _CHINESE_LEAK if has_han(compact) else _LEAK
        others = [*self._secrets, *(_compact(c.whole) for n, c in self._shown.items() if n != number)]
        own = self._compact[number]
        pieces = {compact[at : at + width] for at in range(len(compact) - width + 1)}
        return any(piece not in own and any(piece in other for other in others) for piece in pieces)


def _is_suspect(content: ShownContent) -> bool:
    return gives_orders(content.whole) or LEFT_OUT in content.whole


def _number(entry: Any) -> int | None:
    number = entry.get("number") if isinstance(entry, Mapping) else None
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 6:
        return int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _confidence(value: Any) -> float | None:
    """A stated confidence in [0, 1]; percentages are taken as such."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if 1 < value <= 100:
        value /= 100
    return round(float(value), 4) if 0 <= value <= 1 else None


def _short_quote(quote: str) -> str:
    text = " ".join(plain(quote).split())
    return text if len(text) <= MAX_QUOTE_CHARACTERS else text[: MAX_QUOTE_CHARACTERS - 1].rstrip() + "…"


def _compact(text: str) -> str:
    """Letters and digits only, as they are read."""
    return "".join(c for c in plain(text).casefold() if c.isalnum())
