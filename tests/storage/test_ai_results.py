"""What may be shown of AI, where references lead, what people want and think."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.enhancement.switches import UserSettings
from tagging_orchestration.core.errors import ConfigurationError, UnknownName
from tagging_orchestration.storage import ai_results
from tests.storage.builders import add_contents, add_tags
from tests.storage.business_relations import AS_OF, add_alert, open_business, run


def add_enhancement(pool: ConnectionPool, subject_id: str = "a1", *, hours: float = 0, **changes: Any) -> UUID:
    """An answer of so many hours ago."""
    id = uuid4()
    row: dict[str, Any] = {
        "id": id,
        "cache_key": id.hex * 2,
        "context_hash": "c" * 64,
        "subject_type": "alert",
        "subject_id": subject_id,
        "enhancement_type": "alert_enhancement",
        "template_key": "alert_enhancement",
        "template_version": "1.0",
        "template_locale": "en",
        "requested_key": "alert_enhancement",
        "prompt_sha256": "d" * 64,
        "variables": Jsonb({}),
        "provider_name": "local",
        "model": "phi4-mini",
        "status": "success",
        "result": Jsonb({"summary": "x"}),
        "request_id": uuid4(),
    } | changes
    columns = ", ".join(row)
    with pool.connection() as connection:
        connection.execute(
            f"""
            INSERT INTO ai.ai_enhancements ({columns}, created_at, fresh_until, expires_at)
            VALUES (
                {", ".join(["%s"] * len(row))}, clock_timestamp() - make_interval(secs => %s),
                clock_timestamp() - make_interval(secs => %s) + interval '15 minutes',
                clock_timestamp() - make_interval(secs => %s) + interval '24 hours'
            )
            """.encode(),
            [*row.values(), *[hours * 3600] * 3],
        )
    return id


def test_the_newest_answer_of_each_subject_is_shown(pool: ConnectionPool):
    add_enhancement(pool, "a1", hours=3)
    newest = add_enhancement(pool, "a1", hours=1)
    add_enhancement(pool, "a1", status="error", result=None, error_type="timeout")
    add_enhancement(pool, "a1", status="loading", result=None)
    add_enhancement(pool, "a1", enhancement_type="replay")
    old = add_enhancement(pool, "a2", hours=23.9)
    add_enhancement(pool, "a3", hours=24)
    add_enhancement(pool, "a4", organization_id="other")
    add_enhancement(pool, "i1", subject_type="insight")
    found = ai_results.newest_results(pool, "default", "alert")
    assert {id: row.id for id, row in found.items()} == {"a1": newest, "a2": old}
    assert set(ai_results.newest_results(pool, "default", "alert", ["a2", "a3"])) == {"a2"}


def test_each_subject_has_one_status(pool: ConnectionPool):
    add_enhancement(pool, "shown")
    add_enhancement(pool, "shown", status="loading", result=None)
    add_enhancement(pool, "asked", status="loading", result=None)
    add_enhancement(pool, "gone", hours=25)
    log = """
        INSERT INTO ai.ai_usage_logs (
            request_id, template_key, template_version, enhancement_type, subject_type, subject_id, cache_status,
            started_at, finished_at, response_time_ms, status, error_type
        )
        VALUES (%s, 'k', '1.0', 'alert_enhancement', 'alert', %s, 'miss', now(), now(), 1, 'error', 'timeout')
    """
    for subject in ("failed", "asked", "shown"):
        run(pool, (log, [uuid4(), subject]))
    ids = ["shown", "asked", "failed", "gone", "new"]
    assert ai_results.subject_statuses(pool, "default", "alert", ids) == {
        "shown": "success",
        "asked": "loading",
        "failed": "error",
    }


def test_enhancements_are_found_by_the_beginning_of_their_id(pool: ConnectionPool):
    id = add_enhancement(pool, "a1", hours=30)
    add_enhancement(pool, "i1", subject_type="insight")
    assert ai_results.find_enhancement(pool, "default", str(id)[:9].upper()).id == id
    assert [row.subject_id for row in ai_results.list_enhancements(pool, "default")] == ["i1", "a1"]
    assert [row.subject_id for row in ai_results.list_enhancements(pool, "default", subject="alert")] == ["a1"]
    assert [row.subject_id for row in ai_results.list_enhancements(pool, "default", subject="i")] == ["i1"]
    with pytest.raises(UnknownName, match="no enhancement"):
        ai_results.find_enhancement(pool, "default", "zzz")
    with pytest.raises(UnknownName, match="more than one"):
        ai_results.find_enhancement(pool, "default", "")


def test_each_person_votes_once(pool: ConnectionPool):
    id = add_enhancement(pool)
    ai_results.vote(pool, "default", id, useful=False, actor="user:mei", comment="wrong")
    ai_results.vote(pool, "default", id, useful=True, actor="user:mei", comment=" 找到原因 ")
    ai_results.vote(pool, "default", id, useful=False, actor="user:lin")
    assert ai_results.read_votes(pool, id) == ai_results.Votes(1, 1, ("找到原因",))
    failed = add_enhancement(pool, status="error", result=None, error_type="timeout")
    for other, organization in ((failed, "default"), (id, "other")):
        with pytest.raises(ConfigurationError, match="no answer"):
            ai_results.vote(pool, organization, other, useful=True, actor="user:mei")


def test_references_lead_to_what_they_name(pool: ConnectionPool):
    open_business(pool)
    (tag,) = add_tags(pool, "客服回覆慢")
    kept, deleted = add_contents(pool, "沒有人回信", "gone")
    add_alert(pool, AS_OF, AS_OF)
    run(
        pool,
        ("UPDATE tagging.contents SET deleted_at = now() WHERE id = %s", [deleted]),
        (
            "INSERT INTO analytics.business_insights (organization_id, insight_id, title, title_zh, description,"
            " description_zh) VALUES ('default', 'i1', 'Late', '太慢', 'x', 'y')",
            [],
        ),
    )
    with pool.connection() as connection:
        (alert,) = connection.execute("SELECT id::text FROM analytics.dashboard_alerts").fetchone() or ("",)
    refs = [
        f"tag:{tag.id}",
        f"content:{kept}",
        f"content:{deleted}",
        f"alert:{alert}",
        "metric:avg_response_time",
        "row:raw.orders/o1",
        "insight:i1",
    ]
    wrong = [
        "tag:999",
        "tag:'; DROP TABLE tagging.tags; --",
        "content:99999999999999999999",
        "alert:no-uuid",
        "metric:none",
        "row:raw.orders/none",
        "row:raw.no_table/1",
        "row:tagging.tags/1",
    ]
    found = ai_results.resolve_references(
        pool, "default", [*refs, *wrong, "insight:gone", "context:a.b"], "zh-Hant"
    )
    assert {ref for ref in refs if found[ref].found} == {*refs} - {f"content:{deleted}"}
    assert not any(found[ref].found for ref in wrong)
    assert "insight:gone" not in found
    assert "context:a.b" not in found
    assert found[f"tag:{tag.id}"].label == "客服回覆慢"
    assert found["metric:avg_response_time"].label == "平均回應時間"
    assert found[f"alert:{alert}"].detail == "現在 500"
    assert found["insight:i1"].label == "太慢"
    # Nothing of another organisation, and nothing fails before the first build of dbt.
    assert not any(row.found for row in ai_results.resolve_references(pool, "other", refs[:4]).values())
    run(pool, ("DROP TABLE analytics.business_insights", []))
    assert "insight:i1" not in ai_results.resolve_references(pool, "default", refs)


def test_a_person_s_settings_stand_over_everybody_s(pool: ConnectionPool):
    assert ai_results.read_user_settings(pool, "default") == UserSettings()
    ai_results.save_user_settings(pool, "default", UserSettings(alerts=False))
    run(
        pool,
        (
            "INSERT INTO ai.ai_user_settings VALUES ('default', 'mei', '{\"insights\": false, \"alerts\": true}')",
            [],
        ),
    )
    assert ai_results.read_user_settings(pool, "default") == UserSettings(alerts=False)
    assert ai_results.read_user_settings(pool, "default", "mei") == UserSettings(insights=False)
    assert ai_results.read_user_settings(pool, "other") == UserSettings()
