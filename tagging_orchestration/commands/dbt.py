"""`tagging dbt`: dbt with this project's connection and variables."""

from __future__ import annotations

import json
import os
import subprocess

import click

# Commands that take no variables.
WITHOUT_VARS = frozenset({"--help", "--version", "deps", "init", "clean"})


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def dbt(arguments: tuple[str, ...]) -> None:
    """Run dbt with this project's connection and variables: tagging dbt test, tagging dbt docs generate.

    ARGUMENTS are dbt's own. The password goes to it by the environment.
    """
    from tagging_orchestration.business.dbt import dbt_command, dbt_environment, dbt_vars, project_dir
    from tagging_orchestration.wiring import Project

    with Project() as project:
        _ = project.pool
        settings = project.settings
        environment = {**os.environ, **dbt_environment(settings)}
        known = [] if not arguments or arguments[0] in WITHOUT_VARS else ["--vars", json.dumps(dbt_vars(settings))]
    # Asked for by name, unit tests are wanted.
    environment.pop("DBT_EXCLUDE_RESOURCE_TYPES")
    done = subprocess.run(  # noqa: S603 (dbt with the user's own arguments)
        [*dbt_command(), *arguments, *known], cwd=project_dir(), env=environment, check=False
    )
    raise SystemExit(done.returncode)
