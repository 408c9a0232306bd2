"""What a model wrote, brought to the form that was asked for: safe changes are flagged, others are faults.

The JSON Schema leads: each part of the object is shaped by its part of the schema. References that stand beside or
inside a claim are taken out of it and kept with its number.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tagging_orchestration.core.enhancement.citations import references_inside
from tagging_orchestration.core.enhancement.forms import USUAL_LIMIT, Form, enum_words, key_form
from tagging_orchestration.core.enhancement.labels import labelled
from tagging_orchestration.core.enhancement.parsing import clean_text
from tagging_orchestration.core.tagging.scripts import has_han

_MARKER = re.compile(
    r"^\s*(?:[-*•●▪◦·‧–—]\s+|[-•●▪◦·‧]\s*(?=[^\d\s])|\(?\d{1,2}[.)、）:：]\s*(?!\d)|（\d{1,2}）\s*"
    r"|[①-⑳]\s*|[一二三四五六七八九十]{1,2}[、.．]\s*|#{1,6}\s+|>\s+)"
)
_EMPHASIS = re.compile(r"(\*\*|__|~~|`+)")
_STARRED = re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])")
_NOTHING = frozenset(
    [
        "string",
        "text",
        "str",
        "n/a",
        "na",
        "none",
        "null",
        "nil",
        "todo",
        "tbd",
        "unknown",
        "placeholder",
        "example",
        "無",
        "无",
        "沒有",
        "没有",
        "暫無",
        "暂无",
        "不適用",
        "待補",
        "文字",
        "字串",
    ]
)
_NUMBERED_PLACEHOLDER = re.compile(
    r"(?:原因|行動|機會|風險|發現|建議|變化|因子|措施|cause|reason|action|finding|risk|opportunity|recommendation|item)"
    r"\s*(?:[一二三四五六]|\d|one|two|three|four|five)|一句話摘要|(?:a )?one[- ]sentence summary",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"^(?:<[\w .-]{1,60}>|\[[\w .-]{1,60}\]|\{[\w .-]{1,60}\}|[\W_]*)$")
_SENTENCE_ENDS = "。！？!?；;"
_CLAUSE_ENDS = "，、,：:"
_REFERENCE_KEYS = frozenset(
    {"evidence", "ref", "refs", "reference", "references", "source", "sources", "證據", "依據"}
)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*[%％]")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:/|／|of|out of)\s*(10|100|1)(?:\.0)?\b")
_PLAIN_NUMBER = re.compile(r"(?<![\d.])\d+(?:\.\d+)?")
_CONFIDENCE_WORDS = {
    **dict.fromkeys(("high", "高", "veryhigh", "很高", "極高"), 0.8),
    **dict.fromkeys(("medium", "moderate", "中", "中等", "中高"), 0.6),
    **dict.fromkeys(("low", "verylow", "低", "很低"), 0.3),
}

Path = str


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an answer is refused: `kind` with the field and figures that its text is made from."""

    kind: str
    path: str = ""
    detail: str = ""


@dataclass(slots=True)
class Shaping:
    """What came of shaping. `positions` are, for each list of claims, the places that its items had in the model's
    own list, whose length is in `lengths`; `beside` the references found inside a claim, by path and place."""

    form: Form
    locale: str
    lenient: bool = False
    flags: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    positions: dict[Path, list[int]] = field(default_factory=dict)
    lengths: dict[Path, int] = field(default_factory=dict)
    beside: dict[tuple[Path, int], list[str]] = field(default_factory=dict)
    raw_evidence: Any = None

    def flag(self, text: str) -> None:
        """Say once what a reader should know."""
        if text not in self.flags:
            self.flags.append(text)

    def fault(self, kind: str, path: str = "", detail: str = "") -> None:
        """Say why the answer cannot be used."""
        self.faults.append(Fault(kind, path, detail))

    # ------------------------------------------------------------------------------------------------ objects

    def document(self, value: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        """The whole answer without its evidence, which is kept in `raw_evidence` as the model wrote it."""
        raw = self._keyed(value, schema["properties"], "")
        self.raw_evidence = raw.pop("evidence", None)
        return self._object(raw, schema, "", skipped={"evidence"})

    def _keyed(self, value: Mapping[str, Any], properties: Mapping[str, Any], path: str) -> dict[str, Any]:
        """The object under the keys of the schema: its own, else other spellings of them, else people's words."""
        result = {key: inner for key, inner in value.items() if key in properties and inner is not None}
        own = set(result)
        names = {key_form(key): key for key in properties}
        for key in properties:
            for label in self.form.labels.get(_joined(path, key), ()):
                names.setdefault(key_form(label), key)
        here = Form(labels={p: words for p, words in self.form.labels.items() if p.rpartition(".")[0] == path})
        for key, inner in value.items():
            if key in properties:
                continue
            known = names.get(key_form(key)) or labelled(key, here)[0].rpartition(".")[2]
            if inner is None or known not in properties or known in own:
                self.flag(f"dropped: {_short(_joined(path, key))}")
            elif known in result and result[known] != inner:
                # Two other spellings of one key: neither is more right.
                self.fault("twice", _joined(path, known))
            else:
                result[known] = inner
                self.flag(f"renamed: {_short(key)}")
        return {key: result[key] for key in properties if key in result}

    def _object(
        self,
        raw: Mapping[str, Any],
        schema: Mapping[str, Any],
        path: str,
        skipped: Collection[str] = (),
    ) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, part in schema["properties"].items():
            if key in skipped:
                continue
            inner_path = _joined(path, key)
            if key not in raw or raw[key] is None:
                filled = self._filled(part, inner_path)
                if filled is None:
                    self.fault("missing", inner_path)
                else:
                    result[key] = filled
                continue
            result[key] = self._shaped(raw[key], part, inner_path)
        return result

    def _filled(self, part: Mapping[str, Any], path: str) -> Any:
        """What stands for a part that is not there and need not be; None where it must."""
        if path not in self.form.may_be_empty:
            return None
        text = part.get("type") == "string"
        if self.lenient and part.get("type") == "array":
            return []
        # Beside headings only a text that says nothing can be left out without anybody being misled.
        return "" if text and (self.lenient or path.endswith("estimatedCost")) else None

    def _shaped(self, value: Any, part: Mapping[str, Any], path: str) -> Any:
        if "enum" in part:
            return self._enum(value, part["enum"], path)
        kind = part.get("type")
        if kind == "object":
            if not isinstance(value, Mapping):
                self.fault("not_object", path)
                return {}
            return self._object(self._keyed(value, part["properties"], path), part, path)
        if kind == "array":
            return self._array(value, part, path)
        if kind == "string":
            return self._text(value, path)
        if kind == "integer":
            return self._integer(value, path)
        if kind == "number":
            return self._confidence(value, path) if path == "confidence" else self._number(value, path)
        return value

    # -------------------------------------------------------------------------------------------------- lists

    def _array(self, value: Any, part: Mapping[str, Any], path: str) -> list[Any]:
        items = part.get("items", {})
        raw = self._as_list(value, part, path)
        if raw is None:
            return []
        is_claims = path in self.form.claim_paths
        shaped: list[Any] = []
        positions: list[int] = []
        seen: set[str] = set()
        for place, item in enumerate(raw):
            beside: list[str] = []
            if items.get("type") == "string":
                one = self._item_text(item, path, beside)
                if one is None:
                    continue
            elif isinstance(item, Mapping):
                one = self._item_object(item, items, path, beside)
            else:
                one = self._shaped(item, items, path)
            mark = key_form(str(one)) if items.get("type") == "string" else ""
            if mark and mark in seen:
                self.flag(f"repeated: {path}")
                continue
            seen.add(mark)
            shaped.append(one)
            positions.append(place)
            if beside and is_claims:
                self.beside[path, place] = beside
        least, most = part.get("minItems", 0), part.get("maxItems")
        if len(shaped) < least and not (self.lenient and shaped):
            self.fault("too_few", path, f"{len(shaped)}<{least}")
        if most is not None and len(shaped) > most:
            self.flag(f"too_many: {path}")
            shaped, positions = shaped[:most], positions[:most]
        if is_claims:
            self.positions[path] = positions
            self.lengths[path] = len(raw)
        return shaped

    def _as_list(self, value: Any, part: Mapping[str, Any], path: str) -> list[Any] | None:
        """The list, also of a text that plainly is one."""
        if isinstance(value, list):
            return value
        if isinstance(value, str) and part.get("items", {}).get("type") == "string":
            lines = [line for line in re.split(r"\n+", clean_text(value)) if line.strip()]
            if len(lines) == 1:
                marked = re.split(r"(?:(?<=[\s。；;，,.])|^)(?=(?:\(?\d[.)、）]|[①-⑳])\s*\D)", lines[0])
                lines = [line for line in marked if line.strip()]
            if len(lines) == 1:
                lines = [line for line in re.split("[；;]", lines[0]) if line.strip()]
            if len(lines) == 1 and path.endswith("affectedAreas"):
                lines = [line for line in re.split("[、,，]", lines[0]) if line.strip()]
                self.flag(f"split: {path}")
                return lines
            if len(lines) > 1:
                self.flag(f"split: {path}")
                return lines
        self.fault("not_list", path)
        return None

    def _item_text(self, item: Any, path: str, beside: list[str]) -> str | None:
        """One text of a list, None where it says nothing. An object of a few texts becomes one text."""
        if isinstance(item, Mapping):
            texts: list[str] = []
            for key, inner in item.items():
                if key_form(str(key)) in _REFERENCE_KEYS:
                    beside.extend(_strings(inner))
                elif isinstance(inner, str) and inner.strip():
                    texts.append(inner.strip())
                elif not isinstance(inner, (int, float, type(None))):
                    self.fault("not_text", path)
                    return None
            if not 1 <= len(texts) <= 3:
                self.fault("not_text", path)
                return None
            self.flag(f"flattened: {path}")
            item = ("：" if self.locale.startswith("zh") else ": ").join(text.rstrip("：:。") for text in texts)
        if not isinstance(item, str):
            self.fault("not_text", path)
            return None
        text, references = references_inside(tidy(item, one_line=True))
        beside.extend(references)
        return None if says_nothing(text) else self._limited(text, path)

    def _item_object(self, item: Mapping[str, Any], part: Mapping[str, Any], path: str, beside: list[str]) -> Any:
        """One object of a list; references may stand in a key of their own or inside its texts."""
        raw = dict(item)
        for key in [key for key in raw if key_form(key) in _REFERENCE_KEYS and key not in part["properties"]]:
            beside.extend(_strings(raw.pop(key)))
        for key, inner in raw.items():
            if isinstance(inner, str):
                raw[key], references = references_inside(inner)
                beside.extend(references)
        return self._shaped(raw, part, path)

    # ------------------------------------------------------------------------------------------------- scalars

    def _text(self, value: Any, path: str) -> str:
        if isinstance(value, (bool, Mapping)):
            self.fault("not_text", path)
            return ""
        if isinstance(value, (int, float)):
            value = f"{value}"
            self.flag(f"retyped: {path}")
        if isinstance(value, list):
            if not value or not all(isinstance(item, str) for item in value):
                self.fault("not_text", path)
                return ""
            value = "\n".join(value)
            self.flag(f"joined: {path}")
        text, references = references_inside(tidy(value))
        if references:
            self.flag(f"reference_outside_claims: {path}")
        if says_nothing(text):
            if path not in self.form.may_be_empty:
                self.fault("empty", path)
            return ""
        return self._limited(text, path)

    def _limited(self, text: str, path: str) -> str:
        chinese, english = self.form.limits.get(path, USUAL_LIMIT)
        limit = chinese if self.locale.startswith("zh") and has_han(text) else english
        if len(text) <= limit:
            return text
        self.flag(f"shortened: {path}")
        return shortened(text, limit)

    def _enum(self, value: Any, values: Sequence[Any], path: str) -> Any:
        words = enum_words(tuple(values))
        if isinstance(value, str):
            text = tidy(value, one_line=True).strip("。.！!「」\"'")
            found = words.get(key_form(text))
            if found is None:
                # "高 (High)", "中等風險": one meaning among the words that it is made of.
                parts = re.split(r"[()（）/／,，、:：\s]+", text)
                meant = {words[key_form(part)] for part in parts if key_form(part) in words}
                found = meant.pop() if len(meant) == 1 else None
            if found is not None:
                if found != value:
                    self.flag(f"reworded: {path}")
                return found
        self.fault("not_allowed", path, ", ".join(dict.fromkeys(str(value) for value in values)))
        return None

    def _integer(self, value: Any, path: str) -> int | None:
        if isinstance(value, str) and (found := re.search(r"\d{1,4}", value)):
            self.flag(f"retyped: {path}")
            value = int(found[0])
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault("not_number", path)
            return None
        return value

    def _number(self, value: Any, path: str) -> float | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.fault("not_number", path)
            return None
        return value

    def _confidence(self, value: Any, path: str) -> float:
        found = confidence_of(value)
        if found is None:
            self.fault("confidence", path)
            return 0.0
        if found != value or isinstance(value, str):
            self.flag("rescaled: confidence")
        return found


def confidence_of(value: Any) -> float | None:
    """A confidence in [0, 1] from 0.85, 85, "85%", "8.5/10" or a word; None where it cannot be told. Between 1 and
    10 a bare number could be of either scale."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = unicodedata.normalize("NFKC", value[:200]).strip()
        if re.search(r"-\s*\d", text):
            return None
        word = _CONFIDENCE_WORDS.get(key_form(text.strip("。. ")))
        if word is not None:
            return word
        if found := _PERCENT.search(text):
            value = float(found[1]) / 100
            return round(value, 4) if value <= 1 else None
        if found := _SHARE.search(text):
            value = float(found[1]) / float(found[2])
            return round(value, 4) if value <= 1 else None
        numbers = _PLAIN_NUMBER.findall(text)
        if len(numbers) != 1:
            return None
        value = float(numbers[0])
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    if 0 <= value <= 1:
        return float(value)
    return round(value / 100, 4) if 10 <= value <= 100 else None


def tidy(text: str, one_line: bool = False) -> str:
    """The text without marks of Markdown and list numbers before it, spaces put right."""
    text = clean_text(text).replace("\\n", "\n").replace("\t", " ")
    lines = [_STARRED.sub(r"\1", _EMPHASIS.sub("", line)).strip() for line in text.splitlines()]
    if one_line:
        joined = " ".join(line for line in lines if line)
        return re.sub(r" {2,}", " ", _MARKER.sub("", joined, count=1)).strip()
    plain = "\n".join(re.sub(r"^#{1,6} +| +(?= )", "", line) for line in lines)
    return re.sub(r"\n{3,}", "\n\n", plain).strip()


def without_marker(line: str) -> str:
    """A line without its bullet, number or heading mark."""
    return _MARKER.sub("", line, count=1).strip()


def says_nothing(text: str) -> bool:
    """Whether a text is empty, punctuation, or a placeholder that a model copied."""
    bare = text.strip(" .。…")
    return bare.casefold() in _NOTHING or bool(
        _PLACEHOLDER.fullmatch(text.strip()) or _NUMBERED_PLACEHOLDER.fullmatch(bare)
    )


def shortened(text: str, limit: int) -> str:
    """The text up to its last sentence within the limit, else its last clause or word, with `…` for the rest."""
    head = text[:limit]
    ends = [place for place, character in enumerate(head) if character in _SENTENCE_ENDS]
    ends += [found.end() - 1 for found in re.finditer(r"\.(?=\s)", text[: limit + 1]) if found.end() <= limit]
    if ends and max(ends) + 1 >= limit // 3:
        return head[: max(ends) + 1].strip()
    head = text[: limit - 1]
    breaks = [place for place, character in enumerate(head) if character in _CLAUSE_ENDS or character.isspace()]
    if breaks and max(breaks) >= limit // 2:
        head = head[: max(breaks)]
    return f"{head.rstrip(_CLAUSE_ENDS + ' ')}…"


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _strings(inner)]
    return [text for inner in value for text in _strings(inner)] if isinstance(value, list) else []


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _short(text: str) -> str:
    return " ".join(clean_text(text).split())[:40]
