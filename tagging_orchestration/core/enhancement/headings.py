"""An answer that a model wrote as text under headings instead of JSON, in English or Chinese.

Headings are Markdown (`## 摘要`, `**Root cause**`), numbered (`1. 問題摘要`, `一、根因`), bracketed (`【建議】`),
or words before a colon. A line is one where next to nothing but a known label stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tagging_orchestration.core.enhancement.forms import Form, enum_words, key_form
from tagging_orchestration.core.enhancement.labels import labelled
from tagging_orchestration.core.enhancement.shaping import confidence_of, tidy, without_marker

CONFIDENCE_UNSAID = 0.5
"""The confidence of an answer under headings that states none."""

MOST_LINES = 300

_RULE = re.compile(r"\s*(?:[-=*_]{3,}|`{3}\w*)\s*")
_BULLET = re.compile(r"^\s*(?:[-*•●▪◦·‧–—]\s*(?!\*)|#)")
_NUMBERED = re.compile(r"^\s*(?:\(?\d{1,2}[.)、）]|（\d{1,2}）|[①-⑳]|[一二三四五六七八九十]{1,2}[、.．])\s*")
_TITLE = re.compile(r"^\s*(?:#{1,6}\s+.+|(?:\d{1,2}[.)、]\s*)?\*\*[^*]+\*\*\s*[:：]?|【[^】]+】\s*[:：]?)\s*$")
_COLON = re.compile(r"\s*(?:：|:(?=\s|$|\*|[^\s/\d]))\s*")
_REFERENCE = re.compile(r"(?:tag|content|row|alert|metric|insight|recommendation|context)\s*[:：]", re.IGNORECASE)


def read_headings(
    text: str,
    schema: Mapping[str, Any],
    form: Form,
    variables: Mapping[str, Any],
    titles: Sequence[str] = (),
) -> dict[str, Any] | None:
    """The answer as the object that its schema describes, not yet checked; None where fewer than two of its fields
    have a heading. `titles` are those of the recommendations to order. The alert's own severity (`variables`)
    stands where the answer states none."""
    lines = [line for line in text.splitlines() if line.strip() and not _RULE.fullmatch(line)]
    if len(lines) > MOST_LINES:
        return None
    if "ordered" in schema["properties"]:
        return _ordered(lines, form, titles)
    sections = _sections(lines, form)
    if len(sections) < 2:
        return None
    result: dict[str, Any] = {}
    for path, entries in sections.items():
        parent, _, name = path.rpartition(".")
        part = _part(schema, path)
        if part is None or part.get("type") == "object":
            continue
        target = result.setdefault(parent, {}) if parent else result
        target[name] = _value(entries, part)
    impact = schema["properties"].get("businessImpact")
    if impact is not None:
        own = result.setdefault("businessImpact", {})
        words = enum_words(tuple(impact["properties"]["severity"]["enum"]))
        said = " ".join(tidy(entry) for entry in sections.get("businessImpact", []))
        own.setdefault(
            "severity", words.get(key_form(said)) or words.get(key_form(str(variables.get("severity"))))
        )
        own.setdefault("affectedAreas", [])
        own.setdefault("estimatedCost", "")
    return _with_confidence(result, sections.get("confidence", []))


def _with_confidence(result: dict[str, Any], entries: Sequence[str]) -> dict[str, Any]:
    said = confidence_of(" ".join(entries))
    result["confidence"] = CONFIDENCE_UNSAID if said is None else said
    return result


def _part(schema: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    part: Mapping[str, Any] = schema
    for name in path.split("."):
        part = part.get("properties", {}).get(name)
        if part is None:
            return None
    return part


def _value(entries: Sequence[str], part: Mapping[str, Any]) -> Any:
    if part.get("type") != "array":
        return " ".join(tidy(without_marker(entry)) for entry in entries)
    marked = any(_BULLET.match(entry) or _NUMBERED.match(entry) for entry in entries)
    if len(entries) == 1 and not marked:
        return entries[0]
    items: list[str] = []
    for entry in entries:
        if marked and items and not (_BULLET.match(entry) or _NUMBERED.match(entry)):
            items[-1] += f" {entry.strip()}"
        else:
            items.append(entry.strip())
    return items


def _sections(lines: Sequence[str], form: Form) -> dict[str, list[str]]:
    """The lines below each heading, by path; the first section of a path wins, later lines are added to it."""
    sections: dict[str, list[str]] = {}
    current = ""
    for line in lines:
        path, rest = _heading(line, form, current)
        if path == "evidence" and current in form.claim_paths and sections[current] and _REFERENCE.match(rest):
            # Said below a claim, of that claim.
            sections[current][-1] += f" [{rest}]"
            continue
        if path:
            current = path
            sections.setdefault(current, [])
            line = rest
        if current and line.strip():
            sections[current].append(line)
    return sections


def _heading(line: str, form: Form, current: str) -> tuple[str, str]:
    """The path that a line is the heading of, and what stands behind it; ("", "") for any other line."""
    is_title = bool(_TITLE.match(line))
    is_bullet = bool(_BULLET.match(line)) and not is_title
    bare = without_marker(line.replace("**", "").replace("__", "").strip()).strip()
    bare = without_marker(bare) if is_title else bare
    bare = re.sub(r"^【([^】]*)】", r"\1：", bare)
    head, *rest = _COLON.split(bare, maxsplit=1)
    if is_title and not (rest and rest[0]):
        head = bare.rstrip(":：")
    elif not rest and (is_bullet or len(head) > 40):
        return "", ""
    path, exact = labelled(head, form)
    if not path or (is_bullet and not exact):
        return "", ""
    if path == current and not is_title and rest and rest[0]:
        # An item such as "建議：增加人手" in the list of recommendations.
        return "", ""
    return path, rest[0] if rest else ""


def _ordered(lines: Sequence[str], form: Form, titles: Sequence[str]) -> dict[str, Any] | None:
    """Recommendations in the order in which their titles stand, each with the labelled lines below it."""
    inner = Form(labels={path: words for path, words in form.labels.items() if path != "ordered"})
    forms = {title_form(title): title for title in titles if title_form(title)}
    items: list[dict[str, Any]] = []
    confidence: list[str] = []
    for line in lines:
        bare = tidy(without_marker(line.replace("**", "")))
        named = next(
            (form for form in sorted(forms, key=len, reverse=True) if title_form(bare).startswith(form)), None
        )
        if named is not None:
            rest = _COLON.split(bare, maxsplit=1)[1:] or re.split(r"\s+[—–-]\s+", bare, maxsplit=1)[1:]
            items.append({"title": forms[named], "newPriority": len(items) + 1})
            bare = rest[0] if rest else ""
            if not bare:
                continue
        for piece in re.split(r"[；;|｜]", bare):
            head, *rest = _COLON.split(piece, maxsplit=1)
            path = labelled(head, inner)[0] if rest else ""
            if path == "confidence":
                confidence.append(rest[0])
            elif items and path == "evidence":
                items[-1].setdefault("evidence", []).append(rest[0])
            elif items and path.startswith("ordered.") and path not in ("ordered.title", "ordered.newPriority"):
                items[-1].setdefault(path.removeprefix("ordered."), rest[0].strip())
            elif items and not path and piece.strip():
                items[-1]["reason"] = f"{items[-1].get('reason', '')} {piece.strip()}".strip()
    return _with_confidence({"ordered": items}, confidence) if items else None


def title_form(title: str) -> str:
    """A title without case, spaces and punctuation, so that copies of it are found."""
    return re.sub(r"[\W_]+", "", without_marker(tidy(title, one_line=True)).casefold())
