"""The clients for OpenAI and Anthropic, against local servers in their shapes."""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from uuid import uuid4

import jsonschema
import pytest

from tagging_orchestration.clients.llm.factory import make_client
from tagging_orchestration.clients.llm.ollama import OllamaClient
from tagging_orchestration.clients.llm.openai import is_strict
from tagging_orchestration.core.enhancement.choice import ProviderRow
from tagging_orchestration.core.enhancement.models import ErrorSubtype, ErrorType, LlmClient
from tagging_orchestration.dev_llm.faults import Fault
from tagging_orchestration.dev_llm.server import DevLlm
from tests.clients.llm.conftest import PROMPT, SCHEMA, a_request, failure_of

KEY = "sk-test-0123456789abcdefghij"
VARIABLE = "SHOP_LLM_KEY"
PATHS = {"openai": "/v1", "anthropic": ""}


def a_provider(adapter: str, url: str | None, **changes: object) -> ProviderRow:
    fields: dict = {
        "id": uuid4(),
        "name": adapter,
        "display_name": adapter,
        "provider_type": "hybrid",
        "adapter": adapter,
        "base_url": url,
        "default_model": "phi4-mini",
        "api_key_env": VARIABLE,
        "price_in_per_million": 0.0,
        "price_out_per_million": 0.0,
        "max_concurrency": 1,
        "is_active": True,
        "is_default": False,
        "health_status": "unknown",
    }
    return ProviderRow(**{**fields, **changes})


@pytest.fixture(params=list(PATHS))
def adapter(request) -> str:
    return request.param


@pytest.fixture
def cloud(server: DevLlm, adapter: str, monkeypatch: pytest.MonkeyPatch) -> LlmClient:
    monkeypatch.setenv(VARIABLE, KEY)
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    return make_client(a_provider(adapter, server.base_url + PATHS[adapter]))


def test_an_answer_of_the_schema(server, cloud, adapter):
    reply = cloud.complete(a_request())
    jsonschema.validate(json.loads(reply.text), SCHEMA)
    assert (reply.finish, reply.model) == ("stop", "phi4-mini")
    assert reply.tokens_prompt
    assert reply.tokens_completion
    (call,) = server.calls
    if adapter == "openai":
        form = call.body["response_format"]
        assert form == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    else:
        assert call.body["tool_choice"] == {"type": "tool", "name": "answer"}
        assert call.body["tools"][0]["input_schema"] == SCHEMA


def test_a_text_without_schema(server, cloud):
    server.answer("一切正常。")
    assert cloud.complete(a_request(schema=None)).text == "一切正常。"


def test_own_parameters_are_sent(server, cloud, adapter):
    options = {
        "openai": {"top_p": 0.9, "presence_penalty": 0.1, "response_format": {"type": "text"}},
        "anthropic": {"stop_sequences": ["---END---"]},
    }[adapter]
    cloud.complete(a_request(schema=None, options=options, temperature=0.2))
    (call,) = server.calls
    assert {name: call.body[name] for name in options} == options
    assert (call.body["temperature"], call.body["max_tokens"]) == (0.2, 300)
    words = json.dumps(call.body)
    assert "You analyse a shop." in words
    assert json.dumps(PROMPT) in words


def test_a_schema_wins_over_a_stated_form(server, cloud):
    cloud.complete(a_request(options={"response_format": {"type": "text"}}))
    assert server.calls[0].body.get("response_format", {}).get("type") != "text"


@pytest.mark.parametrize(
    ("status", "type", "subtype", "may_retry"),
    [
        (401, ErrorType.AUTH_ERROR, ErrorSubtype.BAD_REQUEST, False),
        (403, ErrorType.AUTH_ERROR, ErrorSubtype.BAD_REQUEST, False),
        (400, ErrorType.GENERAL_ERROR, ErrorSubtype.BAD_REQUEST, False),
        (404, ErrorType.GENERAL_ERROR, ErrorSubtype.MODEL_NOT_FOUND, False),
        (429, ErrorType.RATE_LIMIT, ErrorSubtype.BUSY, True),
        (500, ErrorType.GENERAL_ERROR, ErrorSubtype.SERVER_ERROR, False),
        (503, ErrorType.GENERAL_ERROR, ErrorSubtype.BUSY, True),
        (529, ErrorType.GENERAL_ERROR, ErrorSubtype.BUSY, True),
    ],
)
def test_statuses(server, cloud, status, type, subtype, may_retry):
    server.script(refusal=(status, f"no: {KEY} {PROMPT}"))
    failure = failure_of(lambda: cloud.complete(a_request()))
    assert (failure.type, failure.subtype, failure.http_status) == (type, subtype, status)
    assert failure.may_retry is may_retry
    assert len(server.calls) == 1, "the SDK does not retry by itself"
    told = "".join(traceback.format_exception(failure)) + repr(vars(failure))
    assert KEY not in told
    assert "orders" not in told


@pytest.mark.parametrize(
    ("fault", "subtype", "may_retry"),
    [
        (Fault.HTML_BAD_GATEWAY, ErrorSubtype.UNAVAILABLE, True),
        (Fault.TEXT_NOT_FOUND, ErrorSubtype.UNSUPPORTED, False),
        (Fault.CONNECTION_REFUSED, ErrorSubtype.UNAVAILABLE, True),
        (Fault.REDIRECT, ErrorSubtype.UNSUPPORTED, False),
        (Fault.HUGE_LINE, ErrorSubtype.SERVER_ERROR, False),
        (Fault.CUT_MID_LINE, ErrorSubtype.INCOMPLETE, False),
        (Fault.ONLY_THINKING, ErrorSubtype.INCOMPLETE, False),
        (Fault.NOT_DONE, ErrorSubtype.INCOMPLETE, False),
    ],
)
def test_faults(server, cloud, fault, subtype, may_retry):
    server.script(fault)
    failure = failure_of(lambda: cloud.complete(a_request(schema=None)))
    assert (failure.subtype, failure.may_retry) == (subtype, may_retry)


def test_a_cut_answer(server, cloud, adapter):
    server.script(Fault.CUT_BY_LENGTH)
    if adapter == "openai":
        assert cloud.complete(a_request()).finish == "length"
    else:
        # Of a tool's input that was cut nothing comes.
        assert failure_of(lambda: cloud.complete(a_request())).subtype is ErrorSubtype.TRUNCATED
    assert cloud.complete(a_request(schema=None)).finish == "length"


def test_deadlines_hold_for_the_whole_call(server, cloud):
    server.script(Fault.SLOW_DRIP, delay=0.005, times=1)
    failure = failure_of(lambda: cloud.complete(a_request(timeout_seconds=0.15)))
    assert (failure.type, failure.may_retry) == (ErrorType.TIMEOUT, False)
    server.script(Fault.HANG)
    failure = failure_of(lambda: cloud.complete(a_request(timeout_seconds=0.1)))
    assert (failure.type, failure.may_retry) == (ErrorType.TIMEOUT, True)
    server.wait_for_disconnects(2)


def test_cancelling_closes_the_connection(server, cloud):
    server.script(Fault.HANG)
    cancel = threading.Event()
    threading.Timer(0.05, cancel.set).start()
    failure = failure_of(lambda: cloud.complete(a_request(timeout_seconds=60.0), cancel))
    assert failure.subtype is ErrorSubtype.CANCELLED
    server.wait_for_disconnects(1)


def test_absent_token_counts_are_unknown(server, cloud):
    server.script(Fault.METRICS_ABSENT)
    reply = cloud.complete(a_request())
    assert (reply.tokens_prompt, reply.tokens_completion) == (None, None)


def test_a_model_that_takes_no_temperature_is_asked_without_the_next_time(server, cloud):
    server.script(refusal=(400, "temperature is not supported with this model"), times=1)
    assert failure_of(lambda: cloud.complete(a_request())).may_retry
    assert cloud.complete(a_request()).text
    assert ["temperature" in call.body for call in server.calls] == [True, False]


def test_a_refusal_of_openai_is_filtered_content(server, monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    client = make_client(a_provider("openai", f"{server.base_url}/v1"))
    server.script(Fault.HAPPY, text="")
    assert failure_of(lambda: client.complete(a_request())).subtype is ErrorSubtype.INCOMPLETE


def test_probes(server, cloud):
    assert cloud.probe("phi4-mini").status == "healthy"
    missing = cloud.probe("nope")
    assert (missing.status, "nope" in missing.detail) == ("degraded", True)
    server.script(refusal=(401, "no"), path="*")
    assert cloud.probe("phi4-mini").status == "unhealthy"
    assert server.calls == []


def test_without_its_key_a_provider_fails_before_a_request(server, adapter, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    client = make_client(a_provider(adapter, server.base_url))
    failure = failure_of(lambda: client.complete(a_request()))
    assert (failure.type, failure.sent) == (ErrorType.AUTH_ERROR, False)
    assert VARIABLE in str(failure)
    assert client.probe("phi4-mini").status == "unhealthy"
    assert server.requests == []


def test_a_key_set_later_is_used_and_an_older_one_forgotten(server, adapter, monkeypatch):
    client = make_client(a_provider(adapter, server.base_url + PATHS[adapter]))
    failure_of(lambda: client.complete(a_request()))
    for key in ("first-key", "second-key"):
        monkeypatch.setenv(VARIABLE, key)
        client.complete(a_request())
    headers = [json.dumps(dict(call.headers)) for call in server.calls]
    assert ["first-key" in headers[0], "first-key" in headers[1], "second-key" in headers[1]] == [
        True,
        False,
        True,
    ]


def test_an_sdk_that_is_not_installed_is_named(server, cloud, adapter, monkeypatch):
    monkeypatch.setitem(sys.modules, adapter, None)
    failure = failure_of(lambda: cloud.complete(a_request()))
    assert f"tagging-orchestration[{adapter}]" in str(failure)
    assert (failure.subtype, failure.sent) == (ErrorSubtype.UNSUPPORTED, False)


def test_nothing_of_a_prompt_or_key_is_logged(server, cloud, adapter, caplog):
    logging.getLogger(adapter).setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        cloud.complete(a_request(prompt="the customer's own words", system="our system message"))
        server.script(Fault.RUNNER_DIED)
        failure_of(lambda: cloud.complete(a_request(prompt="the customer's own words")))
    assert caplog.records
    for secret in ("own words", "system message", KEY):
        assert secret not in caplog.text


def test_a_closed_client_makes_no_calls(server, cloud):
    cloud.complete(a_request())
    cloud.close()
    assert failure_of(lambda: cloud.complete(a_request())).subtype is ErrorSubtype.CANCELLED
    assert len(server.calls) == 1


def test_a_local_provider_needs_no_key(server):
    client = make_client(a_provider("ollama", server.base_url, api_key_env=None))
    assert client.complete(a_request()).text
    assert make_client(a_provider("ollama", None, api_key_env=None)).probe("x").status in ("unhealthy", "degraded")
    assert OllamaClient().probe("x").detail


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (SCHEMA, True),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, False),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "object"}, False),
        ({"type": "array", "items": {"type": "object"}}, False),
        ({"anyOf": [{"type": "null"}, SCHEMA]}, True),
        ({"oneOf": [{"type": "null"}]}, False),
    ],
)
def test_strict_schemas(schema, strict):
    assert is_strict(schema) is strict


def test_a_cloud_provider_is_asked_through_the_proxy_of_the_environment(server, monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setenv("http_proxy", server.base_url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for kind, asked in (("hybrid", 0), ("cloud", 1)):
        provider = a_provider("openai", "http://llm.example.invalid/v1", provider_type=kind)
        failure_of(lambda provider=provider: make_client(provider).complete(a_request()))
        assert len(server.requests) == asked, kind
