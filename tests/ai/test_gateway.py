"""The gateway to language models: when it calls whom, what it keeps, and what it leaves in the log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.gateway import LlmGateway
from tagging_orchestration.ai.sync import load_seed
from tagging_orchestration.core.enhancement.models import (
    Answer,
    Ask,
    ErrorSubtype,
    ErrorType,
    EvidenceItem,
    LlmFailure,
    LlmRequest,
    ParsedAnswer,
    Probe,
    PromptTemplate,
)
from tagging_orchestration.core.errors import DatabaseUnavailable
from tagging_orchestration.settings import AiSettings, Settings
from tagging_orchestration.storage import ai_providers
from tagging_orchestration.storage.connection import create_pool
from tests.fakes.llm import FakeLlms, PlainMasker, check_json, reply, server_error, unavailable
from tests.storage.ai import add_templates

NOON = datetime(2025, 8, 7, 12, 0, tzinfo=UTC)
TEMPLATE = PromptTemplate(
    template_key="alert_enhancement",
    locale="zh-TW",
    version="1.0",
    template_name="警示深化分析",
    category="analysis",
    prompt_template="業務背景：{{business_context}}\n證據：{{evidence}}",
    system_message="你是專業的商業分析師。",
    required_variables=("business_context",),
    optional_variables=(),
    max_tokens=50,
    temperature=0.3,
    output_schema=None,
    content_sha256="0" * 64,
)


class Clock:
    """Stands until it is moved."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def llms() -> FakeLlms:
    return FakeLlms()


@pytest.fixture
def ready(pool: ConnectionPool) -> ConnectionPool:
    """A database with providers, a template and their configs; AI on; no limit of requests in the way."""
    seed = load_seed()
    ai_providers.sync_providers(pool, seed.providers, seed.systems, AiSettings(enabled=True))
    add_templates(pool, "alert_enhancement")
    ai_providers.sync_configs(pool, seed.configs)
    # The limits of the template count, which are small.
    run(
        pool,
        """
        UPDATE ai.ai_prompt_provider_configs
        SET provider_specific_params = provider_specific_params - 'max_tokens'
        """,
    )
    run(
        pool,
        """
        UPDATE ai.ai_system_config
        SET system_settings = system_settings
            || '{"rate_limiting": {"requests_per_minute": 9999, "burst_limit": 9999}}'
        """,
    )
    return pool


Make = Callable[..., LlmGateway]


@pytest.fixture
def make(ready: ConnectionPool, settings: Settings, llms: FakeLlms, clock: Clock) -> Iterator[Make]:
    """Makes gateways and closes them."""
    made: list[LlmGateway] = []

    def make(pool: ConnectionPool = ready, clients: FakeLlms = llms, **ai: Any) -> LlmGateway:
        own = settings.model_copy(update={"ai": AiSettings(**{"hourly_request_limit": 9999, **ai})})
        made.append(LlmGateway(pool, own, masker=PlainMasker(), clients=clients, now=clock))
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagging_orchestration.ai.gateway.RETRY_SECONDS", 0.001)


def question(number: int = 1, **changes: Any) -> Ask:
    context = changes.pop("context", {"daily_revenue": 145000, "說明": "客服王小明回覆過慢"})
    ask = Ask(
        template=TEMPLATE,
        requested_key="alert_enhancement",
        variables={"business_context": context},
        evidence=(EvidenceItem("metric:daily_revenue", "每日營收"),),
        subject_type="alert",
        subject_id=str(number),
        enhancement_type="alert_enhancement",
        check=check_json,
        severity="warning",
    )
    return replace(ask, **changes)


def run(pool: ConnectionPool, statement: str, *values: Any) -> None:
    with pool.connection() as connection:
        connection.execute(statement, values)  # pyright: ignore[reportArgumentType]


def rows(pool: ConnectionPool, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with pool.connection() as connection:
        return connection.execute(statement, values).fetchall()  # pyright: ignore[reportArgumentType]


def logged(pool: ConnectionPool) -> list[tuple[Any, ...]]:
    """(cache_status, called, status, error_subtype, provider_name) of each row, in order."""
    return rows(
        pool,
        "SELECT cache_status, called, status, error_subtype, provider_name FROM ai.ai_usage_logs"
        " ORDER BY created_at, started_at, attempt",
    )


def calls_logged(pool: ConnectionPool) -> int:
    return rows(pool, "SELECT count(*) FROM ai.ai_usage_logs WHERE called")[0][0]


def budgets(pool: ConnectionPool) -> dict[str, tuple[int, int]]:
    """(used, reserved) by scope."""
    return {
        scope: (used, held)
        for scope, used, held in rows(pool, "SELECT scope, used, reserved FROM ai_token_budgets")
    }


def all_active(pool: ConnectionPool) -> None:
    run(pool, "UPDATE ai_providers SET is_active = true")


# ----------------------------------------------------------------------------------------------------- cache


def test_an_answer_is_kept_and_called_for_once(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    gateway = make()
    first, second = gateway.ask(question()), gateway.ask(question())
    assert (first.status, first.cache_status, first.provider_name, first.tokens_total) == (
        "success",
        "miss",
        "local",
        30,
    )
    assert (second.status, second.cache_status, second.document) == ("success", "hit", {"confidence": 0.9})
    assert (first.enhancement_id, first.context_hash) == (second.enhancement_id, second.context_hash)
    assert len(llms.calls) == 1
    assert logged(ready) == [("miss", True, "success", None, "local"), ("hit", False, "success", None, "local")]
    assert budgets(ready) == {"cost": (0, 0), "day": (30, 0), "hour": (1, 0), "minute": (1, 0)}


def test_another_context_version_or_subject_is_another_question(make: Make, llms: FakeLlms) -> None:
    gateway = make()
    gateway.ask(question())
    for other in (
        question(context={"daily_revenue": 145001}),
        question(template=replace(TEMPLATE, version="1.1")),
        question(2),
        question(organization_id="shop-2"),
    ):
        assert gateway.ask(other).cache_status == "miss"
    assert len(llms.calls) == 5


def test_what_only_says_when_is_no_other_context(make: Make, llms: FakeLlms) -> None:
    gateway = make()
    for hour in (1, 2):
        gateway.ask(
            question(
                context={
                    "daily_revenue": 145000.0 if hour == 1 else 145000,
                    "snapshot_timestamp": f"2025-08-07T0{hour}:00:00Z",
                    "related_alerts": [{"metric": "x", "detected_hours_ago": hour}],
                }
            )
        )
    assert len(llms.calls) == 1


@pytest.mark.parametrize(
    ("minutes", "status", "calls"),
    [(14.99, "hit", 1), (15, "stale", 2), (24 * 60 - 0.01, "stale", 2), (24 * 60, "miss", 2)],
)
def test_freshness(make: Make, llms: FakeLlms, clock: Clock, minutes: float, status: str, calls: int) -> None:
    gateway = make()
    gateway.ask(question())
    clock.move(minutes=minutes)
    assert gateway.ask(question()).cache_status == status
    gateway.refresh_stale()
    assert len(llms.calls) == calls


def test_a_stale_answer_is_served_and_refreshed_behind(make: Make, llms: FakeLlms, clock: Clock) -> None:
    answers = count(1)
    llms.scripts["local"] = lambda _: reply(f'{{"confidence": 0.9, "n": {next(answers)}}}')
    gateway = make()
    gateway.ask(question())
    clock.move(minutes=20)
    llms.hold()
    stale = [gateway.ask(question()) for _ in range(3)]
    assert [(answer.cache_status, answer.document) for answer in stale] == [
        ("stale", {"confidence": 0.9, "n": 1})
    ] * 3
    llms.release()
    gateway.refresh_stale()
    assert (fresh := gateway.ask(question())).document == {"confidence": 0.9, "n": 2}
    assert (fresh.cache_status, len(llms.calls)) == ("hit", 2)


def test_a_failed_refresh_leaves_the_stale_answer(make: Make, llms: FakeLlms, clock: Clock) -> None:
    gateway = make()
    gateway.ask(question())
    llms.scripts["local"] = lambda _: server_error()
    clock.move(minutes=20)
    assert gateway.ask(question()).cache_status == "stale"
    gateway.refresh_stale()
    assert gateway.ask(question()).cache_status == "stale"


def test_without_the_cache_each_question_is_asked_and_recorded(
    make: Make, llms: FakeLlms, ready: ConnectionPool
) -> None:
    gateway = make()
    gateway.ask(question())
    alone = gateway.ask(question(use_cache=False))
    assert (alone.cache_status, len(llms.calls)) == ("bypass", 2)
    assert rows(ready, "SELECT count(*) FROM ai_enhancements WHERE id = %s", alone.enhancement_id) == [(1,)]
    assert gateway.ask(question()).enhancement_id != alone.enhancement_id


def test_errors_are_not_kept(make: Make, llms: FakeLlms) -> None:
    gateway = make()
    llms.scripts["local"] = lambda _: server_error()
    failed = gateway.ask(question())
    assert (failed.status, failed.error_type, failed.error_subtype) == ("error", "general_error", "server_error")
    del llms.scripts["local"]
    assert gateway.ask(question()).status == "success"


def test_an_answer_outlives_its_provider(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    gateway = make()
    gateway.ask(question())
    run(ready, "UPDATE ai_providers SET health_status = 'unhealthy'")
    assert gateway.ask(question()).cache_status == "hit"
    assert gateway.ask(question(2)).error_subtype == "unavailable"
    run(ready, "UPDATE ai_providers SET is_active = false")
    assert gateway.ask(question()).status == "error"
    assert len(llms.calls) == 1


# ---------------------------------------------------------------------------------------------- single flight


def test_a_hundred_equal_questions_of_two_processes_are_one_call(
    make: Make, llms: FakeLlms, ready: ConnectionPool, database_url: str
) -> None:
    with create_pool(database_url) as other:
        gateways = [make(), make(other)]
        llms.hold()
        with ThreadPoolExecutor(100) as threads:
            asked = [threads.submit(gateways[n % 2].ask, question()) for n in range(100)]
            llms.wait_for_calls(1)
            llms.release()
            answers = [one.result() for one in asked]
    assert len(llms.calls) == 1
    assert {(answer.status, answer.enhancement_id) for answer in answers} == {
        ("success", answers[0].enhancement_id)
    }
    assert sorted(answer.cache_status for answer in answers) == ["hit"] * 99 + ["miss"]
    assert (calls_logged(ready), len(logged(ready))) == (1, 100)


def test_who_waits_for_a_failing_call_goes_on_with_the_next_provider(
    make: Make, llms: FakeLlms, ready: ConnectionPool
) -> None:
    all_active(ready)
    llms.scripts["local"] = lambda _: server_error()
    gateway = make()
    llms.hold()
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(gateway.ask, question()) for _ in range(8)]
        llms.wait_for_calls(1)
        llms.release()
        answers = [one.result() for one in asked]
    assert {answer.provider_name for answer in answers} == {"openai"}
    assert llms.providers().count("openai") == 1


def test_the_claim_of_a_dead_process_lapses(
    make: Make, llms: FakeLlms, ready: ConnectionPool, clock: Clock
) -> None:
    gateway = make()
    gateway.ask(question())
    # As it looks when the process was killed while the model worked.
    run(
        ready,
        """
        UPDATE ai_enhancements
        SET
            status = 'loading', result = NULL, fresh_until = created_at,
            expires_at = created_at + interval '1 minute'
        """,
    )
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(gateway.ask, question())
        while not waiting.running():
            pass
        clock.move(minutes=1)
        assert waiting.result().cache_status == "miss"
    assert len(llms.calls) == 2
    assert rows(ready, "SELECT status FROM ai_enhancements ORDER BY status") == [("error",), ("success",)]


# -------------------------------------------------------------------------------- retries, fallback, breaker


def test_one_retry_where_it_helps_and_none_elsewhere(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    said = iter([unavailable(), reply()])
    llms.scripts["local"] = lambda _: next(said)
    assert make().ask(question()).status == "success"
    assert [row[1:4] for row in logged(ready)] == [(True, "error", "unavailable"), (True, "success", None)]
    llms.scripts["local"] = lambda _: server_error()
    make().ask(question(2))
    assert len(llms.calls) == 3


def test_a_second_failure_is_the_end(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    llms.scripts["local"] = lambda _: unavailable(sent=False)
    answer = make().ask(question())
    assert (answer.status, answer.error_subtype, len(llms.calls)) == ("error", "unavailable", 2)
    # Nobody listened, so no request left: nothing is spent and no call is logged.
    assert calls_logged(ready) == 0
    assert budgets(ready) == dict.fromkeys(("cost", "day", "hour", "minute"), (0, 0))


def test_a_wrong_form_is_corrected_once(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    said = iter([reply("{}"), reply()])
    llms.scripts["local"] = lambda _: next(said)
    assert make().ask(question()).status == "success"
    prompts = [request.prompt for _, request in llms.calls]
    assert prompts[1].startswith(prompts[0])
    assert "confidence is missing" in prompts[1]
    assert [row[2:4] for row in logged(ready)] == [("error", "schema_mismatch"), ("success", None)]
    assert budgets(ready)["day"] == (60, 0)
    llms.scripts["local"] = lambda _: reply("no JSON")
    assert make().ask(question(2)).error_subtype == "invalid_json"
    assert len(llms.calls) == 4


def test_the_next_provider_answers_where_one_fails(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    all_active(ready)
    llms.scripts["local"] = lambda _: reply("rubbish")
    llms.scripts["openai"] = lambda _: server_error()
    answer = make().ask(question())
    assert (answer.provider_name, answer.model, answer.cost_usd > 0) == ("claude", "claude-3-haiku-20240307", True)
    assert llms.providers() == ["local", "local", "openai", "claude"]
    assert calls_logged(ready) == 4


def test_limits_are_asked_of_the_provider_that_is_really_called(
    make: Make, llms: FakeLlms, ready: ConnectionPool
) -> None:
    all_active(ready)
    llms.scripts["local"] = lambda _: server_error()
    answer = make(daily_cost_limit_usd=0.000001).ask(question())
    assert (answer.status, answer.error_type, answer.error_subtype) == ("error", "rate_limit", "budget")
    assert llms.providers() == ["local"]
    assert [row[1:4] for row in logged(ready)] == [
        (True, "error", "server_error"),
        (False, "rejected", "budget"),
        (False, "rejected", "budget"),
    ]


def test_a_provider_switched_off_in_the_middle_is_not_called(
    make: Make, llms: FakeLlms, ready: ConnectionPool
) -> None:
    def switched_off(_: LlmRequest) -> LlmFailure:
        run(ready, "UPDATE ai_providers SET is_active = false")
        return unavailable()

    llms.scripts["local"] = switched_off
    answer = make().ask(question())
    assert (answer.status, len(llms.calls)) == ("error", 1)
    assert logged(ready)[-1][1:3] == (False, "rejected")


def test_three_failures_open_the_circuit_and_one_call_tries_again(
    make: Make, llms: FakeLlms, ready: ConnectionPool, clock: Clock
) -> None:
    llms.scripts["local"] = lambda _: server_error()
    gateway, another = make(), make()
    for number in range(3):
        gateway.ask(question(number))
    assert rows(ready, "SELECT health_status, consecutive_failures FROM ai_providers WHERE name = 'local'") == [
        ("unhealthy", 3)
    ]
    clock.move(seconds=59.9)
    assert another.ask(question(4)).error_subtype == "unavailable"
    assert len(llms.calls) == 3
    clock.move(seconds=0.1)
    # Half-open: of many questions one goes through, and it fails.
    llms.hold()
    with ThreadPoolExecutor(6) as threads:
        asked = [threads.submit((gateway, another)[n % 2].ask, question(10 + n)) for n in range(6)]
        llms.wait_for_calls(4)
        llms.release()
        assert {one.result().status for one in asked} == {"error"}
    assert len(llms.calls) == 4
    del llms.scripts["local"]
    assert gateway.ask(question(20)).status == "error"
    clock.move(seconds=60)
    assert gateway.ask(question(21)).status == "success"
    assert rows(
        ready,
        "SELECT health_status, consecutive_failures, circuit_opened_at FROM ai_providers WHERE name = 'local'",
    ) == [("healthy", 0, None)]


def test_a_model_that_is_not_there_gives_way_to_one_that_is(
    make: Make, llms: FakeLlms, ready: ConnectionPool
) -> None:
    run(
        ready,
        """
        UPDATE ai_prompt_provider_configs SET provider_specific_params = '{"model": "llama3.2:1b"}'
        WHERE provider_id = (SELECT id FROM ai_providers WHERE name = 'local')
        """,
    )
    missing = LlmFailure("no such model", subtype=ErrorSubtype.MODEL_NOT_FOUND, http_status=404)
    llms.scripts["local"] = lambda request: missing if request.model == "llama3.2:1b" else reply()
    llms.probes["local"] = Probe("healthy", models=("phi4-mini:latest",))
    answer = make().ask(question())
    assert (answer.status, answer.model) == ("success", "phi4-mini:latest")
    assert len(llms.calls) == 2


def test_the_preferred_provider_is_asked_where_it_may(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    all_active(ready)
    claude = ai_providers.load_provider(ready, "claude")
    assert make().ask(question(preferred_provider_id=claude.id)).provider_name == "claude"


# ---------------------------------------------------------------------------------------------------- limits


def test_a_day_without_tokens_refuses_critical_alerts_too(
    make: Make, llms: FakeLlms, ready: ConnectionPool
) -> None:
    answer = make(daily_token_limit=10).ask(question(severity="critical"))
    assert (answer.error_type, answer.error_subtype, llms.calls) == (ErrorType.RATE_LIMIT, ErrorSubtype.BUDGET, [])
    assert logged(ready) == [("miss", False, "rejected", "budget", "local")]


def test_critical_alerts_may_exceed_the_hour(make: Make, ready: ConnectionPool) -> None:
    gateway = make(hourly_request_limit=1)
    assert gateway.ask(question(1)).status == "success"
    assert gateway.ask(question(2)).error_subtype == "budget"
    assert gateway.ask(question(3, severity="critical")).status == "success"
    assert (
        make(hourly_request_limit=1, critical_first=False).ask(question(4, severity="critical")).status == "error"
    )
    # What is the same for all providers is asked of one.
    assert [row[3:] for row in logged(ready) if row[2] == "rejected"] == [("budget", "local")] * 2
    # A raised limit counts at once.
    assert make(hourly_request_limit=3).ask(question(5)).status == "success"


def test_bursts_are_refused_and_the_bucket_refills(make: Make, ready: ConnectionPool, clock: Clock) -> None:
    run(
        ready,
        """
        UPDATE ai.ai_system_config
        SET system_settings = system_settings || '{"rate_limiting": {"requests_per_minute": 60, "burst_limit": 2}}'
        """,
    )
    gateway = make()
    answers = [gateway.ask(question(number)) for number in range(3)]
    assert [answer.status for answer in answers] == ["success", "success", "error"]
    assert (answers[2].error_type, answers[2].error_subtype) == ("rate_limit", "busy")
    clock.move(seconds=1)
    assert [gateway.ask(question(number)).status for number in (5, 6)] == ["success", "error"]


def test_absent_counts_are_estimated_and_said_to_be(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    llms.scripts["local"] = lambda _: reply(prompt=None, completion=None)
    make().ask(question())
    ((prompt, completion, estimated),) = rows(
        ready, "SELECT tokens_prompt, tokens_completion, tokens_estimated FROM ai_usage_logs"
    )
    request = llms.calls[0][1]
    assert prompt >= len((request.system + request.prompt).encode())
    assert (completion, estimated) == (len('{"confidence": 0.9}'), True)


def test_a_server_that_claims_the_impossible_is_not_believed(
    make: Make, llms: FakeLlms, ready: ConnectionPool
) -> None:
    llms.scripts["local"] = lambda _: reply(prompt=2**31 - 1, completion=10**12)
    make(daily_token_limit=2000).ask(question())
    used, reserved = budgets(ready)["day"]
    assert (used <= 2000, reserved) == (True, 0)


def test_a_failed_call_gives_everything_back_but_its_request(
    make: Make, llms: FakeLlms, ready: ConnectionPool
) -> None:
    llms.scripts["local"] = lambda _: server_error()
    make().ask(question())
    assert budgets(ready) == {"cost": (0, 0), "day": (0, 0), "hour": (1, 0), "minute": (1, 0)}


def test_what_a_dead_process_reserved_lapses(make: Make, ready: ConnectionPool, clock: Clock) -> None:
    gateway = make(daily_token_limit=500)
    with ready.connection() as connection:
        connection.execute(
            "SELECT ai.reserve_budget(gen_random_uuid(), 400, 0, %s, false, %s, %s)",
            [
                '{"day": 500, "cost": 0, "hour": 9, "minute": 9, "burst": 9}',
                clock() + timedelta(minutes=1),
                clock(),
            ],
        )
    assert gateway.ask(question()).error_subtype == "budget"
    clock.move(minutes=1)
    assert gateway.ask(question()).status == "success"
    assert budgets(ready)["day"] == (30, 0)


def test_no_token_over_the_limit_whatever_comes_at_once(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    all_active(ready)
    llms.scripts["local"] = lambda request: server_error() if "7" in request.prompt else reply(completion=50)
    gateway = make(daily_token_limit=3000, hourly_request_limit=40)
    asks = [question(n, severity="critical" if n % 5 == 0 else "info", context={"n": n}) for n in range(80)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(gateway.ask, asks))
    found = budgets(ready)
    assert found["day"][0] <= 3000
    assert {held for _, held in found.values()} == {0}
    assert calls_logged(ready) == len(llms.calls) == found["hour"][0]
    assert rows(ready, "SELECT sum(tokens_total) FROM ai_usage_logs")[0][0] == found["day"][0]


def test_a_prompt_that_does_not_fit_is_not_sent(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    answer = make().ask(question(context={"全文": "茶" * 9000}))
    assert (answer.error_subtype, llms.calls) == ("truncated", [])
    assert logged(ready) == [("miss", False, "rejected", "truncated", "local")]


# ---------------------------------------------------------------------------------------------- many questions


def test_critical_questions_come_first_and_no_more_at_once_than_a_provider_takes(
    make: Make, llms: FakeLlms, ready: ConnectionPool
) -> None:
    run(ready, "UPDATE ai_providers SET max_concurrency = 2 WHERE name = 'local'")
    severities = ("info", "warning", "critical")
    asks = [question(n, severity=severities[n % 3], context={"n": n, "s": severities[n % 3]}) for n in range(9)]
    seen: list[tuple[int, int]] = []
    answers = make().ask_many(asks, progress=lambda done, total: seen.append((done, total)))
    assert [answer.status for answer in answers] == ["success"] * 9
    assert llms.most_running <= 2
    assert seen == [(n, 9) for n in range(1, 10)]
    asked = [next(word for word in severities if word in request.prompt) for _, request in llms.calls]
    # Two at once: neighbours may swap.
    assert (asked[:2], asked[-2:]) == (["critical"] * 2, ["info"] * 2)


def test_the_most_urgent_gets_the_next_turn(make: Make, llms: FakeLlms) -> None:
    gateway = make()
    llms.hold()
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(gateway.ask, question(1, context={"n": "first"}))
        llms.wait_for_calls(1)
        later = [threads.submit(gateway.ask, question(2, severity="info", context={"n": "idle"}))]
        turns = next(iter(gateway._turns.values()))
        while turns.waiting < 1:
            pass
        later.append(threads.submit(gateway.ask, question(3, severity="critical", context={"n": "urgent"})))
        while turns.waiting < 2:
            pass
        llms.release()
        assert [one.result().status for one in (first, *later)] == ["success"] * 3
    assert ["urgent" in request.prompt for _, request in llms.calls] == [False, True, False]


# ------------------------------------------------------------------------------------- safety, switch, failures


def test_nothing_personal_is_sent_or_stored(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    run(
        ready,
        """
        UPDATE ai_system_config SET system_settings = system_settings || '{"monitoring": {"log_requests": true}}'
        """,
    )
    make().ask(question())
    assert "王小明" not in llms.calls[0][1].prompt
    assert "<PERSON_1>" in llms.calls[0][1].prompt
    stored = rows(ready, "SELECT e::text || l::text FROM ai_enhancements AS e, ai_usage_logs AS l")[0][0]
    assert "王小明" not in stored
    assert "<PERSON_1>" in stored


def test_prompts_are_logged_only_where_asked_for(make: Make, ready: ConnectionPool) -> None:
    make().ask(question())
    assert rows(ready, "SELECT prompt FROM ai_usage_logs") == [(None,)]


def test_what_was_stored_renders_to_the_same_bytes(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    from tagging_orchestration.core.enhancement.prompts import render

    context = {"zeta": 1.0, "a": [1e-7, 12.5, None], "比率": 0.1, "nested": {"b": 1, "aa": 2}}
    make().ask(question(context=context))
    ((variables, sha256),) = rows(ready, "SELECT variables, prompt_sha256 FROM ai_enhancements")
    again = render(TEMPLATE, variables, "UTC")
    assert (again.prompt, again.sha256) == (llms.calls[0][1].prompt, sha256)


def test_off_means_no_call_no_row(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    assert make(enabled=False).ask(question()).status == "disabled"
    run(ready, "UPDATE ai_system_config SET ai_enabled = false")
    assert make().ask(question()).status == "disabled"
    assert (llms.calls, logged(ready)) == ([], [])


def test_broken_system_settings_switch_ai_off_and_say_which_key(make: Make, ready: ConnectionPool) -> None:
    run(ready, "UPDATE ai_system_config SET system_settings = '{\"enhancement_timeout\": 1}'")
    answer = make().ask(question())
    assert (answer.status, "enhancement_timeout" in answer.error) == ("disabled", True)


def test_broken_parameters_of_a_config_are_an_error_of_that_provider(
    make: Make, llms: FakeLlms, ready: ConnectionPool
) -> None:
    all_active(ready)
    run(
        ready,
        "UPDATE ai_prompt_provider_configs SET provider_specific_params = '{\"top_k\": 3}'"
        " WHERE provider_id = (SELECT id FROM ai_providers WHERE name = 'local')",
    )
    assert make().ask(question()).provider_name == "openai"
    assert logged(ready)[0][1:] == (False, "rejected", "bad_request", "local")


def test_a_missing_variable_is_an_answer(make: Make, llms: FakeLlms) -> None:
    answer = make().ask(question(variables={}))
    assert (answer.status, "business_context" in answer.error, llms.calls) == ("error", True, [])


def test_an_unsure_answer_is_kept_and_marked(make: Make, llms: FakeLlms) -> None:
    llms.scripts["local"] = lambda _: reply('{"confidence": 0.69}')
    gateway = make()
    for _ in range(2):
        answer = gateway.ask(question())
        assert (answer.status, answer.flags) == ("success", ("low_confidence",))


def test_the_parameters_of_the_config_and_the_providers_own_block_are_sent(
    make: Make, llms: FakeLlms, ready: ConnectionPool
) -> None:
    all_active(ready)
    params = """{"temperature": 0.15, "max_tokens": 44, "openai_specific": {"top_p": 0.5},
        "claude_specific": {"stop_sequences": ["---"], "system_prompt_prefix": "你是資深業務分析師。"}}"""
    run(ready, "UPDATE ai_prompt_provider_configs SET provider_specific_params = %s::jsonb", params)
    claude = ai_providers.load_provider(ready, "claude")
    make().ask(question(preferred_provider_id=claude.id))
    request = llms.calls[0][1]
    assert (request.temperature, request.max_tokens, request.options) == (0.15, 44, {"stop_sequences": ["---"]})
    assert request.system == "你是資深業務分析師。\n\n你是專業的商業分析師。"


def test_close_cancels_running_calls(make: Make, llms: FakeLlms, ready: ConnectionPool) -> None:
    gateway = make()
    llms.hold()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(gateway.ask, question())
        llms.wait_for_calls(1)
        gateway.close()
        assert running.result().error_subtype == "cancelled"
    assert llms.closed == 1
    assert gateway.ask(question(2)).error_subtype == "cancelled"
    assert rows(ready, "SELECT status, error_subtype FROM ai_enhancements") == [("error", "cancelled")]
    assert rows(ready, "SELECT count(*) FROM ai_token_reservations") == [(0,)]


def test_a_programming_error_is_raised_and_leaves_nothing_behind(make: Make, ready: ConnectionPool) -> None:
    def broken(text: str, finish: str) -> ParsedAnswer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make().ask(question(check=broken))
    assert rows(ready, "SELECT status FROM ai_enhancements") == [("error",)]
    assert budgets(ready)["day"] == (30, 0)
    assert calls_logged(ready) == 1


def test_a_broken_database_is_the_one_thing_raised(make: Make, ready: ConnectionPool) -> None:
    gateway = make()
    ready.close()
    with pytest.raises(DatabaseUnavailable):
        gateway.ask(question())


def test_no_connection_is_held_while_a_model_works(make: Make, llms: FakeLlms, database_url: str) -> None:
    with create_pool(database_url, max_size=1) as narrow:
        gateway = make(narrow)
        llms.hold()
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(gateway.ask, question())
            llms.wait_for_calls(1)
            with narrow.connection(timeout=5) as connection:
                open_transactions = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
                ).fetchone()
            llms.release()
            assert running.result().status == "success"
    assert open_transactions == (0,)


def test_waiting_threads_do_not_wait_for_ever(make: Make, llms: FakeLlms) -> None:
    gateway = make()
    llms.hold()
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(gateway.ask(question(n)))) for n in range(4)]
    for thread in threads:
        thread.start()
    llms.wait_for_calls(1)
    gateway.close()
    for thread in threads:
        thread.join(10)
    assert [answer.error_subtype for answer in answers] == ["cancelled"] * 4


def test_the_log_says_what_was_measured(make: Make, ready: ConnectionPool) -> None:
    make().ask(question(run_id="run-1"))
    columns = (
        "template_key, template_version, template_locale, ab_group, subject_type, subject_id, severity, model,"
        " model_digest, tokens_prompt, tokens_completion, tokens_estimated, schema_valid, evidence_valid, run_id"
    )
    assert rows(ready, f"SELECT {columns} FROM ai_usage_logs") == [
        (
            *(
                "alert_enhancement",
                "1.0",
                "zh-TW",
                "A",
                "alert",
                "1",
                "warning",
                "phi4-mini:latest",
                "sha256:fake",
            ),
            *(20, 10, False, True, True, "run-1"),
        )
    ]


def parameters(pool: ConnectionPool) -> Mapping[str, Any]:
    return rows(pool, "SELECT params FROM ai_enhancements")[0][0]


def test_the_parameters_are_stored_beside_the_answer(make: Make, ready: ConnectionPool) -> None:
    make().ask(question())
    assert parameters(ready) == {"max_tokens": 50, "temperature": 0.3, "options": {"num_ctx": 8192}}
