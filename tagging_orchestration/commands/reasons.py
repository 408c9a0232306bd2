"""Evidence in plain words: why a tag is where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagging_orchestration.core.models import Evidence

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# People's word first, then the text's own, then what others say.
ORDER = ("feedback", "given", "rule", "classifier", "vocabulary", "keyphrase", "neighbour", "llm")


def why(evidence: Sequence[Evidence]) -> str:
    """All evidence in one line, strongest kind first."""
    ordered = sorted(evidence, key=lambda item: (ORDER.index(item.method), -item.score))
    return "; ".join(dict.fromkeys(reason(item) for item in ordered))


def reason(evidence: Evidence) -> str:
    """One piece of evidence in words."""
    detail = evidence.detail
    match str(evidence.method):
        case "feedback":
            said = "added" if detail.get("kind") == "add" else "confirmed"
            return f"{said} by {detail.get('reviewer', 'people')}"
        case "given":
            written = detail.get("written")
            return f"given by people as “{written}”" if written else "given by people"
        case "rule":
            cause = f"rule {detail['rule']}" if "rule" in detail else "on the allow list"
            return f"{cause}: {_place(detail)}" if "text" in detail else cause
        case "classifier":
            examples = detail.get("examples", 0)
            return f"learned from {_number(examples)} content{'s' if examples != 1 else ''} that people tagged so"
        case "neighbour":
            voters = detail.get("voters", len(detail.get("neighbours", ())))
            return f"{_number(voters)} similar content{'s carry' if voters != 1 else ' carries'} it"
        case "llm":
            quote = f", from “{' '.join(str(detail['quote']).split())}”" if detail.get("quote") else ""
            return f"proposed by the language model {detail.get('model') or ''}".rstrip() + quote
        case "vocabulary" if detail.get("match") == "vector":
            return f"near in meaning ({evidence.score:.2f})"
        case "vocabulary":
            alias = ", another name of it" if "alias" in detail else ""
            return f"{_place(detail)}{alias}"
        case _:
            return f"key phrase {_place(detail)}"


def _place(detail: Mapping[str, Any]) -> str:
    """The words found, and where."""
    where = "in the title" if detail.get("field") == "title" else "in the text"
    times = detail.get("count", 1)
    often = f", {_number(times)} times" if times > 1 else ""
    return f"“{' '.join(str(detail.get('text', '')).split())}” {where}{often}"


def _number(count: int) -> str:
    return NUMBERS[count] if 0 <= count < len(NUMBERS) else f"{count:,}"
