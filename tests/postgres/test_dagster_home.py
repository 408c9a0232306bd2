"""Dagster runs from our home, on our server, and tells nobody about it."""

from __future__ import annotations

import psycopg
import pytest
from pydantic import SecretStr

from tagging_orchestration.dagster_home import STORAGE_URL, environment, write_dagster_home
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage import migrate


@pytest.fixture
def own_storage(settings: Settings, empty_database_url: str) -> Settings:
    """Settings whose Dagster database is a fresh one."""
    return with_runs(settings, 3).model_copy(update={"dagster_database_url": SecretStr(empty_database_url)})


def with_runs(settings: Settings, limit: int) -> Settings:
    runs = settings.runs.model_copy(update={"max_concurrent_runs": limit})
    return settings.model_copy(update={"runs": runs})


def test_dagster_keeps_its_runs_in_our_postgres(
    own_storage: Settings, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster import DagsterInstance, job, op

    for name, value in environment(own_storage).items():
        monkeypatch.setenv(name, value)

    @op
    def nothing() -> None:
        pass

    @job
    def empty_job() -> None:
        nothing()

    with DagsterInstance.get() as instance:
        assert instance.root_directory == str(own_storage.home / "dagster")
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        assert limits.max_concurrent_runs == 3
        assert empty_job.execute_in_process(instance=instance).success
    with psycopg.connect(empty_database_url) as connection:
        runs = connection.execute("SELECT pipeline_name, status FROM runs").fetchall()
    assert runs == [("empty_job", "SUCCESS")]


def test_dagster_can_share_the_database_with_the_tags(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster import DagsterInstance

    shared = settings.model_copy(update={"dagster_database_url": SecretStr(database_url)})
    for name, value in environment(shared).items():
        monkeypatch.setenv(name, value)
    with DagsterInstance.get() as instance:
        assert instance.get_runs() == []
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('event_logs', 'alembic_version')"
        ).fetchall()
    assert found == [("public",)]
    assert migrate.upgrade(database_url) is False


def test_the_password_is_in_the_environment_only(own_storage: Settings, empty_database_url: str) -> None:
    password = empty_database_url.split(":")[2].partition("@")[0]
    variables = environment(own_storage)
    assert password in variables[STORAGE_URL]
    assert variables[STORAGE_URL].startswith("postgresql+psycopg2://")
    holders = {name for name, value in variables.items() if password in value}
    # dbt keeps variables that begin with DBT_ENV_SECRET out of its logs.
    assert holders == {STORAGE_URL, "DBT_ENV_SECRET_PASSWORD"}
    files = [path for path in own_storage.home.rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["dagster.yaml"]
    assert password not in files[0].read_text(encoding="utf-8")


def test_nothing_is_reported_to_anybody(own_storage: Settings) -> None:
    variables = environment(own_storage)
    assert variables["DO_NOT_TRACK"] == "1"
    assert variables["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false"


def test_the_file_changes_only_with_the_settings(own_storage: Settings) -> None:
    path = write_dagster_home(own_storage) / "dagster.yaml"
    first = path.stat().st_ino
    write_dagster_home(own_storage)
    assert path.stat().st_ino == first
    write_dagster_home(with_runs(own_storage, 9))
    assert "max_concurrent_runs: 9" in path.read_text(encoding="utf-8")
