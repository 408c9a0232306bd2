"""`tagging init`: configuration files, home, database and Dagster home of a project."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from tagging_orchestration.commands.options import verbose_option
from tagging_orchestration.commands.output import note

TEMPLATES = ("tagging.yaml", "rules.yaml")
SAMPLE = "tagging_orchestration/demo/sample_contents.jsonl"


@click.command
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--files-only", is_flag=True, help="Write the configuration files and start nothing.")
@verbose_option
def init(folder: Path | None, files_only: bool) -> None:
    """Prepare a project: configuration, database, Dagster's home.

    Commented tagging.yaml and rules.yaml are written where they are missing, the database is started and migrated.
    What is there is left as it is, so it can be repeated. FOLDER is the project's folder (default: the one found
    from here).
    """
    import os

    from tagging_orchestration.settings import get_settings, project_root

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        written = write_configuration(Path.cwd())
    else:
        written = write_configuration(project_root())
    get_settings.cache_clear()
    for path in written:
        note(f"wrote {path}")
    if files_only:
        return
    settings = get_settings()
    prepare()
    note(f"ready: {settings.home} (next: tagging run)")


def write_configuration(folder: Path) -> list[Path]:
    """Write the commented configuration files that `folder` lacks; the paths written."""
    demo = files("tagging_orchestration.demo")
    written = []
    for name in TEMPLATES:
        target = folder / name
        if not target.exists():
            text = (demo / name).read_text(encoding="utf-8")
            # The sample lies in the installed package, wherever the new project is.
            target.write_text(text.replace(SAMPLE, str(demo / Path(SAMPLE).name)), encoding="utf-8")
            written.append(target)
    return written


def prepare() -> None:
    """Start the database where needed, migrate it, parse the dbt project, and put the environment of Dagster's
    home in place."""
    from tagging_orchestration.business.dbt import dbt_environment, ensure_manifest
    from tagging_orchestration.commands.dagster_runs import use_dagster_home
    from tagging_orchestration.wiring import Project

    with Project() as project:
        _ = project.pool
        ensure_manifest(project.settings, dbt_environment(project.settings))
    use_dagster_home()
