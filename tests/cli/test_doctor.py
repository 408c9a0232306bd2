"""`tagging doctor` sees what is wrong and says what to do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.commands import doctor
from tagging_orchestration.commands.dagster_runs import dagster_instance
from tagging_orchestration.defs import ghosts
from tagging_orchestration.settings import get_settings
from tests.cli.conftest import Tagging, data


def findings(result) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in data(result)["findings"]}


def test_a_sound_project_is_well(tagging: Tagging, dagster_project: Path):
    result = tagging("doctor", "--json")
    wrong = [finding for finding in data(result)["findings"] if finding["state"] == "wrong"]
    assert not wrong
    assert result.exit_code == 0
    assert {"python", "packages", "model", "rules", "database", "migrations", "dagster"} <= findings(result).keys()
    shown = tagging("doctor")
    assert shown.exit_code == 0
    assert "all is well" in shown.stdout


def test_deep_encodes_a_text(tagging: Tagging, dagster_project: Path):
    assert "encoded a text" in findings(tagging("doctor", "--deep", "--json"))["model"]["said"]


def test_disabled_triggers_unknown_contents_and_broken_indexes(
    tagging: Tagging, dagster_project: Path, pool: ConnectionPool
):
    with pool.connection() as connection:
        connection.execute("ALTER TABLE tagging.contents DISABLE TRIGGER contents_capture_insert")
        connection.execute("DROP TRIGGER tag_events_append_only ON tagging.tag_events")
        connection.execute("INSERT INTO tagging.contents (source, external_id, body) VALUES ('a', '1', 'unseen')")
    result = tagging("doctor", "--json")
    found = findings(result)
    assert result.exit_code == 1
    assert "contents.contents_capture_insert" in found["capture and history"]["said"]
    assert "tag_events.tag_events_append_only" in found["capture and history"]["said"]
    assert "ENABLE TRIGGER" in found["capture and history"]["advice"]
    assert found["ledger"]["state"] == "wrong"
    assert found["indexes"]["state"] == "ok"


def test_an_invalid_index_is_named(tagging: Tagging, dagster_project: Path, pool: ConnectionPool):
    with pool.connection() as connection:
        connection.execute("INSERT INTO tagging.contents (source, external_id, body) VALUES ('a', '1', 'x')")
        connection.execute("INSERT INTO tagging.contents (source, external_id, body) VALUES ('a', '2', 'x')")
    with pool.connection() as connection:
        connection.autocommit = True
        with pytest.raises(Exception, match="duplicate"):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON tagging.contents (body)")
        connection.autocommit = False
    found = findings(tagging("doctor", "--json"))["indexes"]
    assert found["state"] == "wrong"
    assert "broken" in found["said"]
    assert "REINDEX INDEX CONCURRENTLY" in found["advice"]


def test_ghost_runs_are_found_and_ended(tagging: Tagging, dagster_project: Path, monkeypatch: pytest.MonkeyPatch):
    with dagster_instance() as instance:

        @dg.job
        def work(): ...

        run = instance.create_run_for_job(work, status=dg.DagsterRunStatus.STARTED)
    # The grace is for runs that are just starting; this test does not wait for it.
    monkeypatch.setattr(ghosts.find_ghost_runs, "__defaults__", ((), -timedelta(days=1)))
    result = tagging("doctor", "--json")
    assert result.exit_code == 1
    assert run.run_id[:8] in findings(result)["dagster"]["said"]
    assert findings(result)["dagster"]["advice"] == "tagging doctor --fix"
    assert tagging("doctor", "--fix").exit_code == 0
    with dagster_instance() as instance:
        ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.FAILURE


def test_without_database_the_rest_is_still_examined(
    tagging: Tagging, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TAGGING_DATABASE_URL", "postgresql://tagging:s3cret@127.0.0.1:1/tagging")
    get_settings.cache_clear()
    result = tagging("doctor", "--json")
    assert result.exit_code == 1
    found = findings(result)
    assert found["database"]["state"] == "wrong"
    assert found["model"]["state"] == "ok"
    assert "s3cret" not in result.output


def test_a_missing_model_and_wrong_rules_say_what_to_do(
    tagging: Tagging, dagster_project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TAGGING_EMBEDDING__MODEL", "./no/such/model")
    (dagster_project / "rules.yaml").write_text("rules: [{id: a, tag: b}]\n")
    get_settings.cache_clear()
    found = findings(tagging("doctor", "--json"))
    assert found["model"]["state"] == "wrong"
    assert "no/such/model" in found["model"]["said"]
    assert "rule 1 (a)" in found["rules"]["said"]


def test_missing_source_files_are_a_warning(tagging: Tagging, dagster_project: Path):
    (dagster_project / "tagging.yaml").write_text("sources: [{name: gone, path: gone.csv}]\n")
    get_settings.cache_clear()
    result = tagging("doctor", "--json")
    assert result.exit_code == 0
    assert findings(result)["sources"]["state"] == "warning"
    assert "gone.csv" in findings(result)["sources"]["said"]


def test_packages_out_of_range_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.metadata.requires", lambda _: ["click>=99", "no-such-package-xyz", "rich"])
    found = doctor.packages()
    assert found.state == doctor.State.WRONG
    assert "click is" in found.said
    assert "no-such-package-xyz is missing" in found.said
    assert "rich" not in found.said


def test_a_full_disk_and_another_system_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**8}))
    assert doctor.disk(tmp_path / "not" / "there").state == doctor.State.WRONG
    monkeypatch.setattr("platform.system", lambda: "Windows")
    assert doctor.machine().state == doctor.State.WRONG


def test_switches_of_the_ai_that_cannot_be_read_are_told(
    tagging: Tagging, dagster_project: Path, pool: ConnectionPool
):
    assert tagging("ai", "sync").exit_code == 0
    with pool.connection() as connection:
        connection.execute("UPDATE ai.ai_system_config SET system_settings = '{\"unknown\": 1}'")
    result = tagging("doctor", "--json")
    found = findings(result)["ai"]
    assert (result.exit_code, found["state"], "unknown" in found["said"]) == (0, "warning", True)
