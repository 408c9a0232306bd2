"""The sensor `changed_contents`, by ticking it on an instance with real run records."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from tagging_orchestration.definitions.tagging import defs
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.sensors import RUN_KEY_TAG, changed_contents


@pytest.fixture
def tick(instance, project):
    """Evaluates the sensor with the cursor of the tick before."""
    cursor: str | None = None

    def evaluate() -> dg.SensorResult:
        nonlocal cursor
        resources = {"tagging": Tagging()}
        with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
            result = changed_contents(context)
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        return result

    return evaluate


@pytest.fixture
def write(project):
    """Runs plain SQL, as any client of the database might."""

    def execute(query: str) -> None:
        with project.pool.connection() as connection:
            connection.execute(query)

    return execute


def keys(result: dg.SensorResult) -> list[str]:
    return [str(request.partition_key) for request in result.run_requests or []]


def finish(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
    """Leave the record that a run of this request would leave."""
    job = defs.resolve_job_def("tag_contents")
    run = instance.create_run_for_job(job, tags={**request.tags, RUN_KEY_TAG: str(request.run_key)})
    if status == dg.DagsterRunStatus.SUCCESS:
        instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, job.name), run.run_id)
    elif status == dg.DagsterRunStatus.FAILURE:
        instance.report_run_failed(run)


INSERT = """
    INSERT INTO contents (source, external_id, title, body, created_at) VALUES
    ('s', '1', 'Late parcel', 'My parcel is late.', '2026-03-05'),
    ('s', '2', '延遲出貨', '我的包裹延遲了。', '2026-03-20'),
    ('s', '3', 'Old note', 'From before all partitions.', '1999-05-05'),
    ('s', '4', 'Kettle', 'The lid leaks.', '2026-06-01')
"""


def test_nothing_changed_is_skipped_with_counts(tick):
    result = tick()
    assert not result.run_requests
    assert "0 changed contents in 0 partitions" in result.skip_reason.skip_message


def test_only_touched_partitions_are_asked_for(tick, write):
    write(INSERT)
    result = tick()
    assert sorted(keys(result)) == ["2010-01-01", "2026-03-01", "2026-06-01"]
    (request, *_) = result.run_requests
    assert request.run_config["ops"]["generated_tags"]["config"]["include_stale_version"] is False


def test_a_request_is_not_repeated_while_its_run_is_under_way(tick, write, instance):
    write(INSERT)
    first = tick()
    for request in first.run_requests:
        finish(instance, request, dg.DagsterRunStatus.NOT_STARTED)
    again = tick()
    assert keys(again) == []
    assert "3 partitions running" in again.skip_reason.skip_message


def test_a_failed_run_waits_for_its_back_off(tick, write, instance):
    write("INSERT INTO contents (source, external_id, body, created_at) VALUES ('s', '1', 'x', '2026-03-05')")
    (request,) = tick().run_requests
    finish(instance, request, dg.DagsterRunStatus.FAILURE)
    assert "1 partitions waiting to retry" in tick().skip_reason.skip_message


def test_a_further_change_gets_a_run_of_its_own(tick, write, instance):
    write("INSERT INTO contents (source, external_id, body, created_at) VALUES ('s', '1', 'x', '2026-03-05')")
    (first,) = tick().run_requests
    finish(instance, first, dg.DagsterRunStatus.SUCCESS)
    write("INSERT INTO contents (source, external_id, body, created_at) VALUES ('s', '2', 'y', '2026-03-06')")
    (second,) = tick().run_requests
    assert second.partition_key == first.partition_key
    assert second.run_key != first.run_key


def test_the_cursor_is_only_an_optimisation(tick, write):
    write(INSERT)
    assert len(keys(tick())) == 3
    remembered = json.loads(tick().cursor or "{}")
    assert set(remembered) == {"2010-01-01", "2026-03-01", "2026-06-01"}
    write("DELETE FROM contents")
    assert json.loads(tick().cursor or "{}") == {}


def test_metadata_and_url_wake_nobody(tick, write):
    write(INSERT)
    write("UPDATE content_ledger SET tagged_input_hash = input_hash")
    write("UPDATE contents SET metadata = '{\"seen\": true}', url = 'https://example.com/1'")
    assert keys(tick()) == []
    write("UPDATE contents SET body = body || ' Still waiting.' WHERE external_id = '2'")
    assert keys(tick()) == ["2026-03-01"]
