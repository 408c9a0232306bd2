"""The language model as one more generator of tags: asks about contents, checks the answers, stores proposals.

The tagger never waits for a model. What is asked about is found by comparison: a content whose text, or whose
question (prompt, models that may answer, settings), is another one than its stored proposals were made from. A
content with new proposals becomes pending for the tagger, which takes them as one voice among its generators.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from tagging_orchestration.core.enhancement.models import (
    Answer,
    Ask,
    ErrorSubtype,
    PromptLocale,
    PromptTemplate,
)
from tagging_orchestration.core.models import Content, LlmProposals, LlmTag, TaggerInput
from tagging_orchestration.core.tagging.scripts import has_han
from tagging_orchestration.storage.tag_proposals import (
    Unasked,
    save_proposals,
    unasked_contents,
    use_proposals,
)
from tagging_orchestration.wiring import proposes_tags

if TYPE_CHECKING:
    from tagging_orchestration.core.enhancement.tag_answers import ShownContent, TagAnswerReader
    from tagging_orchestration.core.enhancement.tag_choices import TagChooser
    from tagging_orchestration.core.ports import Progress
    from tagging_orchestration.settings import Settings
    from tagging_orchestration.storage.ai_tag_sources import Answerer
    from tagging_orchestration.wiring import Project

KEY = "tag_generation"
ENHANCEMENT_TYPE = "tag_generation"
# Part of the fingerprint: raise it with every change that asks or reads differently.
CODE_VERSION = "1"
# Ollama's own default where a config states none.
CONTEXT_TOKENS = 4096
# What a prompt costs beside its contents, and what one content's answer takes of max_tokens.
OVERHEAD_TOKENS = 700
ANSWER_TOKENS = 380
# Prompts sent before what they brought is stored.
PROMPTS_AT_ONCE = 8
# Nobody was asked: no failure of a content.
DISABLED = "disabled"
# Failures that other contents would meet too: a run stops after a round of nothing else.
_EVERYBODYS = frozenset(
    {
        ErrorSubtype.UNAVAILABLE,
        ErrorSubtype.BUSY,
        ErrorSubtype.BUDGET,
        ErrorSubtype.MODEL_NOT_FOUND,
        ErrorSubtype.UNSUPPORTED,
        ErrorSubtype.DEADLINE,
        ErrorSubtype.SERVER_ERROR,
        None,
    }
)


class Gateway(Protocol):
    """What is needed of `ai.gateway.LlmGateway`."""

    def ask_many(
        self, asks: Sequence[Ask], progress: Callable[[int, int], None] | None = None
    ) -> list[Answer]: ...


@dataclass(slots=True)
class ProposalReport:
    """What a run did. `contents` were asked about in `prompts`, `answered` of them got proposals, `pending` became
    so for the tagger. `stopped` says why a run ended early; then the rest waits for the next one.
    """

    enabled: bool = True
    contents: int = 0
    prompts: int = 0
    answered: int = 0
    tags: int = 0
    pending: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    cost_usd: float = 0.0
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class _Prompt:
    """One question about some contents."""

    ask: Ask
    reader: TagAnswerReader
    shown: tuple[ShownContent, ...]
    contents: tuple[Content, ...]


def utc_now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


def propose_tags(
    project: Project,
    gateway: Gateway,
    *,
    progress: Progress | None = None,
    limit: int | None = None,
    run_id: str | None = None,
    now: Callable[[], datetime] = utc_now,
) -> ProposalReport:
    """Ask about contents without proposals, newest first, up to `limit` (default: ai.tags.max_contents).

    Switched off, nobody is asked, and contents tagged with proposals become pending, to be tagged without them.
    Switched on again, those proposals count again without being asked for. Raises DatabaseUnavailable.
    """
    from tagging_orchestration.ai.switch import read_switch

    settings, pool = project.settings, project.pool
    organization_id = settings.organization_id
    enabled = proposes_tags(settings) and read_switch(pool, settings).is_on
    report = ProposalReport(enabled=enabled, pending=use_proposals(pool, organization_id, enabled=enabled))
    if not enabled:
        return report
    asker = TagAsker(project, gateway, settings, run_id=run_id)
    unasked = unasked_contents(
        pool, organization_id, asker.fingerprint, limit or settings.ai.tags.max_contents, now()
    )
    total = len(unasked)
    for prompts in _rounds(project, asker, unasked):
        rows, answers = asker.ask(prompts)
        report.pending += save_proposals(pool, [row for row in rows if row.reason != DISABLED], now())
        _count(report, prompts, rows, answers)
        if progress is not None:
            progress(report.contents, total)
        report.stopped = _stops(answers)
        if report.stopped:
            break
    return report


def preview(project: Project, gateway: Gateway, content: Content) -> LlmProposals:
    """What the model proposes for a content that need not be stored; nothing is written but the log of calls.

    A failure is a row without tags that gives the reason.
    """
    return proposals_for(project, gateway, project.settings, [content], use_cache=True)[content.id]


def proposals_for(
    project: Project,
    gateway: Gateway,
    settings: Settings,
    contents: Sequence[Content],
    *,
    run_id: str | None = None,
    use_cache: bool = False,
) -> dict[int, LlmProposals]:
    """What the model proposes for these contents under these settings, by id; nothing is written but the log of
    calls and the cache of answers."""
    asker = TagAsker(project, gateway, settings, run_id=run_id, use_cache=use_cache)
    found: dict[int, LlmProposals] = {}
    size = PROMPTS_AT_ONCE * settings.ai.tags.contents_per_prompt
    for start in range(0, len(contents), size):
        part = contents[start : start + size]
        rows, _ = asker.ask(asker.prompts(part, frozenset()))
        found |= {row.content_id: row for row in rows}
    return found


class TagAsker:
    """Makes questions for tags and reads the answers, under one state of vocabulary, prompts and providers."""

    def __init__(
        self,
        project: Project,
        gateway: Gateway,
        settings: Settings,
        *,
        run_id: str | None = None,
        use_cache: bool = True,
    ) -> None:
        """Providers and prompts are brought into the tables first: nobody else may have done it where only
        contents are tagged. Raises ConfigurationError for a wrong file of them."""
        from tagging_orchestration.ai.sync import sync_ai
        from tagging_orchestration.storage.ai_tag_sources import answerers

        sync_ai(project.pool, project.settings)
        self._project = project
        self._gateway = gateway
        self._tags = tags = settings.ai.tags
        self._tagger = settings.tagger
        self._run_id = run_id
        self._use_cache = use_cache
        self._organization_id = project.settings.organization_id
        self._answerers = answerers(project.pool, KEY)
        self._vocabulary = project.stores.vocabulary.load(self._organization_id)
        blocked = (project.normaliser.normal_form(name) for name in project.models.rules.block)
        self._blocked = frozenset(blocked)
        self._preferred = next((a.provider_id for a in self._answerers if a.provider_name == tags.provider), None)
        self._room = min(map(_context_tokens, self._answerers), default=CONTEXT_TOKENS)

    @property
    def fingerprint(self) -> str:
        """Of what is asked and of whom, texts aside: an equal question about an equal text is not asked again."""
        from tagging_orchestration.storage.ai_prompts import versions

        wanted = self._tags.prompt_version
        prompts = sorted(
            (row.template.locale, row.template.ab_group, row.template.version, row.template.content_sha256)
            for row in versions(self._project.pool, KEY)
            if (row.template.version == wanted if wanted else row.is_active)
        )
        tagger = self._tagger
        parts: dict[str, Any] = {
            "code": CODE_VERSION,
            "prompts": prompts,
            "models": [(a.provider_name, a.model) for a in self._answerers],
            "settings": self._tags.model_dump(exclude={"enabled", "max_contents", "contents_per_prompt"}),
            "tagger": tagger.model_dump(
                include={"max_tags", "max_tag_words", "tag_language", "closed_vocabulary"}
            ),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def ask(self, prompts: Sequence[_Prompt]) -> tuple[list[LlmProposals], list[Answer]]:
        """What came for each content of these prompts, and the answers."""
        answers = self._gateway.ask_many([prompt.ask for prompt in prompts])
        fingerprint = self.fingerprint
        rows = [
            row
            for prompt, answer in zip(prompts, answers, strict=True)
            for row in self._rows(prompt, answer, fingerprint)
        ]
        return rows, answers

    def prompts(self, contents: Sequence[Content], alone: frozenset[int]) -> list[_Prompt]:
        """Questions about these contents: short texts in the same language together, as many as the smallest
        context window and the longest answer hold; those in `alone` by themselves."""
        from tagging_orchestration.core.enhancement.injection import LEFT_OUT

        shown_of = self._shown(contents)
        # A text that speaks to a model shares a prompt with no other one.
        alone |= {content_id for content_id, (shown, _) in shown_of.items() if LEFT_OUT in shown.whole}
        groups: dict[tuple[PromptLocale, str, str], list[Content]] = {}
        templates: dict[tuple[PromptLocale, str, str], PromptTemplate] = {}
        for content in contents:
            template = self._template(content)
            name = (template.locale, template.ab_group, template.version)
            templates[name] = template
            groups.setdefault(name, []).append(content)
        made = []
        for name, group in groups.items():
            made += [
                self._prompt(templates[name], batch, [shown_of[content.id] for content in batch])
                for batch in self._batches(templates[name], group, shown_of, alone)
            ]
        return made

    # ----------------------------------------------------------------------------------------- the questions

    def _template(self, content: Content) -> PromptTemplate:
        from tagging_orchestration.storage.ai_prompts import load_template, load_version

        locale: PromptLocale = "zh-TW" if has_han(content.text) else "en"
        template, _ = load_template(self._project.pool, KEY, locale, str(content.id))
        if self._tags.prompt_version in (None, template.version):
            return template
        version = self._tags.prompt_version or ""
        return load_version(self._project.pool, KEY, template.locale, template.ab_group, version)

    def _batches(
        self,
        template: PromptTemplate,
        contents: Sequence[Content],
        shown_of: Mapping[int, tuple[ShownContent, dict[str, Any]]],
        alone: frozenset[int],
    ) -> Iterator[list[Content]]:
        most = max(1, min(self._tags.contents_per_prompt, template.max_tokens // ANSWER_TOKENS))
        room = self._prompt_room(template)
        batch: list[Content] = []
        used = 0
        for content in contents:
            size = estimated_tokens(json.dumps(shown_of[content.id][1], ensure_ascii=False))
            if batch and (
                len(batch) >= most or used + size > room or content.id in alone or batch[-1].id in alone
            ):
                yield batch
                batch, used = [], 0
            batch.append(content)
            used += size
        if batch:
            yield batch

    def _prompt_room(self, template: PromptTemplate) -> int:
        return max(500, self._room - template.max_tokens - OVERHEAD_TOKENS)

    def _shown(self, contents: Sequence[Content]) -> dict[int, tuple[ShownContent, dict[str, Any]]]:
        """Each content as the prompt shows it, by id; numbers are given when prompts are made."""
        from tagging_orchestration.core.enhancement.tag_answers import ShownContent
        from tagging_orchestration.core.enhancement.tag_choices import TagChooser

        project = self._project
        chooser = TagChooser(self._vocabulary, project.language, project.normaliser, self._blocked)
        shown = {}
        for item in project.engine.inputs(contents):
            content = item.content
            title, text = self._masked(content)
            choices = chooser.choose(item, self._tags.neighbours, self._tags.vocabulary)
            document = self._document(item, chooser, title, text, choices)
            shown[content.id] = ShownContent(0, content.id, title, text, choices), document
        return shown

    def _document(
        self, item: TaggerInput, chooser: TagChooser, title: str, text: str, choices: Sequence[Any]
    ) -> dict[str, Any]:
        similar = chooser.similar(item, self._tags.neighbours)
        return {
            "title": title,
            "text": text,
            "tags": [tag.embedded_text for tag in choices],
            "similar": [f"{', '.join(row.tags)} ({row.similarity})" for row in similar],
        }

    def _masked(self, content: Content) -> tuple[str, str]:
        """Title and text without personal data and orders to a model, as long as the settings and the smallest
        context window allow."""
        from tagging_orchestration.core.enhancement.injection import leave_out_orders
        from tagging_orchestration.core.enhancement.masking import mask_document

        title, body = mask_document(
            leave_out_orders((content.title, content.body)), self._project.masker, content.language
        )
        budget = self._room - 2 * OVERHEAD_TOKENS - 2 * ANSWER_TOKENS
        body = shortened(body, self._tags.max_characters)
        while estimated_tokens(body) > max(200, budget) and len(body) > 200:
            body = shortened(body, len(body) * 3 // 4)
        return shortened(title, 300), body

    def _prompt(
        self,
        template: PromptTemplate,
        contents: Sequence[Content],
        shown: Sequence[tuple[ShownContent, dict[str, Any]]],
    ) -> _Prompt:
        from tagging_orchestration.core.enhancement.tag_answers import TagAnswerReader

        tagger = self._tagger
        numbered = [replace(item, number=number) for number, (item, _) in enumerate(shown, start=1)]
        languages = {"content": None, "en": "English", "zh-Hant": "繁體中文", "zh-Hans": "简体中文"}
        variables = {
            "contents": [{"number": number, **document} for number, (_, document) in enumerate(shown, start=1)],
            "max_tags": tagger.max_tags,
            "tag_language": languages[tagger.tag_language],
            "vocabulary_is_closed": True if tagger.closed_vocabulary else None,
        }
        reader = TagAnswerReader(
            numbered,
            self._vocabulary,
            self._project.normaliser,
            max_tags=tagger.max_tags,
            max_words=tagger.max_tag_words,
            blocked=self._blocked,
            new_tags=not tagger.closed_vocabulary,
            secrets=(template.system_message, template.prompt_template),
            masker=self._project.masker,
        )
        ask = Ask(
            template=template,
            requested_key=KEY,
            variables=variables,
            evidence=(),
            subject_type="content",
            subject_id=",".join(str(content.id) for content in contents),
            enhancement_type=ENHANCEMENT_TYPE,
            check=reader,
            organization_id=self._organization_id,
            preferred_provider_id=self._preferred,
            language=template.locale,
            run_id=self._run_id,
            use_cache=self._use_cache,
        )
        return _Prompt(ask, reader, tuple(numbered), tuple(contents))

    # ------------------------------------------------------------------------------------------- the answers

    def _rows(self, prompt: _Prompt, answer: Answer, fingerprint: str) -> Iterator[LlmProposals]:
        read: dict[int, Mapping[str, Any]] = {}
        if answer.status == "success" and answer.document is not None:
            read = {entry["number"]: entry for entry in answer.document["contents"]}
        share = len(prompt.contents)
        for number, content in enumerate(prompt.contents, start=1):
            entry = read.get(number)
            if entry is not None:
                reason = ""
            elif answer.status == "success":
                reason = "the answer left this content out"
            else:
                reason = str(answer.error_subtype or answer.error_type or answer.status)
            yield LlmProposals(
                content_id=content.id,
                organization_id=content.organization_id,
                text_hash=content.text_hash,
                fingerprint=fingerprint,
                tags=tuple(LlmTag(**tag) for tag in entry["tags"]) if entry else (),
                reason=reason,
                refused=entry["refused"] if entry else {},
                provider=answer.provider_name,
                model=answer.model,
                prompt_version=f"{prompt.ask.template.version} {prompt.ask.template.locale}",
                tokens=_part(answer.tokens_total, number, share),
                cost_usd=round(answer.cost_usd / share, 6),
            )


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has: one for each Chinese character, one for three and a half others."""
    wide = sum(1 for character in text if ord(character) > 0x2E7F)
    return wide + round((len(text) - wide) / 3.5) + 1


def shortened(text: str, characters: int) -> str:
    """The beginning of a text, and its end where it is much longer: what a text is about stands there."""
    if len(text) <= characters:
        return text
    tail = characters // 5
    return f"{text[: characters - tail - 3].rstrip()}\n…\n{text[-tail:].lstrip()}"


def _context_tokens(answerer: Answerer) -> int:
    block = answerer.params.get("ollama_specific")
    stated = block.get("num_ctx") if isinstance(block, Mapping) else None
    if isinstance(stated, int):
        return stated
    # Only Ollama cuts a prompt silently; the others have windows far larger than a batch.
    return CONTEXT_TOKENS if answerer.provider_name == "local" else 16 * CONTEXT_TOKENS


def _rounds(project: Project, asker: TagAsker, unasked: Sequence[Unasked]) -> Iterator[list[_Prompt]]:
    """Prompts in rounds; vectors and neighbours are looked up for one round at a time."""
    alone = frozenset(item.content_id for item in unasked if item.failed_before)
    size = PROMPTS_AT_ONCE * project.settings.ai.tags.contents_per_prompt
    for start in range(0, len(unasked), size):
        contents = project.stores.contents.load([item.content_id for item in unasked[start : start + size]])
        if contents:
            yield asker.prompts(contents, alone)


def _part(total: int, number: int, share: int) -> int:
    """The `number`th of `share` nearly equal parts that add up to the total."""
    return total * number // share - total * (number - 1) // share


def _count(
    report: ProposalReport, prompts: Sequence[_Prompt], rows: Sequence[LlmProposals], answers: Sequence[Answer]
) -> None:
    report.prompts += len(prompts)
    report.contents += len(rows)
    for row in rows:
        report.answered += row.heard
        report.tags += len(row.tags)
        report.refused.update(row.refused)
        if not row.heard:
            report.failures[row.reason] += 1
    report.tokens += sum(answer.tokens_total for answer in answers)
    report.cost_usd = round(report.cost_usd + sum(answer.cost_usd for answer in answers), 6)


def _stops(answers: Sequence[Answer]) -> str:
    """Why it is no use to go on, or nothing."""
    if any(answer.status == "success" for answer in answers):
        return ""
    reasons = {answer.error_subtype for answer in answers}
    if any(answer.status == "disabled" for answer in answers):
        return DISABLED
    return ", ".join(sorted(str(reason or "error") for reason in reasons)) if reasons <= _EVERYBODYS else ""
