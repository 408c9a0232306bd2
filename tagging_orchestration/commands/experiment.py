"""`tagging experiment`: a candidate configuration against the present one, touching nothing."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagging_orchestration.commands.options import json_option, limit_option, verbose_option
from tagging_orchestration.commands.output import moment, note, plain, print_json, share, show, table

if TYPE_CHECKING:
    from tagging_orchestration.core.models import ChangeContext
    from tagging_orchestration.storage.experiments import Experiment
    from tagging_orchestration.wiring import Project

FIGURES = (
    ("precision", "precision"),
    ("recall", "recall"),
    ("F1", "f1"),
    ("calibration error", "calibration_error"),
    ("tags a content", "tags_per_content"),
    ("CPU seconds per 1,000 texts", "seconds_per_1000"),
    ("events it would write", "events"),
    ("model tokens per 1,000 texts", "tokens_per_1000"),
    ("model USD per 1,000 texts", "usd_per_1000"),
    ("texts the model gave no answer about", "unheard"),
)

# Shown where a side asked a language model.
ONLY_WITH_A_MODEL = ("tokens_per_1000", "usd_per_1000", "unheard")


@click.group
def experiment() -> None:
    """Try other settings, rules, ranker weights or models on a sample, in a sandbox; adopt what is better."""


@experiment.command
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="As in tagger.min_confidence=0.2.")
@click.option("--name", help="What to call it; the changed settings, unless told otherwise.")
@click.option("--sample", type=click.IntRange(min=1), default=200, show_default=True, help="Contents to tag.")
@json_option
@verbose_option
def run(file: Path | None, assignments: tuple[str, ...], name: str | None, sample: int, as_json: bool) -> None:
    """Tag a sample under the settings of FILE and under the present ones, and compare.

    FILE holds settings as tagging.yaml does: sections tagger and embedding, rules_file, ranker_file, ai.tags (the
    language model as a generator) and ai.providers. People's tags and feedback say who is right. No content, tag
    or event is written.
    """
    from tagging_orchestration.ai.tag_experiments import proposer
    from tagging_orchestration.experiments import run_experiment
    from tagging_orchestration.wiring import Project

    overrides = _overrides(file, assignments)
    with Project() as project:
        told = name or (file.stem if file and not assignments else ", ".join(_flat(overrides)))
        done = run_experiment(
            project, overrides, name=told, sample=sample, context=_context(project), propose=proposer(project)
        )
    _show(done, as_json)


@experiment.command("list")
@limit_option(20, "experiments")
@json_option
@verbose_option
def list_experiments(limit: int, as_json: bool) -> None:
    """Experiments, newest first."""
    from tagging_orchestration.storage import experiments as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        rows = storage.list_experiments(project.pool, project.settings.organization_id, limit)
    if as_json:
        print_json(rows)
        return
    view = table(None, "id", "when (UTC)", "name", "F1 now", "F1 then", "adopted", right=["id"], wide=["name"])
    for row in rows:
        scores = (row.report["current"]["f1"], row.report["candidate"]["f1"])
        view.add_row(
            str(row.id), moment(row.created_at), plain(row.name), *map(plain, scores), moment(row.adopted_at)
        )
    show(view if rows else "  no experiments yet: tagging experiment run --set tagger.min_confidence=0.2")


@experiment.command("show")
@click.argument("experiment_id", metavar="ID", type=int)
@json_option
@verbose_option
def show_experiment(experiment_id: int, as_json: bool) -> None:
    """Figures and most telling differences of the experiment ID."""
    from tagging_orchestration.storage.experiments import get_experiment
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = get_experiment(project.pool, project.settings.organization_id, experiment_id)
    _show(found, as_json)


@experiment.command
@click.argument("experiment_id", metavar="ID", type=int)
@verbose_option
def adopt(experiment_id: int) -> None:
    """Write the settings of the experiment ID into tagging.yaml; the next run uses them."""
    from tagging_orchestration.experiments import adopt as take_over
    from tagging_orchestration.storage.experiments import get_experiment
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = get_experiment(project.pool, project.settings.organization_id, experiment_id)
        path = take_over(project, found, _context(project))
    for line in _flat(found.overrides):
        show(f"  {plain(line)}")
    note(f"written into {path}; contents made under the old settings are re-tagged by tagging run")


def _overrides(file: Path | None, assignments: tuple[str, ...]) -> dict[str, Any]:
    import yaml

    from tagging_orchestration.core.errors import ConfigurationError

    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8")) if file else {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: not valid YAML ({error})") from None
    if not isinstance(data or {}, dict):
        raise ConfigurationError(f"{file}: settings are written as `key: value`")
    overrides: dict[str, Any] = dict(data or {})
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--set {assignment}: write KEY=VALUE, as in tagger.min_confidence=0.2")
        *sections, name = key.strip().split(".")
        block = overrides
        for section in sections:
            block[section] = dict(block.get(section) or {})
            block = block[section]
        block[name] = yaml.safe_load(value)
    return overrides


def _flat(overrides: Mapping[str, Any]) -> list[str]:
    """Settings one a line, as `--set` takes them."""
    flat: list[str] = []
    for key, value in overrides.items():
        flat += [f"{key}.{line}" for line in _flat(value)] if isinstance(value, Mapping) else [f"{key}={value}"]
    return flat


def _show(done: Experiment, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    report = done.report
    show(f"[bold]{plain(done.name)}[/]  [dim]experiment {done.id}, {report['contents']:,} contents, "
         f"{report['judged_contents']:,} of them judged by people[/]")  # fmt: skip
    view = table(None, "", "now", "candidate", right=["now", "candidate"])
    for said, key in FIGURES:
        cells = [report[side].get(key) for side in ("current", "candidate")]
        if key in ONLY_WITH_A_MODEL and not any(cells):
            continue
        view.add_row(said, *(plain(cell) if cell is not None else "?" for cell in cells))
    show(view, f"  both agree on {share(report['agreement'])} of the tags")
    if report["differences"]:
        view = table(
            "Most telling differences", "content", "tag", "now", "candidate", "only", "people", wide=["tag"]
        )
        for item in report["differences"]:
            wanted = {None: "", True: "want it", False: "do not"}[item["wanted"]]
            cells = (
                item["content_id"],
                item["name"],
                item["current"],
                item["candidate"],
                item["assigned_by"],
                wanted,
            )
            view.add_row(str(cells[0]), *map(plain, cells[1:]))
        show("", view)
    if done.adopted_at is None:
        note(f"to use these settings: tagging experiment adopt {done.id}")


def _context(project: Project) -> ChangeContext:
    return project.context(f"user:{getpass.getuser()}")
