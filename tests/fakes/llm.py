"""A language model that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tagging_orchestration.core.enhancement.choice import ProviderRow
from tagging_orchestration.core.enhancement.models import (
    AnswerRejected,
    ErrorSubtype,
    LlmFailure,
    LlmReply,
    LlmRequest,
    ParsedAnswer,
    Probe,
)

Script = Callable[[LlmRequest], LlmReply | LlmFailure]


def reply(text: str = '{"confidence": 0.9}', prompt: int | None = 20, completion: int | None = 10) -> LlmReply:
    """A reply with its tokens."""
    return LlmReply(text, "stop", "fake", prompt, completion, model_digest="sha256:fake")


def unavailable(sent: bool = True) -> LlmFailure:
    """A server that does not answer."""
    return LlmFailure("no answer", subtype=ErrorSubtype.UNAVAILABLE, may_retry=True, sent=sent)


def server_error() -> LlmFailure:
    """A server that failed, for which another try is of no use."""
    return LlmFailure("it failed", subtype=ErrorSubtype.SERVER_ERROR, http_status=500)


class FakeLlms:
    """Clients of all providers: `scripts` by provider name; a provider without one answers at once.

    `hold()` makes calls wait until `release()`; `calls` are (provider, request) in the order they came.
    """

    def __init__(self, **scripts: Script) -> None:
        self.scripts: dict[str, Script] = dict(scripts)
        self.calls: list[tuple[str, LlmRequest]] = []
        self.probes: dict[str, Probe] = {}
        self.running = 0
        self.most_running = 0
        self.closed = 0
        self._changed = threading.Condition()
        self._open = threading.Event()
        self._open.set()

    def __call__(self, provider: ProviderRow) -> _Client:
        return _Client(self, provider)

    def providers(self) -> list[str]:
        """Who was called, in order."""
        return [name for name, _ in self.calls]

    def hold(self) -> None:
        """Keep calls waiting from now on."""
        self._open.clear()

    def release(self) -> None:
        """Let them go on."""
        self._open.set()

    def wait_for_calls(self, count: int) -> None:
        """Until so many calls came."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, 10), f"{len(self.calls)} calls came"

    def complete(self, provider: ProviderRow, request: LlmRequest, cancel: threading.Event | None) -> LlmReply:
        with self._changed:
            self.calls.append((provider.name, request))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            self._changed.notify_all()
        try:
            while not self._open.wait(0.005):
                if cancel is not None and cancel.is_set():
                    raise LlmFailure("cancelled", subtype=ErrorSubtype.CANCELLED)
            said = self.scripts.get(provider.name, lambda _: reply())(request)
            if isinstance(said, LlmFailure):
                raise said
            return said
        finally:
            with self._changed:
                self.running -= 1


class _Client:
    def __init__(self, fakes: FakeLlms, provider: ProviderRow) -> None:
        self._fakes = fakes
        self._provider = provider

    def complete(self, request: LlmRequest, cancel: threading.Event | None = None) -> LlmReply:
        return self._fakes.complete(self._provider, request, cancel)

    def probe(self, model: str) -> Probe:
        return self._fakes.probes.get(self._provider.name, Probe("healthy", models=(model,)))

    def close(self) -> None:
        self._fakes.closed += 1


class PlainMasker:
    """Hides the name 王小明 and nothing else."""

    fingerprint = "plain-1"

    def mask(self, text: str, language: str | None = None) -> str:
        return text.replace("王小明", "<PERSON_1>")


def check_json(text: str, finish: str) -> ParsedAnswer:
    """JSON with a confidence; anything else is rejected."""
    try:
        document: Mapping[str, Any] = json.loads(text)
    except ValueError as error:
        raise AnswerRejected("no JSON", ErrorSubtype.INVALID_JSON, ["this is no JSON"]) from error
    if "confidence" not in document:
        raise AnswerRejected("no confidence", ErrorSubtype.SCHEMA_MISMATCH, ["confidence is missing"])
    return ParsedAnswer(document, "exact", float(document["confidence"]))
