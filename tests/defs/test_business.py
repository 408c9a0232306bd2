"""When the business is refreshed and people are told, by ticking on an instance with real run records."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from tagging_orchestration.business.dbt import rules_hash
from tagging_orchestration.defs.business.jobs import notify_incidents
from tagging_orchestration.defs.business.schedules import new_critical_alert_sensor, refresh_alerts_when_due
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.settings import CONFIG_FILE, get_settings
from tagging_orchestration.storage.business_runs import finish_run, start_run


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance on disk: a schedule's context opens it by its reference."""
    with dg.instance_for_test() as instance:
        yield instance


@dg.op
def wait() -> None: ...


def leave_run(instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """The record that a run of a job of this name leaves."""

    @dg.job(name=job)
    def stand_in() -> None:
        wait()

    run = instance.create_run_for_job(stand_in)
    instance.report_dagster_event(
        dg.DagsterEvent(
            event_type_value="PIPELINE_START" if status == dg.DagsterRunStatus.STARTED else "PIPELINE_SUCCESS",
            job_name=job,
            message="",
        ),
        run.run_id,
    )
    return run


@pytest.fixture
def write(project):
    """Runs plain SQL, as any client of the database might."""

    def execute(query: str) -> None:
        with project.pool.connection() as connection:
            connection.execute(query)

    return execute


def due(instance: dg.DagsterInstance):
    with dg.build_schedule_context(instance=instance, resources={"tagging": Tagging()}) as context:
        return refresh_alerts_when_due(context)


def told(instance: dg.DagsterInstance):
    with dg.build_sensor_context(instance=instance, resources={"tagging": Tagging()}) as context:
        return new_critical_alert_sensor(context)


def reason(result) -> str:
    assert isinstance(result, dg.SkipReason)
    assert result.skip_message is not None
    return result.skip_message


def test_a_refresh_is_asked_for_when_facts_changed_and_none_is_at_work(instance, project, write):
    assert "no facts" in reason(due(instance))
    write(
        "INSERT INTO raw.orders (order_id, ordered_at, status, total_amount, currency)"
        " VALUES ('一', '2026-03-10 04:00+00', 'delivered', 10, 'TWD')"
    )
    assert isinstance(due(instance), dg.RunRequest)
    run = leave_run(instance, "refresh_alerts", dg.DagsterRunStatus.STARTED)
    assert "a refresh is at work" in reason(due(instance))
    instance.delete_run(run.run_id)
    start_run(project.pool, "default", run_id="r1", rules_hash=rules_hash())
    finish_run(project.pool, "r1", {})
    assert "nothing changed" in reason(due(instance))
    write("UPDATE raw.orders SET status = 'cancelled'")
    assert isinstance(due(instance), dg.RunRequest)


INCIDENT = """
    INSERT INTO analytics.metric_thresholds (metric_name, display_name, display_name_zh)
    VALUES ('daily_revenue', 'Daily revenue', '每日營收');
    INSERT INTO raw.orders (order_id, ordered_at, status, total_amount, currency)
    VALUES ('o1', '2026-03-10 04:00+00', 'delivered', 10, 'TWD');
    INSERT INTO analytics.alert_incidents (id, severity, title, opened_on, last_seen_on)
    VALUES ('00000000-0000-0000-0000-000000000001', 'critical', '付款中斷', '2026-03-10', '2026-03-10');
    INSERT INTO analytics.dashboard_alerts
        (alert_type, severity, metric_name, fingerprint, title, message, metric_date, last_metric_date,
         incident_id)
    VALUES ('threshold_breach', 'critical', 'daily_revenue', 'f', '營收過低', 'm', '2026-03-10', '2026-03-10',
            '00000000-0000-0000-0000-000000000001')
"""


def test_people_are_told_once_of_an_incident(instance, project, write, caplog):
    write(INCIDENT)
    assert "nobody to tell" in reason(told(instance))
    with open(CONFIG_FILE, "w", encoding="utf-8") as file:
        file.write("business: {notify: [{name: ops}]}\n")
    get_settings.cache_clear()
    assert isinstance(told(instance), dg.RunRequest)
    run = leave_run(instance, "notify_incidents", dg.DagsterRunStatus.STARTED)
    assert "a run is at work" in reason(told(instance))
    instance.delete_run(run.run_id)
    for _ in range(2):
        assert notify_incidents.execute_in_process(instance=instance, resources={"tagging": Tagging()}).success
    assert sum("付款中斷" in record.getMessage() for record in caplog.records) == 1
    assert "no message is due" in reason(told(instance))
