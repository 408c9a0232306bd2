"""Providers, prompts and configs come into the tables once, whoever asks at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.sync import sync_ai
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.settings import AiSettings, ProviderSettings, Settings
from tagging_orchestration.storage import ai_providers


def test_starters_that_race_add_each_row_once(pool: ConnectionPool, settings: Settings) -> None:
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(lambda _: sync_ai(pool, settings), range(4)))
    assert sorted(report.providers_added for report in reports) == [0, 0, 0, 6]
    assert sum(1 for report in reports if report.configs_added) == 1
    again = sync_ai(pool, settings)
    assert (again.providers_added, again.providers_changed, again.configs_added) == (0, 0, 0)
    with pool.connection() as connection:
        keys = [
            key
            for (key,) in connection.execute(
                "SELECT template_key FROM ai_prompt_templates WHERE is_active"
            ).fetchall()
        ]
    assert len(keys) >= 15
    configured = {
        row.template_key
        for row in ai_providers.list_configs(pool)
        if row.provider_name == "local" and row.is_active
    }
    assert configured == set(keys)


def test_a_wrong_name_in_tagging_yaml_changes_nothing(pool: ConnectionPool, settings: Settings) -> None:
    wrong = settings.model_copy(update={"ai": AiSettings(providers={"gpt": ProviderSettings(active=True)})})
    with pytest.raises(ConfigurationError, match=r"ai\.providers\.gpt"):
        sync_ai(pool, wrong)
    assert ai_providers.list_providers(pool) == []
