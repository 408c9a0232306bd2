"""OpenAI, and servers that speak its protocol, by OpenAI's own SDK (extra `openai`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from tagging_orchestration.clients.llm.guarded_http import GuardedCall
from tagging_orchestration.clients.llm.sdk import SdkClient
from tagging_orchestration.core.enhancement.models import ErrorSubtype, LlmFailure, LlmReply, LlmRequest

_FILTERED = ("content_filter", "content_policy_violation")
_OWN_OPTIONS = ("top_p", "presence_penalty", "frequency_penalty")


class OpenAiClient(SdkClient):
    """`LlmClient` for OpenAI's chat completions."""

    package = "openai"
    kind = "OpenAI"
    default_url = "https://api.openai.com/v1"

    def _make(self, sdk: ModuleType, http: Any, timeout: Any) -> Any:
        return sdk.OpenAI(api_key=self._key, base_url=self._url, max_retries=0, timeout=timeout, http_client=http)

    def _create(self, client: Any) -> Callable[..., Any]:
        return client.chat.completions.create

    def _reply(self, made: Any, request: LlmRequest, call: GuardedCall) -> LlmReply:
        usage = made.usage
        prompt, written = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
        choice = made.choices[0]
        if choice.finish_reason == "content_filter" or getattr(choice.message, "refusal", None):
            raise self._rejected(
                call, "the provider declined to answer", ErrorSubtype.CONTENT_FILTERED, prompt, written
            )
        text = choice.message.content or ""
        if not isinstance(text, str) or not text.strip() or choice.finish_reason not in ("stop", "length"):
            raise self._rejected(call, "the reply holds no text", ErrorSubtype.INCOMPLETE, prompt, written)
        return LlmReply(
            text=text,
            finish=choice.finish_reason,
            model=made.model or request.model,
            tokens_prompt=prompt,
            tokens_completion=written,
        )

    def _arguments(self, request: LlmRequest) -> dict[str, Any]:
        # Newer models at OpenAI refuse the old name, other servers do not know the new one.
        limit = "max_completion_tokens" if self._url == self.default_url else "max_tokens"
        arguments: dict[str, Any] = {
            "model": request.model,
            "messages": [
                *([{"role": "system", "content": request.system}] if request.system else []),
                {"role": "user", "content": request.prompt},
            ],
            limit: request.max_tokens,
            **self._temperature(request),
            "stream": False,
            **{name: request.options[name] for name in _OWN_OPTIONS if request.options.get(name) is not None},
        }
        stated = request.options.get("response_format")
        if request.schema is not None:
            # A schema asks for more than the forms people can state, `text` and `json_object`.
            form = {"name": "answer", "schema": dict(request.schema), "strict": is_strict(request.schema)}
            arguments["response_format"] = {"type": "json_schema", "json_schema": form}
        elif stated and stated.get("type") in ("text", "json_object"):
            arguments["response_format"] = stated
        return arguments

    def _find_model(self, models: Any, model: str) -> None:
        names = {one.id for one in models.list()}
        if not names & {model, f"{model}:latest"}:
            raise LlmFailure(f"{self._where} has no model {model}", subtype=ErrorSubtype.MODEL_NOT_FOUND)

    def _look_closer(self, error: Any, failure: LlmFailure) -> None:
        code = getattr(error, "code", None)
        if code == "insufficient_quota":
            failure.may_retry = False
        elif error.status_code == 400 and code in _FILTERED:
            failure.subtype = ErrorSubtype.CONTENT_FILTERED


def is_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes the schema: every object is closed and requires all it has.

    Source: https://platform.openai.com/docs/guides/structured-outputs
    """
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    if any(word in schema for word in ("oneOf", "allOf", "not", "if", "patternProperties", "uniqueItems")):
        return False
    if "properties" in schema:
        named = schema["properties"]
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(named):
            return False
        return all(map(is_strict, named.values()))
    return schema.get("type") != "object" and all(
        is_strict(part) for part in (schema.get("items"), schema.get("anyOf"))
    )
