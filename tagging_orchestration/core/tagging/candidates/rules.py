"""Rules generator: tags that people's rules demand for this text, and allowed names that stand in it."""

from __future__ import annotations

import re
from typing import Any

from tagging_orchestration.core.models import Content, Evidence, Method
from tagging_orchestration.core.tagging.candidates.pool import Pool, span_evidence
from tagging_orchestration.core.tagging.matching import Match, PhraseIndex, UnitStream
from tagging_orchestration.core.tagging.rules import Rule, RuleSet
from tagging_orchestration.core.tagging.text import AnalysedText, TextAnalyser
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.normalise import Normaliser

# A pattern is tried on the beginning of a text only, which bounds what a careless one can cost.
PATTERN_CHARACTERS = 20_000


class RuleMatcher:
    """The rule set made ready for matching; build it once for many texts."""

    def __init__(self, rules: RuleSet, analyser: TextAnalyser, normaliser: Normaliser) -> None:
        self._normaliser = normaliser
        self._rules = rules.rules
        self._patterns = {rule.id: re.compile(rule.pattern) for rule in rules.rules if rule.pattern is not None}
        self.allowed = {normaliser.normal_form(name): name for name in rules.allow}
        self.blocked = frozenset(normaliser.normal_form(name) for name in rules.block)
        self._words: PhraseIndex[str] = PhraseIndex()
        for word in sorted({word for rule in rules.rules for word in (*rule.all, *rule.any, *rule.none)}):
            self._add(analyser, self._words, word)
        self._allowed_names: PhraseIndex[str] = PhraseIndex()
        for name in rules.allow:
            self._add(analyser, self._allowed_names, name)

    def propose(
        self, pool: Pool, content: Content, text: AnalysedText, stream: UnitStream, vocabulary: Vocabulary
    ) -> None:
        """Enter the tags of the rules that hold, each with the rule's confidence, and the allowed names."""
        if self._rules:
            found: dict[str, list[Match]] = {}
            for word, match in self._words.find(text, stream):
                found.setdefault(word, []).append(match)
            for rule in self._rules:
                detail = self._holds(rule, content, text, found)
                if detail is not None:
                    self._enter(pool, rule, detail, vocabulary)
        for name, match in self._allowed_names.find(text, stream):
            form = self._normaliser.normal_form(name)
            if not match.aligned or vocabulary.lookup(form) is not None:
                continue
            candidate = pool.fresh(form, name)
            if not candidate.occurrences:
                candidate.occurrences = [match.occurrence]
                candidate.evidence.append(
                    span_evidence(Method.RULE, 1.0, text, candidate.occurrences, list="allow")
                )

    def _enter(self, pool: Pool, rule: Rule, detail: dict[str, Any], vocabulary: Vocabulary) -> None:
        form = self._normaliser.normal_form(rule.tag)
        if not form:
            return
        tag = vocabulary.resolve(form)
        candidate = pool.known(tag) if tag else pool.fresh(form, self._normaliser.display_form(rule.tag))
        candidate.rule_confidence = max(candidate.rule_confidence, rule.confidence)
        candidate.evidence.append(Evidence(Method.RULE, rule.confidence, {"rule": rule.id, **detail}))

    def _holds(
        self, rule: Rule, content: Content, text: AnalysedText, found: dict[str, list[Match]]
    ) -> dict[str, Any] | None:
        """What made the rule hold, or None when it does not."""
        if rule.sources and content.source not in rule.sources:
            return None
        if rule.content_types and content.content_type not in rule.content_types:
            return None
        if rule.languages and not any(text.language.startswith(language) for language in rule.languages):
            return None

        def first(word: str) -> Match | None:
            for match in found.get(word, ()):
                if text.tokens[match.occurrence.first].field in rule.fields:
                    return match
            return None

        if any(first(word) for word in rule.none):
            return None
        every = [(word, first(word)) for word in rule.all]
        if any(match is None for _, match in every):
            return None
        some = [(word, match) for word in rule.any if (match := first(word)) is not None]
        if rule.any and not some:
            return None
        detail: dict[str, Any] = {}
        if rule.pattern is not None:
            hit = next(
                (
                    (field, hit)
                    for field in rule.fields
                    if (hit := self._patterns[rule.id].search(text.field_text(field)[:PATTERN_CHARACTERS]))
                ),
                None,
            )
            if hit is None:
                return None
            detail |= {"field": hit[0], "start": hit[1].start(), "end": hit[1].end(), "text": hit[1].group()}
        words = [(word, match) for word, match in (*every, *some) if match is not None]
        if words:
            match = words[0][1]
            field = text.tokens[match.occurrence.first].field
            detail |= {
                "field": field,
                "start": match.start,
                "end": match.end,
                "text": text.field_text(field)[match.start : match.end],
                "words": [word for word, _ in words],
            }
        return detail

    def _add(self, analyser: TextAnalyser, index: PhraseIndex[str], name: str) -> None:
        form = self._normaliser.normal_form(name)
        index.add(analyser.units(form), analyser.lemma_units(form, "en"), name)
