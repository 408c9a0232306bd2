"""Ollama, by its own Python package. What its server does is in docs/dev-llm.md.

`complete` makes exactly one request for a generation, so the calls a server saw are the calls a caller can log.
Answers are streamed, whatever their size: only so is it seen that a reply ended without its last object.
"""

from __future__ import annotations

import importlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tagging_orchestration.clients.llm import failures
from tagging_orchestration.clients.llm.guarded_http import GuardedCall
from tagging_orchestration.core.enhancement.models import (
    ErrorSubtype,
    LlmFailure,
    LlmReply,
    LlmRequest,
    Probe,
)

DEFAULT_URL = "http://127.0.0.1:11434"
# One size a model: another one makes the server load the model again.
DEFAULT_CONTEXT = 8192
DEFAULT_KEEP_ALIVE = "10m"
SEED = 42
PROBE_SECONDS = 2.0
DIGEST_SECONDS = 60.0


class OllamaClient:
    """`LlmClient` for an Ollama server. `api_key` is sent only where one is given: the environment's
    OLLAMA_API_KEY belongs to another host."""

    def __init__(self, base_url: str | None = None, api_key: str | None = None) -> None:
        self._url = _with_scheme(base_url or DEFAULT_URL)
        self._where = f"Ollama at {failures.without_credentials(self._url)}"
        self._key = api_key
        self._authorization = f"Bearer {api_key}" if api_key else None
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._digests: dict[str, tuple[str | None, float]] = {}
        self._context_lengths: dict[str, int] = {}
        self._without_think: set[str] = set()
        self._closed = threading.Event()
        # Imported before the first call, whose deadline counts.
        self._http = importlib.import_module("httpx")
        self._package = importlib.import_module("ollama")

    def close(self) -> None:
        """Refuse further calls; connections live no longer than calls do."""
        self._closed.set()

    # ----------------------------------------------------------------------------------------------- complete

    def complete(self, request: LlmRequest, cancel: threading.Event | None = None) -> LlmReply:
        """The model's reply. Raises LlmFailure and nothing else.

        Where a server refuses the word `think`, the failure may be retried: the next request does not say it.
        """
        if self._closed.is_set():
            raise LlmFailure(f"{self._where}: the client is closed", subtype=ErrorSubtype.CANCELLED, sent=False)
        with GuardedCall(request.timeout_seconds, cancel) as call:
            says_think = request.model not in self._without_think
            try:
                parts = self._parts(request, call, says_think)
            except Exception as error:
                failure = self._failure(error, request, call)
                if failure.http_status == 400 and says_think and "think" in str(getattr(error, "error", "")):
                    self._without_think.add(request.model)
                    failure.may_retry = True
            else:
                return self._reply(parts, request, call, cancel)
        # Raised here, it does not carry the package's error with it, which may hold what the server was sent.
        raise failure

    def _parts(self, request: LlmRequest, call: GuardedCall, says_think: bool) -> _Parts:
        options, keep_alive = _options(request)
        with self._client(call) as client:
            stream = client.chat(
                model=request.model,
                messages=[
                    *([{"role": "system", "content": request.system}] if request.system else []),
                    {"role": "user", "content": request.prompt},
                ],
                stream=True,
                think=False if says_think else None,
                format=dict(request.schema) if request.schema else None,
                options=options,
                keep_alive=keep_alive,
            )
            parts = _Parts()
            for part in stream:
                parts.add(part)
                if part.done:
                    break
            stream.close()
        return parts

    def _reply(
        self, parts: _Parts, request: LlmRequest, call: GuardedCall, cancel: threading.Event | None
    ) -> LlmReply:
        last = parts.last
        if last is None or not last.done:
            raise failures.stopped(call, self._where) or LlmFailure(
                f"{self._where}: the reply ended without its last part (as after a loop of equal words)",
                subtype=ErrorSubtype.INCOMPLETE,
                http_status=call.status,
            )
        spent = {"tokens_prompt": last.prompt_eval_count, "tokens_completion": last.eval_count}
        context = int(_options(request)[0]["num_ctx"])
        known = self._context_lengths.get(_full_name(request.model), context)
        if last.prompt_eval_count is not None and last.prompt_eval_count >= min(context, known) - 1:
            raise LlmFailure(
                f"{self._where}: the prompt filled the whole context ({min(context, known)} tokens), so part of "
                "it was not read: raise num_ctx in ollama_specific, or send less",
                subtype=ErrorSubtype.TRUNCATED,
                http_status=call.status,
                **spent,
            )
        if not parts.text.strip():
            why = "all of it was thinking" if parts.thinking else "it is empty"
            raise LlmFailure(
                f"{self._where}: the reply holds no text ({why}, done_reason {_word(last.done_reason)})",
                subtype=ErrorSubtype.INCOMPLETE,
                http_status=call.status,
                **spent,
            )
        return LlmReply(
            text=parts.text,
            finish="length" if last.done_reason == "length" else "stop",
            model=request.model,
            model_digest=self._digest(request.model, min(PROBE_SECONDS, call.seconds_left), cancel),
            load_ms=None if last.load_duration is None else last.load_duration // 1_000_000,
            **spent,
        )

    # -------------------------------------------------------------------------------------------------- probe

    def probe(self, model: str) -> Probe:
        """Version, models, the model's abilities, what is loaded: nothing is generated and nothing raised."""
        started = time.monotonic()
        with GuardedCall(2 * PROBE_SECONDS) as call:
            try:
                version = self._version(call)
            except Exception as error:
                return Probe("unhealthy", str(self._failure(error, None, call)))
            elapsed = round((time.monotonic() - started) * 1000)
            try:
                with self._client(call) as client:
                    digests = {_full_name(one.model or ""): one.digest for one in client.list().models}
                    self._remember_digests(digests)
                    known = Probe(
                        "healthy",
                        response_time_ms=elapsed,
                        models=tuple(digests),
                        model_digest=digests.get(_full_name(model)),
                        server_version=version,
                    )
                    return self._probe_model(client, model, known)
            except Exception as error:
                return Probe(
                    "degraded",
                    str(self._failure(error, None, call)),
                    response_time_ms=elapsed,
                    server_version=version,
                )

    def _probe_model(self, client: Any, model: str, known: Probe) -> Probe:

        name = _full_name(model)
        missing = f"{self._where} has no model {model}: `ollama pull {model}` gets it"
        if name not in known.models:
            return replace(known, status="degraded", detail=missing)
        try:
            shown = client.show(model)
        except self._package.ResponseError as error:
            if error.status_code == 404:
                return replace(known, status="degraded", detail=missing)
            raise
        lengths = [value for key, value in (shown.modelinfo or {}).items() if key.endswith(".context_length")]
        if lengths and isinstance(lengths[0], int):
            self._context_lengths[name] = lengths[0]
        # Older servers do not say what a model can do.
        if shown.capabilities and "completion" not in shown.capabilities:
            return replace(known, status="degraded", detail=f"the model {model} at {self._where} writes no texts")
        loaded = {_full_name(one.model or "") for one in client.ps().models}
        return replace(known, cold=name not in loaded)

    def _version(self, call: GuardedCall) -> str:
        """The package has no method for it."""

        with self._http.Client(
            transport=call.transport(self._http, authorization=self._authorization),
            timeout=self._http.Timeout(PROBE_SECONDS),
            trust_env=False,
        ) as client:
            answer = client.get(f"{self._url.rstrip('/')}/api/version")
        if answer.status_code != 200:
            raise failures.by_status(answer.status_code, call, self._where, "")
        return str(answer.json()["version"])

    def _digest(self, model: str, seconds: float, cancel: threading.Event | None) -> str | None:
        """Which bytes go by the model's name, asked at most once a minute; None where the server does not say."""
        name = _full_name(model)
        if not self._asking.acquire(timeout=seconds):
            return None
        try:
            digest, asked_at = self._digests.get(name, (None, -DIGEST_SECONDS))
            if time.monotonic() - asked_at < DIGEST_SECONDS:
                return digest
            self._remember_digests({name: None})
            with GuardedCall(seconds, cancel) as call, self._client(call) as client:
                self._remember_digests({_full_name(one.model or ""): one.digest for one in client.list().models})
        except Exception:
            return None
        finally:
            self._asking.release()
        return self._digests[name][0]

    def _remember_digests(self, digests: Mapping[str, str | None]) -> None:
        now = time.monotonic()
        with self._lock:
            self._digests |= {name: (digest, now) for name, digest in digests.items()}

    # ------------------------------------------------------------------------------------------------- common

    def _client(self, call: GuardedCall) -> Any:

        return self._package.Client(
            self._url,
            transport=call.transport(self._http, authorization=self._authorization),
            timeout=call.timeout(self._http),
            follow_redirects=False,
            trust_env=False,
        )

    def _failure(self, error: Exception, request: LlmRequest | None, call: GuardedCall) -> LlmFailure:
        """The failure behind whatever the package raised."""

        if isinstance(error, LlmFailure):
            return error
        if failure := failures.stopped(call, self._where):
            return failure
        if isinstance(error, self._http.ConnectTimeout | self._http.ConnectError | ConnectionError):
            return failures.unreachable(self._where)
        if isinstance(error, self._http.TimeoutException):
            return failures.timed_out(call, self._where)
        status = getattr(error, "status_code", -1)
        if isinstance(error, self._package.ResponseError) and status != -1:
            secrets = (self._key or "", *((request.system, request.prompt) if request else ()))
            model = request.model if request else ""
            said = failures.excerpt(getattr(error, "error", ""), secrets)
            return failures.by_status(status, call, self._where, model, said)
        if isinstance(error, self._http.InvalidURL | self._http.UnsupportedProtocol) or (
            isinstance(error, ValueError | TypeError) and not call.sent
        ):
            return LlmFailure(
                f"{self._where}: the request cannot be made: look at base_url and the model's name",
                subtype=ErrorSubtype.BAD_REQUEST,
                sent=False,
            )
        if isinstance(error, self._http.TransportError):
            return failures.lost(call, self._where)
        return self._failed_under_way(error, call)

    def _failed_under_way(self, error: Exception, call: GuardedCall) -> LlmFailure:
        """The failure behind an answer that came with status 200, or with an error that is no object."""

        if call.status is not None and call.status >= 300:
            return failures.by_status(call.status, call, self._where, "")
        if isinstance(error, self._package.ResponseError):
            return LlmFailure(
                f"{self._where}: the server failed while it was answering",
                subtype=ErrorSubtype.SERVER_ERROR,
                http_status=call.status,
            )
        if isinstance(error, json.JSONDecodeError) and "json" in call.content_type:
            return failures.lost(call, self._where)
        return failures.no_reply_of_its_kind(call, self._where, "Ollama")


class _Parts:
    """What a stream brought so far."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.thinking = False
        self.last: Any = None

    def add(self, part: Any) -> None:
        """Take one object of the stream."""
        self.last = part
        if part.message is not None:
            self._texts.append(part.message.content or "")
            self.thinking = self.thinking or bool(part.message.thinking)

    @property
    def text(self) -> str:
        """The answer without what was thought."""
        return "".join(self._texts)


def _options(request: LlmRequest) -> tuple[dict[str, Any], Any]:
    """The options of the model, and how long it stays loaded."""
    own = dict(request.options)
    keep_alive = own.pop("keep_alive", DEFAULT_KEEP_ALIVE)
    stated = {"num_ctx": DEFAULT_CONTEXT, "seed": SEED, **own}
    return {**stated, "num_predict": request.max_tokens, "temperature": request.temperature}, keep_alive


def _full_name(model: str) -> str:
    return model if ":" in model.rsplit("/", 1)[-1] else f"{model}:latest"


def _word(value: object) -> str:
    """A server's word, where it is one."""
    return value if isinstance(value, str) and value.isalpha() and len(value) < 20 else "unknown"


def _with_scheme(url: str) -> str:
    """`host` and `host:port`, which Ollama's own variable allows, as URLs."""
    if "://" in url:
        return url
    return f"http://{url}" if ":" in url else f"http://{url}:11434"
