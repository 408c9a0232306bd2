"""Experiments: what they report, that they touch nothing, and how their settings are adopted."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from psycopg import sql
from psycopg_pool import ConnectionPool

from tagging_orchestration.settings import get_settings
from tests.cli.conftest import Shop, Tagging, data


def fingerprints(pool: ConnectionPool) -> dict[str, str]:
    """Hash of every row of every table of the project."""
    with pool.connection() as connection:
        tables = connection.execute(
            """
            SELECT c.relname
            FROM pg_class AS c
            WHERE c.relnamespace = 'tagging'::regnamespace AND c.relkind = 'r'
            """
        ).fetchall()
        found = {}
        for (table,) in tables:
            query = sql.SQL("SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {} AS t")
            (found[table],) = connection.execute(query.format(sql.Identifier("tagging", table))).fetchone() or (
                "",
            )
    return found


def test_an_experiment_compares_and_touches_nothing(tagging: Tagging, own_shop: Shop, folder: Path):
    tagging("feedback", "accept", "sample:kettle-2", "手沖咖啡")
    tagging("feedback", "reject", "sample:ticket:7", "late delivery")
    before = fingerprints(own_shop.pool)
    assert len(before) > 15
    (folder / "candidate.yaml").write_text("tagger:\n  max_tags: 1\n  min_tags: 0\n")
    done = data(tagging("experiment", "run", "candidate.yaml", "--set", "tagger.min_confidence=0.05", "--json"))
    assert fingerprints(own_shop.pool) == before

    assert done["overrides"] == {"tagger": {"max_tags": 1, "min_tags": 0, "min_confidence": 0.05}}
    report = done["report"]
    assert (report["contents"], report["judged_contents"]) == (4, 3)
    assert report["candidate"]["tags_per_content"] <= 1 < report["current"]["tags_per_content"]
    assert 0 <= report["candidate"]["calibration_error"] <= 1
    assert report["candidate"]["seconds_per_1000"] > 0
    assert report["candidate"]["events"] > 0
    assert {item["assigned_by"] for item in report["differences"]} <= {"current", "candidate"}
    with own_shop.pool.connection() as connection:
        sides = connection.execute(
            "SELECT side, count(*) FILTER (WHERE assigned) FROM tagging_sandbox.experiment_tags GROUP BY side"
        ).fetchall()
    assert dict(sides)["candidate"] <= 4 < dict(sides)["current"]

    shown = tagging("experiment", "show", str(done["id"])).stdout
    assert "CPU seconds per 1,000 texts" in shown
    assert "Most telling differences" in shown
    assert data(tagging("experiment", "list", "--json"))[0]["id"] == done["id"]

    adopted = tagging("experiment", "adopt", str(done["id"]))
    assert "tagger.max_tags=1" in adopted.stdout
    assert yaml.safe_load((folder / "tagging.yaml").read_text())["tagger"]["min_confidence"] == 0.05
    get_settings.cache_clear()
    assert get_settings().tagger.max_tags == 1
    assert data(tagging("experiment", "list", "--json"))[0]["adopted_at"]


def test_rules_can_be_tried(tagging: Tagging, own_shop: Shop, folder: Path):
    (folder / "other.yaml").write_text("rules:\n  - {id: r1, tag: 器具, any: [kettle, 手沖], confidence: 0.99}\n")
    done = data(tagging("experiment", "run", "--set", "rules_file=other.yaml", "--name", "規則", "--json"))
    assert done["name"] == "規則"
    assert "器具" in {item["name"] for item in done["report"]["differences"] if item["assigned_by"] == "candidate"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 5, "changes nothing"),
        (["--set", "tagger.max_tags"], 2, "write KEY=VALUE"),
        (["--set", "tagger.max_tags=0"], 5, "tagger.max_tags: Input should be greater than 0"),
        (["--set", "tagger.maximum=1"], 5, "tagger.maximum: Extra inputs are not permitted"),
        (["--set", "sources=[]"], 5, "sources cannot be tried"),
        (["--set", "ranker_file=missing.json"], 5, "there is no file"),
    ],
)
def test_wrong_candidates_are_refused(tagging: Tagging, shop: Shop, arguments: list[str], code: int, said: str):
    result = tagging("experiment", "run", *arguments)
    assert result.exit_code == code
    assert said in result.stderr


def test_unknown_experiments(tagging: Tagging, shop: Shop):
    for command in ("show", "adopt"):
        result = tagging("experiment", command, "99")
        assert (result.exit_code, "no experiment 99" in result.stderr) == (3, True)
    assert "no experiments yet" in tagging("experiment", "list").stdout
