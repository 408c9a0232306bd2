"""References of an answer to its evidence: which resolve, and which claims have none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tagging_orchestration.core.enhancement.forms import key_form
from tagging_orchestration.core.enhancement.models import EvidenceItem

_KINDS = "tag|content|row|alert|metric|insight|recommendation|context"
_INSIDE = re.compile(
    rf"\s*(?:\[|【|\(|（)\s*(?:(?:證據|依據|來源|參考|证据|依据|evidence|sources?|refs?|references?)\s*[:：]\s*)?"
    rf"((?:{_KINDS})\s*[:：][^\]】()（）\[]{{1,400}}?)\s*(?:\]|】|\)|）)",
    re.IGNORECASE,
)
_NAMED = re.compile(rf"(?<![a-z])(?:{_KINDS})\s*[:：]", re.IGNORECASE)
_SEPARATORS = re.compile(r"[,;、；，|\n]+|\s+(?:and|&|與|和|及)\s+")
_NAKED = "[](){}<>【】（）「」『』\"'`“”‘’ \t\n.。,，"
_CLAIM_KEYS = ("claim_index", "claimindex", "claim", "index", "claims", "claim_indices", "claim_number", "i")
_REFERENCE_KEYS = ("ref", "refs", "reference", "references", "evidence", "source", "id", "evidence_ref")


def references_inside(text: str) -> tuple[str, list[str]]:
    """A text without references in brackets, and these as they were written: "… [metric:daily_revenue]"."""
    found = [match[1] for match in _INSIDE.finditer(text)]
    return (re.sub(r"\s+([。，,.;；])", r"\1", _INSIDE.sub("", text)).strip(), found) if found else (text, [])


class References:
    """The evidence that was offered. `resolve` finds what a model meant, if it can mean only one thing."""

    def __init__(self, evidence: Iterable[EvidenceItem]) -> None:
        self._exact = {item.ref for item in evidence}
        self._forms: dict[str, set[str]] = {}
        for item in evidence:
            kind, _, rest = item.ref.partition(":")
            names = [item.ref, f"{item.ref} — {item.label}", item.label]
            # A bare number may be the id of anything, and a place in the list too.
            names += [rest] if rest and not rest.isdecimal() else []
            names += [f"business_context.{rest}", f"business_context:{rest}"] if kind == "context" else []
            for name in names:
                if form := _reference_form(name):
                    self._forms.setdefault(form, set()).add(item.ref)
        self._longest_first = sorted(self._forms, key=len, reverse=True)

    def resolve(self, written: str) -> tuple[list[str], list[str]]:
        """The references that a text means, and the parts of it that mean none or more than one."""
        if written in self._exact:
            return [written], []
        several = len(_NAMED.findall(written[:2000])) > 1
        whole = self._one(written, with_label=not several)
        if whole:
            return [whole], []
        parts = [part for part in _SEPARATORS.split(written[:2000]) if part.strip(_NAKED)]
        if len(parts) < 2:
            return [], [written]
        known: list[str] = []
        unknown: list[str] = []
        for part in parts:
            one = self._one(part)
            (known if one else unknown).append(one or part.strip())
        if known and unknown:
            # The rest of a label that holds a separator itself is no reference of its own.
            unknown = [part for part in unknown if _NAMED.search(part)]
        return list(dict.fromkeys(known)), unknown

    def _one(self, written: str, with_label: bool = True) -> str | None:
        form = _reference_form(written[:600])
        if not form:
            return None
        found = self._forms.get(form)
        if found is None and form.startswith("context:"):
            # A branch of the business context with a single leaf.
            below = {ref for known, refs in self._forms.items() if known.startswith(f"{form}.") for ref in refs}
            found = below if len(below) == 1 else None
        if found is None and with_label:
            # The label, or part of it, copied along: "metric:daily_revenue (每日營收)".
            for known in self._longest_first:
                if form.startswith(known) and ":" in known and form[len(known)] in " -—–:(（,，|=":
                    # A longer name that only begins alike is another reference.
                    if re.match(r"-\S", form[len(known) :]):
                        continue
                    found = self._forms[known]
                    break
        return next(iter(found)) if found and len(found) == 1 else None


def _reference_form(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold().strip(_NAKED)
    text = re.sub(r"\[(\d+)\]", r".\1", text)
    text = re.sub(r"^(?:ref(?:erence)?|evidence|證據|依據|來源)\s*[:=]\s*", "", text)
    return re.sub(r"\s*([:/])\s*", r"\1", " ".join(text.split())).strip(_NAKED)


def written_evidence(raw: Any) -> tuple[list[tuple[int, str]], list[str]]:
    """What a model wrote as evidence, as (claim number, reference) pairs, and references without a claim.

    Takes the list that was asked for, and what small models make of it: other keys, several claims or references
    in one item, numbers as text, an object from claim to references, lines such as "0: metric:x".
    """
    pairs: list[tuple[int, str]] = []
    loose: list[str] = []
    if isinstance(raw, Mapping):
        if any(key_form(str(key)) in map(key_form, _CLAIM_KEYS) for key in raw):
            raw = [raw]
        else:
            raw = [{"claim_index": key, "ref": value} for key, value in raw.items()]
    if isinstance(raw, str):
        raw = [line for line in raw.splitlines() if line.strip()]
    for item in raw if isinstance(raw, list) else []:
        if isinstance(item, Mapping):
            fields = {key_form(str(key)): value for key, value in item.items()}
            claims = _numbers(
                next((fields[key_form(key)] for key in _CLAIM_KEYS if key_form(key) in fields), None)
            )
            texts = _texts(
                next((fields[key_form(key)] for key in _REFERENCE_KEYS if key_form(key) in fields), None)
            )
        elif isinstance(item, str):
            found = re.match(r"\W*(?:claim|論點|主張)?\s*#?(\d{1,3})\W+(?=\w)", item.strip(), re.IGNORECASE)
            claims = [int(found[1])] if found else []
            texts = [item.strip()[found.end() :] if found else item]
        else:
            continue
        for text in texts:
            pairs.extend((claim, text) for claim in claims)
            if not claims:
                loose.append(text)
    return pairs, loose


def _numbers(value: Any) -> list[int]:
    if isinstance(value, list):
        return [number for item in value[:100] for number in _numbers(item)]
    if isinstance(value, bool):
        return []
    if isinstance(value, float) and value.is_integer():
        return [int(value)]
    if isinstance(value, int):
        return [value]
    return [int(found) for found in re.findall(r"-?\d{1,4}", value[:200])] if isinstance(value, str) else []


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for item in value[:100] for text in _texts(item)] if isinstance(value, list) else []


def counted_from_one(claims: Sequence[int], total: int) -> bool:
    """Whether a model plainly numbered its claims from 1: it used the number behind the last, and never 0."""
    return total > 0 and total in claims and min(claims) >= 1 and max(claims) == total
