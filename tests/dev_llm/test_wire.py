"""The canned server refuses what Ollama refuses and ignores what it ignores: asked by plain HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from tagging_orchestration.dev_llm import wire
from tagging_orchestration.dev_llm.faults import Fault
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.dev_llm.wire import FOREVER, Refusal, created_at, facts, keep_alive_seconds


@pytest.fixture(scope="module")
def running() -> Iterator[DevLlm]:
    with DevLlm() as server:
        yield server


@pytest.fixture
def server(running: DevLlm) -> DevLlm:
    running.reset()
    return running


@pytest.fixture
def http(server: DevLlm) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base_url, trust_env=False) as client:
        yield client


MESSAGES = [{"role": "user", "content": "hello"}]


def post(http: httpx.Client, path: str, **body: object) -> tuple[int, dict]:
    said = http.post(path, json=body)
    return said.status_code, said.json()


def test_the_facts_say_where_they_come_from():
    assert facts()["source"] == "read", "until a recording of a real server replaces them"


# ---------------------------------------------------------------------------------------------- the ways of HTTP


def test_the_root_says_that_it_runs(http):
    assert http.get("/").text == "Ollama is running"
    assert http.head("/").status_code == 200
    assert http.head("/api/version").content == b""
    assert http.head("/api/tags").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/chat"), ("POST", "/api/tags"), ("DELETE", "/api/show")]
)
def test_a_wrong_method_is_told_in_plain_text(http, method, path):
    said = http.request(method, path)
    assert (said.status_code, said.text) == (405, "405 method not allowed")
    assert said.headers["Content-Type"].startswith("text/plain")


def test_a_foreign_host_header_gets_an_empty_403(http):
    said = http.get("/api/tags", headers={"Host": "shop.example.com"})
    assert (said.status_code, said.content) == (403, b"")
    for local in ("localhost:11434", "127.0.0.1", "[::1]:11434", "printer.local", "192.168.1.4"):
        assert http.get("/api/tags", headers={"Host": local}).status_code == 200, local


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "missing request body"),
        (b" \n", "missing request body"),
        (b"xyz", "invalid character 'x' looking for beginning of value"),
        (b'{"model": nope}', "invalid character 'n' looking for beginning of value"),
        (b'{"model" "a"}', "invalid character '\"' after object key"),
        (b'{"model": "a" "b"}', "invalid character '\"' after object key:value pair"),
        (b'{"messages": [1 2]}', "invalid character '2' after array element"),
        (b"{model: 1}", "invalid character 'm' looking for beginning of object key string"),
        (b'{"model": "phi', "unexpected EOF"),
        (b"[1]", "json: cannot unmarshal array into Go value of type api.ChatRequest"),
        (
            b'{"model": 5}',
            "json: cannot unmarshal number into Go struct field ChatRequest.model of type string",
        ),
        (
            b'{"model": "phi4-mini", "messages": "hello"}',
            "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []api.Message",
        ),
        (
            b'{"model": "phi4-mini", "messages": ["hello"]}',
            "json: cannot unmarshal string into Go struct field ChatRequest.messages of type api.Message",
        ),
        (
            b'{"model": "phi4-mini", "stream": "no"}',
            "json: cannot unmarshal string into Go struct field ChatRequest.stream of type bool",
        ),
        (
            b'{"model": "phi4-mini", "shift": "no"}',
            "json: cannot unmarshal string into Go struct field ChatRequest.shift of type bool",
        ),
        (
            b'{"messages": [{"images": "y"}]}',
            "json: cannot unmarshal string into Go struct field ChatRequest.messages.images of type "
            "[]api.ImageData",
        ),
    ],
)
def test_bodies_that_are_refused(http, body, message):
    said = http.post("/api/chat", content=body)
    assert (said.status_code, said.json()) == (400, {"error": message})
    assert said.headers["Content-Type"] == "application/json; charset=utf-8"


def test_what_is_ignored(http):
    body = {"MODEL": "phi4-mini", "messages": MESSAGES, "stream": False, "max_tokens": 1, "no_such": {"a": 1}}
    said = http.post("/api/chat", content=json.dumps(body) + " trailing", headers={"Content-Type": "text/plain"})
    assert said.status_code == 200
    assert said.json()["done_reason"] == "stop", "max_tokens at the top level does nothing"


def test_a_body_in_chunks_is_read(http):
    body = json.dumps({"model": "phi4-mini", "messages": MESSAGES, "stream": False}).encode()
    assert http.post("/api/chat", content=iter([body[:10], body[10:]])).status_code == 200


def test_requests_follow_one_another_on_a_connection(server, http):
    for _ in range(3):
        assert http.post("/api/chat", json={"model": "phi4-mini", "messages": MESSAGES}).status_code == 200
    assert len(server.calls) == 3


# ------------------------------------------------------------------------------------------- names and abilities


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/chat", 400, "model is required"),
        ("/api/show", 400, "model is required"),
        ("/api/generate", 404, "model '' not found"),
        ("/api/embed", 404, "model '' not found"),
    ],
)
def test_a_missing_model(http, path, status, message):
    assert post(http, path) == (status, {"error": message})


@pytest.mark.parametrize("name", ["a b", "../etc", "x:", "model:tag:tag", "-"])
def test_a_bad_model_name(http, name):
    assert post(http, "/api/chat", model=name, messages=MESSAGES) == (400, {"error": "invalid model name"})


def test_an_embedding_model_does_not_chat(http):
    said = post(http, "/api/chat", model="all-minilm", messages=MESSAGES)
    assert said == (400, {"error": '"all-minilm" does not support chat'})
    said = post(http, "/api/generate", model="all-minilm", prompt="hello")
    assert said == (400, {"error": '"all-minilm" does not support generate'})


def test_show_takes_either_name_and_tells_abilities(http):
    status, shown = post(http, "/api/show", name="qwen3:4b")
    assert status == 200
    assert shown["capabilities"] == ["completion", "tools", "thinking"]
    assert shown["model_info"]["qwen3.context_length"] == 40960


@pytest.mark.parametrize("think", ["often", 3, {}])
def test_think_of_a_wrong_kind(http, think):
    status, said = post(http, "/api/chat", model="qwen3:4b", messages=MESSAGES, think=think)
    assert status == 400
    assert said["error"].startswith("think must be")


def test_top_logprobs_out_of_range(http):
    said = post(http, "/api/chat", model="phi4-mini", messages=MESSAGES, top_logprobs=21)
    assert said == (400, {"error": "top_logprobs must be between 0 and 20"})


@pytest.mark.parametrize("form", ["xml", 3, ["json"], True])
def test_a_format_that_is_neither_json_nor_a_schema(http, form):
    status, said = post(http, "/api/chat", model="phi4-mini", messages=MESSAGES, stream=False, format=form)
    assert status == 500
    written = json.dumps(form, separators=(",", ":"))
    assert said["error"] == f'invalid format: {json.dumps(written)}; expected "json" or a valid JSON Schema object'


@pytest.mark.parametrize("form", ["", None])
def test_no_format(http, form):
    status, _ = post(http, "/api/chat", model="phi4-mini", messages=MESSAGES, stream=False, format=form)
    assert status == 200


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("num_ctx", "4096", "integer"),
        ("temperature", "hot", "float32"),
        ("use_mmap", 1, "boolean"),
        ("stop", "---", "array"),
        ("seed", True, "integer"),
    ],
)
def test_options_of_wrong_types(http, option, value, wanted):
    status, said = post(http, "/api/chat", model="phi4-mini", messages=MESSAGES, options={option: value})
    assert (status, said["error"]) == (500, f'option "{option}" must be of type {wanted}')


# --------------------------------------------------------------------------------------- loading, staying, times


def test_a_chat_without_messages_loads_and_unloads(http):
    status, said = post(http, "/api/chat", model="phi4-mini", messages=[])
    assert (status, said["done"], said["done_reason"]) == (200, True, "load")
    assert said["message"] == {"role": "assistant", "content": ""}
    assert [model["name"] for model in http.get("/api/ps").json()["models"]] == ["phi4-mini:latest"]
    assert post(http, "/api/generate", model="phi4-mini", keep_alive=0)[1]["done_reason"] == "unload"
    assert http.get("/api/ps").json() == {"models": []}


def test_load_duration_is_absent_on_a_warm_path(http):
    body = {"model": "phi4-mini", "messages": MESSAGES, "stream": False}
    assert "load_duration" in post(http, "/api/chat", **body)[1]
    assert "load_duration" not in post(http, "/api/chat", **body)[1]


def test_the_longest_remaining_model_stands_first(http):
    post(http, "/api/generate", model="phi4-mini", keep_alive="1m")
    post(http, "/api/generate", model="llama3.2:1b", keep_alive=-1)
    assert [model["name"] for model in http.get("/api/ps").json()["models"]] == ["llama3.2:1b", "phi4-mini:latest"]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(None, 300), (0, 0), (90, 90), (-1, FOREVER), ("10m", 600), ("1h30m", 5400), ("1.5s", 1.5), ("-2m", FOREVER)],
)
def test_durations(given, seconds):
    assert keep_alive_seconds(given) == seconds


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("5 minutes", 'time: invalid duration "5 minutes"'),
        ("", 'time: invalid duration ""'),
        ("300", 'time: missing unit in duration "300"'),
        (["5m"], "Unsupported type: '[]interface {}'"),
    ],
)
def test_bad_durations(http, given, message):
    assert post(http, "/api/chat", model="phi4-mini", keep_alive=given) == (400, {"error": message})


def test_times_lose_trailing_zeros():
    moment = datetime(2026, 8, 21, 17, 24, 15, 120000, UTC)
    assert created_at(moment) == "2026-08-21T17:24:15.12Z"
    assert created_at(moment, nanoseconds=7) == "2026-08-21T17:24:15.120000007Z"
    assert created_at(moment.replace(microsecond=0)) == "2026-08-21T17:24:15Z"


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("phi4-mini", True),
        ("llama3.2:1b", True),
        ("hf.co/bartowski/x-GGUF:Q4_K_M", True),
        ("user/m", True),
        ("", False),
    ],
)
def test_model_names(name, valid):
    assert wire.is_model_name(name) is valid


# -------------------------------------------------------------------------------------------------- OpenAI's way


def test_errors_in_openai_shape(http):
    status, said = post(http, "/v1/chat/completions", model="nope", messages=MESSAGES)
    assert status == 404
    assert said["error"] == {
        "message": "model 'nope' not found",
        "type": "not_found_error",
        "param": None,
        "code": None,
    }
    status, said = post(http, "/v1/chat/completions", model="phi4-mini", messages=[])
    assert (status, said["error"]["type"]) == (400, "invalid_request_error")


def test_a_stream_in_openai_shape(http):
    said = http.post("/v1/chat/completions", json={"model": "phi4-mini", "messages": MESSAGES, "stream": True})
    events = [line.removeprefix("data: ") for line in said.text.splitlines() if line]
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["choices"][0]["finish_reason"] == "stop"
    assert said.headers["Content-Type"] == "text/event-stream"


def test_embeddings_and_models_in_openai_shape(http):
    _, said = post(http, "/v1/embeddings", model="all-minilm", input=["a", "b"])
    assert [item["index"] for item in said["data"]] == [0, 1]
    assert "phi4-mini:latest" in [model["id"] for model in http.get("/v1/models").json()["data"]]


def test_anthropics_endpoint_wants_a_key(http):
    status, said = post(http, "/v1/messages", model="phi4-mini", messages=MESSAGES, max_tokens=10)
    assert (status, said["error"]["type"]) == (401, "authentication_error")


# ------------------------------------------------------------------------------------------------------- scripts


def test_scripts_fit_a_request_a_model_or_a_count(server, http):
    server.script(Fault.BUSY, request=2)
    server.script(Fault.RATE_LIMITED, model="llama3.2:1b")
    server.script(Fault.RUNNER_DIED, times=1)
    ask = {"messages": MESSAGES, "stream": False}
    assert post(http, "/api/chat", model="phi4-mini", **ask)[0] == 500
    assert post(http, "/api/chat", model="phi4-mini", **ask)[0] == 503
    assert post(http, "/api/chat", model="llama3.2:1b", **ask)[0] == 429
    assert post(http, "/api/chat", model="phi4-mini", **ask)[0] == 200
    assert [call.number for call in server.calls] == [1, 2, 3, 4]


def test_scripts_of_other_paths(server, http):
    server.script(Fault.HTML_BAD_GATEWAY, path="/api/tags")
    assert http.get("/api/tags").status_code == 502
    assert http.get("/api/version").status_code == 200
    server.script(Fault.TEXT_NOT_FOUND, path="*")
    assert http.get("/api/version").text == "404 page not found"


def test_answers_of_ones_own(server, http):
    server.answer("first", times=1)
    server.answer(lambda fields: f"asked: {fields['messages'][0]['content']}")
    ask = {"model": "phi4-mini", "messages": MESSAGES, "stream": False}
    assert post(http, "/api/chat", **ask)[1]["message"]["content"] == "first"
    assert post(http, "/api/chat", **ask)[1]["message"]["content"] == "asked: hello"


def test_any_other_refusal(server, http):
    server.script(refusal=(418, "short and stout"))
    assert post(http, "/api/chat", model="phi4-mini", messages=MESSAGES) == (418, {"error": "short and stout"})


def test_a_refused_connection_cannot_depend_on_a_request(server):
    with pytest.raises(ValueError, match="before there is a request"):
        server.script(Fault.CONNECTION_REFUSED, times=1)


def test_a_taken_port_is_refused(server):
    with pytest.raises(OSError, match="in use"), DevLlm(server.port):
        pass


def test_stopping_ends_whatever_waits():
    with DevLlm() as server:
        server.script(Fault.HANG)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
            server.wait_for_calls(1)
            server.stop()
            connection.settimeout(5)
            assert connection.recv(100) == b""


def test_a_refusal_has_status_and_message():
    with pytest.raises(Refusal) as caught:
        wire.decode(b"", "ChatRequest")
    assert (caught.value.status, str(caught.value)) == (400, "missing request body")


def test_ten_thousand_requests_are_counted(server):
    connection = HTTPConnection("127.0.0.1", server.port)
    for _ in range(10_000):
        connection.request("GET", "/api/version")
        connection.getresponse().read()
    connection.close()
    assert len(server.requests) == 10_000
    assert server.disconnects == 0


def test_the_page_lists_every_behaviour():
    page = (Path(__file__).parents[2] / "docs" / "dev-llm.md").read_text(encoding="utf-8")
    for fault in Fault:
        assert f"| {fault.number} | `{fault.value}` | {fault.description} |" in page
