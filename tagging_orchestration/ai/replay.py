"""Stored answers again: the same prompt to the byte, or the same question to another prompt or model."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tagging_orchestration.ai.service import answer_check
from tagging_orchestration.core.enhancement.models import Answer, Ask, PromptTemplate, RenderedPrompt
from tagging_orchestration.core.enhancement.prompts import render
from tagging_orchestration.core.enhancement.variables import stored_evidence
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.storage.ai_prompts import load_version
from tagging_orchestration.storage.ai_providers import load_provider
from tagging_orchestration.storage.ai_results import REPLAY, Enhancement, find_enhancement

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from tagging_orchestration.ai.gateway import LlmGateway


@dataclass(frozen=True, slots=True)
class Rerendered:
    """A stored answer and its prompt, made again. `is_same`: to the byte what was sent then."""

    enhancement: Enhancement
    template: PromptTemplate
    prompt: RenderedPrompt

    @property
    def is_same(self) -> bool:
        """Whether the prompt's hash is the stored one."""
        return self.prompt.sha256 == self.enhancement.prompt_sha256


@dataclass(frozen=True, slots=True)
class Replay:
    """A stored answer beside a new one to the same question. `answer` is None in a dry run; the diffs are unified
    ones, empty where nothing differs."""

    stored: Rerendered
    template: PromptTemplate
    prompt: RenderedPrompt
    answer: Answer | None
    prompt_diff: str
    answer_diff: str


def rerender(pool: ConnectionPool, organization: str, enhancement_id: str) -> Rerendered:
    """The prompt of a stored answer, from its stored variables and the version of the template it was made with.

    Raises UnknownName for an enhancement that does not exist.
    """
    stored = find_enhancement(pool, organization, enhancement_id)
    template = _version(pool, stored, stored.template_version)
    return Rerendered(stored, template, render(template, stored.variables))


def replay(
    pool: ConnectionPool,
    gateway: LlmGateway,
    organization: str,
    enhancement_id: str,
    *,
    version: str | None = None,
    provider: str | None = None,
    model: str | None = None,
    dry_run: bool = False,
) -> Replay:
    """Ask a stored question again, by another version of its prompt, another provider or another model.

    The stored answer stays as it is, and the new one is never shown in its place: the call counts against the
    limits and stands in the log, past the cache, and its answer is listed as a replay. A dry run calls nothing and
    compares the prompts only. Raises UnknownName for an enhancement, version or provider that does not exist,
    ConfigurationError for an answer that is none.
    """
    stored = rerender(pool, organization, enhancement_id)
    enhancement = stored.enhancement
    if enhancement.result is None:
        raise ConfigurationError(f"enhancement {enhancement.id} failed: there is no answer to compare with")
    template = _version(pool, enhancement, version) if version else stored.template
    prompt = render(template, enhancement.variables)
    answer = None
    if not dry_run:
        # A model belongs to a provider: without another one, the stored answer's. Named, nobody else may answer.
        chosen = load_provider(pool, provider or enhancement.provider_name)
        wanted = model or (chosen.default_model if provider else enhancement.model)
        answer = gateway.ask(_question(enhancement, template, chosen.id, wanted))
    return Replay(
        stored=stored,
        template=template,
        prompt=prompt,
        answer=answer,
        prompt_diff=_diff(_text(stored.prompt), _text(prompt), stored.template.version, template.version),
        answer_diff=""
        if answer is None or answer.document is None
        else _diff(
            _pretty(enhancement.result),
            _pretty(answer.document),
            f"{enhancement.provider_name} {enhancement.model}, prompt {enhancement.template_version}",
            f"{answer.provider_name} {answer.model}, prompt {answer.template_version}",
        ),
    )


def _version(pool: ConnectionPool, stored: Enhancement, version: str) -> PromptTemplate:
    return load_version(
        pool,
        stored.template_key,
        "zh-TW" if stored.template_locale == "zh-TW" else "en",
        stored.ab_group,
        version,
    )


def _question(stored: Enhancement, template: PromptTemplate, preferred: UUID, model: str | None) -> Ask:
    evidence = stored_evidence(stored.variables)
    titles = [
        str(item["title"])
        for item in stored.variables.get("current_recommendations") or ()
        if isinstance(item, Mapping) and item.get("title")
    ]
    return Ask(
        template=template,
        requested_key=stored.requested_key,
        variables=stored.variables,
        evidence=evidence,
        subject_type=stored.subject_type,
        subject_id=stored.subject_id,
        enhancement_type=REPLAY,
        check=answer_check(template, stored.variables, evidence, {"titles": titles} if titles else {}),
        severity=stored.severity,
        organization_id=stored.organization_id,
        preferred_provider_id=preferred,
        language="zh" if template.locale == "zh-TW" else "en",
        use_cache=False,
        model=model,
    )


def _text(prompt: RenderedPrompt) -> str:
    return f"{prompt.system}\n\n{prompt.prompt}"


def _pretty(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True)


def _diff(before: str, after: str, name: str, other: str) -> str:
    return "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), name, other, lineterm="", n=1))
