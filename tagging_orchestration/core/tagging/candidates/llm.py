"""Language model generator: tags that a model proposed for this very text, as one voice among the generators.

The ranker's weights were learned without a model, so its word enters in log-odds by two stated priors: it raises
what another generator found too, and alone it counts for no more than its stated confidence times how often such
tags are taken to be right. People's verdicts on tags that rest on it then move both, as for every generator
(`calibration`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from tagging_orchestration.core.models import Content, Evidence, LlmProposals, LlmTag, Method
from tagging_orchestration.core.tagging.candidates.pool import Candidate, Pool
from tagging_orchestration.core.tagging.candidates.vocabulary import VocabularyMatcher
from tagging_orchestration.core.tagging.names import may_name_tag
from tagging_orchestration.core.tagging.ranking import log_odds
from tagging_orchestration.core.tagging.scripts import has_han
from tagging_orchestration.core.vocabulary.index import Vocabulary

# Priors: log-odds that a model's full confidence adds to a candidate of another generator (an agreeing second
# opinion makes its odds four times as good), and the share of tags proposed by the model alone that are taken to
# be right before people judged any.
AGREEMENT = 1.4
RELIABILITY = 0.6
# A Chinese name of more characters is a clause (see keyphrases).
MAX_CHINESE_CHARACTERS = 12


def propose(
    pool: Pool,
    content: Content,
    proposals: LlmProposals,
    vocabulary: Vocabulary,
    matcher: VocabularyMatcher,
    admits: Callable[[str], bool],
    max_words: int,
) -> None:
    """Enter the model's tags: existing ones under their present names, new ones if `admits` lets them be tags here
    and they have at most `max_words` words."""
    for proposed in proposals.tags:
        tag = vocabulary.resolve(proposed.normal_form)
        if tag is not None:
            candidate = pool.known(tag)
            matcher.describe(candidate.signals, tag)
        elif vocabulary.lookup(proposed.normal_form) is None and _may_be_new(proposed, admits, max_words):
            candidate = pool.fresh(proposed.normal_form, proposed.name)
        else:
            continue
        candidate.llm = max(candidate.llm, proposed.confidence)
        candidate.evidence.append(
            Evidence(Method.LLM, round(proposed.confidence, 4), _detail(content, proposals, proposed))
        )


def carries(other: float, candidate: Candidate) -> bool:
    """Whether a candidate whose other reasons amount to these log-odds stands by the model's word."""
    return candidate.llm > 0 and _alone(candidate) > other + AGREEMENT * candidate.llm


def lift(other: float, candidate: Candidate, *, judged: bool = False) -> float:
    """What the model's word adds to log-odds of all other reasons; 0 without it.

    `judged`: a classifier trained on people's tags spoke of the candidate; the model may then agree, not overrule.
    """
    if not candidate.llm:
        return 0.0
    agreeing = AGREEMENT * candidate.llm
    return agreeing if judged else max(agreeing, _alone(candidate) - other)


def _alone(candidate: Candidate) -> float:
    return log_odds(min(max(candidate.llm * RELIABILITY, 1e-6), 1 - 1e-6))


def _may_be_new(proposed: LlmTag, admits: Callable[[str], bool], max_words: int) -> bool:
    name = proposed.name
    if has_han(name):
        short = len(name.replace(" ", "")) <= MAX_CHINESE_CHARACTERS
    else:
        short = len(name.split()) <= max_words
    return short and may_name_tag(name) and admits(name)


def _detail(content: Content, proposals: LlmProposals, proposed: LlmTag) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "model": proposals.model,
        "prompt": proposals.prompt_version,
        "reason": proposed.reason,
        "quote": proposed.quote,
    }
    for field, text in (("title", content.title), ("body", content.body)):
        start = unicodedata.normalize("NFC", text).casefold().find(proposed.quote.casefold())
        if start >= 0 and proposed.quote and len(text) == len(text.casefold()):
            end = start + len(proposed.quote)
            return detail | {"field": field, "start": start, "end": end, "text": text[start:end]}
    return detail
