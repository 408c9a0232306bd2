"""Canned answers: no model thinks here. They keep to the schema that was asked for, speak the prompt's language,
say that they are canned, and cite only what the prompt shows, so that everything behind them can be tried."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any, Literal

from jsonschema import Draft202012Validator

from tagging_orchestration.dev_llm.canned_tags import canned_tags, shown_contents

Locale = Literal["zh-TW", "en"]

LABELS: Mapping[Locale, str] = {"zh-TW": "【範例】", "en": "[canned] "}
MAX_LABEL = 40
CONFIDENCE = 0.75
MOST_DEPTH = 6
"""From here on only what a schema requires is made: it may contain itself."""
_KINDS = "tag|content|row|alert|metric|insight|recommendation|context"
_REFERENCE = re.compile(
    rf"^[ \t]*(?:[-*•][ \t]+)?(?:ref:[ \t]*)?[`\[]?((?:{_KINDS}):[^\s`\];,，。]+)[`\]]?"
    r"[ \t]*(?:—|–|--|;|\||:)[ \t]*(.*)$",
    re.M,
)
_TITLE = re.compile(
    r'^[ \t]*(?:[-*•]|\d+[.)])[ \t]+(?:(?:id|ref): [^;\n]+; )?title: ([^;\n]+)|"title": "((?:[^"\\]|\\.)*)"', re.M
)
_WIDE = re.compile("[\u3400-\u9fff\uf900-\ufaff]")
_LATIN = re.compile(r"[A-Za-z]+")
# Lists of texts that state nothing which would need evidence.
_NO_CLAIMS = {"affectedAreas", "affected_areas", "flags", "aliases"}
_CITATIONS = {"evidence", "citations"}
_REFERENCE_NAMES = {"ref", "refs", "reference", "references", "source_ref"}

_SENTENCES: Mapping[Locale, Mapping[str, str]] = {
    "en": {
        "summary": "A fixed answer without a language model, to try the flow with.",
        "cause": "A cause to examine first: {label}",
        "action": "Have the owner look into: {label}",
        "opportunity": "There may be something to gain in: {label}",
        "risk": "Keep an eye on: {label}",
        "finding": "Stands out in the data: {label}",
        "timeline": "as soon as the owner has looked at it",
        "cost": "not estimated",
        "analysis": "This shows where an analysis would stand, and what it would rest on: {label}",
        "reason": "Placed by the order in which it came.",
        "resources": "the team that owns it",
        "period": "the period asked for",
        "area": "the area of the metric",
        "other": "An example about: {label}",
        "bare": "An example without evidence.",
    },
    "zh-TW": {
        "summary": "這是未經語言模型產生的固定回答，供試用流程。",
        "cause": "可先檢視的原因：{label}",
        "action": "請負責人確認：{label}",
        "opportunity": "可能的機會：{label}",
        "risk": "需要留意：{label}",
        "finding": "資料中較明顯的是：{label}",
        "timeline": "待負責人確認後排定",
        "cost": "未估算",
        "analysis": "此段為固定範例，說明分析會出現的位置及其依據：{label}",
        "reason": "依原本的順序排列。",
        "resources": "負責的團隊",
        "period": "所詢問的期間",
        "area": "該指標所屬的業務",
        "other": "範例，內容關於：{label}",
        "bare": "沒有依據的範例。",
    },
}
# The first word that a property's name contains says which sentence fits it.
_TOPICS = (
    (("headline", "summary", "overview"), "summary"),
    (("cause", "driver", "factor", "weakness", "threat"), "cause"),
    (("timeline", "timing", "when"), "timeline"),
    (("cost", "roi"), "cost"),
    (("affected", "area"), "area"),
    (("risk",), "risk"),
    (("opportunit", "strength"), "opportunity"),
    (("recommendation", "action", "strateg", "mitigation", "advice", "indicator", "next"), "action"),
    (("reason", "rationale", "why"), "reason"),
    (("resource",), "resources"),
    (("period",), "period"),
    (("finding", "change", "characteristic"), "finding"),
    (("analysis", "insight", "outlook", "extent"), "analysis"),
)


@dataclass(frozen=True, slots=True)
class Reference:
    """Something the prompt offers to cite."""

    ref: str
    label: str


def canned_answer(form: Mapping[str, Any] | str | None, system: str, prompt: str) -> str:
    """The text of an answer: JSON where `form` is a schema or "json", else a few lines of text."""
    locale = language_of(system, prompt)
    shown = references_in(prompt)
    if form is None:
        label = shown[0].label if shown else ""
        words = [_sentence(locale, "summary", ""), _sentence(locale, "finding" if label else "bare", label)]
        return "\n".join(words)
    if isinstance(form, str):
        form = {"type": "object", "properties": {"summary": {"type": "string"}}, "required": ["summary"]}
    return json.dumps(_Builder(form, locale, shown, prompt).answer(), ensure_ascii=False)


def canned_thinking(system: str, prompt: str) -> str:
    """What a model that thinks seems to think."""
    return _sentence(language_of(system, prompt), "reason", "")


def canned_vector(text: str, length: int, dimensions: int = 0) -> list[float]:
    """A vector of length 1 that depends on nothing but the text; cut to `dimensions` where that is less."""
    source = random.Random(hashlib.sha256(text.encode()).digest())  # noqa: S311 (nothing secret)
    values = [source.gauss(0, 1) for _ in range(length)][: dimensions or None]
    norm = math.sqrt(math.fsum(value * value for value in values))
    return [value / norm for value in values]


def language_of(system: str, prompt: str) -> Locale:
    """The language to answer in: the instructions', else the one that prevails in the prompt."""
    for said in (system, prompt):
        wide = len(_WIDE.findall(said))
        if wide or _LATIN.search(said):
            return "zh-TW" if wide >= len(_LATIN.findall(said)) else "en"
    return "en"


def references_in(prompt: str) -> list[Reference]:
    """What stands in the prompt in lines such as `- tag:12 — colour`, each once, in order."""
    found = {ref: " ".join(label.split()) for ref, label in _REFERENCE.findall(prompt)}
    return [Reference(ref, _short(label) or ref.partition(":")[2]) for ref, label in found.items()]


def _short(label: str) -> str:
    """The label cut between words, so that no number of it is cut."""
    if len(label) <= MAX_LABEL:
        return label
    cut = label[:MAX_LABEL]
    breaks = [match.start() for match in re.finditer(r"[\s，、；。(（]", cut)]
    return cut[: breaks[-1]].rstrip("，、；：。,;:(（ ") if breaks else re.sub(r"[\d.,%]+$", "", cut)


def _sentence(locale: Locale, topic: str, label: str) -> str:
    return LABELS[locale] + _SENTENCES[locale][topic].format(label=label)


class _Builder:
    """Makes one instance of a schema."""

    def __init__(
        self,
        schema: Mapping[str, Any],
        locale: Locale,
        shown: list[Reference],
        prompt: str,
        *,
        plain: bool = False,
    ) -> None:
        self._schema = schema
        self._plain = plain
        self._locale: Locale = locale
        self._shown = shown
        self._prompt = prompt
        self._claims: list[Reference | None] = []

    def answer(self) -> Any:
        """An instance that reads like an answer; where the schema does not allow that, one that is but valid."""
        made = self._tags() or self._build(self._schema, "", 0)
        if self._plain or Draft202012Validator(self._schema).is_valid(made):
            return made
        return _Builder(self._schema, self._locale, [], self._prompt, plain=True).answer()

    def _tags(self) -> dict[str, Any] | None:
        """The answer to a question for tags of several contents; None to any other."""
        contents = self._resolved(self._schema.get("properties", {}).get("contents"))
        parts = self._resolved(contents.get("items")).get("properties", {})
        if not {"number", "tags"} <= set(parts):
            return None
        reason = _sentence(self._locale, "reason", "")
        asked = shown_contents(self._prompt)
        return {
            "contents": [{"number": content["number"], "tags": canned_tags(content, reason)} for content in asked]
            or [{"number": 1, "tags": []}]
        }

    def _build(self, schema: Any, name: str, position: int, depth: int = 0) -> Any:
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._chosen(schema["enum"], name, position)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        if kind == "object":
            return self._object(schema, name, position, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("number", "integer"):
            return self._number(schema, name, position, kind == "integer")
        return (
            {"boolean": False, "null": None}[kind]
            if kind in ("boolean", "null")
            else self._text(schema, name, position)
        )

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        """The schema behind references and alternatives; the first alternative that is not null."""
        for _ in range(20):
            if not isinstance(schema, Mapping):
                return {}
            if str(schema.get("$ref", "")).startswith("#"):
                target: Any = self._schema
                for part in schema["$ref"].lstrip("#").strip("/").split("/") if schema["$ref"] != "#" else ():
                    target = target.get(part, {}) if isinstance(target, Mapping) else {}
                schema = target
            elif options := schema.get("anyOf") or schema.get("oneOf"):
                schema = next((one for one in options if one.get("type") != "null"), options[0])
            elif parts := schema.get("allOf"):
                merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
                for part in map(self._resolved, parts):
                    both = {**merged.get("properties", {}), **part.get("properties", {})}
                    required = [*merged.get("required", []), *part.get("required", [])]
                    merged |= {**part, **({"properties": both} if both else {}), "required": required}
                schema = merged
            else:
                return schema
        return {}

    def _object(self, schema: Mapping[str, Any], name: str, position: int, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        if depth >= MOST_DEPTH:
            properties = {key: properties[key] for key in schema.get("required", ()) if key in properties}
        # Citations are written last: they number the claims made before.
        order = sorted(properties, key=lambda key: key in _CITATIONS)
        made = {key: self._build(properties[key], key, position, depth + 1) for key in order}
        return {key: made[key] for key in properties}

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        items = self._resolved(schema.get("items", {}))
        low = int(schema.get("minItems", 0))
        high = int(schema.get("maxItems", max(low, 3)))
        if self._plain:
            return [self._build(items, name, position, depth + 1) for position in range(low)]
        if name in _CITATIONS:
            return self._cited(items)
        if name in _REFERENCE_NAMES and not items.get("enum"):
            return [item.ref for item in self._shown[: max(1, low)]]
        wanted = min(max(low, 3 if depth < 3 else 1 if depth < MOST_DEPTH else 0), high)
        if "title" in items.get("properties", {}):
            most = int(schema.get("maxItems", len(self._titles())))
            wanted = min(max(low, len(self._titles())), most) if self._titles() else max(low, 1)
        if choices := items.get("enum"):
            return list(choices[: max(low, min(3, high))])
        keys = items.get("properties", {})
        choices = next(
            (self._resolved(part).get("enum") for part in keys.values() if "enum" in self._resolved(part)), []
        )
        if choices and len(choices) < wanted and "title" not in keys:
            wanted = max(low, len(choices))
        made = []
        for position in range(wanted):
            if (depth <= 1 and name not in _NO_CLAIMS) or (
                depth == 2 and name not in _NO_CLAIMS and items.get("type") == "string"
            ):
                self._claims.append(self._reference(len(self._claims)))
            made.append(self._build(items, name, position, depth + 1))
        return made

    def _cited(self, items: Mapping[str, Any]) -> list[Any]:
        if items.get("type") == "string":
            return list(dict.fromkeys(claim.ref for claim in self._claims if claim))
        keys = items.get("properties", {})
        number = next((key for key in keys if "index" in key or "claim" in key), None)
        reference = next((key for key in keys if key in _REFERENCE_NAMES), None)
        cited = []
        for index, claim in enumerate(tuple(self._claims)):
            if claim is not None:
                entry = {key: self._build(part, key, index, MOST_DEPTH) for key, part in keys.items()}
                stated = {number: index, reference: claim.ref}
                cited.append(entry | {key: value for key, value in stated.items() if key is not None})
        return cited

    def _reference(self, position: int) -> Reference | None:
        return self._shown[position % len(self._shown)] if self._shown else None

    def _titles(self) -> list[str]:
        found = _TITLE.findall(self._prompt)
        # Lists are what is to be ordered; documents beside them may hold titles of other things.
        lines = [line.strip() for line, _ in found if line]
        return list(dict.fromkeys(lines or [json.loads(f'"{quoted}"') for _, quoted in found]))

    def _chosen(self, choices: list[Any], name: str, position: int) -> Any:
        """A middle level where there are levels, else one after the other."""
        for middle in ("medium", "watch", "stable", "中"):
            if middle in choices and not (middle == "中" and self._locale == "en"):
                return middle
        return choices[position % len(choices)]

    def _number(self, schema: Mapping[str, Any], name: str, position: int, whole: bool) -> float | int:
        wanted: float = position + 1 if whole else CONFIDENCE if "confidence" in name.lower() else 0.5
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        if high is not None and wanted >= high:
            wanted = (
                high
                if "maximum" in schema
                else high - 1
                if whole
                else (high + (low if low is not None else high - 1)) / 2
            )
        if low is not None and wanted <= low:
            wanted = (
                low
                if "minimum" in schema
                else low + 1
                if whole
                else (low + high) / 2
                if high is not None
                else low + 0.5
            )
        if step := schema.get("multipleOf"):
            wanted = math.ceil(wanted / step) * step
        return int(wanted) if whole else float(wanted)

    def _text(self, schema: Mapping[str, Any], name: str, position: int) -> str:
        if self._plain:
            return _fitted(_sentence(self._locale, "bare", ""), schema, position)
        if name in _REFERENCE_NAMES:
            reference = self._claims[-1] if self._claims else self._reference(position)
            return reference.ref if reference else ""
        if name == "title" and self._titles():
            return self._titles()[position % len(self._titles())]
        lowered = name.lower()
        topic = next((topic for words, topic in _TOPICS if any(word in lowered for word in words)), "other")
        claim = self._claims[-1] if self._claims else self._reference(0)
        template = _SENTENCES[self._locale][topic]
        if "{label}" in template and claim is None:
            topic = "bare"
        sentence = _sentence(self._locale, topic, claim.label if claim else "")
        # With little evidence the same piece serves several claims, which differ all the same.
        turn = (len(self._claims) - 1) // len(self._shown) if self._claims and self._shown else 0
        if turn and "{label}" in template:
            sentence = f"{sentence} ({ascii_lowercase[turn % 26]})"
        return _fitted(sentence, schema, position)


def _fitted(sentence: str, schema: Mapping[str, Any], position: int) -> str:
    """The sentence as long and as shaped as the schema wants it, where that is simple to do."""
    shaped = {
        "date": "2026-01-01",
        "date-time": "2026-01-01T00:00:00Z",
        "uri": "https://example.com/",
        "email": "a@example.com",
    }
    if schema.get("format") in shaped:
        return shaped[schema["format"]]
    sentence = sentence[: schema.get("maxLength")]
    return sentence.ljust(schema.get("minLength", 0), ".")
