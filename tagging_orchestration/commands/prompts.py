"""`tagging prompts`: the prompts of the language model, their versions, and what they look like when rendered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from tagging_orchestration.commands.options import json_option, one_of, verbose_option
from tagging_orchestration.commands.output import note, plain, print_json, show, table
from tagging_orchestration.core.errors import ConfigurationError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tagging_orchestration.core.enhancement.models import PromptLocale, PromptTemplate, RenderedPrompt
    from tagging_orchestration.wiring import Project

lang_option = click.option(
    "--lang", type=click.Choice(["zh-TW", "en"]), help="Language; the business's own, unless told otherwise."
)
version_option = click.option(
    "--version", "version", metavar="VERSION", help="Such as 1.1; the one in use, unless told otherwise."
)
group_option = click.option("--group", metavar="GROUP", default="A", show_default=True, help="A/B group.")


@click.group
def prompts() -> None:
    """Prompts of the language model: versions, looks, checks."""


@prompts.command("list")
@click.option("--all", "everything", is_flag=True, help="Versions that are no longer in use, too.")
@json_option
@verbose_option
def list_prompts(everything: bool, as_json: bool) -> None:
    """Prompts in use: versions, groups, weights, faults."""
    from tagging_orchestration.core.enhancement.prompt_lint import lint
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = [one for one in _known(project) if everything or one.state != "kept"]
    faults = [lint(one.template) for one in found]
    if as_json:
        details = ("template_name", "category", "weight", "max_tokens", "temperature", "output_schema")
        rows = zip(found, faults, strict=True)
        print_json([_brief(one, *details) | {"faults": wrong} for one, wrong in rows])
        return
    right = ["version", "weight", "faults"]
    view = table(None, "prompt", "lang", "group", "version", "weight", "state", "from", "faults", right=right)
    for one, wrong in zip(found, faults, strict=True):
        of = one.template
        view.add_row(
            plain(of.template_key),
            of.locale,
            of.ab_group,
            of.version,
            plain(of.weight),
            one.state,
            one.source,
            plain(len(wrong)),
        )
    show(view)
    if any(one.state == "new" for one in found):
        note("new ones are not in the database yet: tagging prompts sync")


@prompts.command("show")
@click.argument("key")
@lang_option
@version_option
@group_option
@json_option
@verbose_option
def show_prompt(key: str, lang: str | None, version: str | None, group: str, as_json: bool) -> None:
    """The prompt KEY: text, parameters, all versions."""
    from tagging_orchestration.core.enhancement.prompt_lint import lint
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = _known(project, key)
        template = _one(found, key, lang or _locale(project), version, group)
    if as_json:
        print_json({"template": template, "versions": [_brief(one) for one in found], "faults": lint(template)})
        return
    show(
        f"[bold]{plain(template.template_name)}[/]  {plain(key)} {template.version} {template.locale} "
        f"group {template.ab_group}",
        f"  {plain(template.description)}",
        f"  at most {template.max_tokens} tokens, temperature {template.temperature:g}, answer: "
        f"{plain(template.output_schema or 'text')}",
        f"  needs {plain(', '.join(template.required_variables) or 'nothing')}; "
        f"may have {plain(', '.join(template.optional_variables) or 'nothing')}",
        "",
        "[bold]system[/]",
    )
    click.echo(template.system_message)
    show("", "[bold]prompt[/]")
    click.echo(template.prompt_template)
    view = table("Versions", "lang", "group", "version", "state", "from", "by", right=["version"])
    for one in found:
        of = one.template
        view.add_row(of.locale, of.ab_group, of.version, one.state, one.source, plain(one.created_by))
    show("", view)
    for fault in lint(template):
        note(f"fault: {fault}")


@prompts.command("render")
@click.argument("key")
@click.option("--alert", metavar="ALERT", help="An alert's id, or how it begins; as its analysis would ask.")
@click.option(
    "--variables",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.json",
    help="An object with the variables.",
)
@lang_option
@version_option
@group_option
@json_option
@verbose_option
def render_prompt(
    key: str,
    alert: str | None,
    variables: Path | None,
    lang: str | None,
    version: str | None,
    group: str,
    as_json: bool,
) -> None:
    """What a model would be sent by the prompt KEY.

    With an alert, with variables of yours, or with an example. Personal data is masked as it is before a call.
    Nothing is sent.
    """
    from tagging_orchestration.core.enhancement.prompt_examples import example_variables
    from tagging_orchestration.core.enhancement.prompts import render
    from tagging_orchestration.wiring import Project

    if alert and variables:
        raise click.UsageError("give either --alert or --variables")
    with Project() as project:
        template = _one(_known(project, key), key, lang or _locale(project), version, group)
        if alert:
            given = _masked(project, _alert_variables(project, alert, template), template)
        elif variables:
            given = _masked(project, _read_variables(variables), template)
        else:
            given = example_variables(template)
        rendered = render(template, given, project.settings.business.timezone)
    _print_rendered(rendered, as_json)


@prompts.command("diff")
@click.argument("key")
@click.argument("first", metavar="VERSION1")
@click.argument("second", metavar="VERSION2")
@lang_option
@verbose_option
def diff_prompt(key: str, first: str, second: str, lang: str | None) -> None:
    """What changed in the prompt KEY between two versions."""
    from difflib import unified_diff

    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = _known(project, key)
        locale = lang or _locale(project)
        old, new = (_one(found, key, locale, version, None) for version in (first, second))
    lines = unified_diff(
        _described(old), _described(new), f"{key} {old.version}", f"{key} {new.version}", lineterm=""
    )
    text = "\n".join(lines)
    click.echo(text or f"{key} {first} and {second} say the same")


@prompts.command("test")
@verbose_option
def test_prompts() -> None:
    """Check the files of the folder `prompts`.

    Their form, their rendering with examples, and that no text changed without a new version. Needs no database;
    ends with exit code 1 when there are faults.
    """
    from tagging_orchestration.clients.prompt_files import lint_prompt_files, load_prompt_files

    count = len(load_prompt_files())
    faults = lint_prompt_files()
    for fault in faults:
        click.echo(fault)
    note(f"{count} prompts, {len(faults)} faults")
    if faults:
        click.get_current_context().exit(1)


@prompts.command("sync")
@json_option
@verbose_option
def sync(as_json: bool) -> None:
    """Bring the files into the database; new versions come into use."""
    from tagging_orchestration.clients.prompt_files import load_prompt_files
    from tagging_orchestration.storage.ai_prompts import sync_prompts
    from tagging_orchestration.wiring import Project

    templates = load_prompt_files()
    with Project() as project:
        report = sync_prompts(project.pool, templates, _locale(project))
    if as_json:
        print_json(report)
        return
    for name in report.inserted:
        show(f"  new: {plain(name)}{'' if name in report.activated else ' (not in use)'}")
    for name in report.held_back:
        note(f"not in use, its group is off or a newer version is known: {name}")
    for name in report.kept:
        note(f"the database holds another text of this version, which stays: {name}")
    show(f"{len(report.inserted)} new, {report.unchanged} unchanged")


@prompts.command("lock")
@verbose_option
def lock() -> None:
    """Add new files to prompts/checksums.txt.

    Refused while a file that is listed there has changed or is gone.
    """
    from tagging_orchestration.clients.prompt_files import lock_prompt_files

    new = lock_prompt_files()
    for name in new:
        click.echo(name)
    note(f"{len(new)} new files locked")


# ----------------------------------------------------------------------------------------------------- helpers


@dataclass(frozen=True, slots=True)
class Known:
    """A version of a prompt: in use, kept in the database, or new in the files."""

    template: PromptTemplate
    state: Literal["in use", "kept", "new"]
    source: Literal["file", "database"] = "file"
    created_at: datetime | None = None
    created_by: str = ""


def _known(project: Project, key: str | None = None) -> list[Known]:
    """All versions (of a key) in the database, and those of the files that are not there yet, by key, language,
    group and version. Raises UnknownName for an unknown key, naming the nearest ones."""
    from tagging_orchestration.clients.prompt_files import load_prompt_files
    from tagging_orchestration.core.enhancement.prompts import version_order
    from tagging_orchestration.storage.ai_prompts import versions

    def place(template: PromptTemplate) -> tuple[Any, ...]:
        return template.template_key, template.locale, template.ab_group, version_order(template.version)

    stored = versions(project.pool)
    places = {place(row.template) for row in stored}
    found = [
        Known(row.template, "in use" if row.is_active else "kept", row.source, row.created_at, row.created_by)
        for row in stored
    ]
    found += [Known(template, "new") for template in load_prompt_files() if place(template) not in places]
    found.sort(key=lambda one: place(one.template))
    if key is None:
        return found
    one_of(key, dict.fromkeys(one.template.template_key for one in found), "prompt")
    return [one for one in found if one.template.template_key == key]


def _one(found: Sequence[Known], key: str, lang: str, version: str | None, group: str | None) -> PromptTemplate:
    """One version of a language (and group): the named one, else the one in use, else the newest."""
    of = [one for one in found if one.template.locale == lang and group in (None, one.template.ab_group)]
    named = [one for one in of if version in (None, one.template.version)]
    if not named:
        there = dict.fromkeys(one.template.version for one in of)
        said = f"; there are {', '.join(there)}" if there else ""
        raise UnknownName(
            f"the prompt {key} has no version{f' {version}' if version else ''} in {lang}"
            f"{f' and group {group}' if group else ''}{said}"
        )
    return next((one for one in named if one.state == "in use"), named[-1]).template


def _locale(project: Project) -> PromptLocale:
    from tagging_orchestration.core.enhancement.variables import prompt_locale

    return prompt_locale(project.settings.business.locale)


def _alert_variables(project: Project, name: str, template: PromptTemplate) -> dict[str, Any]:
    """The variables of an alert. Raises UnknownName when there is no such alert."""
    from tagging_orchestration.core.enhancement.variables import (
        build_prompt_variables,
        citable,
        evidence_of,
        report_locale,
        used_variables,
    )
    from tagging_orchestration.storage.ai_subjects import read_alerts, read_business
    from tagging_orchestration.storage.alerts import find_alert

    organization = project.settings.organization_id
    alert = find_alert(project.pool, organization, name)
    (subject,) = read_alerts(project.pool, organization, ids=[alert.id])
    locale = report_locale(template.locale)
    business = read_business(project.pool, organization)
    variables = used_variables(template, build_prompt_variables(subject, business, locale))
    return variables | {"evidence": citable(evidence_of(subject, variables, locale))}


def _masked(project: Project, variables: dict[str, Any], template: PromptTemplate) -> dict[str, Any]:
    from tagging_orchestration.core.enhancement.masking import mask_document
    from tagging_orchestration.core.enhancement.prompts import normalise_variables

    plain_variables = normalise_variables(variables, project.settings.business.timezone)
    return mask_document(plain_variables, project.masker, "zh" if template.locale == "zh-TW" else "en")


def _read_variables(file: Path) -> dict[str, Any]:
    """An object of variables. Raises ConfigurationError when the file holds anything else."""
    try:
        found = json.loads(file.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file}: not JSON ({error})") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f'{file}: write an object of variables, such as {{"current_value": 125.5}}')
    return found


def _print_rendered(rendered: RenderedPrompt, as_json: bool) -> None:
    if as_json:
        print_json(rendered)
        return
    show("[bold]system[/]")
    click.echo(rendered.system)
    show("", "[bold]prompt[/]")
    click.echo(rendered.prompt)
    note(f"sha256 {rendered.sha256}")
    if rendered.omitted:
        note(f"left out, without a value: {', '.join(rendered.omitted)}")


def _brief(one: Known, *more: str) -> dict[str, Any]:
    of = one.template
    return {
        **{field: getattr(of, field) for field in ("template_key", "locale", "ab_group", "version", *more)},
        "state": one.state,
        "source": one.source,
        "created_at": one.created_at,
        "created_by": one.created_by,
    }


def _described(template: PromptTemplate) -> list[str]:
    """A version as lines: parameters, system message, prompt."""
    return [
        f"max_tokens: {template.max_tokens}",
        f"temperature: {template.temperature:g}",
        f"required_variables: {', '.join(template.required_variables)}",
        f"optional_variables: {', '.join(template.optional_variables)}",
        f"output_schema: {template.output_schema or ''}",
        "",
        *template.system_message.splitlines(),
        "",
        *template.prompt_template.splitlines(),
    ]
