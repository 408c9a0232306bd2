"""`tagging run` and its kin, end to end: real Dagster runs, the real model, a real database.

The tests of this module share one project and build on each other's state, in order. The first two run commands as
people do, in processes of their own; the others in this one, which imports Dagster and the model only once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from psycopg_pool import ConnectionPool

from tagging_orchestration.cli import main
from tagging_orchestration.dagster_home import STORAGE_URL
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.settings import get_settings
from tagging_orchestration.storage.connection import create_pool
from tests.conftest import fresh_database

COMMAND = """
import sys
from tagging_orchestration.cli import main
code = main(sys.argv[1:], standalone_mode=False)
print("torch was loaded" if "torch" in sys.modules else "no model was loaded", file=sys.stderr)
sys.exit(code)
"""
TEXTS = [
    ("k1", "en", "2026-01-05", "Gooseneck kettle", "A gooseneck kettle for slow pour over coffee.", ["kettles"]),
    ("k2", "en", "2026-01-20", "Electric kettle", "This electric kettle boils water for pour over coffee.", []),
    (
        "g1",
        "en",
        "2026-02-03",
        "Hand grinder",
        "A hand grinder with a steel burr for pour over coffee.",
        ["grinder"],
    ),
    ("g2", "en", "2026-02-11", "Grinder burr replacement", "How to change the steel burr of a hand grinder.", []),
    ("t1", "en", "2026-03-02", "Late delivery", "My order arrived late and the box was damaged.", []),
    ("t2", "en", "2026-03-09", "Damaged box", "The courier left a damaged box; delivery was late again.", []),
    ("z1", "zh-Hant", "2026-01-08", "手沖壺", "細口手沖壺適合手沖咖啡，水流穩定。", ["手沖壺"]),
    ("z2", "zh-Hant", "2026-02-18", "磨豆機", "手搖磨豆機的刀盤可以磨出手沖咖啡的粗細。", []),
    ("z3", "zh-Hant", "2026-03-15", "出貨延遲", "訂單出貨延遲，外箱破損，希望改善出貨速度。", []),
    ("z4", "zh-Hant", "2026-03-21", "外箱破損", "收到商品時外箱破損，出貨延遲三天。", []),
]


@dataclass(frozen=True)
class Workshop:
    """A project folder and its database."""

    folder: Path
    pool: ConnectionPool

    def process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `tagging ...` in a process of its own."""
        done = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    def tagging(self, *arguments: str, code: int = 0) -> Result:
        """Run `tagging ...` in this process."""
        get_settings.cache_clear()
        result = CliRunner().invoke(main, arguments)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.stderr
        return result

    def data(self, *arguments: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self.tagging(*arguments, "--json").stdout)


@pytest.fixture(scope="module")
def workshop(
    postgres_server: EmbeddedServer, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workshop]:
    """A project whose input file holds ten texts in two languages."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "tagging.yaml").write_text("sources: [{name: texts, path: texts.jsonl}]\n")
    write_texts(folder, TEXTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TAGGING_HOME", str(folder / "state"))
        for name in ("DAGSTER_HOME", STORAGE_URL, "DO_NOT_TRACK"):
            patch.setenv(name, os.environ.get(name, ""))
        for url in fresh_database(postgres_server, template_database):
            patch.setenv("TAGGING_DATABASE_URL", url)
            for dagster_url in fresh_database(postgres_server, "template1"):
                patch.setenv("TAGGING_DAGSTER_DATABASE_URL", dagster_url)
                with create_pool(url) as pool:
                    yield Workshop(folder, pool)
    get_settings.cache_clear()


def write_texts(folder: Path, texts: list[tuple]) -> None:
    names = ("id", "language", "created_at", "title", "text", "tags")
    lines = [json.dumps(dict(zip(names, text, strict=True)), ensure_ascii=False) for text in texts]
    (folder / "texts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_first_run_loads_tags_and_sums_up(workshop: Workshop):
    done = workshop.process("run")
    for step in ("raw_content", "content_embeddings", "generated_tags", "merged_vocabulary", "content_tags"):
        assert f"✓ {step}" in done.stderr
    for step in ("tag_weights", "tag_relationships", "tagging_metrics"):
        assert f"✓ {step}" in done.stderr
    assert "10 contents" in done.stdout
    assert "10 embeddings computed" in done.stdout
    assert "Biggest tags" in done.stdout
    assert "Three contents, tagged, and why" in done.stdout
    assert "key phrase “" in done.stdout
    assert "Quality gates" in done.stdout
    assert "replay equals state" in done.stdout
    assert "make ui" in done.stdout


def test_the_summary_shows_both_languages(workshop: Workshop):
    summary = workshop.data("run")
    assert {example["language"] for example in summary["examples"]} >= {"en", "zh-Hant"}
    for example in summary["examples"]:
        assert all(reason["why"] for reason in example["tags"])


def test_a_second_run_does_nothing(workshop: Workshop):
    before = workshop.data("status")
    done = workshop.process("run")
    assert "no model was loaded\n" in done.stderr.splitlines(keepends=True)[-1]
    assert "nothing is pending" in done.stderr
    assert "content_embeddings" not in done.stderr
    assert "0 embeddings computed" in done.stdout
    after = workshop.data("status")
    for figure in ("contents", "assignments", "events", "tags", "pending"):
        assert after[figure] == before[figure]
    assert [run["job"] for run in after["last_runs"]][:1] == ["load_contents"]


def test_status_has_the_figures_scripts_need(workshop: Workshop):
    status = workshop.data("status", "--limit", "3")
    assert status["contents"] == 10
    assert status["pending"] == status["failed"] == 0
    assert 0 < status["coverage"] <= 1
    assert status["tags"] >= 4
    assert status["assignments"] >= status["tags_used"] >= 4
    assert status["events"] >= status["assignments"]
    assert len(status["last_runs"]) == 3
    assert {run["status"] for run in status["last_runs"]} == {"success"}
    judged = [gate for gate in status["gates"] if gate["passed"] is not None]
    assert len(judged) > 10
    assert all(gate["passed"] for gate in judged if gate["blocking"])
    shown = workshop.tagging("status").stdout
    assert "contents" in shown
    assert "load_contents" in shown


def test_one_changed_text_is_one_content_tagged(workshop: Workshop):
    with workshop.pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.contents SET body = 'The courier lost the parcel; delivery was late.' "
            "WHERE external_id = 't2'"
        )
    assert workshop.data("status")["stale_text"] == 1
    periods = workshop.data("retag", "--dry-run")
    assert periods["contents"] == 1
    assert periods["periods"][0]["start"].startswith("2026-03-01")
    assert workshop.data("retag", "--dry-run", "--to", "2026-02")["contents"] == 0
    assert workshop.data("retag", "--to", "2026-02")["run_ids"] == []
    report = workshop.data("retag", "--from", "2026-03")
    assert report["contents"] == 1
    assert workshop.data("status")["pending"] == 0


def test_failed_contents_are_tried_again(workshop: Workshop):
    with workshop.pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.content_ledger SET tagged_input_hash = NULL, attempts = 5, error = 'broke',"
            " failed_version_id = (SELECT max(id) FROM tagging.tagger_versions)"
            " WHERE content_id = (SELECT id FROM tagging.contents WHERE external_id = 'z1')"
        )
    assert "broke" in workshop.tagging("doctor").stdout
    report = workshop.data("retry", "texts:z1")
    assert (report["retried"], report["contents"], report["failed"]) == (1, 1, [])
    assert "nothing has failed" in workshop.tagging("retry").stderr


def test_another_tagger_version_is_retagged_in_its_range_only(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAGGING_TAGGER__MAX_TAGS", "4")
    assert workshop.data("status")["stale_version"] == 10
    report = workshop.data("retag", "--from", "2026-02-01", "--to", "2026-02-28")
    assert report["contents"] == 3
    assert workshop.data("status")["stale_version"] == 7
    summary = workshop.data("run")
    assert summary["figures"]["pending"] == 0
    assert summary["embeddings_computed"] == 0
    assert summary["failed_contents"] == []
    again = workshop.data("retag")
    assert again["run_ids"] == []


def test_what_fails_of_the_ai_stops_nothing(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAGGING_AI__ENABLED", "true")
    monkeypatch.setenv("TAGGING_AI__TAGS__ENABLED", "true")
    monkeypatch.setenv("TAGGING_AI__PROVIDERS", '{"nowhere": {"base_url": "http://127.0.0.1:9"}}')
    with workshop.pool.connection() as connection:
        connection.execute("UPDATE tagging.contents SET body = body || ' Twice.' WHERE external_id = 't2'")
    done = workshop.tagging("run")
    assert "the language model's part failed, all else stands" in done.stderr
    assert "✓ tag_weights" in done.stderr
    assert "Quality gates" in done.stdout


def test_load_reports_changes_and_rejected_rows(workshop: Workshop):
    changed = [*TEXTS[1:], ("new", "en", "2026-03-30", "Filter paper", "Paper for a dripper.", [])]
    write_texts(workshop.folder, changed)
    with (workshop.folder / "texts.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "bad", "text": ""}\n')
    done = workshop.tagging("load")
    assert "Rejected rows of texts" in done.stdout
    figures = workshop.data("load")
    assert figures["loads"] == []
    status = workshop.data("status")
    assert (status["contents"], status["stale_text"]) == (10, 2)
    assert workshop.data("history", "texts:k1")["events"][-1]["event_type"] == "dissociated"


def test_load_of_a_file_leaves_other_sources_alone(workshop: Workshop):
    table = (
        "id,title,text\n1,Second-hand kettle,A used kettle in good shape.\n2,二手磨豆機,狀況良好的二手磨豆機。\n"
    )
    (workshop.folder / "market.csv").write_text(table, encoding="utf-8")
    figures = workshop.data("load", "market.csv")
    assert (figures["rows_read"], figures["inserted"], figures["tombstoned"]) == (2, 2, 0)
    assert workshop.data("status")["contents"] == 12
    assert "no source changed" in workshop.tagging("load", "market.csv").stdout


def test_try_suggests_and_writes_nothing(workshop: Workshop):
    before = workshop.data("status")["events"]
    for text in ("A gooseneck kettle for pour over coffee.", "手沖壺適合手沖咖啡"):
        suggestion = workshop.data("try", text)
        assert suggestion["tags"]
        assert all(tag["evidence"] for tag in suggestion["tags"])
    assert "confidence" in workshop.tagging("try", "A gooseneck kettle for pour over coffee.").stdout
    assert workshop.data("status")["events"] == before


def test_explain_takes_the_confidence_apart(workshop: Workshop):
    (tag, *_) = [tag for tag in workshop.data("tags", "texts:g2")["tags"] if tag["origin"] == "machine"]
    explained = workshop.data("explain", "texts:g2", tag["name"])
    assert explained["confidence"]["contributions"]
    shown = workshop.tagging("explain", "texts:g2", tag["name"]).stdout
    assert "What moved the confidence" in shown


def test_a_file_with_a_wrong_column_fails_with_its_reason(workshop: Workshop):
    (workshop.folder / "tagging.yaml").write_text(
        "sources: [{name: texts, path: texts.jsonl, columns: {body: no_such_column}}]\n"
    )
    done = workshop.tagging("run", code=1)
    assert "no_such_column" in done.stderr
    assert "✗ raw_content" in done.stderr
    assert done.stdout == ""
