"""The hourly figures of the AI: built by a step of their own, and by no step of the base."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from dbt.contracts.graph.manifest import Manifest

from tagging_orchestration.defs.business.checks import reading_ai
from tests.dbt.conftest import Business

CALL = """
    INSERT INTO ai.ai_usage_logs (
        created_at, request_id, template_key, template_version, enhancement_type, subject_type, subject_id,
        provider_id, provider_name, model, cache_status, called, started_at, finished_at, response_time_ms, status,
        tokens_prompt, tokens_completion, estimated_cost_usd, confidence
    )
    SELECT
        at, gen_random_uuid(), 'alert_enhancement', '1.0', 'alert_enhancement', 'alert', 'a-1', gen_random_uuid(),
        'local', 'phi4-mini:latest', 'miss', true, at, at, %s, 'success', 100, 20, 0.01, 0.9
    FROM (SELECT date_trunc('hour', now(), 'UTC') - %s * interval '1 hour' + interval '1 second') AS t (at)
"""
HOURS = """
    SELECT
        extract(epoch FROM date_trunc('hour', now(), 'UTC') - hour)::integer / 3600 AS ago, calls,
        p95_response_ms, tokens, success_rate
    FROM ai.ai_metrics_hourly
    ORDER BY hour DESC
"""


def test_every_unit_test_of_the_figures_passes(empty: Business):
    empty.build("ai")
    empty.dbt("test", "--select", "ai_metrics_hourly,test_type:unit")


def test_figures_are_built_from_the_calls_and_stay_when_these_are_deleted(empty: Business):
    for took, hours_ago in ((100, 5), (300, 5), (500, 0)):
        empty.rows(CALL, took, hours_ago)
    empty.build("ai")
    assert empty.rows(HOURS) == [(0, 1, 500, 120, 1), (5, 2, 290, 240, 1)]
    empty.rows("SELECT set_config('ai.cleaning_up', 'on', false); DELETE FROM ai.ai_usage_logs WHERE called")
    # Written late, and long ago: the latest hours are summed again, an old one stays as it was.
    empty.rows(CALL, 700, 1)
    empty.rows(CALL, 900, 5)
    empty.build("ai")
    assert empty.rows(HOURS) == [(0, 1, 500, 120, 1), (1, 1, 700, 120, 1), (5, 2, 290, 240, 1)]


def test_a_build_of_the_base_neither_builds_nor_needs_the_ai(empty: Business):
    empty.rows("DROP SCHEMA ai CASCADE")
    empty.build("metrics")
    assert empty.rows("SELECT to_regclass('ai.ai_metrics_hourly')") == [(None,)]
    published = empty.rows(
        "SELECT metric_name, warning_threshold FROM analytics.metric_thresholds WHERE category = 'ai' ORDER BY 1"
    )
    assert ("ai_daily_cost", Decimal("0.8")) in published


def test_nothing_of_the_base_reads_the_ai(manifest: Manifest):
    assert reading_ai(_plain(manifest)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"depends_on": {"nodes": ["source.business.ai.ai_usage_logs"]}},
        {"depends_on": {"nodes": ["model.business.ai_metrics_hourly"]}},
        {"raw_code": "SELECT * FROM ai.ai_enhancements"},
    ],
)
def test_a_model_of_the_base_that_reads_the_ai_is_found(manifest: Manifest, change: dict[str, Any]):
    plain = _plain(manifest)
    node = plain["nodes"]["model.business.metrics_current"]
    plain["nodes"]["model.business.metrics_current"] = {**node, **change}
    assert reading_ai(plain) == ["metrics_current"]


def _plain(manifest: Manifest) -> dict[str, Any]:
    document = manifest.writable_manifest().to_dict(omit_none=True)
    return {"nodes": dict(document["nodes"]), "sources": document["sources"]}


def test_alerts_about_the_ai_are_no_news_of_the_business(changeable: Business):
    said = """
        SELECT l.locale, i.title, i.description, i.confidence_score
        FROM (VALUES ('en'), ('zh-Hant')) AS l (locale), analytics.generate_business_insights(l.locale) AS i
        ORDER BY 1, 2
    """
    before = changeable.rows(said)
    changeable.rows(
        """
        INSERT INTO analytics.dashboard_alerts (
            alert_type, alert_subtype, severity, metric_name, dimension, direction, fingerprint, title, message,
            current_value, metric_date, last_metric_date
        )
        SELECT
            'threshold_breach', 'ai_performance', 'critical', 'ai_success_rate', 'provider:local', 'down', 'f',
            'AI', 'AI', 0, d.today, d.today
        FROM (VALUES (analytics.as_of_day())) AS d (today)
        """
    )
    changeable.build("insights")
    assert before
    assert changeable.rows(said) == before
