"""The gateway with a real client, a server that speaks Ollama's protocol, and a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.gateway import LlmGateway, utc_now
from tagging_orchestration.clients.llm.factory import make_client
from tagging_orchestration.dev_llm.faults import Fault
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.settings import AiSettings, Settings
from tests.ai.test_gateway import budgets, calls_logged, logged, question, ready, rows, run
from tests.fakes.llm import PlainMasker

__all__ = ["ready"]

ANSWER = '{"confidence": 0.9, "summary": "客服回覆過慢"}'
ASKS = """
import sys
from tagging_orchestration.ai.gateway import LlmGateway
from tagging_orchestration.clients.llm.factory import make_client
from tagging_orchestration.settings import AiSettings, Settings
from tagging_orchestration.storage.connection import create_pool
from tests.ai.test_gateway import question
from tests.fakes.llm import PlainMasker
settings = Settings(ai=AiSettings(enabled=True))
gateway = LlmGateway(create_pool(sys.argv[1]), settings, masker=PlainMasker(), clients=make_client)
gateway.ask(question())
"""


@pytest.fixture
def server(ready: ConnectionPool):
    with DevLlm() as server:
        server.answer(ANSWER)
        run(ready, "UPDATE ai_providers SET base_url = %s WHERE name = 'local'", server.base_url)
        yield server


@pytest.fixture
def gateway(ready: ConnectionPool, settings: Settings, server: DevLlm):
    own = settings.model_copy(update={"ai": AiSettings(enabled=True)})
    gateway = LlmGateway(ready, own, masker=PlainMasker(), clients=make_client)
    yield gateway
    gateway.close()


def test_an_answer_comes_over_the_wire(gateway: LlmGateway, server: DevLlm, ready: ConnectionPool) -> None:
    answer = gateway.ask(question())
    assert (answer.status, answer.document) == ("success", {"confidence": 0.9, "summary": "客服回覆過慢"})
    assert server.calls[0].body["options"]["num_ctx"] == 8192
    ((tokens, estimated, digest),) = rows(
        ready, "SELECT tokens_total, tokens_estimated, model_digest IS NOT NULL FROM ai_usage_logs"
    )
    assert (tokens > 0, estimated, digest) == (True, False, True)
    assert budgets(ready)["day"] == (tokens, 0)


@pytest.mark.parametrize(
    ("fault", "calls"),
    [(Fault.BUSY, 2), (Fault.RUNNER_DIED, 1), (Fault.STREAM_WITHOUT_DONE, 1), (Fault.CUT_BY_LENGTH, None)],
)
def test_the_log_holds_each_call_the_server_saw(
    gateway: LlmGateway, server: DevLlm, ready: ConnectionPool, fault: Fault, calls: int | None
) -> None:
    server.reset()
    server.script(fault)
    assert gateway.ask(question()).status == "error"
    assert calls in (None, len(server.calls))
    assert calls_logged(ready) == len(server.calls) > 0
    assert budgets(ready)["hour"] == (len(server.calls), 0)


def test_a_refused_connection_is_no_call(gateway: LlmGateway, server: DevLlm, ready: ConnectionPool) -> None:
    server.script(Fault.CONNECTION_REFUSED)
    answer = gateway.ask(question())
    assert (answer.status, answer.error_subtype) == ("error", "unavailable")
    assert [(row[1], row[3]) for row in logged(ready)] == [(False, "unavailable")] * 2
    assert budgets(ready)["hour"] == (0, 0)


def test_closing_closes_the_connection(gateway: LlmGateway, server: DevLlm) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with server.hold(), ThreadPoolExecutor(1) as threads:
        running = threads.submit(gateway.ask, question())
        server.wait_for_calls(1)
        gateway.close()
        assert running.result().error_subtype == "cancelled"
        server.wait_for_disconnects(1)


def test_a_killed_process_leaves_nothing_for_ever(
    ready: ConnectionPool, settings: Settings, server: DevLlm, database_url: str
) -> None:
    with server.hold():
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        process = subprocess.Popen([sys.executable, "-c", ASKS, database_url], env=environment)
        try:
            server.wait_for_calls(1, 60)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        server.wait_for_disconnects(1)
    assert rows(ready, "SELECT status FROM ai_enhancements") == [("loading",)]
    assert budgets(ready)["day"][1] > 0
    # Once its leases are over, others go on as if it had never been.
    later = utc_now() + timedelta(minutes=2)
    own = settings.model_copy(update={"ai": AiSettings(enabled=True, daily_token_limit=budgets(ready)["day"][1])})
    gateway = LlmGateway(ready, own, masker=PlainMasker(), clients=make_client, now=lambda: later)
    answer = gateway.ask(replace(question(), severity="critical"))
    gateway.close()
    assert (answer.status, answer.cache_status, len(server.calls)) == ("success", "miss", 2)
    assert rows(ready, "SELECT status, error_subtype FROM ai_enhancements ORDER BY status") == [
        ("error", "incomplete"),
        ("success", None),
    ]
    assert rows(ready, "SELECT sum(reserved) FROM ai_token_budgets") == [(0,)]
