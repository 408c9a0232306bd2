"""A local server that speaks Ollama's protocol and answers with canned texts: for tests, and for trying the flow
of AI enhancement without a model."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from tagging_orchestration.dev_llm import anthropic_shape, endpoints, faults, openai_shape, wire
from tagging_orchestration.dev_llm.faults import Fault, Script
from tagging_orchestration.dev_llm.transport import ClientGone, Exchange, ServerStopped, is_local_host
from tagging_orchestration.dev_llm.wire import DevModel, Refusal, full_name, text

LOG = logging.getLogger("tagging.dev_llm")

Endpoint = Callable[["DevLlm", Exchange, Script], None]
GENERATING: Mapping[str, Endpoint] = {
    "/api/chat": endpoints.chat,
    "/api/generate": endpoints.generate,
    "/v1/chat/completions": openai_shape.chat_completions,
    "/v1/messages": anthropic_shape.messages,
}
POSTS: Mapping[str, Endpoint] = {
    **GENERATING,
    "/api/embed": endpoints.embed,
    "/api/embeddings": endpoints.embeddings,
    "/api/show": endpoints.show,
    "/v1/embeddings": openai_shape.embeddings,
}
LOOKS: Mapping[str, Endpoint] = {
    "/": endpoints.root,
    "/api/version": endpoints.version,
    "/api/tags": endpoints.tags,
    "/api/ps": endpoints.ps,
    "/v1/models": openai_shape.models,
}
HEADS = ("/", "/api/version", "/api/tags")


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it came. `body` is the parsed JSON, or the text where it is none; None without a body.
    `number` counts the requests for a generation from 1; others have 0."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    number: int


@dataclass(slots=True)
class _Rule:
    script: Script
    paths: tuple[str, ...]
    request: int | None
    model: str | None
    left: int | None


class DevLlm:
    """The server. A context manager; `port=0` takes any free port.

    `models` are names or `DevModel`s; `parallel` is how many generations run at once (None: any number),
    `max_queue` how many more may wait before 503. `requests`, `calls`, `max_in_flight` and `disconnects` may be
    read at any time.
    """

    def __init__(
        self,
        port: int = 0,
        models: Sequence[str | DevModel] | None = None,
        *,
        parallel: int | None = None,
        max_queue: int = 512,
        log: Callable[[RecordedRequest], None] | None = None,
    ) -> None:
        given = wire.default_models() if models is None else models
        self.models = tuple(model if isinstance(model, DevModel) else DevModel(model) for model in given)
        self.started_at = datetime.now(UTC)
        self._port = port
        self._max_queue = max_queue
        self._parallel = parallel
        self._slots = threading.Semaphore(parallel) if parallel else None
        self._log = log
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._held = threading.Event()
        self._http: _Http | None = None
        self._rules: list[_Rule] = []
        self._loaded: dict[DevModel, float] = {}
        self._forget()

    def _forget(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.calls: list[RecordedRequest] = []
        self.in_flight = 0
        self.max_in_flight = 0
        self.waiting = 0
        self.disconnects = 0
        self.answers: Counter[int] = Counter()

    # --------------------------------------------------------------------------------------------- life

    def __enter__(self) -> DevLlm:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def base_url(self) -> str:
        """For a client's `base_url`."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen. Raises OSError for a port that is taken."""
        self._stopping.clear()
        self._listen()

    def _listen(self) -> None:
        if self._http is None:
            self._http = _Http(("127.0.0.1", self._port), self)
            self._port = self._http.server_port
            threading.Thread(
                target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, name="dev-llm", daemon=True
            ).start()

    def _refuse_connections(self) -> None:
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http.close_connections()
            self._http = None

    def stop(self) -> None:
        """Close all connections; whatever waits ends."""
        self._stopping.set()
        self._held.clear()
        with self._changed:
            self._changed.notify_all()
        self._refuse_connections()

    def reset(self) -> None:
        """Forget all scripts, records and loaded models, and listen again where connections were refused."""
        with self._changed:
            self._rules.clear()
            self._loaded.clear()
            in_flight = self.in_flight
            self._forget()
            self.in_flight = in_flight
        self._held.clear()
        self._listen()

    # ------------------------------------------------------------------------------------------- scripts

    def script(
        self,
        fault: Fault = Fault.HAPPY,
        *,
        request: int | None = None,
        model: str | None = None,
        times: int | None = None,
        path: str | None = None,
        **details: Any,
    ) -> None:
        """From now on behave so: for the request for a generation with this number (counted from 1 since the last
        reset), for this model, for so many requests, or, with none of these, for all.

        `details` are the fields of `Script`. Of several scripts that fit, the one stated first acts. Without
        `path` it acts on the endpoints that generate; `path="*"` means all.
        """
        script = Script(fault, **details)
        if fault is Fault.CONNECTION_REFUSED:
            if request or model or times or path:
                raise ValueError(
                    "connections are refused before there is a request, a model or a path to tell apart"
                )
            self._refuse_connections()
            return
        paths = tuple(GENERATING) if path is None else (path,)
        with self._changed:
            self._rules.append(_Rule(script, paths, request, full_name(model) if model else None, times))

    def answer(self, text: str | Callable[[Mapping[str, Any]], str], **where: Any) -> None:
        """From now on answer with this text, or with what it makes of the request. `where` as in `script`."""
        self.script(Fault.HAPPY, text=text, **where)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Within, generations that arrive wait; then all go on."""
        self._held.set()
        try:
            yield
        finally:
            self._held.clear()
            with self._changed:
                self._changed.notify_all()

    def wait_for_calls(self, count: int, seconds: float = 10.0) -> None:
        """Until so many requests for a generation have come. Raises TimeoutError."""
        self._wait_until(lambda: len(self.calls) >= count, seconds, f"{count} calls")

    def wait_for_disconnects(self, count: int, seconds: float = 10.0) -> None:
        """Until so many clients have gone before their answer. Raises TimeoutError."""
        self._wait_until(lambda: self.disconnects >= count, seconds, f"{count} disconnects")

    def _wait_until(self, happened: Callable[[], bool], seconds: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(happened, seconds):
                raise TimeoutError(f"{what} did not happen in {seconds} s")

    # ------------------------------------------------------------------------------- for the endpoints

    def find_model(self, name: str) -> DevModel | None:
        """The model of a name, with or without `:latest`."""
        return next((model for model in self.models if full_name(model.name) == full_name(name)), None)

    def keep_loaded(self, model: DevModel, seconds: float) -> None:
        """The model is loaded for so long from now."""
        with self._changed:
            self._loaded[model] = time.monotonic() + seconds

    def loaded(self) -> dict[DevModel, float]:
        """Loaded models and the seconds they stay."""
        now = time.monotonic()
        with self._changed:
            return {model: end - now for model, end in self._loaded.items() if end > now}

    def is_loaded(self, model: DevModel) -> bool:
        """Whether the model answers without being loaded first."""
        return model in self.loaded()

    @contextmanager
    def slot(self, exchange: Exchange) -> Iterator[None]:
        """One of the generations that may run at once. Raises Refusal(503) where too many wait."""
        if self._slots is None:
            yield
            return
        with self._changed:
            if self.waiting >= self._max_queue and self.in_flight > (self._parallel or 0):
                raise Refusal(503, text("busy"))
            self.waiting += 1
        try:
            while not self._slots.acquire(timeout=0.02):
                exchange.wait(0.001)
        finally:
            with self._changed:
                self.waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    def wait_while_held(self, exchange: Exchange) -> None:
        """Wait as long as `hold` says. Raises ClientGone, ServerStopped."""
        while self._held.is_set():
            exchange.wait(0.005)

    # ----------------------------------------------------------------------------------------- requests

    def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        generating = exchange.method == "POST" and exchange.path in GENERATING
        record = self._record(exchange, generating)
        if self._log:
            self._log(record)
        try:
            self._answer(exchange, record)
        except Refusal as refusal:
            if not exchange.answered:
                with suppress(ClientGone):
                    exchange.send_json(refusal.status, _error_body(exchange.path, refusal))
        except ClientGone:
            with self._changed:
                self.disconnects += 1
                self._changed.notify_all()
            exchange.cut()
        except ServerStopped:
            exchange.cut()
        except Exception:
            LOG.exception("the canned server failed on %s %s", exchange.method, exchange.path)
            if not exchange.answered:
                exchange.send_json(500, {"error": "the canned server failed, see its log"})
        finally:
            if generating:
                with self._changed:
                    self.in_flight -= 1

    def _record(self, exchange: Exchange, generating: bool) -> RecordedRequest:
        body: Any = None
        if exchange.body:
            body = exchange.body.decode("utf-8", errors="replace")
            with suppress(ValueError):
                body = json.loads(body)
        with self._changed:
            number = len(self.calls) + 1 if generating else 0
            record = RecordedRequest(exchange.method, exchange.path, dict(exchange.headers.items()), body, number)
            self.requests.append(record)
            if generating:
                self.calls.append(record)
                self.in_flight += 1
                self.max_in_flight = max(self.max_in_flight, self.in_flight)
            self._changed.notify_all()
        return record

    def _answer(self, exchange: Exchange, record: RecordedRequest) -> None:
        if not is_local_host(exchange.headers.get("Host", "")):
            exchange.send(403)
            return
        script = self._script_for(record)
        if faults.at_door(script, exchange):
            return
        endpoint, allowed = _route(exchange)
        if endpoint is None and not allowed:
            exchange.send(404, text("not_found").encode())
        elif endpoint is None:
            exchange.send(405, text("method_not_allowed").encode(), headers={"Allow": ", ".join(allowed)})
        else:
            endpoint(self, exchange, script)

    def _script_for(self, record: RecordedRequest) -> Script:
        model = record.body.get("model") if isinstance(record.body, dict) else None
        name = full_name(model) if isinstance(model, str) and model else None
        with self._changed:
            for rule in self._rules:
                if (
                    (rule.paths == ("*",) or record.path in rule.paths)
                    and rule.request in (None, record.number)
                    and rule.model in (None, name)
                    and rule.left != 0
                ):
                    if rule.left is not None:
                        rule.left -= 1
                    return rule.script
        return Script()


def _route(exchange: Exchange) -> tuple[Endpoint | None, list[str]]:
    """The endpoint, and the methods the path has where it is asked with another one."""
    path = exchange.path
    if exchange.method == "POST" and path in POSTS:
        return POSTS[path], []
    looks = LOOKS.get(path)
    if looks is None and path.startswith("/v1/models/"):
        looks = anthropic_shape.model
    if looks and (exchange.method == "GET" or (exchange.method == "HEAD" and path in HEADS)):
        return looks, []
    return None, [*(["POST"] if path in POSTS else []), *(["GET"] if looks else [])]


def _error_body(path: str, refusal: Refusal) -> dict[str, Any]:
    if path == "/v1/messages":
        return anthropic_shape.error_body(refusal)
    if path.startswith("/v1/"):
        return openai_shape.error_body(refusal)
    return {"error": refusal.message}


class _Http(ThreadingHTTPServer):
    """Threads, because what is served here mostly waits."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], server: DevLlm) -> None:
        self.dev_llm = server
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def opened(self, connection: socket.socket) -> None:
        """Remember a connection, to close it with the server."""
        with self._lock:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._connections.discard(connection)

    def close_connections(self) -> None:
        """Close what clients keep open."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that vanish are no news."""
        LOG.debug("connection of %s ended", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def _http(self) -> _Http:
        return cast("_Http", self.server)

    def setup(self) -> None:
        super().setup()
        self._http.opened(self.connection)

    def finish(self) -> None:
        self._http.closed(self.connection)
        with suppress(OSError):
            super().finish()

    def _serve(self) -> None:
        server = self._http.dev_llm
        server.serve(Exchange(self, server._stopping))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are recorded; `tagging dev-llm --log` shows them."""
