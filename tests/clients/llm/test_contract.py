"""The contract of the Ollama client and the canned server, a test or more for each of the 33 behaviours, named by
their numbers. Those that take `host` run against a real server too, where OLLAMA_CONTRACT_HOST names one."""

from __future__ import annotations

import json
import math
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jsonschema
import pytest

from tagging_orchestration.clients.llm.guarded_http import MAX_REPLY_BYTES
from tagging_orchestration.clients.llm.ollama import OllamaClient
from tagging_orchestration.core.enhancement.models import ErrorSubtype, ErrorType
from tagging_orchestration.dev_llm.faults import INJECTION_TEXT, WRONG_SCHEMAS, Fault
from tagging_orchestration.dev_llm.server import DevLlm
from tests.clients.llm.conftest import PROMPT, SCHEMA, Host, a_request, failure_of

METRICS = {
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
}


def raw(url: str, path: str = "/api/chat", seconds: float = 5.0, **body: object) -> httpx.Response:
    """One request as no client would make it."""
    content = {"model": "phi4-mini", **body}
    return httpx.post(f"{url}{path}", json=content, timeout=seconds, trust_env=False)


def chat(host: Host, **body: object) -> httpx.Response:
    """A small chat."""
    small = {"messages": [{"role": "user", "content": PROMPT}], "options": {"num_predict": 300}, "think": False}
    return raw(host.url, seconds=host.seconds, model=host.model, **{**small, **body})


def test_every_behaviour_has_a_number_a_description_and_a_test():
    tests = [name for name in globals() if name.startswith("test_")]
    for fault in Fault:
        assert fault.description
        assert any(name.startswith(f"test_{fault.number:02}_") for name in tests), fault
    assert [fault.number for fault in Fault] == list(range(1, 34))


# ---------------------------------------------------------------------------------------- answers as they should


def test_01_complete_gives_text_of_the_schema(host: Host):
    reply = host.client.complete(a_request(model=host.model, timeout_seconds=host.seconds))
    jsonschema.validate(json.loads(reply.text), SCHEMA)
    assert reply.finish == "stop"
    assert reply.model == host.model
    assert reply.tokens_completion is not None
    assert reply.model_digest


def test_01_chat_streams_unless_told_not_to(host: Host):
    streamed = chat(host)
    assert streamed.headers["Content-Type"] == "application/x-ndjson"
    parts = [json.loads(line) for line in streamed.text.splitlines()]
    assert [part["done"] for part in parts] == [False] * (len(parts) - 1) + [True]
    assert all(part["model"] == host.model for part in parts)
    assert not METRICS & set(parts[0])
    assert parts[-1]["done_reason"] == "stop"
    whole = chat(host, stream=False)
    assert whole.headers["Content-Type"].startswith("application/json")
    body = whole.json()
    assert (body["done"], body["message"]["role"]) == (True, "assistant")
    assert isinstance(body["total_duration"], int)


def test_01_generate_streams_unless_told_not_to(host: Host):
    body = {"model": host.model, "prompt": PROMPT, "options": {"num_predict": 300}, "think": False}
    streamed = raw(host.url, "/api/generate", host.seconds, **body)
    parts = [json.loads(line) for line in streamed.text.splitlines()]
    assert parts[-1]["done"] is True
    assert all(isinstance(part["response"], str) for part in parts)
    assert all(isinstance(token, int) for token in parts[-1]["context"])
    whole = raw(host.url, "/api/generate", host.seconds, **body, stream=False, raw=True).json()
    assert whole["response"]
    assert "context" not in whole


def test_02_a_load_below_the_deadline_is_waited_for_and_above_it_ends_the_call(server, client):
    server.script(Fault.COLD_LOAD, delay=0.05, times=1)
    reply = client.complete(a_request())
    assert reply.load_ms is not None
    assert reply.load_ms >= 50
    server.script(Fault.COLD_LOAD, delay=30.0)
    failure = failure_of(lambda: client.complete(a_request(timeout_seconds=0.1)))
    assert (failure.type, failure.subtype) == (ErrorType.TIMEOUT, ErrorSubtype.DEADLINE)
    assert failure.may_retry, "not a byte came"
    server.wait_for_disconnects(1)


def test_03_model_not_found_is_told_in_three_ways(host: Host):
    missing = "no-such-model-anywhere"
    said = raw(host.url, seconds=host.seconds, model=missing, messages=[{"role": "user", "content": "?"}])
    assert (said.status_code, said.json()["error"]) == (404, f"model '{missing}' not found")
    said = raw(host.url, "/api/embed", host.seconds, model=missing, input="a")
    assert said.status_code == 404
    assert said.json()["error"] == f'model "{missing}" not found, try pulling it first'
    said = raw(host.url, "/api/show", host.seconds, model=missing)
    assert (said.status_code, said.json()["error"]) == (404, f"model '{missing}:latest' not found")
    failure = failure_of(lambda: host.client.complete(a_request(model=missing)))
    assert (failure.subtype, failure.http_status, failure.may_retry) == (ErrorSubtype.MODEL_NOT_FOUND, 404, False)
    assert missing in str(failure)


def test_04_a_model_is_listed_as_latest_and_found_without(server, client):
    names = [model["name"] for model in httpx.get(f"{server.base_url}/api/tags").json()["models"]]
    assert "phi4-mini:latest" in names
    assert "phi4-mini" not in names
    assert client.probe("phi4-mini").status == "healthy"
    assert client.probe("phi4-mini:latest").status == "healthy"
    assert client.complete(a_request(model="phi4-mini")).model_digest
    assert (
        raw(server.base_url, messages=[{"role": "user", "content": "?"}], stream=False).json()["model"]
        == "phi4-mini"
    )


# ------------------------------------------------------------------------------------------ texts that are wrong


def test_05_a_reply_cut_by_length_says_so(server, client):
    server.script(Fault.CUT_BY_LENGTH)
    reply = client.complete(a_request())
    assert reply.finish == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(reply.text)


def test_05_a_small_limit_cuts(host: Host):
    reply = host.client.complete(
        a_request(
            model=host.model, max_tokens=8, timeout_seconds=host.seconds, schema=None, prompt="Count to 100."
        )
    )
    assert reply.finish == "length"


def test_06_a_stream_stopped_by_the_repetition_guard_is_incomplete(server, client):
    server.script(Fault.NOT_DONE)
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.subtype, failure.http_status, failure.may_retry) == (ErrorSubtype.INCOMPLETE, 200, False)
    whole = raw(server.base_url, messages=[{"role": "user", "content": "?"}], stream=False).json()
    assert whole["done"] is False
    assert not METRICS & set(whole)
    assert "done_reason" not in whole


def test_07_thinking_without_an_answer_is_incomplete(server, client):
    server.script(Fault.ONLY_THINKING)
    failure = failure_of(lambda: client.complete(a_request()))
    assert failure.subtype is ErrorSubtype.INCOMPLETE
    assert "thinking" in str(failure)
    assert failure.tokens_prompt, "what was spent is told"


def test_08_a_fence_is_left_to_the_reader(server, client):
    server.script(Fault.FENCED_JSON)
    text = client.complete(a_request()).text
    assert text.startswith("```json\n")
    jsonschema.validate(json.loads(text.removeprefix("```json\n").removesuffix("\n```")), SCHEMA)


def test_09_a_doubled_brace_is_left_to_the_reader(server, client):
    server.script(Fault.DOUBLED_BRACE)
    assert client.complete(a_request()).text.startswith('{"{"')


@pytest.mark.parametrize("kind", WRONG_SCHEMAS)
def test_10_json_may_break_its_schema_in_every_way(server, client, kind):
    server.script(Fault.WRONG_SCHEMA, kind=kind)
    strict = {**SCHEMA, "properties": {**SCHEMA["properties"]}}
    strict["properties"]["confidence"] = {"type": "number", "maximum": 1}
    strict["properties"]["causes"] = {"type": "array", "items": {"type": "string"}, "minItems": 2}
    document = json.loads(client.complete(a_request()).text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, strict)


# -------------------------------------------------------------------------------- streams and statuses that fail


def test_11_an_error_in_the_middle_of_a_stream(server, client):
    server.script(Fault.MID_STREAM_ERROR)
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.subtype, failure.http_status, failure.may_retry) == (ErrorSubtype.SERVER_ERROR, 200, False)
    lines = raw(server.base_url, messages=[{"role": "user", "content": "?"}]).text.splitlines()
    assert set(json.loads(lines[-1])) == {"error"}


def test_12_a_line_cut_in_the_middle(server, client):
    server.script(Fault.CUT_MID_LINE)
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.subtype, failure.may_retry) == (ErrorSubtype.INCOMPLETE, False)


def test_13_a_stream_that_ends_without_done(server, client):
    server.script(Fault.STREAM_WITHOUT_DONE)
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.subtype, failure.may_retry) == (ErrorSubtype.INCOMPLETE, False)


def test_14_busy_then_success(server, client):
    server.script(Fault.BUSY, times=1)
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.subtype, failure.http_status, failure.may_retry) == (ErrorSubtype.BUSY, 503, True)
    assert len(server.calls) == 1, "the client does not retry by itself"
    assert client.complete(a_request()).text


def test_14_more_than_the_queue_holds_are_refused():
    with DevLlm(parallel=1, max_queue=0) as server, ThreadPoolExecutor(1) as threads:
        with server.hold():
            first = threads.submit(OllamaClient(server.base_url).complete, a_request())
            server.wait_for_calls(1)
            failure = failure_of(lambda: OllamaClient(server.base_url).complete(a_request()))
            assert (failure.http_status, failure.may_retry) == (503, True)
        assert first.result().text


def test_15_rate_limited(server, client):
    server.script(Fault.RATE_LIMITED)
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.type, failure.http_status, failure.may_retry) == (ErrorType.RATE_LIMIT, 429, True)


def test_16_the_runner_died(server, client):
    server.script(Fault.RUNNER_DIED)
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.subtype, failure.http_status, failure.may_retry) == (ErrorSubtype.SERVER_ERROR, 500, False)


def test_17_an_unknown_path_is_told_in_plain_text(host: Host):
    said = raw(host.url, "/api/nothing", host.seconds)
    assert (said.status_code, said.text) == (404, "404 page not found")
    assert said.headers["Content-Type"].startswith("text/plain")
    failure = failure_of(lambda: OllamaClient(f"{host.url}/elsewhere").complete(a_request()))
    assert (failure.subtype, failure.http_status, failure.may_retry) == (ErrorSubtype.UNSUPPORTED, 404, False)


def test_17_a_server_that_has_no_chat(server, client):
    server.script(Fault.TEXT_NOT_FOUND)
    assert failure_of(lambda: client.complete(a_request())).subtype is ErrorSubtype.UNSUPPORTED


def test_18_a_page_of_a_proxy(server, client):
    server.script(Fault.HTML_BAD_GATEWAY)
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.subtype, failure.http_status, failure.may_retry) == (ErrorSubtype.UNAVAILABLE, 502, True)
    assert "html" not in str(failure).lower()


def test_19_nobody_listens_then_somebody_does(server, client):
    server.script(Fault.CONNECTION_REFUSED)
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.subtype, failure.http_status, failure.may_retry) == (ErrorSubtype.UNAVAILABLE, None, True)
    assert not failure.sent
    assert client.probe("phi4-mini").status == "unhealthy"
    server.reset()
    assert client.complete(a_request()).text


def test_20_a_slow_drip_ends_at_the_deadline_of_the_whole_call(server, client):
    # Each byte comes long before a timeout from byte to byte would see anything.
    server.script(Fault.SLOW_DRIP, delay=0.005)
    failure = failure_of(lambda: client.complete(a_request(timeout_seconds=0.15)))
    assert (failure.type, failure.subtype) == (ErrorType.TIMEOUT, ErrorSubtype.DEADLINE)
    assert not failure.may_retry, "bytes came"
    server.wait_for_disconnects(1)


# -------------------------------------------------------------------------------------------- what is in replies


def test_21_absent_metrics_are_unknown_not_zero(server, client):
    server.script(Fault.METRICS_ABSENT)
    reply = client.complete(a_request())
    assert (reply.tokens_prompt, reply.tokens_completion, reply.load_ms) == (None, None, None)


def test_22_times_with_nine_digits(server, client):
    server.script(Fault.NINE_DIGIT_TIME)
    body = raw(server.base_url, messages=[{"role": "user", "content": "?"}], stream=False).json()
    fraction = body["created_at"].removesuffix("Z").partition(".")[2]
    assert len(fraction) == 9
    assert client.complete(a_request()).text


def test_23_unknown_options_are_ignored_and_wrong_types_refused(host: Host):
    assert chat(host, stream=False, options={"num_predict": 5, "mirostat": 2, "no_such": "x"}).status_code == 200
    said = chat(host, stream=False, options={"temperature": "warm"})
    assert (said.status_code, said.json()["error"]) == (500, 'option "temperature" must be of type float32')
    request = a_request(model=host.model, options={"top_p": "high"}, timeout_seconds=host.seconds)
    failure = failure_of(lambda: host.client.complete(request))
    assert (failure.subtype, failure.http_status) == (ErrorSubtype.SERVER_ERROR, 500)


def test_24_a_format_that_is_no_schema_is_refused(host: Host):
    said = chat(host, stream=False, format="xml")
    assert said.status_code in (400, 500)
    assert "invalid format" in said.json()["error"]


def test_24_a_schema_that_the_grammar_refuses(server, client):
    server.script(Fault.FORMAT_REJECTED)
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.subtype, failure.http_status, failure.may_retry) == (ErrorSubtype.SERVER_ERROR, 500, False)
    assert client.complete(a_request(schema=None)).text


def test_25_a_server_that_refuses_think_is_asked_without_it_the_next_time(server, client):
    server.script(Fault.THINK_REJECTED)
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.subtype, failure.http_status, failure.may_retry) == (ErrorSubtype.BAD_REQUEST, 400, True)
    assert client.complete(a_request()).text
    assert [call.body.get("think") for call in server.calls] == [False, None], "one request a call"


def test_25_think_true_is_refused_by_a_model_that_cannot(server):
    body = {"messages": [{"role": "user", "content": "?"}], "stream": False}
    said = raw(server.base_url, **body, think=True)
    assert (said.status_code, said.json()["error"]) == (400, '"phi4-mini" does not support thinking')
    assert raw(server.base_url, **body, think=False).status_code == 200
    thinking = raw(server.base_url, **body, model="qwen3:4b").json()
    assert thinking["message"]["thinking"], "absent means true where the model can"
    assert "thinking" not in raw(server.base_url, **body, model="qwen3:4b", think=False).json()["message"]


def test_26_a_prompt_that_filled_the_context_was_cut(server, client):
    server.script(Fault.SILENT_TRUNCATION)
    failure = failure_of(lambda: client.complete(a_request(options={"num_ctx": 2048})))
    assert (failure.subtype, failure.may_retry, failure.tokens_prompt) == (ErrorSubtype.TRUNCATED, False, 2047)


def test_26_the_server_cuts_long_prompts_without_a_word(server):
    body = {
        "messages": [{"role": "user", "content": "word " * 3000}],
        "stream": False,
        "options": {"num_ctx": 512},
    }
    assert raw(server.base_url, **body).json()["prompt_eval_count"] == 511
    said = raw(server.base_url, **body, shift=False)
    assert said.status_code == 400
    assert said.json()["error"].startswith("the prompt is longer than the context length")


@pytest.mark.parametrize(
    ("keep_alive", "loaded"), [(0, False), (-1, True), ("5m", True), (300, True), ("-1s", True)]
)
def test_27_keep_alive(server, keep_alive, loaded):
    raw(server.base_url, messages=[{"role": "user", "content": "?"}], stream=False, keep_alive=keep_alive)
    running = [model["name"] for model in httpx.get(f"{server.base_url}/api/ps").json()["models"]]
    assert running == (["phi4-mini:latest"] if loaded else [])


def test_27_the_client_says_how_long_a_model_stays(server, client):
    client.complete(a_request(options={"keep_alive": "1h"}))
    client.complete(a_request())
    assert [call.body["keep_alive"] for call in server.calls] == ["1h", "10m"]
    assert "keep_alive" not in server.calls[0].body["options"]


def test_28_the_server_sees_a_client_go(server, client):
    server.script(Fault.HANG)
    failure_of(lambda: client.complete(a_request(timeout_seconds=0.05)))
    server.wait_for_disconnects(1)
    assert server.disconnects == 1


def test_29_fifty_calls_at_once(server, client):
    with ThreadPoolExecutor(50) as threads:
        with server.hold():
            replies = [threads.submit(client.complete, a_request(timeout_seconds=30.0)) for _ in range(50)]
            server.wait_for_calls(50)
        assert all(reply.result().finish == "stop" for reply in replies)
    assert server.max_in_flight == 50
    assert len(server.calls) == 50


def test_29_a_server_with_few_places_lets_the_others_wait():
    with DevLlm(parallel=2) as server, ThreadPoolExecutor(6) as threads:
        client = OllamaClient(server.base_url)
        replies = [threads.submit(client.complete, a_request(timeout_seconds=30.0)) for _ in range(6)]
        assert all(reply.result().text for reply in replies)


def test_30_embeddings_keep_order_and_length_one(server):
    def embed(**body: Any) -> list[list[float]]:
        return raw(server.base_url, "/api/embed", model="all-minilm", **body).json()["embeddings"]

    first, second = embed(input=["red", "blue"])
    assert embed(input=["blue", "red"]) == [second, first]
    assert embed(input="red") == [first]
    assert math.isclose(math.hypot(*first), 1.0, rel_tol=1e-9)
    short = embed(input="red", dimensions=16)[0]
    assert len(short) == 16
    assert math.isclose(math.hypot(*short), 1.0, rel_tol=1e-9)
    assert embed(input=[]) == embed(input="") == embed() == []
    old = raw(server.base_url, "/api/embeddings", model="all-minilm", prompt="red").json()
    assert old["embedding"] == first


def test_31_a_redirect_to_another_host_is_not_followed(server, client):
    with DevLlm() as other:
        server.script(Fault.REDIRECT, location=f"{other.base_url}/api/chat")
        failure = failure_of(lambda: client.complete(a_request()))
        assert (failure.subtype, failure.http_status, failure.may_retry) == (ErrorSubtype.UNSUPPORTED, 307, False)
        assert other.requests == []


def test_32_a_huge_line_is_dropped_before_it_fills_the_memory(server, client):
    server.script(Fault.HUGE_LINE, size=MAX_REPLY_BYTES + 1024 * 1024)
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.subtype, failure.may_retry) == (ErrorSubtype.SERVER_ERROR, False)
    assert "8 MB" in str(failure)


@pytest.mark.parametrize("system", ["You analyse a shop.", "你是商店的分析師。"])
def test_33_commands_in_a_reply_are_text(server, client, system):
    server.script(Fault.INJECTION)
    reply = client.complete(a_request(system=system))
    document = json.loads(reply.text)
    jsonschema.validate(document, SCHEMA)
    assert INJECTION_TEXT in document["summary"]
    assert len(server.calls) == 1


def test_a_port_where_nothing_ever_answers_is_left_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = OllamaClient(f"http://127.0.0.1:{silent.getsockname()[1]}")
        failure = failure_of(lambda: client.complete(a_request(timeout_seconds=0.05)))
    assert (failure.type, failure.may_retry, failure.sent) == (ErrorType.TIMEOUT, True, True)
