"""Claude, by Anthropic's own SDK (extra `anthropic`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

from tagging_orchestration.clients.llm.guarded_http import GuardedCall
from tagging_orchestration.clients.llm.sdk import SdkClient
from tagging_orchestration.core.enhancement.models import ErrorSubtype, LlmReply, LlmRequest

_TOOL = "answer"
_FINISHED = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "stop", "max_tokens": "length"}


class AnthropicClient(SdkClient):
    """`LlmClient` for Anthropic's messages. An answer's form is forced by a tool that must be used: its input
    is the answer."""

    package = "anthropic"
    kind = "Anthropic"
    default_url = "https://api.anthropic.com"

    def _make(self, sdk: ModuleType, http: Any, timeout: Any) -> Any:
        return sdk.Anthropic(
            api_key=self._key, base_url=self._url, max_retries=0, timeout=timeout, http_client=http
        )

    def _create(self, client: Any) -> Callable[..., Any]:
        return client.messages.create

    def _reply(self, made: Any, request: LlmRequest, call: GuardedCall) -> LlmReply:
        prompt, written = (made.usage.input_tokens, made.usage.output_tokens) if made.usage else (None, None)
        if made.stop_reason == "refusal":
            raise self._rejected(
                call, "the provider declined to answer", ErrorSubtype.CONTENT_FILTERED, prompt, written
            )
        if made.stop_reason == "model_context_window_exceeded":
            raise self._rejected(
                call,
                "prompt and answer exceed the model's context",
                ErrorSubtype.TRUNCATED,
                prompt,
                written,
            )
        finish = _FINISHED.get(made.stop_reason)
        text = _text(made.content)
        if finish == "length" and not text.strip():
            # A tool's input that was cut is no JSON, so nothing of it comes.
            raise self._rejected(call, "the answer was cut at max_tokens", ErrorSubtype.TRUNCATED, prompt, written)
        if finish is None or not text.strip():
            raise self._rejected(call, "the reply holds no text", ErrorSubtype.INCOMPLETE, prompt, written)
        return LlmReply(
            text=text,
            finish="length" if finish == "length" else "stop",
            model=made.model or request.model,
            tokens_prompt=prompt,
            tokens_completion=written,
        )

    def _arguments(self, request: LlmRequest) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": "user", "content": request.prompt}],
            "max_tokens": request.max_tokens,
            # Versions of the SDK differ in whether they know it, and other providers allow up to 2.
            "extra_body": {name: min(value, 1.0) for name, value in self._temperature(request).items()},
        }
        if request.system:
            arguments["system"] = request.system
        if stop := request.options.get("stop_sequences"):
            arguments["stop_sequences"] = list(stop)
        if request.schema is not None:
            tool = {"name": _TOOL, "description": "Give the answer.", "input_schema": dict(request.schema)}
            arguments |= {"tools": [tool], "tool_choice": {"type": "tool", "name": _TOOL}}
        return arguments

    def _find_model(self, models: Any, model: str) -> None:
        models.retrieve(model)


def _text(content: Any) -> str:
    """The tool's input as JSON, else the texts."""
    for block in content:
        if block.type == "tool_use" and block.name == _TOOL and block.input:
            return json.dumps(block.input, ensure_ascii=False)
    return "".join(block.text for block in content if block.type == "text")
