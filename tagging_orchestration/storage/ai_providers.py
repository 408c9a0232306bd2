"""Providers of language models, their configs and the system's: synchronised, read, and their health kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.enhancement.choice import (
    PROVIDER_ALIASES,
    ProviderChoice,
    ProviderRow,
    Strategy,
    parse_params,
)
from tagging_orchestration.core.enhancement.models import Probe
from tagging_orchestration.core.enhancement.seed import ConfigSeed, ProviderSeed, SystemSeed
from tagging_orchestration.core.enhancement.system_settings import (
    SystemConfig,
    SystemSettings,
    parse_system_settings,
)
from tagging_orchestration.core.errors import ConfigurationError, UnknownName
from tagging_orchestration.settings import AiSettings, ProviderSettings
from tagging_orchestration.storage.connection import transaction

FAILURES_TO_OPEN = 3
CIRCUIT_LASTS = timedelta(seconds=60)
# Starters that race wait here for the first one. ("ai_sync_" in ASCII)
_SYNC_LOCK = 0x61695F73796E635F

# What tagging.yaml may state of a provider, and the column it is written to.
_STATED = {
    "active": "is_active",
    "base_url": "base_url",
    "model": "default_model",
    "api_key_env": "api_key_env",
    "price_in_per_million": "price_in_per_million",
    "price_out_per_million": "price_out_per_million",
    "max_concurrency": "max_concurrency",
}
_PROVIDER = sql.SQL(
    """
    p.id, p.name, p.display_name, p.provider_type, p.adapter, p.base_url, p.default_model, p.api_key_env,
    p.price_in_per_million::float8 AS price_in_per_million,
    p.price_out_per_million::float8 AS price_out_per_million,
    p.max_concurrency, p.is_active, p.is_default, p.health_status
    """
)


@dataclass(frozen=True, slots=True)
class ProviderSyncReport:
    """How many rows were added, and how many were changed because tagging.yaml states them otherwise."""

    added: int
    changed: int


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """A provider with what is known of its health. `models` is None where nobody looked yet."""

    provider: ProviderRow
    health_detail: str
    last_health_check: datetime | None
    consecutive_failures: int
    circuit_opened_at: datetime | None
    models: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """A config of a template for a provider, with stated scores and the effective overall score."""

    template_key: str
    provider_name: str
    model: str | None
    params: Mapping[str, Any]
    is_active: bool
    performance_score: float
    cost_efficiency_score: float
    quality_score: float
    overall_score: float
    effective_score: float
    calls_7d: int


# --------------------------------------------------------------------------------------------- synchronising


def sync_providers(
    pool: ConnectionPool, seeds: Sequence[ProviderSeed], systems: Sequence[SystemSeed], ai: AiSettings
) -> ProviderSyncReport:
    """Add absent providers and system configs, then write what tagging.yaml states; the rest stays as people left
    it. Processes that call it at once wait for the first.

    Raises ConfigurationError when tagging.yaml names a provider that does not exist.
    """
    with transaction(pool) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_SYNC_LOCK])
        added = sum(_add_provider(connection, seed) for seed in seeds)
        changed = sum(_write_stated(connection, name, stated) for name, stated in ai.providers.items())
        added += sum(_add_system(connection, seed) for seed in systems)
        if ai.enabled is not None:
            changed += connection.execute(
                """
                UPDATE ai.ai_system_config
                SET ai_enabled = %(enabled)s, updated_at = clock_timestamp()
                WHERE config_name = %(name)s AND ai_enabled <> %(enabled)s
                """,
                {"enabled": ai.enabled, "name": ai.environment},
            ).rowcount
    return ProviderSyncReport(added, changed)


def sync_configs(pool: ConnectionPool, seeds: Sequence[ConfigSeed]) -> int:
    """Add absent configs of the templates that exist; a seed for template `*` is for each that has none else.
    Returns how many were added. Raises ConfigurationError for wrong parameters."""
    with transaction(pool) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_SYNC_LOCK])
        adapters = dict(connection.execute("SELECT name, adapter FROM ai.ai_providers").fetchall())
        added = 0
        # Particular seeds first: the general one of a provider then fills the rest.
        for seed in sorted(seeds, key=lambda seed: seed.template == "*"):
            if seed.provider not in adapters:
                continue
            parse_params(seed.params, adapters[seed.provider])
            added += connection.execute(
                """
                INSERT INTO ai.ai_prompt_provider_configs (
                    template_id, provider_id, provider_specific_params,
                    performance_score, cost_efficiency_score, quality_score
                )
                SELECT t.id, p.id, %(params)s, %(performance)s, %(cost_efficiency)s, %(quality)s
                FROM ai.ai_prompt_templates AS t
                JOIN ai.ai_providers AS p ON p.name = %(provider)s
                WHERE %(template)s IN (t.template_key, '*')
                ON CONFLICT ON CONSTRAINT unique_template_provider DO NOTHING
                """,
                {
                    "params": Jsonb(seed.params),
                    "performance": seed.performance,
                    "cost_efficiency": seed.cost_efficiency,
                    "quality": seed.quality,
                    "provider": seed.provider,
                    "template": seed.template,
                },
            ).rowcount
    return added


def _add_provider(connection: Connection, seed: ProviderSeed) -> int:
    return connection.execute(
        """
        INSERT INTO ai.ai_providers (
            name, display_name, provider_type, adapter, base_url, default_model, api_key_env,
            price_in_per_million, price_out_per_million, max_concurrency, is_active, is_default
        )
        SELECT
            %(name)s, %(display_name)s, %(provider_type)s, %(adapter)s, %(base_url)s, %(default_model)s,
            %(api_key_env)s, %(price_in_per_million)s, %(price_out_per_million)s, %(max_concurrency)s,
            %(is_active)s, %(is_default)s AND NOT EXISTS (SELECT FROM ai.ai_providers WHERE is_default)
        ON CONFLICT (name) DO NOTHING
        """,
        {
            "name": seed.name,
            "display_name": seed.display_name,
            "provider_type": seed.provider_type,
            "adapter": seed.adapter,
            "base_url": seed.base_url,
            "default_model": seed.default_model,
            "api_key_env": seed.api_key_env,
            "price_in_per_million": seed.price_in_per_million,
            "price_out_per_million": seed.price_out_per_million,
            "max_concurrency": seed.max_concurrency,
            "is_active": seed.is_active,
            "is_default": seed.is_default,
        },
    ).rowcount


def _add_system(connection: Connection, seed: SystemSeed) -> int:
    return connection.execute(
        """
        INSERT INTO ai.ai_system_config
            (config_name, config_description, ai_enabled, default_provider_id, system_settings)
        SELECT %s, %s, false, (SELECT id FROM ai.ai_providers WHERE name = %s), %s
        ON CONFLICT (config_name) DO NOTHING
        """,
        [seed.name, seed.description, seed.default_provider, Jsonb(seed.settings.model_dump())],
    ).rowcount


def _write_stated(connection: Connection, stated_name: str, stated: ProviderSettings) -> int:
    name = PROVIDER_ALIASES.get(stated_name, stated_name)
    known = [row[0] for row in connection.execute("SELECT name FROM ai.ai_providers ORDER BY name")]
    if name not in known:
        raise ConfigurationError(
            f"tagging.yaml: ai.providers.{stated_name}: there is no such provider; there are {', '.join(known)}. "
            "Correct the name, or add a row to ai_providers"
        )
    values = {column: getattr(stated, key) for key, column in _STATED.items() if getattr(stated, key) is not None}
    changed = 0
    for column, value in values.items():
        # Only what differs is written, so that updated_at means something.
        changed += connection.execute(
            sql.SQL(
                """
                UPDATE ai.ai_providers
                SET {column} = %(value)s, updated_at = clock_timestamp()
                WHERE name = %(name)s AND {column} IS DISTINCT FROM %(value)s
                """
            ).format(column=sql.Identifier(column)),
            {"value": value, "name": name},
        ).rowcount
    if changed and {"base_url", "default_model"} & set(values):
        # Another server or model: what was known of the old one counts no more.
        connection.execute(
            """
            UPDATE ai.ai_providers
            SET
                health_status = 'unknown', health_detail = '', models = NULL, circuit_opened_at = NULL,
                consecutive_failures = 0
            WHERE name = %s
            """,
            [name],
        )
    return changed


# --------------------------------------------------------------------------------------------------- reading


def list_providers(pool: ConnectionPool) -> list[ProviderRow]:
    """All providers: the default one first, then by name."""
    with transaction(pool) as connection:
        return (
            connection.cursor(row_factory=class_row(ProviderRow))
            .execute(
                sql.SQL("SELECT {} FROM ai.ai_providers AS p ORDER BY p.is_default DESC, p.name").format(_PROVIDER)
            )
            .fetchall()
        )


def load_provider(pool: ConnectionPool, provider: UUID | str) -> ProviderRow:
    """A provider by id or name (`ollama` is `local`). Raises UnknownName when there is none."""
    if isinstance(provider, str):
        provider = PROVIDER_ALIASES.get(provider, provider)
    column = "name" if isinstance(provider, str) else "id"
    with transaction(pool) as connection:
        found = (
            connection.cursor(row_factory=class_row(ProviderRow))
            .execute(
                sql.SQL("SELECT {} FROM ai.ai_providers AS p WHERE p.{} = %s").format(
                    _PROVIDER, sql.Identifier(column)
                ),
                [provider],
            )
            .fetchone()
        )
    if found is None:
        raise UnknownName(f"there is no provider {provider}: see `tagging ai providers`")
    return found


def provider_health(pool: ConnectionPool) -> list[ProviderHealth]:
    """All providers with their health: the default one first, then by name."""
    with transaction(pool) as connection:
        rows = (
            connection.cursor(row_factory=dict_row)
            .execute(
                sql.SQL(
                    """
                SELECT
                    {}, p.health_detail, p.last_health_check, p.consecutive_failures, p.circuit_opened_at,
                    p.models
                FROM ai.ai_providers AS p
                ORDER BY p.is_default DESC, p.name
                """
                ).format(_PROVIDER)
            )
            .fetchall()
        )
    own = ("health_detail", "last_health_check", "consecutive_failures", "circuit_opened_at")
    return [
        ProviderHealth(
            _provider(row),
            *(row[name] for name in own),
            models=None if row["models"] is None else tuple(row["models"]),
        )
        for row in rows
    ]


def list_configs(pool: ConnectionPool, template_key: str | None = None) -> list[ConfigRow]:
    """The configs (of a template), by key and effective score."""
    with transaction(pool) as connection:
        return (
            connection.cursor(row_factory=class_row(ConfigRow))
            .execute(
                """
                SELECT
                    s.template_key, s.provider_name, s.model, c.provider_specific_params AS params, c.is_active,
                    s.stated_performance::float8 AS performance_score,
                    s.stated_cost_efficiency::float8 AS cost_efficiency_score,
                    s.stated_quality::float8 AS quality_score,
                    s.stated_overall::float8 AS overall_score, s.overall_score::float8 AS effective_score,
                    s.calls_7d
                FROM ai.provider_scores() AS s
                JOIN ai.ai_prompt_provider_configs AS c ON c.id = s.config_id
                WHERE s.template_key = %(key)s OR %(key)s::text IS NULL
                ORDER BY s.template_key, s.overall_score DESC, s.provider_name
                """,
                {"key": template_key},
            )
            .fetchall()
        )


def rank_choices(
    pool: ConnectionPool,
    template_key: str,
    preferred_provider_id: UUID | None,
    strategy: Strategy,
    at: datetime,
    limits: Mapping[str, int],
) -> list[ProviderChoice]:
    """Every config of a template, those that may be called first and best first.

    `limits` are written beside what is used today, so that a changed limit counts at once.
    """
    with transaction(pool) as connection:
        connection.execute(
            """
            UPDATE ai.ai_token_budgets AS b
            SET "limit" = (%(limits)s::jsonb ->> b.scope)::bigint
            FROM ai.budget_windows(%(at)s) AS w
            WHERE
                b.organization_id = 'default' AND w.scope = b.scope AND w.window_start = b.window_start
                AND b.scope IN ('day', 'cost') AND b."limit" <> (%(limits)s::jsonb ->> b.scope)::bigint
            """,
            {"limits": Jsonb(limits), "at": at},
        )
        rows = (
            connection.cursor(row_factory=dict_row)
            .execute(
                sql.SQL(
                    """
                SELECT
                    {}, r.model, r.params, r.overall_score, r.performance_score, r.cost_efficiency_score,
                    r.quality_score, r.reason, r.skipped, r.switched_on
                FROM ai.rank_provider_configs(%s, %s, %s, %s) WITH ORDINALITY AS r
                JOIN ai.ai_providers AS p ON p.id = r.provider_id
                ORDER BY r.ordinality
                """
                ).format(_PROVIDER),
                [template_key, preferred_provider_id, strategy, at],
            )
            .fetchall()
        )
    return [
        ProviderChoice(
            provider=_provider(row),
            model=row["model"] or "",
            params=row["params"],
            overall_score=float(row["overall_score"]),
            performance_score=float(row["performance_score"]),
            cost_efficiency_score=float(row["cost_efficiency_score"]),
            quality_score=float(row["quality_score"]),
            reason=row["reason"],
            skipped=row["skipped"],
            switched_on=row["switched_on"],
        )
        for row in rows
    ]


def system_settings(pool: ConnectionPool, environment: str) -> SystemConfig:
    """The system config of an environment; `default` is the one that is switched on. Without a row AI is off.

    Raises ConfigurationError when the row's settings are wrong.
    """
    with transaction(pool) as connection:
        row = connection.execute(
            """
            SELECT c.config_name, c.ai_enabled AND c.is_active, c.system_settings, c.default_provider_id
            FROM ai.ai_system_config AS c
            WHERE c.config_name = %(name)s OR (%(name)s = 'default' AND c.is_active)
            ORDER BY
                c.config_name = %(name)s DESC, c.ai_enabled DESC,
                array_position(ARRAY['production', 'staging', 'development'], c.config_name::text)
            LIMIT 1
            """,
            {"name": environment},
        ).fetchone()
    if row is None:
        return SystemConfig(environment, False, SystemSettings())
    name, enabled, document, default_provider_id = row
    return SystemConfig(name, enabled, parse_system_settings(document, name), default_provider_id)


def switch_ai(pool: ConnectionPool, environment: str, enabled: bool) -> bool:
    """Switch AI on or off for an environment; whether that changed anything. Raises UnknownName without a row."""
    with transaction(pool) as connection:
        row = connection.execute(
            "SELECT ai_enabled FROM ai.ai_system_config WHERE config_name = %s FOR UPDATE", [environment]
        ).fetchone()
        if row is None:
            raise UnknownName(f"ai_system_config has no row {environment}: `tagging ai sync` makes it")
        connection.execute(
            """
            UPDATE ai.ai_system_config
            SET ai_enabled = %(enabled)s, updated_at = clock_timestamp()
            WHERE config_name = %(name)s AND ai_enabled <> %(enabled)s
            """,
            {"enabled": enabled, "name": environment},
        )
    return row[0] != enabled


# ---------------------------------------------------------------------------------------------------- health


def record_probe(pool: ConnectionPool, provider_id: UUID, probe: Probe, at: datetime | None = None) -> None:
    """Keep a look at a provider (`at`: when, else now). A healthy one closes the circuit, an unhealthy one opens
    it; each look counts for its availability."""
    with transaction(pool) as connection:
        connection.execute(
            """
            INSERT INTO ai.ai_provider_probes (provider_id, probed_at, status, detail, response_time_ms)
            VALUES (%s, coalesce(%s, clock_timestamp()), %s, %s, %s)
            ON CONFLICT (provider_id, probed_at) DO NOTHING
            """,
            [provider_id, at, probe.status, probe.detail, probe.response_time_ms],
        )
        # Only Ollama's list says all there is: an empty one means that no model was pulled.
        connection.execute(
            """
            UPDATE ai.ai_providers AS p
            SET
                health_status = v.status,
                health_detail = %(detail)s,
                last_health_check = v.at,
                models = CASE WHEN v.down OR p.adapter <> 'ollama' THEN p.models ELSE %(models)s END,
                circuit_opened_at = CASE WHEN v.down THEN v.at END,
                consecutive_failures = CASE WHEN v.down THEN p.consecutive_failures ELSE 0 END
            FROM (
                SELECT
                    %(status)s::text AS status, %(status)s::text = 'unhealthy' AS down,
                    coalesce(%(at)s, clock_timestamp()) AS at
            ) AS v
            WHERE p.id = %(id)s
            """,
            {
                "status": probe.status,
                "detail": probe.detail,
                "at": at,
                "models": list(probe.models),
                "id": provider_id,
            },
        )


def may_call(connection: Connection, provider_id: UUID, template_key: str, at: datetime) -> str | None:
    """Why a provider may not be called for a template at this very moment; None when it may.

    With an open circuit whose time is up, the caller that gets None is the one that tries: the circuit counts as
    opened anew for everybody else.
    """
    row = connection.execute(
        """
        SELECT p.circuit_opened_at, p.health_status
        FROM ai.ai_prompt_provider_configs AS c
        JOIN ai.ai_prompt_templates AS t ON t.id = c.template_id
        JOIN ai.ai_providers AS p ON p.id = c.provider_id
        WHERE p.id = %s AND t.template_key = %s AND p.is_active AND c.is_active AND t.is_active
        """,
        [provider_id, template_key],
    ).fetchone()
    if row is None:
        return "the provider, its config or the template was switched off"
    opened_at, health = row
    if opened_at is None:
        return "the provider is unhealthy" if health == "unhealthy" else None
    tries = connection.execute(
        "UPDATE ai.ai_providers SET circuit_opened_at = %s WHERE id = %s AND circuit_opened_at <= %s",
        [at, provider_id, at - CIRCUIT_LASTS],
    ).rowcount
    return None if tries else "the provider failed a moment ago"


def record_outcome(connection: Connection, provider_id: UUID, ok: bool, detail: str, at: datetime) -> None:
    """Count a call for the circuit: a success closes it, the third failure in a row opens it."""
    if ok:
        # Most calls find nothing to change, and lock no row.
        connection.execute(
            """
            UPDATE ai.ai_providers
            SET
                consecutive_failures = 0, circuit_opened_at = NULL, health_detail = '', health_status = 'healthy',
                last_health_check = %s
            WHERE
                id = %s
                AND (consecutive_failures > 0 OR circuit_opened_at IS NOT NULL OR health_status <> 'healthy')
            """,
            [at, provider_id],
        )
        return
    connection.execute(
        """
        UPDATE ai.ai_providers
        SET
            consecutive_failures = consecutive_failures + 1,
            health_detail = %(detail)s,
            last_health_check = %(at)s,
            health_status = CASE
                WHEN consecutive_failures + 1 >= %(most)s OR circuit_opened_at IS NOT NULL THEN 'unhealthy'
                ELSE 'degraded'
            END,
            circuit_opened_at = CASE
                WHEN consecutive_failures + 1 >= %(most)s OR circuit_opened_at IS NOT NULL THEN %(at)s::timestamptz
            END
        WHERE id = %(id)s
        """,
        {"detail": detail, "at": at, "most": FAILURES_TO_OPEN, "id": provider_id},
    )


def _provider(row: Mapping[str, Any]) -> ProviderRow:
    return ProviderRow(**{name: row[name] for name in ProviderRow.__dataclass_fields__})
