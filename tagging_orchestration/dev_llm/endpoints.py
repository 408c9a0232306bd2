"""The endpoints of Ollama: what each answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tagging_orchestration.dev_llm import faults, replies, wire
from tagging_orchestration.dev_llm.faults import Generation, Script
from tagging_orchestration.dev_llm.transport import NDJSON, Exchange, compact
from tagging_orchestration.dev_llm.wire import DevModel, Refusal, full_name, text

if TYPE_CHECKING:
    from tagging_orchestration.dev_llm.server import DevLlm

SHORT_ANSWER = 32
"""Canned answers ignore limits above so many tokens: they are to be readable, whatever a prompt allows."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked, whatever the endpoint."""

    model: str
    system: str
    prompt: str
    form: Mapping[str, Any] | str | None
    max_tokens: int
    thinks: bool
    cold: bool
    prompt_tokens: int


def chat(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`POST /api/chat`."""
    fields = wire.decode(exchange.body, "ChatRequest")
    wire.check_logprobs(fields)
    model = existing_model(server, fields, missing=Refusal(400, text("model_required")))
    messages = fields.get("messages", [])
    if _loads_only(server, exchange, fields, model, asked=bool(messages), empty={"message": _message("")}):
        return
    said = [(message.get("role", ""), message.get("content") or "") for message in messages]
    system = "\n".join(content for role, content in said if role == "system")
    prompt = "\n".join(content for role, content in said if role != "system")
    _answer(server, exchange, script, fields, model, system, prompt, _chat_part)


def generate(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`POST /api/generate`."""
    fields = wire.decode(exchange.body, "GenerateRequest")
    wire.check_logprobs(fields)
    model = existing_model(server, fields, missing=Refusal(404, text("model_not_found", model="")))
    prompt = fields.get("prompt", "")
    if _loads_only(server, exchange, fields, model, asked=bool(prompt), empty={"response": ""}):
        return
    _answer(server, exchange, script, fields, model, fields.get("system", ""), prompt, _generate_part)


def existing_model(
    server: DevLlm, fields: Mapping[str, Any], missing: Refusal, not_found: str = "model_not_found"
) -> DevModel:
    """The model a request names. Raises Refusal as the endpoint words it."""
    name = fields.get("model", "")
    if not name:
        raise missing
    if not wire.is_model_name(name):
        raise Refusal(400, text("invalid_name"))
    if found := server.find_model(name):
        return found
    raise Refusal(404, text(not_found, model=name))


def _loads_only(
    server: DevLlm,
    exchange: Exchange,
    fields: Mapping[str, Any],
    model: DevModel,
    asked: bool,
    empty: dict[str, Any],
) -> bool:
    """Answer a request without a question, which loads or unloads the model."""
    kept = wire.keep_alive_seconds(fields.get("keep_alive"))
    if asked:
        return False
    reason = "unload" if fields.get("keep_alive") is not None and kept == 0 else "load"
    if reason == "load":
        wire.check_options(fields.get("options", {}))
    server.keep_loaded(model, kept)
    exchange.send_json(
        200,
        {"model": fields["model"], "created_at": wire.created_at(), **empty, "done": True, "done_reason": reason},
    )
    return True


PartOf = Callable[[Generation, str, str, bool, Mapping[str, Any]], dict[str, Any]]
"""(generation, content, thinking, is last, request) to one object of an answer."""


def _answer(
    server: DevLlm,
    exchange: Exchange,
    script: Script,
    fields: Mapping[str, Any],
    model: DevModel,
    system: str,
    prompt: str,
    part_of: PartOf,
) -> None:
    what = "chat" if part_of is _chat_part else "generate"
    question = ask(server, fields, model, system, prompt, what)
    generation = run(server, exchange, script, fields, model, question)
    if fields.get("stream", True):
        lines = _stream_lines(generation, fields, part_of)
        error = (compact({"error": text("mid_stream")}) + "\n").encode()
        faults.send_stream(script, exchange, lines, error, NDJSON)
    else:
        whole = part_of(generation, generation.text, generation.thinking, True, fields)
        faults.send_whole(script, exchange, compact(whole).encode())


def ask(
    server: DevLlm, fields: Mapping[str, Any], model: DevModel, system: str, prompt: str, what: str
) -> Question:
    """The question of a request that may be asked of this model. Raises Refusal."""
    if "completion" not in model.capabilities:
        raise Refusal(400, text("no_capability", quoted=wire.go_quote(fields["model"]), what=what))
    thinks = wire.check_think(fields, model)
    options = fields.get("options", {})
    wire.check_options(options)
    form = wire.check_format(fields.get("format"))
    context = int(options.get("num_ctx") or wire.facts()["default_context_length"])
    context = min(context, model.context_length)
    tokens = max(1, wire.token_count(system) + wire.token_count(prompt))
    if tokens > context and False in (fields.get("shift"), fields.get("truncate")):
        raise Refusal(400, text("prompt_too_long"))
    limit = options.get("num_predict")
    return Question(
        model=fields["model"],
        system=system,
        prompt=prompt,
        form=form,
        max_tokens=-1 if limit is None else int(limit),
        thinks=thinks,
        cold=not server.is_loaded(model),
        prompt_tokens=min(tokens, context - 1) if tokens >= context else tokens,
    )


def run(
    server: DevLlm,
    exchange: Exchange,
    script: Script,
    fields: Mapping[str, Any],
    model: DevModel,
    question: Question,
) -> Generation:
    """What the model says, after the time it takes. Raises Refusal, ClientGone, ServerStopped."""
    faults.refuse(script, exchange.path, fields)
    started = time.monotonic_ns()
    with server.slot(exchange):
        server.wait_while_held(exchange)
        if script.fault is not faults.Fault.SLOW_DRIP:
            exchange.wait(script.delay)
        kept = wire.keep_alive_seconds(fields.get("keep_alive"))
        server.keep_loaded(model, kept)
        if script.text is None:
            words = replies.canned_answer(question.form, question.system, question.prompt)
        else:
            words = script.text if isinstance(script.text, str) else script.text(fields)
        generation = _measured(question, words, time.monotonic_ns() - started)
        return faults.change(script, generation, fields)


def _measured(question: Question, words: str, nanoseconds: int) -> Generation:
    reason = "stop"
    count = max(1, wire.token_count(words))
    if 0 <= question.max_tokens <= SHORT_ANSWER and count > question.max_tokens:
        words, count, reason = words[: question.max_tokens * 2], question.max_tokens, "length"
    metrics = {
        "total_duration": nanoseconds,
        "load_duration": nanoseconds // 2 if question.cold else 0,
        "prompt_eval_count": question.prompt_tokens,
        "prompt_eval_duration": nanoseconds // 8,
        "eval_count": count,
        "eval_duration": nanoseconds // 4,
    }
    return Generation(
        model=question.model,
        text=words,
        thinking=replies.canned_thinking(question.system, question.prompt) if question.thinks else "",
        done_reason=reason,
        metrics={name: value for name, value in metrics.items() if value},
    )


def _stream_lines(generation: Generation, fields: Mapping[str, Any], part_of: PartOf) -> list[bytes]:
    parts = [part_of(generation, "", generation.thinking, False, fields)] if generation.thinking else []
    parts += [part_of(generation, delta, "", False, fields) for delta in generation.deltas()]
    if generation.done:
        parts.append(part_of(generation, "", "", True, fields))
    return [(compact(part) + "\n").encode() for part in parts]


def _chat_part(
    generation: Generation, content: str, thinking: str, last: bool, fields: Mapping[str, Any]
) -> dict[str, Any]:
    return {**_head(generation), "message": _message(content, thinking), **_tail(generation, last)}


def _generate_part(
    generation: Generation, content: str, thinking: str, last: bool, fields: Mapping[str, Any]
) -> dict[str, Any]:
    part = {**_head(generation), "response": content}
    if thinking:
        part["thinking"] = thinking
    tail = _tail(generation, last)
    if tail["done"] and not fields.get("raw"):
        # Real ones are the tokens of the conversation; clients only hand them back.
        tail["context"] = list(range(1, 9))
    return {**part, **tail}


def _message(content: str, thinking: str = "") -> dict[str, Any]:
    return {"role": "assistant", "content": content, **({"thinking": thinking} if thinking else {})}


def _head(generation: Generation) -> dict[str, Any]:
    return {"model": generation.model, "created_at": wire.created_at(nanoseconds=generation.nanoseconds)}


def _tail(generation: Generation, last: bool) -> dict[str, Any]:
    if not (last and generation.done):
        return {"done": False}
    reason = {"done_reason": generation.done_reason} if generation.done_reason else {}
    return {"done": True, **reason, **generation.metrics}


# --------------------------------------------------------------------------------------------------- embeddings


def embed(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`POST /api/embed`."""
    fields = wire.decode(exchange.body, "EmbedRequest")
    wire.keep_alive_seconds(fields.get("keep_alive"))
    model = _embedding_model(server, fields)
    given = fields.get("input", "")
    texts = [given] if isinstance(given, str) and given else given or []
    if not isinstance(texts, list) or not all(isinstance(item, str) for item in texts):
        raise Refusal(400, "invalid input type")
    faults.refuse(script, exchange.path, fields)
    exchange.wait(script.delay)
    vectors, count = embed_texts(model, texts, fields.get("truncate", True), fields.get("dimensions", 0))
    server.keep_loaded(model, wire.keep_alive_seconds(fields.get("keep_alive")))
    body: dict[str, Any] = {"model": fields["model"], "embeddings": vectors}
    if texts:
        body |= {"total_duration": 1_000_000, "prompt_eval_count": count}
    exchange.send_json(200, body)


def embeddings(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`POST /api/embeddings`, the older way for one text."""
    fields = wire.decode(exchange.body, "EmbeddingRequest")
    model = _embedding_model(server, fields)
    faults.refuse(script, exchange.path, fields)
    exchange.wait(script.delay)
    prompt = fields.get("prompt", "")
    vectors, _ = embed_texts(model, [prompt] if prompt else [], truncate=True, dimensions=0)
    exchange.send_json(200, {"embedding": vectors[0] if vectors else []})


def _embedding_model(server: DevLlm, fields: Mapping[str, Any]) -> DevModel:
    missing = Refusal(404, text("model_not_found", model=""))
    model = existing_model(server, fields, missing, not_found="model_not_found_embed")
    wire.check_options(fields.get("options", {}))
    return model


def embed_texts(
    model: DevModel, texts: list[str], truncate: bool, dimensions: int
) -> tuple[list[list[float]], int]:
    """One vector of length 1 a text, in order, and the tokens of all. Raises Refusal for a text too long."""
    counts = [wire.token_count(item) for item in texts]
    if not truncate and any(count > model.context_length for count in counts):
        raise Refusal(400, text("input_too_long"))
    length = model.embedding_length or 384
    return [replies.canned_vector(item, length, dimensions) for item in texts], sum(counts)


# ------------------------------------------------------------------------------------------------------- looks


def root(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`GET /`."""
    exchange.send(200, text("running").encode())


def version(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`GET /api/version`."""
    faults.refuse(script, exchange.path, {})
    exchange.wait(script.delay)
    exchange.send_json(200, {"version": wire.facts()["version"]})


def tags(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`GET /api/tags`."""
    faults.refuse(script, exchange.path, {})
    exchange.wait(script.delay)
    modified = wire.created_at(server.started_at)
    listed = [
        {
            "name": full_name(model.name),
            "model": full_name(model.name),
            "modified_at": modified,
            "size": model.size,
            "digest": model.digest,
            "details": model.details(),
            "capabilities": list(model.capabilities),
        }
        for model in server.models
    ]
    exchange.send_json(200, {"models": listed})


def ps(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`GET /api/ps`."""
    faults.refuse(script, exchange.path, {})
    now = datetime.now(UTC)
    loaded = sorted(server.loaded().items(), key=lambda item: -item[1])
    listed = []
    for model, seconds in loaded:
        left = timedelta(days=365 * 200) if math.isinf(seconds) else timedelta(seconds=seconds)
        listed.append(
            {
                "name": full_name(model.name),
                "model": full_name(model.name),
                "size": model.size,
                "digest": model.digest,
                "details": model.details(),
                "expires_at": wire.created_at(now + left),
                "size_vram": model.size,
                "context_length": wire.facts()["default_context_length"],
            }
        )
    exchange.send_json(200, {"models": listed})


def show(server: DevLlm, exchange: Exchange, script: Script) -> None:
    """`POST /api/show`."""
    fields = wire.decode(exchange.body, "ShowRequest")
    name = fields.get("model") or fields.get("name") or ""
    if not name:
        raise Refusal(400, text("model_required"))
    if not wire.is_model_name(name):
        raise Refusal(400, text("invalid_name"))
    faults.refuse(script, exchange.path, {"model": full_name(name)})
    exchange.wait(script.delay)
    model = server.find_model(name)
    if model is None:
        raise Refusal(404, text("model_not_found", model=full_name(name)))
    info: dict[str, Any] = {
        "general.architecture": model.family,
        "general.parameter_count": 1_235_814_432,
        f"{model.family}.context_length": model.context_length,
    }
    if model.embedding_length:
        info[f"{model.family}.embedding_length"] = model.embedding_length
    exchange.send_json(
        200,
        {
            "modelfile": f"FROM {full_name(name)}\n",
            "template": "{{ .Prompt }}",
            "details": model.details(),
            "model_info": info,
            "capabilities": list(model.capabilities),
            "modified_at": wire.created_at(server.started_at),
        },
    )
