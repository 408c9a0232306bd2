"""Dagster's home: its instance configuration, and the environment its processes run in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tagging_orchestration.business.dbt import dbt_environment
from tagging_orchestration.settings import Settings, get_settings
from tagging_orchestration.storage.connection import (
    dagster_database_url,
    ensure_database,
    render_url,
    sqlalchemy_url,
    url_parts,
)

STORAGE_URL = "TAGGING_DAGSTER_STORAGE_URL"
NOTE = "# Written by `tagging` at each start from its settings; changes made here are lost.\n"

# A code location must be up within this time; a cold start on a loaded machine reads 2 GB of libraries.
CODE_SERVER_SECONDS = 180
# Sensors look often and mostly skip: those ticks are of no interest after a week.
SKIPPED_TICK_DAYS = 7
TICK_DAYS = 30


def instance_config(settings: Settings) -> dict[str, Any]:
    """The content of dagster.yaml. Passwords stay out of it: the storage's URL comes from the environment."""
    tick_days = {"skipped": SKIPPED_TICK_DAYS, "failure": TICK_DAYS, "success": TICK_DAYS}
    return {
        "storage": {"postgres": {"postgres_url": {"env": STORAGE_URL}}},
        "concurrency": {
            "runs": {"max_concurrent_runs": settings.runs.max_concurrent_runs},
            # The pool `llm`: one step at a time works a language model, whatever else runs.
            "pools": {"granularity": "op", "default_limit": 1},
        },
        # A code server that is just restarting must not cost a queued run.
        "run_queue": {"max_user_code_failure_retries": 3, "user_code_failure_retry_delay": 30},
        "run_monitoring": {
            "enabled": True,
            "start_timeout_seconds": CODE_SERVER_SECONDS,
            "cancel_timeout_seconds": 120,
            "poll_interval_seconds": 30,
            # A run that died in a pool must not keep its place for ever.
            "free_slots_after_run_end_seconds": 60,
        },
        # Ops retry their own transient errors; a whole run is tried again only when its process died.
        "run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False},
        "sensors": {"use_threads": True, "num_workers": 4},
        "schedules": {"use_threads": True, "num_workers": 2},
        "retention": {
            kind: {"purge_after_days": dict(tick_days)} for kind in ("schedule", "sensor", "auto_materialize")
        },
        "code_servers": {"local_startup_timeout": CODE_SERVER_SECONDS},
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
    }


def write_dagster_home(settings: Settings | None = None) -> Path:
    """Write TAGGING_HOME/dagster/dagster.yaml when it differs; the folder."""
    import yaml

    settings = settings or get_settings()
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    path = home / "dagster.yaml"
    text = NOTE + yaml.safe_dump(instance_config(settings), sort_keys=False)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        # Renamed into place: a daemon that starts right now must not read half of it.
        partial = path.with_name(f".dagster.yaml.{os.getpid()}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    return home


def environment(settings: Settings | None = None) -> dict[str, str]:
    """What the environment of every Dagster process must hold; webserver, daemon, code servers and run
    workers hand it on to one another.

    Starts the embedded server and creates Dagster's database where needed, and writes Dagster's home.
    """
    settings = settings or get_settings()
    parts = dict(url_parts(dagster_database_url(settings)))
    # In a database shared with the tags, Dagster's tables must not land among them.
    parts.setdefault("options", "-c search_path=public")
    url = render_url(parts)
    ensure_database(url)
    return dbt_environment(settings) | {
        "DAGSTER_HOME": str(write_dagster_home(settings)),
        STORAGE_URL: sqlalchemy_url(url).render_as_string(hide_password=False),
        "TAGGING_HOME": str(settings.home),
        "DO_NOT_TRACK": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
