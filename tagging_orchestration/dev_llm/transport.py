"""One HTTP request and its answer, byte by byte: what is sent when, and whether the client is still there."""

from __future__ import annotations

import ipaddress
import json
import select
import socket
import struct
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
TEXT = "text/plain"
SSE = "text/event-stream"
LOOKS_A_SECOND = 20
MAX_BODY_BYTES = 64 * 1024 * 1024


class ClientGone(Exception):
    """The client closed the connection before it had its answer."""


class ServerStopped(Exception):
    """The server is stopping: whatever waits ends."""


class Exchange:
    """One request and the way back. Not shared between threads."""

    def __init__(self, handler: BaseHTTPRequestHandler, stopping: threading.Event) -> None:
        self._handler = handler
        self._stopping = stopping
        self._chunked = False
        self.method = handler.command
        self.path = handler.path.partition("?")[0]
        self.headers = handler.headers
        self.answered = False
        self.body = self._read_body()

    def _read_body(self) -> bytes:
        source = self._handler.rfile
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = b""
            while size := int(source.readline().split(b";")[0] or b"0", 16):
                body += source.read(size)
                source.readline()
            source.readline()
            return body
        length = self.headers.get("Content-Length", "0")
        return source.read(min(int(length), MAX_BODY_BYTES)) if length.isdigit() else b""

    # ------------------------------------------------------------------------------------------ whole answers

    def send(
        self, status: int, body: bytes = b"", content_type: str = TEXT, headers: Mapping[str, str] | None = None
    ) -> None:
        """A whole answer with its length. HEAD gets the headers only."""
        self._start(status, content_type if body else None, {"Content-Length": str(len(body)), **(headers or {})})
        if self.method != "HEAD":
            self.write(body)

    def send_json(self, status: int, value: Any) -> None:
        """A whole JSON answer, written as Go writes it: no spaces, letters as they are."""
        self.send(status, compact(value).encode(), JSON)

    # ------------------------------------------------------------------------------------------------ streams

    def start_stream(self, content_type: str = NDJSON) -> None:
        """The headers of an answer in chunks."""
        self._chunked = True
        self._start(200, content_type, {"Transfer-Encoding": "chunked"})

    def chunk(self, data: bytes) -> None:
        """A piece of the stream, sent at once. Raises ClientGone."""
        self.raise_if_gone()
        self.write(b"%x\r\n%s\r\n" % (len(data), data))

    def end_stream(self) -> None:
        """The end of the stream as it should be."""
        self.write(b"0\r\n\r\n")

    def _start(self, status: int, content_type: str | None, headers: Mapping[str, str]) -> None:
        self.raise_if_gone()
        self.answered = True
        handler = self._handler
        handler.send_response_only(status)
        handler.send_header("Date", handler.date_time_string())
        if content_type:
            handler.send_header("Content-Type", content_type)
        for name, value in headers.items():
            handler.send_header(name, value)
        try:
            handler.end_headers()
        except OSError:
            raise ClientGone from None

    # -------------------------------------------------------------------------------------------------- bytes

    def write(self, data: bytes) -> None:
        """Bytes as they are. Raises ClientGone."""
        try:
            self._handler.wfile.write(data)
        except OSError:
            raise ClientGone from None

    def cut(self, *, reset: bool = False) -> None:
        """Close the connection without the end that was promised; `reset`: with RST instead of FIN."""
        self._handler.close_connection = True
        connection = self._handler.connection
        with suppress(OSError):
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
            else:
                connection.shutdown(socket.SHUT_RDWR)

    def is_gone(self) -> bool:
        """Whether the client closed its side."""
        return self._is_gone(0)

    def raise_if_gone(self) -> None:
        """Raises ClientGone."""
        if self.is_gone():
            raise ClientGone

    def wait(self, seconds: float) -> None:
        """Time passes. Raises ClientGone as soon as the client closes, ServerStopped when the server stops."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._stopping.is_set():
                raise ServerStopped
            if self._is_gone(min(left, 1 / LOOKS_A_SECOND)):
                raise ClientGone

    def _is_gone(self, seconds: float) -> bool:
        poll = select.poll()
        connection = self._handler.connection
        try:
            poll.register(connection, select.POLLIN | select.POLLHUP | select.POLLERR)
            events = poll.poll(seconds * 1000)
            if not events:
                return False
            if connection.recv(1, socket.MSG_PEEK) == b"":
                return True
        except (OSError, ValueError):
            return True
        # The client's next request waits already: nothing more can be seen, but time shall pass.
        time.sleep(seconds)
        return False


def compact(value: Any) -> str:
    """JSON as Go's encoder writes it."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return written


def is_local_host(host: str) -> bool:
    """Whether Ollama, listening on a loopback address, serves a request with this Host header."""
    name = host.strip()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    name = name.lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in ("", "localhost", socket.gethostname().lower()) or name.endswith(
            (".localhost", ".local", ".internal")
        )
    return address.is_loopback or address.is_private or address.is_unspecified
