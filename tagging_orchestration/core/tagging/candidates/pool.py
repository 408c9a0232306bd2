"""Where the generators' candidates for one text meet, by normal form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tagging_orchestration.core.models import Evidence, Method, Tag
from tagging_orchestration.core.tagging.text import AnalysedText, Occurrence


@dataclass(frozen=True, slots=True)
class Judgement:
    """The classifier's word on a known tag: it takes the ranker's place.

    `probability` is log-odds `base` plus `effects` (by kind of reason); `threshold` is from where the tag applies.
    """

    probability: float
    threshold: float
    base: float
    effects: Mapping[str, float]


@dataclass(slots=True)
class Candidate:
    """One possible tag of one text and all reasons for it, while it is being weighed.

    `signals` are feature values that a generator knows (see `features`). `given` marks a tag that people put on
    this very content, `rule_confidence` the strongest rule that demands it, `llm` how sure a language model
    says it is of it, `judgement` what the classifier says.
    """

    normal_form: str
    name: str
    tag: Tag | None = None
    occurrences: list[Occurrence] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    signals: dict[str, float] = field(default_factory=dict)
    given: bool = False
    rule_confidence: float = 0.0
    llm: float = 0.0
    judgement: Judgement | None = None

    def raise_signal(self, name: str, value: float) -> None:
        """Keep the largest value seen of a signal."""
        if value > self.signals.get(name, 0.0):
            self.signals[name] = value


class Pool:
    """The candidates of one text. A known tag has one entry, whatever spelling or generator led to it."""

    def __init__(self) -> None:
        self.by_form: dict[str, Candidate] = {}

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.by_form.values())

    def keep_known(self) -> None:
        """Drop what is no tag yet, but for people's own."""
        self.by_form = {form: entry for form, entry in self.by_form.items() if entry.tag or entry.given}

    def fresh(self, normal_form: str, name: str) -> Candidate:
        """The entry of a form that is no tag yet."""
        candidate = self.by_form.get(normal_form)
        if candidate is None:
            candidate = self.by_form[normal_form] = Candidate(normal_form, name)
        return candidate

    def known(self, tag: Tag) -> Candidate:
        """The entry of an existing tag, under its canonical name."""
        candidate = self.by_form.get(tag.normal_form)
        if candidate is None:
            candidate = self.by_form[tag.normal_form] = Candidate(tag.normal_form, tag.name, tag)
        return candidate


def span_evidence(
    method: Method, score: float, analysed: AnalysedText, occurrences: list[Occurrence], **more: Any
) -> Evidence:
    """Evidence that points to the first place in the text and says how many there are; `more` is added or wins."""
    first, last, _ = occurrences[0]
    begin, end = analysed.tokens[first], analysed.tokens[last]
    return Evidence(
        method,
        round(score, 4),
        {
            "field": begin.field,
            "start": begin.start,
            "end": end.end,
            "text": analysed.surface(first, last),
            "count": len(occurrences),
            **more,
        },
    )
