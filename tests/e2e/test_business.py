"""The shipped sample and its shop, from an empty database to the report: what `make run` tells."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.audit import audit_answers
from tagging_orchestration.cli import main
from tagging_orchestration.commands.init import write_configuration
from tagging_orchestration.dagster_home import STORAGE_URL
from tagging_orchestration.demo.incidents import SAMPLE_INCIDENTS, PlantedIncident
from tagging_orchestration.dev_llm.faults import Fault
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.settings import get_settings
from tagging_orchestration.storage.ai_parity import base_fingerprints
from tagging_orchestration.storage.connection import create_pool
from tests.conftest import fresh_database

TOP = 3
LATE_DAYS = 5


def run(*arguments: str) -> Any:
    """`tagging ...` in this process; what it prints with --json."""
    get_settings.cache_clear()
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    # In a process of its own the command keeps dbt's lines from the screen; here they precede what it says.
    begins = re.search(r"^[{\[]$", result.stdout, re.MULTILINE)
    assert begins, result.stdout
    return json.loads(result.stdout[begins.start() :])


@pytest.fixture(scope="module")
def shop(
    postgres_server: EmbeddedServer, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ConnectionPool, dict[str, Any]]]:
    """A project as `tagging init` makes it, after its first run: its database, and what the run said."""
    folder = tmp_path_factory.mktemp("shop")
    write_configuration(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TAGGING_HOME", str(folder / "state"))
        for name in ("DAGSTER_HOME", STORAGE_URL, "DO_NOT_TRACK"):
            patch.setenv(name, os.environ.get(name, ""))
        for url in fresh_database(postgres_server, template_database):
            patch.setenv("TAGGING_DATABASE_URL", url)
            for dagster_url in fresh_database(postgres_server, "template1"):
                patch.setenv("TAGGING_DAGSTER_DATABASE_URL", dagster_url)
                said = run("run")
                with create_pool(url) as pool:
                    yield pool, said
    get_settings.cache_clear()


@pytest.mark.parametrize("planted", SAMPLE_INCIDENTS, ids=lambda planted: planted.kind)
def test_each_planted_incident_is_found_and_explained(shop, planted: PlantedIncident):
    first, last = planted.start.date(), planted.end.date()
    found = [
        incident
        for incident in shop[1]["business"]["incidents"]
        if date.fromisoformat(incident["opened_on"]) <= last
        and date.fromisoformat(incident["last_seen_on"]) >= first
        and {cause["tag"] for cause in incident["causes"][:TOP]} & set(planted.causes)
        and set(incident["metrics"]) & {*planted.metrics, "tag_volume"}
    ]
    assert found, f"nothing explains the {planted.kind} of {first}"
    begun = min(date.fromisoformat(incident["opened_on"]) for incident in found)
    assert begun <= first + timedelta(days=LATE_DAYS)


def test_what_is_open_at_the_end_is_the_support_backlog(shop):
    (incident,) = [row for row in shop[1]["business"]["incidents"] if row["state"] == "open"]
    assert "avg_response_time" in incident["metrics"]
    assert incident["severity"] == "critical"
    assert incident["texts"]["zh-Hant"]["title"] != incident["texts"]["en"]["title"]


def test_every_gate_of_the_business_passes(shop):
    gates = {gate["name"]: gate["passed"] for gate in shop[1]["gates"]}
    for name in ("every_metric_has_thresholds", "alert_documents_are_valid", "evidence_resolves"):
        assert gates[name] is True
    assert gates["unified_content_is_valid"] is True
    assert gates["base_independent_of_ai"] is True


def test_an_alert_can_be_recomputed_by_hand_from_raw_rows(shop):
    with shop[0].connection() as connection:
        rows = connection.execute(
            """
            SELECT a.current_value, (
                SELECT round(count(*) FILTER (WHERE o.payment_status = 'failed')::numeric / count(*), 4)
                FROM raw.orders AS o
                WHERE (o.ordered_at AT TIME ZONE 'Asia/Taipei')::date = a.last_metric_date
            )
            FROM analytics.dashboard_alerts AS a
            WHERE a.metric_name = 'payment_failure_rate' AND a.dimension = 'all'
            """
        ).fetchall()
    assert rows
    for stored, by_hand in rows:
        assert stored == by_hand


def test_the_report_tells_the_story_in_both_languages(shop):
    page = Path(shop[1]["business"]["report"]).read_text(encoding="utf-8")
    for words in ("風險預警中心", "關鍵業務洞察", "戰略行動建議", "平均回應時間", "Average response time"):
        assert words in page


def test_a_second_run_has_nothing_to_do(shop):
    again = run("run")
    assert "refresh_alerts" not in again["seconds_by_job"]
    assert "load_business_facts" not in again["seconds_by_job"]


@pytest.fixture
def model(shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[DevLlm]:
    """AI is on, and answers come from the local canned server."""
    with DevLlm() as server:
        monkeypatch.setenv("TAGGING_AI__ENABLED", "true")
        monkeypatch.setenv("TAGGING_AI__PROVIDERS", json.dumps({"local": {"base_url": server.base_url}}))
        yield server
    get_settings.cache_clear()


def calls_logged(pool: ConnectionPool) -> int:
    with pool.connection() as connection:
        return connection.execute("SELECT count(*) FROM ai_usage_logs WHERE called").fetchall()[0][0]


def test_ai_off_contacts_nobody_and_leaves_nothing(shop):
    assert "ai_enhancement_job" not in shop[1]["seconds_by_job"]
    assert calls_logged(shop[0]) == 0


def test_a_model_that_fails_fails_no_run_and_changes_nothing_of_the_base(shop, model: DevLlm):
    model.script(Fault.RUNNER_DIED)
    before = base_fingerprints(shop[0])
    said = run("run")
    assert "ai_enhancement_job" in said["seconds_by_job"]
    assert base_fingerprints(shop[0]) == before
    assert "AI 深化分析" not in Path(said["business"]["report"]).read_text(encoding="utf-8")
    assert 0 < len(model.calls) == calls_logged(shop[0])


def test_a_model_that_answers_adds_beside_the_base(shop, model: DevLlm):
    pool, earlier = shop[0], calls_logged(shop[0])
    with pool.connection() as connection:
        connection.execute("UPDATE ai_providers SET consecutive_failures = 0, circuit_opened_at = NULL")
    before = base_fingerprints(pool)
    said = run("run")
    assert base_fingerprints(pool) == before
    assert calls_logged(pool) - earlier == len(model.calls)
    page = Path(said["business"]["report"]).read_text(encoding="utf-8")
    for words in ("AI 深化分析", "AI analysis", "AI 增強", "75%"):
        assert words in page
    audit = audit_answers(pool)
    assert audit.faults == ()
    assert audit.references > audit.answers > 4
    gates = {gate["name"]: gate["passed"] for gate in said["gates"]}
    for name in ("prompts_are_clean", "enhancements_are_cited", "answers_expire", "base_is_untouched"):
        assert gates[name] is True
    shown = run("enhancements", "list")
    assert {row["subject_type"] for row in shown} >= {"alert", "insight", "recommendation", "summary"}


def test_what_was_answered_is_not_asked_again(shop, model: DevLlm):
    said = run("run")
    assert said["seconds_by_job"]["ai_enhancement_job"] > 0
    assert model.calls == []


def test_a_corrected_order_recomputes_its_day_and_leaves_the_others(shop):
    pool = shop[0]
    with pool.connection() as connection:
        before = dict(
            connection.execute(
                "SELECT metric_date, computed_at FROM fct_business_metrics_daily"
                " WHERE metric_name = 'daily_revenue' AND dimension = 'all'"
            ).fetchall()
        )
        connection.execute(
            """
            UPDATE raw.orders SET total_amount = total_amount + 10
            WHERE order_id = (
                SELECT order_id FROM raw.orders
                WHERE (ordered_at AT TIME ZONE 'Asia/Taipei')::date = '2026-05-20' LIMIT 1
            )
            """
        )
    said = run("run")
    assert "refresh_alerts" in said["seconds_by_job"]
    with pool.connection() as connection:
        after = dict(
            connection.execute(
                "SELECT metric_date, computed_at FROM fct_business_metrics_daily"
                " WHERE metric_name = 'daily_revenue' AND dimension = 'all'"
            ).fetchall()
        )
    day = date(2026, 5, 20)
    assert after[day] > before[day]
    assert after[day - timedelta(days=1)] == before[day - timedelta(days=1)]
    assert len(said["business"]["incidents"]) == len(shop[1]["business"]["incidents"])
