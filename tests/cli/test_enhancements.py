"""`tagging enhancements`: run, list, show, replay, vote; and the report with what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.settings import get_settings
from tests.ai import business
from tests.cli.conftest import Tagging, data
from tests.storage.business_relations import AS_OF, run


@pytest.fixture(scope="module")
def server() -> Iterator[DevLlm]:
    """A server with canned answers."""
    with DevLlm(0) as server:
        yield server


@pytest.fixture
def shop(project: Path, pool: ConnectionPool, server: DevLlm) -> Path:
    """A project with a business and AI on."""
    server.reset()
    (project / "tagging.yaml").write_text(
        f"ai:\n  enabled: true\n  providers:\n    local: {{base_url: '{server.base_url}'}}\n"
    )
    get_settings.cache_clear()
    business.add_business(pool)
    business.prepare_ai(pool, get_settings())
    return project


def test_from_asking_to_voting(tagging: Tagging, shop: Path, pool: ConnectionPool, server: DevLlm):
    done = data(tagging("enhancements", "run", "--json"))
    assert {name: report["enhanced"] for name, report in done.items()} == {
        "alerts": 2,
        "insights": 1,
        "recommendations": 1,
        "summary": 1,
    }
    again = tagging("enhancements", "run", "alerts")
    assert again.exit_code == 0, again.output
    assert len(server.calls) == 5

    listed = data(tagging("enhancements", "list", "--subject", "alert", "--json"))
    assert len(listed) == 2
    id = next(row["id"] for row in listed if row["subject_id"] == str(business.SLOW))
    table = tagging("enhancements", "list").stdout
    assert id[:8] in table
    assert "75%" in table

    shown = tagging("enhancements", "show", id[:8], "--lang", "zh-Hant")
    assert shown.exit_code == 0, shown.output
    said = " ".join(shown.stdout.split())
    assert "根因分析" in said
    assert "客服回覆慢" in said
    assert "tagging tags notes:" in said
    assert "沒有人回" in said
    assert "mei.lin" not in said
    assert "gone" not in said

    replayed = data(tagging("enhancements", "replay", id, "--json"))
    assert (replayed["same_bytes"], replayed["prompt_diff"], replayed["answer_diff"]) == (True, "", "")
    calls = len(server.calls)
    dry = tagging("enhancements", "replay", id, "--dry-run")
    assert dry.exit_code == 0
    assert "the same bytes as then" in dry.stdout
    assert len(server.calls) == calls

    voted = tagging("enhancements", "vote", id, "up", "--comment", "找到原因")
    assert "useful to 1, not to 0" in voted.stdout
    assert "找到原因" in tagging("enhancements", "show", id).stdout

    # The text behind it is withdrawn: its reference says so.
    run(pool, ("UPDATE tagging.contents SET deleted_at = now()", []))
    assert "gone" in tagging("enhancements", "show", id).stdout


def test_the_report_shows_them_and_never_needs_them(tagging: Tagging, shop: Path, pool: ConnectionPool):
    page = shop / "state" / "reports" / f"health-{AS_OF}.html"
    tagging("report")
    assert "AI 深化分析" not in page.read_text(encoding="utf-8")
    tagging("enhancements", "run", "alerts")
    tagging("report")
    assert "AI 深化分析" in page.read_text(encoding="utf-8")
    assert "AI 深化分析" in tagging("report", "--markdown", "--lang", "zh-Hant").stdout
    assert "aiAnalysis" not in tagging("report", "--json").stdout
    run(pool, ("DROP SCHEMA ai CASCADE", []))
    broken = tagging("report")
    assert broken.exit_code == 0, broken.output
    assert "ai" not in broken.stderr.lower()
    assert "AI 深化分析" not in page.read_text(encoding="utf-8")


def test_what_is_off_says_so_and_is_no_failure(tagging: Tagging, shop: Path, server: DevLlm):
    (shop / "tagging.yaml").write_text("ai: {enabled: false}\n")
    get_settings.cache_clear()
    result = tagging("enhancements", "run")
    assert result.exit_code == 0, result.output
    assert "switched off" in " ".join(result.stdout.split())
    assert server.calls == []


def test_failures_end_with_one(tagging: Tagging, shop: Path, server: DevLlm):
    server.answer("rubbish")
    result = tagging("enhancements", "run", "alerts")
    assert result.exit_code == 1
    assert "invalid_json" in " ".join(result.stdout.split()) or "schema_mismatch" in result.stdout
    shown = data(tagging("enhancements", "list", "--json"))
    assert tagging("enhancements", "show", shown[0]["id"]).exit_code == 0
    assert tagging("enhancements", "show", "nothing").exit_code == 3
    assert tagging("enhancements", "replay", shown[0]["id"]).exit_code == 5
