"""What the Ollama client does beside the wire contract: what it sends, what it keeps to itself, how it ends."""

from __future__ import annotations

import json
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tagging_orchestration.clients.llm.ollama import OllamaClient
from tagging_orchestration.core.enhancement.models import ErrorSubtype, ErrorType, Probe
from tagging_orchestration.dev_llm.faults import Fault
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.dev_llm.wire import DevModel
from tests.clients.llm.conftest import SCHEMA, a_request, failure_of

SECRET = "the-customers-own-words-0912-345-678"


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """A server that answers each connection with these bytes and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += connection.recv(65536)
                    length = (
                        int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]) if b"POST" in head else 0
                    )
                    body = len(head.split(b"\r\n\r\n", 1)[1])
                    while body < length:
                        body += len(connection.recv(65536))
                    connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def http_reply(status: str, body: bytes, content_type: str = "application/json") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )


# -------------------------------------------------------------------------------------------------- what is sent


def test_the_request_holds_what_was_asked_for_and_nothing_of_the_environment(server, monkeypatch):
    monkeypatch.setenv("OLLAMA_API_KEY", "belongs-to-another-host")
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    OllamaClient(server.base_url).complete(a_request(options={"num_ctx": 4096, "top_p": 0.9, "mirostat": 2}))
    (call,) = server.calls
    assert call.body == {
        "model": "phi4-mini",
        "messages": [
            {"role": "system", "content": "You analyse a shop."},
            {"role": "user", "content": a_request().prompt},
        ],
        "stream": True,
        "think": False,
        "format": SCHEMA,
        "options": {
            "num_ctx": 4096,
            "seed": 42,
            "top_p": 0.9,
            "mirostat": 2,
            "num_predict": 300,
            "temperature": 0.0,
        },
        "keep_alive": "10m",
        "tools": [],
    }
    names = {name.lower() for request in server.requests for name in request.headers}
    assert "authorization" not in names


def test_a_key_is_sent_where_one_is_given(server, monkeypatch):
    monkeypatch.setenv("OLLAMA_API_KEY", "belongs-to-another-host")
    OllamaClient(server.base_url, api_key="ours").complete(a_request())
    assert {request.headers.get("Authorization") for request in server.requests} == {"Bearer ours"}


def test_without_schema_and_system_neither_is_sent(server, client):
    client.complete(a_request(schema=None, system=""))
    assert "format" not in server.calls[0].body
    assert [message["role"] for message in server.calls[0].body["messages"]] == ["user"]


def test_one_context_size_for_all_calls_of_a_model(server, client):
    for length in (1, 500):
        client.complete(a_request(prompt="word " * length))
    assert len({call.body["options"]["num_ctx"] for call in server.calls}) == 1


def test_the_digest_is_asked_for_once_a_minute(server, client):
    digests = {client.complete(a_request()).model_digest for _ in range(5)}
    assert digests == {server.find_model("phi4-mini").digest}
    assert [request.path for request in server.requests].count("/api/tags") == 1


def test_a_server_that_lists_no_models_still_answers(server, client):
    server.script(Fault.HTML_BAD_GATEWAY, path="/api/tags")
    assert [client.complete(a_request()).model_digest for _ in range(2)] == [None, None]
    assert [request.path for request in server.requests].count("/api/tags") == 1, "nor asked again at once"


def test_the_server_may_be_named_without_scheme(server):
    assert OllamaClient(server.base_url.removeprefix("http://")).complete(a_request()).text


def test_chinese_comes_back_as_it_was_written(server, client):
    server.answer("營收下降，原因是庫存不足。")
    assert client.complete(a_request(system="你是分析師。")).text == "營收下降，原因是庫存不足。"


# --------------------------------------------------------------------------------------------- how it is stopped


def test_cancelling_before_the_first_byte_closes_the_connection(server, client):
    server.script(Fault.HANG)
    cancel = threading.Event()
    failures = []
    thread = threading.Thread(
        target=lambda: failures.append(
            failure_of(lambda: client.complete(a_request(timeout_seconds=60.0), cancel))
        )
    )
    thread.start()
    server.wait_for_calls(1)
    cancel.set()
    thread.join(10)
    server.wait_for_disconnects(1)
    (failure,) = failures
    assert (failure.subtype, failure.may_retry) == (ErrorSubtype.CANCELLED, False)


def test_cancelling_in_the_middle_of_a_stream(server, client):
    server.script(Fault.SLOW_DRIP, delay=0.01)
    cancel = threading.Event()
    timer = threading.Timer(0.1, cancel.set)
    timer.start()
    failure = failure_of(lambda: client.complete(a_request(timeout_seconds=60.0), cancel))
    assert failure.subtype is ErrorSubtype.CANCELLED
    server.wait_for_disconnects(1)


def test_a_cancelled_call_is_not_made(server, client):
    cancel = threading.Event()
    cancel.set()
    assert failure_of(lambda: client.complete(a_request(), cancel)).subtype is ErrorSubtype.CANCELLED
    assert server.requests == []


def test_a_closed_client_makes_no_calls(server, client):
    client.close()
    assert failure_of(lambda: client.complete(a_request())).subtype is ErrorSubtype.CANCELLED
    assert server.requests == []


def test_no_threads_are_left_behind(server, client):
    for _ in range(5):
        client.complete(a_request())
    for thread in threading.enumerate():
        if thread.name == "llm-call":
            thread.join(5)
    assert "llm-call" not in [thread.name for thread in threading.enumerate()]


# ------------------------------------------------------------------------------------------ replies of all kinds


@pytest.mark.parametrize(
    ("reply", "subtype", "may_retry"),
    [
        (b"", ErrorSubtype.UNAVAILABLE, True),
        (b"no http at all\r\n\r\n", ErrorSubtype.UNAVAILABLE, True),
        (http_reply("200 OK", b""), ErrorSubtype.INCOMPLETE, False),
        (http_reply("200 OK", b"<html>log in</html>", "text/html"), ErrorSubtype.UNSUPPORTED, False),
        (http_reply("200 OK", b'"a text"\n'), ErrorSubtype.UNSUPPORTED, False),
        (http_reply("200 OK", b"[]\n"), ErrorSubtype.UNSUPPORTED, False),
        (http_reply("200 OK", b"null\n"), ErrorSubtype.UNSUPPORTED, False),
        (http_reply("200 OK", b'{"done": true}\n'), ErrorSubtype.UNSUPPORTED, False),
        (http_reply("200 OK", b'{"message": 5, "done": true}\n'), ErrorSubtype.UNSUPPORTED, False),
        (
            http_reply("200 OK", b'{"message": {"role": "assistant"}, "done": true}\n'),
            ErrorSubtype.INCOMPLETE,
            False,
        ),
        (http_reply("200 OK", b'{"error": {"code": 5}}\n'), ErrorSubtype.UNSUPPORTED, False),
        (http_reply("200 OK", b'{"error": "7"}\n'), ErrorSubtype.UNSUPPORTED, False),
        (http_reply("200 OK", b"\xff\xfe{\n"), ErrorSubtype.INCOMPLETE, False),
        (http_reply("204 No Content", b""), ErrorSubtype.INCOMPLETE, False),
        (http_reply("301 Moved", b""), ErrorSubtype.UNSUPPORTED, False),
        (http_reply("400 Bad", b'"text"'), ErrorSubtype.BAD_REQUEST, False),
        (http_reply("401 No", b'{"error": "unauthorized"}'), ErrorSubtype.BAD_REQUEST, False),
        (http_reply("404 No", b"[1]"), ErrorSubtype.MODEL_NOT_FOUND, False),
        (http_reply("500 No", b"7"), ErrorSubtype.SERVER_ERROR, False),
        (http_reply("503 No", b"busy", "text/plain"), ErrorSubtype.BUSY, True),
        (http_reply("504 No", b"", "text/html"), ErrorSubtype.UNAVAILABLE, True),
    ],
)
def test_whatever_comes_back_becomes_a_typed_failure(reply, subtype, may_retry):
    with answering(reply) as url:
        failure = failure_of(lambda: OllamaClient(url).complete(a_request()))
    assert (failure.subtype, failure.may_retry) == (subtype, may_retry)


def test_a_compressed_reply_is_refused_unread():
    reply = http_reply("200 OK", b"\x1f\x8b...").replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1)
    with answering(reply) as url:
        failure = failure_of(lambda: OllamaClient(url).complete(a_request()))
    assert failure.subtype is ErrorSubtype.UNSUPPORTED
    assert "compressed" in str(failure)


def test_text_in_the_last_part_is_read_too():
    lines = [
        {"message": {"role": "assistant", "content": "A"}, "done": False},
        {"message": {"role": "assistant", "content": "B"}, "done": True, "done_reason": "stop"},
    ]
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with answering(http_reply("200 OK", body)) as url:
        assert OllamaClient(url).complete(a_request()).text == "AB"


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_model_name(server, client, name):
    failure = failure_of(lambda: client.complete(a_request(model=name)))
    assert failure.subtype is ErrorSubtype.BAD_REQUEST


@pytest.mark.parametrize(
    "url", ["http://[::1", "ftp://127.0.0.1:1", "http://127.0.0.1:99999", "http://", "nonsense:x"]
)
def test_addresses_that_are_none(url):
    failure = failure_of(lambda: OllamaClient(url).complete(a_request()))
    assert failure.subtype in (ErrorSubtype.BAD_REQUEST, ErrorSubtype.UNAVAILABLE)
    assert OllamaClient(url).probe("phi4-mini").status == "unhealthy"


# --------------------------------------------------------------------------------------- what it keeps to itself


def test_failures_repeat_neither_prompt_nor_key(server):
    client = OllamaClient(server.base_url.replace("//", "//user:pass@"), api_key="sk-very-secret-key")
    for said in (f"cannot read: {SECRET}", "wrong key sk-very-secret-key", f"echo {SECRET[3:24]}"):
        server.reset()
        server.script(refusal=(400, said))
        failure = failure_of(lambda: client.complete(a_request(prompt=f"Why? {SECRET}")))
        told = "".join(traceback.format_exception(failure, chain=True)) + repr(vars(failure))
        for secret in (SECRET, SECRET[3:24], "sk-very", "user:pass"):
            assert secret not in told
        assert failure.__context__ is None


def test_a_servers_own_words_are_told(server, client):
    server.script(refusal=(500, "out of\nmemory\x1b[31m"))
    assert "out of memory" in str(failure_of(lambda: client.complete(a_request())))


def test_nothing_of_a_prompt_is_logged(server, client, caplog):
    with caplog.at_level(logging.DEBUG):
        client.complete(a_request(prompt=SECRET, system=f"system {SECRET}"))
        server.script(Fault.RUNNER_DIED)
        failure_of(lambda: client.complete(a_request(prompt=SECRET)))
    assert caplog.records
    assert SECRET not in caplog.text


# -------------------------------------------------------------------------------------------------------- probes


def test_a_probe_tells_version_models_and_digest_and_generates_nothing(server, client):
    probe = client.probe("phi4-mini")
    assert (probe.status, probe.server_version, probe.cold) == ("healthy", "0.12.0", True)
    assert "phi4-mini:latest" in probe.models
    assert probe.model_digest == server.find_model("phi4-mini").digest
    assert probe.response_time_ms is not None
    assert server.calls == []
    client.complete(a_request())
    assert client.probe("phi4-mini").cold is False


@pytest.mark.parametrize(
    ("model", "word"), [("nope", "ollama pull nope"), ("all-minilm", "writes no texts"), ("phi4-mini:3b", "pull")]
)
def test_a_probe_of_a_model_that_cannot_answer(client, model, word):
    probe = client.probe(model)
    assert probe.status == "degraded"
    assert word in probe.detail


@pytest.mark.parametrize(
    ("path", "fault", "status"),
    [
        ("/api/version", Fault.HTML_BAD_GATEWAY, "unhealthy"),
        ("/api/version", Fault.TEXT_NOT_FOUND, "unhealthy"),
        ("/api/tags", Fault.RUNNER_DIED, "degraded"),
        ("/api/show", Fault.MODEL_NOT_FOUND, "degraded"),
        ("/api/ps", Fault.RUNNER_DIED, "degraded"),
    ],
)
def test_a_probe_never_raises(server, client, path, fault, status):
    server.script(fault, path=path)
    probe = client.probe("phi4-mini")
    assert isinstance(probe, Probe)
    assert probe.status == status
    assert probe.detail


def test_a_probe_learns_how_much_a_model_can_read():
    with DevLlm(models=[DevModel("small", context_length=1024)]) as server:
        client = OllamaClient(server.base_url)
        client.probe("small")
        failure = failure_of(lambda: client.complete(a_request(model="small", prompt="word " * 3000)))
    assert failure.subtype is ErrorSubtype.TRUNCATED


def test_what_a_401_means(server, client):
    server.script(refusal=(401, "unauthorized"))
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.type, failure.http_status) == (ErrorType.AUTH_ERROR, 401)
