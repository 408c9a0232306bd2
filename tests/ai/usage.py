"""Calls in the log, limits and providers, for tests of what is made of them."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg import sql
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.sync import load_seed
from tagging_orchestration.business.dbt import project_dir
from tagging_orchestration.core.enhancement.watch import CATEGORY
from tagging_orchestration.settings import AiSettings, Settings
from tagging_orchestration.storage.ai_providers import load_provider, sync_providers


def ai_settings(settings: Settings, **stated: Any) -> Settings:
    """The same settings with AI switched on, and with what else is stated of it."""
    return settings.model_copy(update={"ai": AiSettings(**{"enabled": True, **stated})})


def open_ai(pool: ConnectionPool, settings: Settings, **stated: Any) -> Settings:
    """A database with the providers and limits of the seeds, without prompts; AI is on unless stated otherwise."""
    settings = ai_settings(settings, **stated)
    seed = load_seed()
    sync_providers(pool, seed.providers, seed.systems, settings.ai)
    publish_limits(pool)
    return settings


def publish_limits(pool: ConnectionPool) -> None:
    """The rows of the AI from the seed of thresholds, as a build of dbt publishes them."""
    with (project_dir() / "seeds" / "metric_thresholds.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["category"] == CATEGORY]
    with pool.connection() as connection:
        for row in rows:
            columns = {name: value or None for name, value in row.items()}
            insert = _insert("analytics.metric_thresholds", columns) + sql.SQL(" ON CONFLICT DO NOTHING")
            connection.execute(insert, columns)


def add_call(
    pool: ConnectionPool, at: datetime | None = None, provider: str | None = "local", **columns: Any
) -> UUID:
    """One row of the log: a call that succeeded a moment ago, unless it is said otherwise; its request."""
    moment = at or datetime.now(UTC)
    values: dict[str, Any] = {
        "created_at": moment,
        "request_id": uuid4(),
        "template_key": "alert_enhancement",
        "template_version": "1.0",
        "enhancement_type": "alert_enhancement",
        "subject_type": "alert",
        "subject_id": "a-1",
        "provider_id": load_provider(pool, provider).id if provider else None,
        "provider_name": provider,
        "model": "phi4-mini:latest" if provider else None,
        "cache_status": "miss",
        "called": True,
        "started_at": moment,
        "finished_at": moment,
        "response_time_ms": 1000,
        "status": "error" if "error_type" in columns else "success",
        **columns,
    }
    with pool.connection() as connection:
        connection.execute("SELECT ai.ensure_usage_log_partitions(%s::date, 1)", [moment])
        connection.execute(_insert("ai.ai_usage_logs", values), values)
    return values["request_id"]


def add_answer(pool: ConnectionPool, at: datetime | None = None, **columns: Any) -> UUID:
    """One stored answer; its id."""
    moment = at or datetime.now(UTC)
    values: dict[str, Any] = {
        "id": uuid4(),
        "cache_key": "0" * 64,
        "context_hash": "0" * 64,
        "subject_type": "alert",
        "subject_id": "a-1",
        "enhancement_type": "alert_enhancement",
        "template_key": "alert_enhancement",
        "template_version": "1.0",
        "template_locale": "en",
        "requested_key": "alert_enhancement",
        "prompt_sha256": "0" * 64,
        "variables": "{}",
        "provider_name": "local",
        "model": "phi4-mini:latest",
        "status": "success",
        "result": "{}",
        "request_id": uuid4(),
        "created_at": moment,
        "fresh_until": moment,
        "expires_at": moment,
        **columns,
    }
    with pool.connection() as connection:
        connection.execute(_insert("ai.ai_enhancements", values), values)
    return values["id"]


def vote(pool: ConnectionPool, answer: UUID, actor: str = "mei", *, useful: bool = True) -> None:
    """Somebody's word on an answer."""
    values = {"enhancement_id": answer, "actor": actor, "useful": useful}
    with pool.connection() as connection:
        connection.execute(_insert("ai.ai_enhancement_votes", values), values)


def use_budget(
    pool: ConnectionPool, scope: str, used: int, window_start: datetime, limit: int = 1_000_000
) -> None:
    """What was used of a limit in a window."""
    values = {"scope": scope, "used": used, "window_start": window_start, "limit": limit}
    with pool.connection() as connection:
        connection.execute(_insert("ai.ai_token_budgets", values), values)


def _insert(relation: str, values: dict[str, Any]) -> sql.Composed:
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(*relation.split(".")),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
