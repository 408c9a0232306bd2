"""`tagging report`: the page, the gist in the terminal, JSON and Markdown."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from psycopg_pool import ConnectionPool

from tests.cli.conftest import Tagging, data
from tests.storage.business_relations import AS_OF, add_alert, open_business


@pytest.fixture
def business(project: Path, pool: ConnectionPool) -> Path:
    """A project with a business that has a critical alert since three days."""
    open_business(pool)
    evidence = {"top_tags": [{"tag_id": 7, "tag": "客服回覆慢", "count": 6, "lift": 12.0, "q_value": 0.01}]}
    add_alert(pool, AS_OF - timedelta(days=3), AS_OF, evidence=evidence)
    return project


def test_the_page_is_written_and_its_gist_told(tagging: Tagging, business: Path):
    result = tagging("report")
    assert result.exit_code == 0, result.output
    page = business / "state" / "reports" / f"health-{AS_OF}.html"
    said = result.stdout.replace("\n", "")
    assert str(page) in said
    assert f"燈籠與葉, {AS_OF}: 警戒" in said
    assert "客服回覆慢" in said
    html = page.read_text(encoding="utf-8")
    assert html.startswith('<!DOCTYPE html>\n<html lang="zh-Hant">')
    assert 'lang="en"' in html
    assert [path.name for path in page.parent.iterdir()] == [page.name]


def test_one_language_and_another_place(tagging: Tagging, business: Path):
    result = tagging("report", "--lang", "en", "--out", "pages/health.html")
    assert f"Lantern & Leaf, {AS_OF}: Alert" in result.stdout
    html = (business / "pages" / "health.html").read_text(encoding="utf-8")
    assert "Slow answers" in html
    assert "風險預警中心" not in html


def test_json_holds_all_and_writes_nothing(tagging: Tagging, business: Path):
    report = data(tagging("report", "--json"))
    assert report["as_of"] == str(AS_OF)
    assert report["health"]["level"] == "alert"
    assert report["situations"][0]["tags"][0]["name"] == "客服回覆慢"
    assert not (business / "state" / "reports").exists()


def test_markdown_is_printed(tagging: Tagging, business: Path):
    result = tagging("report", "--markdown", "--lang", "zh-Hant")
    assert result.stdout.startswith("# 經營健康報告 · 燈籠與葉\n")
    assert "## 風險預警中心" in result.stdout


def test_past_days(tagging: Tagging, business: Path):
    before = data(tagging("report", "--json", "--as-of", str(AS_OF - timedelta(days=4))))
    assert (before["past"], before["health"]["level"]) == (True, "good")
    later = tagging("report", "--as-of", str(AS_OF + timedelta(days=30)))
    assert f"no facts are known after {AS_OF}" in later.stderr
    unknown = tagging("report", "--as-of", "2019-01-01")
    assert (unknown.exit_code, "no metric is known on 2019-01-01" in unknown.stderr) == (3, True)


def test_without_a_business_it_says_what_to_do(tagging: Tagging, project: Path):
    result = tagging("report")
    assert result.exit_code == 0, result.output
    assert "No business data yet" in result.stdout
    assert "business.sources" in (project / "state/reports/health-empty.html").read_text(encoding="utf-8")


def test_wrong_usage(tagging: Tagging, project: Path):
    assert tagging("report", "--markdown", "--json").exit_code == 2
    assert tagging("report", "--as-of", "yesterday").exit_code == 2
