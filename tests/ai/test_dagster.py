"""The AI in Dagster: when it is asked, what its assets do, and what its gates see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.audit import audit_answers
from tagging_orchestration.ai.service import EnhancementService
from tagging_orchestration.defs.enhancements import checks, schedules
from tagging_orchestration.defs.enhancements.enhancements import AlertConfig, alert_enhancements
from tagging_orchestration.defs.enhancements.providers import prompt_templates, provider_health
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.tag_proposals import propose_tags_when_due
from tagging_orchestration.dev_llm.faults import Fault
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.settings import Settings, get_settings
from tagging_orchestration.storage.ai_parity import base_fingerprints
from tests.ai.business import SLOW


@pytest.fixture
def database_url(business_url: str) -> str:
    """A database with the business."""
    return business_url


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance on disk: a schedule's context opens it by its reference."""
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def on(settings: Settings, server: DevLlm, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AI is on for this process, at the canned server."""
    monkeypatch.setenv("TAGGING_AI__ENABLED", "true")
    monkeypatch.setenv("TAGGING_AI__PROVIDERS", json.dumps({"local": {"base_url": server.base_url}}))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture
def off(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AI is off by tagging.yaml, whatever the table says."""
    monkeypatch.setenv("TAGGING_AI__ENABLED", "false")
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def tick(schedule: dg.ScheduleDefinition, instance: dg.DagsterInstance):
    moment = datetime(2026, 11, 2, 7, tzinfo=UTC)
    with dg.build_schedule_context(
        instance=instance, resources={"tagging": Tagging()}, scheduled_execution_time=moment
    ) as context:
        return schedule(context)


def look(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None = None):
    with dg.build_sensor_context(instance=instance, resources={"tagging": Tagging()}, cursor=cursor) as context:
        return sensor(context)


def work(instance: dg.DagsterInstance, *assets, **config) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        list(assets), instance=instance, resources={"tagging": Tagging()}, run_config=config or None
    )


def verdict(check: dg.AssetChecksDefinition, **resources) -> dg.AssetCheckResult:
    """What a check says."""
    return check.node_def.compute_fn.decorated_fn(**resources)  # pyright: ignore[reportAttributeAccessIssue]


def reason(result) -> str:
    assert isinstance(result, dg.SkipReason)
    return result.skip_message or ""


SCHEDULES = [
    schedules.enhance_when_due,
    schedules.daily_executive_summary,
    schedules.weekly_executive_summary,
    schedules.hourly_ai_watch,
    propose_tags_when_due,
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)
def test_switched_off_nothing_is_asked_for(instance, off, server: DevLlm, schedule: dg.ScheduleDefinition):
    assert reason(tick(schedule, instance))
    assert server.requests == []


def test_switched_off_the_sensors_contact_nobody(instance, off, server: DevLlm):
    assert reason(look(schedules.critical_alert_enhancement_sensor, instance)) == schedules.AI_OFF
    assert reason(look(schedules.ai_health_sensor, instance)) == schedules.AI_OFF
    assert server.requests == []


def test_a_switch_that_cannot_be_read_is_off(instance, on, pool: ConnectionPool, server: DevLlm):
    with pool.connection() as connection:
        connection.execute("UPDATE ai.ai_system_config SET system_settings = '{\"surprise\": 1}'")
    assert "surprise" in reason(tick(schedules.enhance_when_due, instance))
    for sensor in (schedules.critical_alert_enhancement_sensor, schedules.ai_health_sensor):
        assert "AI stays off" in reason(look(sensor, instance))
    assert server.requests == []


def test_new_critical_alerts_are_asked_about_first(instance, on, server: DevLlm, pool: ConnectionPool):
    assert isinstance(look(schedules.critical_alert_enhancement_sensor, instance), dg.RunRequest)
    config = {"ops": {"alert_enhancements": {"config": {"only_critical": True}}}}
    assert work(instance, alert_enhancements, **config).success
    with pool.connection() as connection:
        asked = connection.execute("SELECT DISTINCT subject_id FROM ai.ai_enhancements").fetchall()
    assert asked == [(str(SLOW),)]
    assert "every critical alert was asked about" in reason(
        look(schedules.critical_alert_enhancement_sensor, instance)
    )
    assert isinstance(tick(schedules.enhance_when_due, instance), dg.RunRequest)


def test_people_may_want_no_questions_unattended(instance, on, pool: ConnectionPool, server: DevLlm):
    with pool.connection() as connection:
        connection.execute(
            "INSERT INTO ai.ai_user_settings (settings) VALUES ('{\"autoEnhance\": false}')"
            " ON CONFLICT (organization_id, user_name) DO UPDATE SET settings = excluded.settings"
        )
    assert reason(tick(schedules.enhance_when_due, instance)) == schedules.UNATTENDED
    assert reason(look(schedules.critical_alert_enhancement_sensor, instance)) == schedules.UNATTENDED
    assert isinstance(tick(schedules.hourly_ai_watch, instance), dg.RunRequest)


def test_the_health_sensor_looks_and_generates_nothing(instance, on, server: DevLlm, pool: ConnectionPool):
    assert reason(look(schedules.ai_health_sensor, instance)) == "local: healthy"
    assert server.requests
    assert server.calls == []
    server.script(Fault.CONNECTION_REFUSED)
    assert "local: unhealthy" in reason(look(schedules.ai_health_sensor, instance))
    with pool.connection() as connection:
        (status,) = connection.execute("SELECT health_status FROM ai.ai_providers WHERE name = 'local'").fetchall()
    assert status == ("unhealthy",)


def test_an_edited_prompt_is_synchronised_once(instance):
    first = look(schedules.prompt_file_sensor, instance)
    assert isinstance(first, dg.SensorResult)
    assert len(first.run_requests or []) == 1
    assert reason(look(schedules.prompt_file_sensor, instance, first.cursor)) == "no prompt changed"
    assert isinstance(look(schedules.prompt_file_sensor, instance, "another"), dg.SensorResult)


def test_assets_tell_what_they_did(instance, on, server: DevLlm):
    done = work(instance, prompt_templates, provider_health, alert_enhancements)
    told = {event.step_key: event for event in done.get_asset_materialization_events()}
    figures = told["alert_enhancements"].materialization.metadata
    assert figures["enhanced"].value == 2
    assert figures["tokens"].value != 0
    templates = told["prompt_templates"].materialization.metadata["templates"].value
    assert "alert_enhancement_critical" in str(templates)
    assert told["provider_health"].materialization.metadata["healthy"].value == 1


@pytest.mark.parametrize("fault", [Fault.RUNNER_DIED, Fault.CUT_BY_LENGTH, Fault.HTML_BAD_GATEWAY])
def test_a_failing_model_fails_no_asset(instance, on, server: DevLlm, pool: ConnectionPool, fault: Fault):
    before = base_fingerprints(pool)
    server.script(fault)
    done = work(instance, alert_enhancements)
    assert done.success
    (event,) = done.get_asset_materialization_events()
    assert event.materialization.metadata["failed"].value == 2
    assert event.materialization.metadata["enhanced"].value == 0
    assert base_fingerprints(pool) == before


# ---------------------------------------------------------------------------------------------------- gates


def test_gates_pass_on_good_answers_and_name_what_is_wrong(
    enhanced: EnhancementService, pool: ConnectionPool, settings: Settings
):
    assert enhanced.enhance_alerts().enhanced == 2
    for check in (checks.enhancements_are_cited, checks.answers_expire):
        assert verdict(check, tagging=Tagging()).passed, check
    audit = audit_answers(pool)
    assert (audit.answers, audit.faults) == (2, ())
    with pool.connection() as connection:
        connection.execute(
            """
            UPDATE ai.ai_enhancements SET
                evidence = evidence || '[{"claim_index": 0, "ref": "tag:999999"}]',
                result = result - 'summary', expires_at = created_at + interval '2 days'
            WHERE subject_id = %s
            """,
            [str(SLOW)],
        )
    faults = [fault for _, fault in audit_answers(pool).faults]
    assert "tag:999999 leads nowhere" in faults
    assert any("'summary' is a required property" in fault for fault in faults)
    assert not verdict(checks.enhancements_are_cited, tagging=Tagging()).passed
    assert not verdict(checks.answers_expire, tagging=Tagging()).passed


def test_windows_beyond_their_limit_are_told(pool: ConnectionPool, settings: Settings):
    assert verdict(checks.budgets_hold, tagging=Tagging()).passed
    with pool.connection() as connection:
        connection.execute(
            """
            INSERT INTO ai.ai_token_budgets (scope, window_start, used, reserved, "limit")
            VALUES ('day', date_trunc('day', now()), 90, 20, 100)
            """
        )
    said = verdict(checks.budgets_hold, tagging=Tagging())
    assert not said.passed
    assert "1 windows beyond" in (said.description or "")


def test_the_prompts_that_are_shipped_are_clean():
    assert verdict(checks.prompts_are_clean).passed


def test_a_limit_of_a_run_is_kept(instance, on, server: DevLlm):
    config = {"ops": {"alert_enhancements": {"config": AlertConfig(limit=1).model_dump()}}}
    (event,) = work(instance, alert_enhancements, **config).get_asset_materialization_events()
    assert event.materialization.metadata["enhanced"].value == 1
