"""A gateway without limits, cache and log: renders a prompt, hands it to a function, checks what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tagging_orchestration.core.enhancement.masking import mask_document
from tagging_orchestration.core.enhancement.models import (
    Answer,
    AnswerRejected,
    Ask,
    LlmFailure,
    Masker,
    RenderedPrompt,
)
from tagging_orchestration.core.enhancement.prompts import normalise_variables, render


class ScriptedGateway:
    """Answers by `model(prompt)`, which returns a reply's text or raises LlmFailure. Keeps what was asked."""

    def __init__(self, model: Callable[[RenderedPrompt], str], masker: Masker | None = None) -> None:
        self.model = model
        self.masker = masker
        self.asks: list[Ask] = []
        self.prompts: list[RenderedPrompt] = []

    def ask(self, ask: Ask) -> Answer:
        variables = normalise_variables(ask.variables)
        if self.masker is not None:
            variables = mask_document(variables, self.masker, ask.language)
        prompt = render(ask.template, variables)
        self.asks.append(ask)
        self.prompts.append(prompt)
        about = Answer(
            "error",
            template_key=ask.template.template_key,
            template_version=ask.template.version,
            provider_name="local",
            model="scripted",
            tokens_total=100,
        )
        try:
            parsed = ask.check(self.model(prompt), "stop")
        except AnswerRejected as error:
            return replace(about, error_subtype=error.subtype, error=str(error))
        except LlmFailure as error:
            return replace(about, error_type=error.type, error_subtype=error.subtype, error=str(error))
        return replace(
            about, status="success", document=parsed.document, confidence=parsed.confidence, flags=parsed.flags
        )

    def ask_many(self, asks: Sequence[Ask], progress: Callable[[int, int], None] | None = None) -> list[Answer]:
        return [self.ask(ask) for ask in asks]

    def close(self) -> None:
        pass
