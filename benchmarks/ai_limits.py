"""What the gateway to language models promises, tried under load.

    python benchmarks/ai_limits.py [--calls 10000] [--contexts 1000000] [--json]

On a Postgres server of its own that is removed afterwards, with a local server that speaks Ollama's protocol:

- so many questions at once (threads of two processes, all waiting at the same time), a fifth of them about
  critical alerts, with three providers of which the first two fail in turns, so that questions fall back; under
  limits for the tokens and the money of the day and the requests of the hour. Counted: tokens and money over
  a limit, ordinary requests over the hour's, rows of the log against the calls the server saw;
- 100 identical questions at once from two processes: the calls the server saw;
- so many contexts hashed: collisions.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Literal

from tagging_orchestration.ai.gateway import LlmGateway
from tagging_orchestration.clients.llm.factory import make_client
from tagging_orchestration.core.enhancement.choice import ProviderRow
from tagging_orchestration.core.enhancement.keys import context_hash
from tagging_orchestration.core.enhancement.models import (
    AnswerRejected,
    Ask,
    ErrorSubtype,
    LlmClient,
    LlmReply,
    LlmRequest,
    ParsedAnswer,
    Probe,
    PromptTemplate,
)
from tagging_orchestration.core.enhancement.seed import ConfigSeed, ProviderSeed, SystemSeed
from tagging_orchestration.core.enhancement.system_settings import RateLimiting, SystemSettings
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.settings import AiSettings, Settings
from tagging_orchestration.storage import ai_providers, migrate
from tagging_orchestration.storage.connection import connect, create_pool

PROCESSES = 2
KEY = "alert_enhancement"
MODELS = {"first": "phi4-mini:latest", "second": "llama3.2:1b", "third": "qwen3:4b"}
TEMPLATE = PromptTemplate(
    KEY, "zh-TW", "1.0", "警示", "analysis", "業務背景：{{business_context}}", "", (), (), 40, 0.3, None, "0" * 64
)
# Prices of the third provider, dollars a million tokens.
PRICE_IN, PRICE_OUT = 1.0, 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the run: all of them are reached."""

    tokens: int
    requests: int
    usd: float


@dataclass(frozen=True, slots=True)
class Share:
    """The questions of one process."""

    database_url: str
    first: int
    count: int
    limits: Limits
    same: bool = False


class NoMasker:
    """The contexts hold nothing personal."""

    fingerprint = "none"

    def mask(self, text: str, language: str | None = None) -> str:
        """The text."""
        return text


class Metered:
    """A client that adds up the tokens its server says it spent."""

    def __init__(self, client: LlmClient, said: list[int]) -> None:
        self._client = client
        self._said = said

    def complete(self, request: LlmRequest, cancel: threading.Event | None = None) -> LlmReply:
        """As the client's."""
        reply = self._client.complete(request, cancel)
        self._said.append((reply.tokens_prompt or 0) + (reply.tokens_completion or 0))
        return reply

    def probe(self, model: str) -> Probe:
        """As the client's."""
        return self._client.probe(model)

    def close(self) -> None:
        """As the client's."""
        self._client.close()


def check(text: str, finish: str) -> ParsedAnswer:
    """JSON, or the answer is rejected."""
    try:
        return ParsedAnswer(json.loads(text), "exact", 0.9)
    except ValueError as error:
        raise AnswerRejected("no JSON", ErrorSubtype.INVALID_JSON, ["answer with JSON"]) from error


def question(number: int) -> Ask:
    """One about an alert of its own; every fifth alert is critical."""
    severity: Literal["critical", "info"] = "critical" if number % 5 == 0 else "info"
    return Ask(
        template=TEMPLATE,
        requested_key=KEY,
        variables={"business_context": {"alert": number, "daily_revenue": 145_000 + number}},
        evidence=(),
        subject_type="alert",
        subject_id=str(number),
        enhancement_type=KEY,
        check=check,
        severity=severity,
    )


def answer_for(model: str) -> Any:
    """What a model says: the first one rubbish to a third of the questions, the second one to a quarter."""
    fails = {"phi4-mini:latest": 3, "llama3.2:1b": 4}.get(model)

    def answer(fields: Mapping[str, Any]) -> str:
        prompt = fields["messages"][-1]["content"]
        number = int("".join(filter(str.isdigit, prompt.split('"alert"')[1][:12])) or 0)
        return "rubbish" if fails and number % fails == 0 else '{"summary": "客服回覆過慢", "confidence": 0.9}'

    return answer


def ask_all(share: Share, together: Barrier, results: Any) -> None:
    """All questions of a share at once, each in a thread of its own."""
    threading.stack_size(256 * 1024)
    settings = Settings(
        ai=AiSettings(
            enabled=True,
            daily_token_limit=share.limits.tokens,
            hourly_request_limit=share.limits.requests,
            daily_cost_limit_usd=share.limits.usd,
        )
    )
    said: list[int] = []

    def clients(provider: ProviderRow) -> LlmClient:
        return Metered(make_client(provider), said)

    waiting = threading.Barrier(share.count + 1)
    with create_pool(share.database_url, max_size=8) as pool, ThreadPoolExecutor(share.count) as threads:
        # Thousands wait for a few connections here; a connection is theirs when its turn comes.
        pool.timeout = 3600.0
        gateway = LlmGateway(pool, settings, masker=NoMasker(), clients=clients)

        def one(number: int) -> str:
            waiting.wait()
            answer = gateway.ask(question(1 if share.same else number))
            return f"{answer.status}:{answer.provider_name or answer.error_subtype}:{answer.cache_status}"

        asked = [threads.submit(one, number) for number in range(share.first, share.first + share.count)]
        together.wait()
        waiting.wait()
        outcomes = [answer.result() for answer in asked]
        gateway.close()
    results.put((outcomes, sum(said)))


def run_shares(shares: list[Share]) -> tuple[dict[str, int], int, float]:
    """How often each outcome came, the tokens the server said, and the seconds it took."""
    context = multiprocessing.get_context("spawn")
    together, results = context.Barrier(len(shares) + 1), context.Queue()
    processes = [context.Process(target=ask_all, args=(share, together, results)) for share in shares]
    for process in processes:
        process.start()
    together.wait()
    started = time.perf_counter()
    outcomes: dict[str, int] = {}
    tokens = 0
    for _ in processes:
        said, spent = results.get()
        tokens += spent
        for outcome in said:
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    return dict(sorted(outcomes.items())), tokens, seconds


def prepare(url: str, base_url: str) -> None:
    """The schema, three providers, a template and its configs."""
    migrate.upgrade(url)
    providers = [
        ProviderSeed(
            name=name,
            display_name=name,
            provider_type="local",
            adapter="ollama",
            base_url=base_url,
            default_model=model,
            price_in_per_million=PRICE_IN if name == "third" else 0,
            price_out_per_million=PRICE_OUT if name == "third" else 0,
            max_concurrency=16,
            is_active=True,
            is_default=name == "first",
        )
        for name, model in MODELS.items()
    ]
    rates = SystemSettings(rate_limiting=RateLimiting(requests_per_minute=10**6, burst_limit=10**6))
    systems = [SystemSeed(name="development", description="", default_provider="first", settings=rates)]
    configs = [
        ConfigSeed(template=KEY, provider=name, performance=score, cost_efficiency=score, quality=score)
        for name, score in zip(MODELS, (0.9, 0.8, 0.7), strict=True)
    ]
    with connect(url) as connection:
        connection.execute(
            "INSERT INTO ai.ai_prompt_templates (template_key, template_name, category, prompt_template)"
            " VALUES (%s, '警示', 'analysis', '{{business_context}}')",
            [KEY],
        )
    with create_pool(url) as pool:
        ai_providers.sync_providers(pool, providers, systems, AiSettings(enabled=True))
        ai_providers.sync_configs(pool, configs)


def load(url: str, server: DevLlm, calls: int) -> dict[str, Any]:
    """Many questions under limits."""
    # Less than half of what is asked for, so that each limit has something to refuse.
    limits = Limits(tokens=calls * 22, requests=calls * 3 // 10, usd=calls * 5e-7)
    count = calls // PROCESSES
    before = len(server.calls)
    outcomes, said, seconds = run_shares([Share(url, n * count, count, limits) for n in range(PROCESSES)])
    with connect(url) as connection:
        rows = connection.execute(
            "SELECT scope, sum(used), sum(reserved) FROM ai.ai_token_budgets GROUP BY scope"
        ).fetchall()
        used = {scope: int(spent) for scope, spent, _ in rows}
        left = sum(int(reserved) for *_, reserved in rows)
        logged = connection.execute(
            """
            SELECT
                count(*) FILTER (WHERE called), coalesce(sum(tokens_total), 0),
                count(*) FILTER (WHERE called AND severity <> 'critical'),
                count(*) FILTER (WHERE status = 'rejected')
            FROM ai.ai_usage_logs
            """
        ).fetchone()
    assert logged is not None
    called, tokens, ordinary, rejected = map(int, logged)
    seen = len(server.calls) - before
    return {
        "questions": count * PROCESSES,
        "at_once": count * PROCESSES,
        "seconds": round(seconds, 1),
        "outcomes": outcomes,
        "limits": {"tokens": limits.tokens, "requests_an_hour": limits.requests, "usd": limits.usd},
        "tokens_the_server_said": said,
        "tokens_used": used["day"],
        "tokens_logged": tokens,
        "tokens_over_limit": max(0, used["day"] - limits.tokens, said - limits.tokens),
        "usd_used": used["cost"] / 1e6,
        "usd_over_limit": max(0.0, used["cost"] / 1e6 - limits.usd),
        "ordinary_requests": ordinary,
        "ordinary_requests_over_the_hour": max(0, ordinary - limits.requests),
        "rejected_by_limits": rejected,
        "calls_the_server_saw": seen,
        "log_rows_of_calls": called,
        "tokens_still_reserved": left,
    }


def identical(url: str, server: DevLlm) -> dict[str, Any]:
    """100 times the same question from two processes."""
    with connect(url) as connection:
        connection.execute("DELETE FROM ai.ai_token_budgets")
        connection.execute("UPDATE ai.ai_providers SET circuit_opened_at = NULL, health_status = 'unknown'")
        connection.execute("DELETE FROM ai.ai_enhancements")
    before = len(server.calls)
    limits = Limits(10**9, 10**9, 10**3)
    outcomes, _, _ = run_shares([Share(url, 0, 50, limits, same=True) for _ in range(PROCESSES)])
    return {"questions": 100, "outcomes": outcomes, "upstream_calls": len(server.calls) - before}


def hashes(count: int) -> dict[str, Any]:
    """Contexts that differ in one small thing each: a number, a word, a place in a list, the depth of a key."""
    started = time.perf_counter()
    seen: set[str] = set()
    for number in range(count):
        kind, value = number % 4, number // 4
        context: dict[str, Any] = {
            "snapshot_timestamp": datetime.now(UTC).isoformat(),
            "metric": "客服回覆時間",
            "current_value": 125.5,
        }
        if kind == 0:
            context["current_value"] = value / 1000
        elif kind == 1:
            context["metric"] = f"指標{value}"
        elif kind == 2:
            context["related"] = [value, 1]
        else:
            context["related"] = {"inner": {"value": value}}
        seen.add(context_hash({"business_context": context}))
    return {
        "contexts": count,
        "collisions": count - len(seen),
        "microseconds_each": round((time.perf_counter() - started) / count * 1e6, 1),
    }


def main() -> None:
    """Run all three and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--contexts", type=int, default=1_000_000)
    parser.add_argument("--major", type=int, default=18, choices=(16, 18))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, DevLlm(models=list(MODELS.values())) as dev:
        Path(folder).chmod(0o755)  # the embedded server's user must reach its data
        server = EmbeddedServer(Path(folder), options.major)
        server.start()
        try:
            prepare(server.url(), dev.base_url)
            for model in MODELS.values():
                dev.answer(answer_for(model), model=model)
            report = {
                "load": load(server.url(), dev, options.calls),
                "identical": identical(server.url(), dev),
                "hashes": hashes(options.contexts),
            }
        finally:
            server.stop()
    if options.json:
        print(json.dumps(report, ensure_ascii=False, indent=2))
        return
    for part, figures in report.items():
        print(f"{part}:")
        for name, value in figures.items():
            print(f"  {name.replace('_', ' ')}: {value}")


if __name__ == "__main__":
    main()
