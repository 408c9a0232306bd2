"""The JSON object in a reply: exact, behind fences and talk, or mended where its end is there."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tagging_orchestration.core.enhancement.forms import key_form
from tagging_orchestration.core.enhancement.models import AnswerRejected, ErrorSubtype, ParseLevel

MOST_CHARACTERS = 1_000_000
MOST_ANSWER_CHARACTERS = 60_000
"""Four times what the largest max_tokens allows; a reply may add its thinking to that."""
MOST_DEPTH = 32
_MOST_OBJECTS = 200

_THINKING = ("think", "thinking", "thought", "reasoning")
_LOOKS_LIKE_JSON = re.compile(r"\{\s*(?:\{\s*)?[\"'“「]?\w[\w ]{0,40}[\"'”」]?\s*[:：]|\{\s*\"\s*\{")
_DOUBLED_BRACE = re.compile(r"\{\s*\"?\s*(?=\{\s*[\"'“])")
_QUOTED_NAME = re.compile(r"[\"“]([\w ]{1,60})[\"”]\s*[:：]")
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Reading:
    """The object in a reply and how it was got. `flags` say what was put right."""

    value: dict[str, Any]
    level: ParseLevel
    flags: tuple[str, ...] = ()


class _Refused(ValueError):
    """JSON that is well-formed and must not be used."""


def rejected(subtype: ErrorSubtype, message: str, fault: str = "") -> AnswerRejected:
    """An AnswerRejected with one fault."""
    return AnswerRejected(message, subtype, (fault or message,))


def clean_text(text: str) -> str:
    """The text without what no reader sees: control, format and direction characters, lone surrogates, BOMs."""
    kept = _LONE_SURROGATES.sub("", text)
    return "".join(
        character
        for character in kept
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf")
    )


def read_object(text: str, finish: str, names: Collection[str], required: Collection[str]) -> Reading | None:
    """The JSON object of a reply, None where it holds none.

    `names` are the keys the object may have, also as people spell them, `required` those it must have. Raises
    AnswerRejected for a cut text (TRUNCATED), and for JSON that cannot be used (INVALID_JSON).
    """
    whole_reply = text.strip()
    text = without_thinking(text, finish)
    if _depth(text) > MOST_DEPTH:
        raise rejected(ErrorSubtype.INVALID_JSON, "the answer is nested too deeply")
    wanted = {key_form(name) for name in names}
    try:
        exact = _exact(text)
        if exact is not None and _overlap(exact, wanted):
            return Reading(exact, "exact" if text == whole_reply else "fenced")
        found = _objects(text)
        whole = [value for value in found if _overlap(value, wanted) * 2 >= max(len(required), 1)]
        if whole:
            best = max(_overlap(value, wanted) for value in whole)
            whole = [value for value in whole if _overlap(value, wanted) == best]
            if any(value != whole[0] for value in whole):
                raise rejected(ErrorSubtype.INVALID_JSON, "the reply holds several answers that differ")
            if finish == "length" and _opens_after_last_close(text):
                raise rejected(ErrorSubtype.TRUNCATED, "the answer is cut off")
            return Reading(whole[0], "fenced")
        return _mended(text, finish, wanted)
    except _Refused as error:
        raise rejected(ErrorSubtype.INVALID_JSON, str(error)) from None


def without_thinking(text: str, finish: str) -> str:
    """The text after a model's thinking (`<think>…</think>`), stripped. A text that is a JSON document stays as it
    is. Raises AnswerRejected where nothing is left or it is far too long."""
    if len(text) > MOST_CHARACTERS:
        raise rejected(ErrorSubtype.INVALID_JSON, f"the reply has {len(text)} characters")
    text = clean_text(text).strip()
    if not (text.startswith(("{", "[")) and text.endswith(("}", "]"))):
        lower = text.lower()
        ends = [(lower.rfind(f"</{name}>"), len(name) + 3) for name in _THINKING]
        place, length = max(ends)
        starts = [at for name in _THINKING if (at := lower.find(f"<{name}>")) >= 0]
        if place >= 0:
            after = text[place + length :].strip()
            text = after or (text[: min(starts)].strip() if starts else "")
        elif starts:
            before, after = text[: min(starts)].strip(), text[text.index(">", min(starts)) + 1 :].strip()
            # Thought that never ended: whatever it holds is a draft, unless the model only forgot the end mark.
            text = before or (after if finish != "length" else "")
    if not text:
        if finish == "length":
            raise rejected(ErrorSubtype.TRUNCATED, "the reply ended before the answer began")
        raise rejected(ErrorSubtype.INVALID_JSON, "the reply is empty")
    if len(text) > MOST_ANSWER_CHARACTERS:
        raise rejected(ErrorSubtype.INVALID_JSON, f"the answer has {len(text)} characters")
    return text


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result and result[key] != value:
            raise _Refused("a key stands twice with different values")
        result[key] = value
    return result


def _constant(_: str) -> Any:
    raise _Refused("NaN and Infinity are no numbers")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Refused("a number is too large")
    return value


def _int(text: str) -> int:
    if len(text) > 30:
        raise _Refused("a number is too large")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float, parse_int=_int, strict=True
)


def _exact(text: str, unwrap: bool = True) -> dict[str, Any] | None:
    """The object that the whole text is, also as a JSON string that holds JSON or a list of one object."""
    try:
        value = _DECODER.decode(text)
    except _Refused:
        raise
    except (ValueError, RecursionError):
        return None
    if isinstance(value, str) and unwrap:
        return _exact(value.strip(), unwrap=False)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else None


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects that stand in a text, outermost first; of a broken one what is whole inside."""
    found: list[dict[str, Any]] = []
    place = text.find("{")
    for _ in range(_MOST_OBJECTS):
        if place < 0:
            break
        try:
            value, end = _DECODER.raw_decode(text, place)
        except _Refused:
            raise
        except (ValueError, RecursionError):
            end = place + 1
        else:
            found.append(value)
        place = text.find("{", end)
    return found


def _overlap(value: dict[str, Any], wanted: Collection[str]) -> int:
    """How many of the wanted keys an object has, itself or as the only thing in a wrapper."""
    return max(sum(key_form(key) in wanted for key in inner) for inner in (value, unwrapped(value, wanted)))


def unwrapped(value: dict[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    """What a wrapper such as {"answer": {...}} holds; any other object itself."""
    for _ in range(3):
        if len(value) != 1:
            break
        key, inner = next(iter(value.items()))
        if isinstance(inner, list) and len(inner) == 1:
            inner = inner[0]
        if key_form(key) in wanted or not isinstance(inner, dict):
            break
        value = inner
    return value


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}]":
            depth = max(0, depth - 1)
    return deepest


def _opens_after_last_close(text: str) -> bool:
    return text.rfind("{") > text.rfind("}")


def _mended(text: str, finish: str, wanted: Collection[str]) -> Reading | None:
    """The object after mending commas, quotes and brackets. Never of a text whose end is missing: what was cut off
    would be missing from the answer, and nobody would see it."""
    named = [name for name in _QUOTED_NAME.findall(text) if key_form(name) in wanted]
    first = _QUOTED_NAME.match(text)
    if first and key_form(first[1]) in wanted and text.count("{") + 1 == text.count("}"):
        # The opening brace alone is missing.
        text = f"{{{text}"
    elif not _LOOKS_LIKE_JSON.search(text):
        return None
    start = text.find("{")
    body = _DOUBLED_BRACE.sub("", text[start:], count=1)
    if finish == "length" or "}" not in body or body.count("{") > body.count("}"):
        raise rejected(ErrorSubtype.TRUNCATED, "the answer is cut off")
    body = body[: body.rfind("}") + 1]
    if len(named) != len({key_form(name) for name in named}) and not _only_inner(body, named):
        raise _Refused("a key stands twice")
    from json_repair import repair_json

    try:
        value = repair_json(body, return_objects=True, skip_json_loads=True)
        if isinstance(value, list):
            objects = [item for item in value if isinstance(item, dict) and _overlap(item, wanted)]
            value = objects[0] if len(objects) == 1 else None
        if not isinstance(value, dict) or not _overlap(value, wanted):
            return None
        # Once through the strict reader, which knows what must not be used.
        return Reading(_DECODER.decode(json.dumps(value)), "repaired")
    except _Refused:
        raise
    except (ValueError, TypeError, RecursionError, IndexError, AttributeError, KeyError):
        return None


def _only_inner(body: str, named: list[str]) -> bool:
    """Whether every name that stands twice stands twice inside inner objects only, as in a list of objects."""
    twice = {key_form(name) for name in named if sum(key_form(other) == key_form(name) for other in named) > 1}
    depth = 0
    place = 0
    top: list[str] = []
    for match in _QUOTED_NAME.finditer(body):
        for character in body[place : match.start()]:
            depth += (character == "{") - (character == "}")
        place = match.start()
        if depth <= 1:
            top.append(key_form(match[1]))
    return not any(top.count(name) > 1 for name in twice)
