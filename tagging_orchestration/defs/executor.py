"""The executor of all jobs, from one setting."""

from __future__ import annotations

import dagster as dg

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.settings import get_settings


def job_executor() -> dg.ExecutorDefinition:
    """In-process by default: on one machine a step's process costs more than most steps (13-17 s against 82-150 s
    for three steps). Celery and Kubernetes are Dagster's own, and need their package installed."""
    name = get_settings().runs.executor
    if name == "in_process":
        return dg.in_process_executor
    if name == "multiprocess":
        return dg.multiprocess_executor.configured(
            {"max_concurrent": 2, "start_method": {"forkserver": {"preload_modules": ["dagster"]}}}
        )
    try:
        if name == "celery":
            from dagster_celery import celery_executor  # pyright: ignore[reportMissingImports]

            return celery_executor
        from dagster_k8s import k8s_job_executor  # pyright: ignore[reportMissingImports]

        return k8s_job_executor
    except ImportError as error:
        package = "dagster-celery" if name == "celery" else "dagster-k8s"
        raise ConfigurationError(f"runs.executor is {name!r}, which needs: pip install {package}") from error
