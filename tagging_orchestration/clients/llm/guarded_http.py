"""One HTTP call that ends when it must: at its deadline, when it is cancelled, or when the answer grows too large.

A timeout of an HTTP library counts from byte to byte, so a server that sends one byte a second holds a caller for
hours, and nothing can be cancelled before the first byte. Here a watching thread shuts the connection's socket
down, which ends whatever the caller's thread waits for.
"""

from __future__ import annotations

import importlib
import socket
import threading
import time
from contextlib import suppress
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import ssl

CONNECT_SECONDS = 2.0
LOOK_SECONDS = 0.02
MAX_REPLY_BYTES = 8 * 1024 * 1024

StoppedBy = Literal["deadline", "cancelled", "too_large", "encoded"]


class CallStopped(Exception):
    """The call was ended from this side; `GuardedCall.stopped_by` says why."""


class GuardedCall:
    """A context in which one call is made, over a connection of its own; the deadline counts from entering it.

    What happened can be read at any time: `stopped_by`, `sent` (a request left), `answered` (headers came), the
    answer's `status` and `content_type`.
    """

    def __init__(
        self, seconds: float, cancel: threading.Event | None = None, *, max_bytes: int = MAX_REPLY_BYTES
    ) -> None:
        self.seconds = max(seconds, 0.001)
        self.stopped_by: StoppedBy | None = None
        self.sent = False
        self.answered = False
        self.status: int | None = None
        self.content_type = ""
        self._cancel = cancel
        self._max_bytes = max_bytes
        self._end = float("inf")
        self._done = threading.Event()
        self._connection: Any = None

    def __enter__(self) -> GuardedCall:
        self._end = time.monotonic() + self.seconds
        self._look()
        threading.Thread(target=self._watch, name="llm-call", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    @property
    def seconds_left(self) -> float:
        """Until the deadline; never negative."""
        return max(0.0, self._end - time.monotonic())

    def timeout(self, library: ModuleType) -> Any:
        """The HTTP library's own timeouts: a short one to connect, the deadline's for each byte."""
        return library.Timeout(self.seconds, connect=min(CONNECT_SECONDS, self.seconds))

    def transport(self, library: ModuleType, *, authorization: str | None = None, proxy: str | None = None) -> Any:
        """A transport for a client of the HTTP library (`httpx`, or one with its interface) that obeys this call.

        With `authorization` "keep", the client's own header is sent; None sends none, whatever the environment
        made the client add.
        """
        inner = library.HTTPTransport(
            verify=_certificates(),
            trust_env=False,
            limits=library.Limits(max_keepalive_connections=0),
            proxy=proxy,
        )
        return _transport_class(library)(self, inner, authorization)

    # ------------------------------------------------------------------------------------------- watching

    def _look(self) -> bool:
        """Whether the call must end, for which reason."""
        if self.stopped_by is None:
            if self._cancel is not None and self._cancel.is_set():
                self.stopped_by = "cancelled"
            elif not self.seconds_left:
                self.stopped_by = "deadline"
        return self.stopped_by is not None

    def _watch(self) -> None:
        while not self._done.wait(LOOK_SECONDS if self._cancel or self.stopped_by else self.seconds_left):
            if self._look():
                self._shut_down()

    def _shut_down(self) -> None:
        """End the connection under the thread that waits for it. TLS is not asked: its object is in use there."""
        stream = self._connection
        connection = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(connection, socket.socket):
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """What the HTTP library tells of its steps."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._connection = info["return_value"]
        elif event.endswith("send_request_headers.started"):
            self.sent = True

    def prepare(self, request: Any, authorization: str | None) -> None:
        """Make a request one of this call. Raises CallStopped."""
        if self._look():
            raise CallStopped
        request.extensions["trace"] = self._trace
        # A few compressed bytes may unpack to any size.
        request.headers["Accept-Encoding"] = "identity"
        if authorization != "keep":
            request.headers.pop("Authorization", None)
            if authorization is not None:
                request.headers["Authorization"] = authorization

    def received(self, response: Any) -> None:
        """Note an answer's head. Raises CallStopped for a compressed one."""
        self.answered = True
        self.status = response.status_code
        self.content_type = response.headers.get("Content-Type", "")
        if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            self.stopped_by = "encoded"
            raise CallStopped

    def count(self, size: int) -> None:
        """Note bytes of the answer. Raises CallStopped when they are too many."""
        self._max_bytes -= size
        if self._max_bytes < 0:
            self.stopped_by = "too_large"
        if self._look():
            raise CallStopped


def http_library(sdk: ModuleType) -> ModuleType:
    """The HTTP library that an SDK is built on: httpx or its successor, told by its client's class."""
    for base in sdk.DefaultHttpxClient.__mro__:
        root = base.__module__.partition(".")[0]
        if root.startswith("httpx"):
            return importlib.import_module(root)
    raise ImportError(f"{sdk.__name__} is built on an HTTP library this project does not know")


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """The authorities that are trusted; reading them takes longer than a local call."""
    import httpx

    return httpx.create_ssl_context()


@lru_cache
def _transport_class(library: ModuleType) -> Any:
    class CountedStream(library.SyncByteStream):
        def __init__(self, call: GuardedCall, inner: Any) -> None:
            self._call = call
            self._inner = inner

        def __iter__(self) -> Any:
            for chunk in self._inner:
                self._call.count(len(chunk))
                yield chunk

        def close(self) -> None:
            self._inner.close()

    class GuardedTransport(library.BaseTransport):
        def __init__(self, call: GuardedCall, inner: Any, authorization: str | None) -> None:
            self._call = call
            self._inner = inner
            self._authorization = authorization

        def handle_request(self, request: Any) -> Any:
            self._call.prepare(request, self._authorization)
            response = self._inner.handle_request(request)
            try:
                self._call.received(response)
            except CallStopped:
                response.close()
                raise
            response.stream = CountedStream(self._call, response.stream)
            return response

        def close(self) -> None:
            self._inner.close()

    return GuardedTransport
