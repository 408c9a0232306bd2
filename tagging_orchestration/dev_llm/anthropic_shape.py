"""No part of Ollama: `/v1/messages` in Anthropic's shape, so that the client for Anthropic can be tried here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tagging_orchestration.dev_llm import endpoints, faults, wire
from tagging_orchestration.dev_llm.faults import Script
from tagging_orchestration.dev_llm.transport import Exchange, compact
from tagging_orchestration.dev_llm.wire import Refusal, full_name, text

if TYPE_CHECKING:
    from tagging_orchestration.dev_llm.server import DevLlm

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error_body(refusal: Refusal) -> dict[str, Any]:
    """The error object of this endpoint."""
    kind = ERROR_TYPES.get(refusal.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": refusal.message}}


def messages(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`POST /v1/messages`."""
    if not (exchange.headers.get("X-Api-Key") or exchange.headers.get("Authorization")):
        raise Refusal(401, "x-api-key header is required")
    fields = _decoded(exchange.body)
    if not isinstance(fields.get("max_tokens"), int):
        raise Refusal(400, "max_tokens: Field required")
    model = endpoints.existing_model(server, fields, Refusal(400, "model: Field required"))
    tools = fields.get("tools") or []
    forced = (fields.get("tool_choice") or {}).get("type") == "tool"
    asked = {
        "model": fields["model"],
        "think": False,
        "options": {"num_predict": fields["max_tokens"]},
        "format": tools[0]["input_schema"] if tools and forced else None,
    }
    prompt = "\n".join(_words(message.get("content")) for message in fields.get("messages", []))
    question = endpoints.ask(server, asked, model, _words(fields.get("system")), prompt, "chat")
    generation = endpoints.run(server, exchange, script, {**fields, **asked}, model, question)
    content: list[dict[str, Any]] = [{"type": "text", "text": generation.text}]
    reason = {"length": "max_tokens", "stop": "end_turn"}.get(generation.done_reason or "", generation.done_reason)
    if asked["format"]:
        content = [
            {"type": "tool_use", "id": "toolu_1", "name": tools[0]["name"], "input": _input(generation.text)}
        ]
        reason = "tool_use" if reason == "end_turn" else reason
    counts = generation.metrics
    usage = {"input_tokens": counts.get("prompt_eval_count"), "output_tokens": counts.get("eval_count", 0)}
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": generation.model,
        "content": content if generation.text else [],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage if counts else None,
    }
    faults.send_whole(script, exchange, compact(body).encode())


def model(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`GET /v1/models/<id>`."""
    faults.refuse(script, exchange.path, {})
    found = server.find_model(exchange.path.rsplit("/", 1)[-1])
    if found is None:
        raise Refusal(404, "model not found")
    moment = wire.created_at(server.started_at)
    exchange.send_json(
        200,
        {"type": "model", "id": full_name(found.name), "display_name": found.name, "created_at": moment},
    )


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise Refusal(400, text("missing_body") if not body else "invalid JSON")
    return fields


def _words(content: Any) -> str:
    """The text of a message, given as such or in blocks."""
    if isinstance(content, list):
        return "\n".join(block.get("text", "") for block in content if isinstance(block, dict))
    return content or ""


def _input(written: str) -> Any:
    """Anthropic parses a tool's input itself: what is no JSON becomes no input."""
    try:
        return json.loads(written)
    except ValueError:
        return {}
