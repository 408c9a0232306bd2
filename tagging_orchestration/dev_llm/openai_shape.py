"""The endpoints by which Ollama can be asked in OpenAI's way; they also serve to try the client for OpenAI."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tagging_orchestration.dev_llm import endpoints, faults, wire
from tagging_orchestration.dev_llm.faults import Generation, Script
from tagging_orchestration.dev_llm.transport import SSE, Exchange, compact
from tagging_orchestration.dev_llm.wire import Refusal, full_name, text

if TYPE_CHECKING:
    from tagging_orchestration.dev_llm.server import DevLlm

ERROR_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


def error_body(refusal: Refusal) -> dict[str, Any]:
    """The error object of these endpoints."""
    kind = ERROR_TYPES.get(refusal.status, "api_error")
    return {"error": {"message": refusal.message, "type": kind, "param": None, "code": None}}


def chat_completions(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`POST /v1/chat/completions`."""
    fields = _as_ollama(wire.decode(exchange.body, "ChatRequest"))
    if not fields.get("messages"):
        raise Refusal(400, "[] is too short - 'messages'")
    model = endpoints.existing_model(server, fields, Refusal(400, text("model_required")))
    said = [(message.get("role", ""), message.get("content") or "") for message in fields["messages"]]
    system = "\n".join(content for role, content in said if role in ("system", "developer"))
    prompt = "\n".join(content for role, content in said if role not in ("system", "developer"))
    question = endpoints.ask(server, fields, model, system, prompt, "chat")
    generation = endpoints.run(server, exchange, script, fields, model, question)
    if fields.get("stream"):
        lines = [_event(generation, delta) for delta in generation.deltas()]
        if generation.done:
            lines += [_event(generation, "", generation.done_reason), b"data: [DONE]\n\n"]
        error = f"data: {compact(error_body(Refusal(500, text('mid_stream'))))}\n\n".encode()
        faults.send_stream(script, exchange, lines, error, SSE)
    else:
        faults.send_whole(script, exchange, compact(_completion(generation)).encode())


def _as_ollama(fields: dict[str, Any]) -> dict[str, Any]:
    """The request as Ollama's own chat takes it."""
    names = {"max_tokens": "num_predict", "max_completion_tokens": "num_predict"}
    names |= {name: name for name in ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")}
    options = {ours: fields[theirs] for theirs, ours in names.items() if theirs in fields}
    form = fields.get("response_format") or {}
    kind = form.get("type")
    wanted = "json" if kind == "json_object" else None
    if kind == "json_schema":
        wanted = form.get("json_schema", {}).get("schema")
    return {**fields, "options": options, "format": wanted, "stream": fields.get("stream", False), "think": False}


def _completion(generation: Generation) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": generation.text}}
    choice["finish_reason"] = generation.done_reason
    if generation.thinking:
        choice["message"]["reasoning"] = generation.thinking
    return {**_head(generation, "chat.completion"), "choices": [choice], **_usage(generation.metrics)}


def _event(generation: Generation, delta: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": delta}, "finish_reason": finish}
    return f"data: {compact({**_head(generation, 'chat.completion.chunk'), 'choices': [choice]})}\n\n".encode()


def _head(generation: Generation, kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": int(time.time()),
        "model": generation.model,
        "system_fingerprint": "fp_ollama",
    }


def _usage(metrics: Mapping[str, int]) -> dict[str, Any]:
    if "prompt_eval_count" not in metrics:
        return {}
    prompt, completion = metrics["prompt_eval_count"], metrics.get("eval_count", 0)
    return {
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    }


def embeddings(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`POST /v1/embeddings`."""
    fields = wire.decode(exchange.body, "EmbedRequest")
    given = fields.get("input", "")
    texts = [given] if isinstance(given, str) and given else given or []
    if not texts or not isinstance(texts, list) or not all(isinstance(item, str) for item in texts):
        raise Refusal(400, "invalid input")
    model = endpoints.existing_model(server, fields, Refusal(404, text("model_not_found", model="")))
    vectors, count = endpoints.embed_texts(model, texts, truncate=True, dimensions=fields.get("dimensions", 0))
    data = [{"object": "embedding", "embedding": vector, "index": index} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": count, "total_tokens": count}
    exchange.send_json(200, {"object": "list", "data": data, "model": fields["model"], "usage": usage})


def models(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`GET /v1/models`."""
    faults.refuse(script, exchange.path, {})
    created = int(server.started_at.timestamp())
    data = [
        {"id": full_name(model.name), "object": "model", "created": created, "owned_by": "library"}
        for model in server.models
    ]
    exchange.send_json(200, {"object": "list", "data": data})
