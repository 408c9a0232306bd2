"""A project whose contents a language model may tag: small models, prompts and providers in the tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tagging_orchestration.ai.sync import sync_ai
from tagging_orchestration.core.enhancement.models import RenderedPrompt
from tagging_orchestration.core.models import Scope
from tagging_orchestration.settings import AiSettings, Settings, TagProposalSettings
from tagging_orchestration.wiring import Project
from tests.fakes.language import FakeLanguageTools


class LetterEmbedder:
    """Vectors of pairs of letters: texts that share words are near."""

    fingerprint = "letters/256"

    def model_for(self, text: str) -> str:
        return "letters"

    def dimension(self, model: str) -> int:
        return 256

    def encode(self, model: str, texts: Sequence[str], progress: object = None) -> np.ndarray:
        rows = np.full((len(texts), 256), 1e-3, np.float32)
        for row, text in zip(rows, texts, strict=True):
            for first, second in zip(text.lower(), text.lower()[1:], strict=False):
                row[(31 * ord(first) + ord(second)) % 256] += 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_phrases(self, model: str, phrases: Sequence[str]) -> np.ndarray | None:
        return None


class EmailMasker:
    """Masks addresses only; the real masker takes seconds to load and has tests of its own."""

    fingerprint = "e-mail"

    def mask(self, text: str, language: str | None = None) -> str:
        return re.sub(r"[\w.]+@[\w.]+\w", "<EMAIL_1>", text)


def tagging_project(settings: Settings, *, synchronised: bool = True, **tags: Any) -> Project:
    """A project under these settings with `ai.tags` as given."""
    ai = AiSettings(enabled=True, tags=TagProposalSettings(**{"enabled": True, **tags}))
    project = Project(settings.model_copy(update={"ai": ai}))
    project.__dict__["embedder"] = LetterEmbedder()
    project.__dict__["masker"] = EmailMasker()
    project.__dict__["language"] = FakeLanguageTools()
    if synchronised:
        sync_ai(project.pool, project.settings)
    return project


def tag_pending(project: Project) -> None:
    """One whole run of the base tagger."""
    scope, context = Scope(), project.context("test")
    project.engine.embed(scope)
    project.engine.generate(scope)
    project.engine.admit(scope, context)
    project.engine.embed_tags(project.settings.organization_id)
    project.engine.publish(scope, context)


def contents_of(prompt: RenderedPrompt) -> list[dict[str, Any]]:
    """The contents as the model reads them, from the one fenced block of the prompt."""
    fenced = re.search(r"^```[^\n]+\n(\[.*?\n\])\n```", prompt.prompt, re.DOTALL | re.MULTILINE)
    assert fenced, prompt.prompt
    return json.loads(fenced[1])


def tag(
    name: str, quote: str, *, confidence: float = 0.9, is_new: bool = True, reason: str = "It is of that."
) -> dict[str, Any]:
    """One tag of an answer."""
    return {"name": name, "is_new": is_new, "confidence": confidence, "reason": reason, "quote": quote}


def answer(entries: Iterable[tuple[int, list[dict[str, Any]]]]) -> str:
    """A reply in the form asked for."""
    return json.dumps(
        {"contents": [{"number": number, "tags": tags} for number, tags in entries]}, ensure_ascii=False
    )


def librarian(names: Callable[[str], list[dict[str, Any]]]) -> Callable[[RenderedPrompt], str]:
    """A model that tags each content by a function of its text."""
    return lambda prompt: answer((content["number"], names(content["text"])) for content in contents_of(prompt))
