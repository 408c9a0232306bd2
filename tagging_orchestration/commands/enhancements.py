"""`tagging enhancements`: what AI added, on what evidence, asked again, and voted on."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tagging_orchestration.commands.options import Moment, json_option, limit_option, verbose_option
from tagging_orchestration.commands.output import moment, note, plain, print_json, shorten, show, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tagging_orchestration.core.enhancement.envelopes import EnhanceReport
    from tagging_orchestration.core.enhancement.shown import Claim, Shown
    from tagging_orchestration.storage.ai_results import Enhancement, Reference

SHORT_ID = 8
LEAD_WIDTH = 60
BAND_STYLES = {"high": "green", "medium": "yellow", "low": "dim"}
KINDS = ("alerts", "insights", "recommendations", "summary")


@click.group
@verbose_option
def enhancements() -> None:
    """What AI added to alerts, insights, recommendations and periods; each claim with its evidence."""


@enhancements.command("list")
@click.option("--subject", help="Only of this type (alert, insight, recommendation, summary), or of this subject.")
@limit_option(20, "enhancements")
@json_option
@verbose_option
def list_enhancements(subject: str | None, limit: int, as_json: bool) -> None:
    """Stored enhancements, the newest first. What is older than 24 hours is not shown in reports."""
    from tagging_orchestration.storage import ai_results as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = storage.list_enhancements(
            project.pool, project.settings.organization_id, subject=subject, limit=limit
        )
    if as_json:
        print_json(found)
        return
    view = table(None, "id", "made (UTC)", "about", "sure", "says", right=["sure"], wide=["says"])
    for row in found:
        view.add_row(
            str(row.id)[:SHORT_ID],
            moment(row.created_at),
            plain(_subject(row)),
            "" if row.confidence is None else f"{row.confidence:.0%}",
            plain(_gist(row)),
        )
    show(view if found else "  nothing was enhanced yet: tagging enhancements run")


@enhancements.command("show")
@click.argument("enhancement", metavar="ID")
@click.option("--lang", type=click.Choice(["en", "zh-Hant"]), help="Language of what evidence is called.")
@json_option
@verbose_option
def show_enhancement(enhancement: str, lang: str | None, as_json: bool) -> None:
    """One enhancement: its claims with their evidence, and what people think of it. ID may be shortened."""
    from tagging_orchestration.storage import ai_results as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        organization = project.settings.organization_id
        found = storage.find_enhancement(project.pool, organization, enhancement)
        refs = [str(item.get("ref", "")) for item in found.evidence]
        lang = lang or project.settings.business.locale
        references = storage.resolve_references(project.pool, organization, refs, lang)
        votes = storage.read_votes(project.pool, found.id)
    if as_json:
        print_json({"enhancement": found, "references": references, "votes": votes})
        return
    show(
        f"{found.subject_type} {plain(found.subject_id)}",
        f"  prompt {found.template_key} {found.template_version} ({found.template_locale}), "
        f"{plain(found.provider_name)} {plain(found.model)}, {moment(found.created_at)} UTC",
    )
    if found.requested_key != found.template_key:
        show(f"  {found.requested_key} was asked for and is not active")
    if found.result is None:
        show(f"  failed: {found.error_subtype or found.error_type}")
        return
    _show_answer(_as_shown(found, references), found)
    if found.expires_at <= datetime.now(UTC):
        show("  too old to be shown in reports")
    if votes.useful or votes.not_useful:
        show(
            f"  useful to {votes.useful}, not to {votes.not_useful}",
            *(f"  {plain(said)}" for said in votes.comments),
        )
    view = table("Evidence", "reference", "what it is", "where to look", wide=["what it is"])
    for ref in dict.fromkeys(refs):
        view.add_row(plain(ref), *_reference(ref, references.get(ref), found))
    show("", view)


@enhancements.command
@click.argument("enhancement", metavar="ID")
@click.option("--version", help="Another version of the prompt.")
@click.option("--provider", help="Another provider: local, openai, claude.")
@click.option("--model", help="Another model of the provider.")
@click.option("--dry-run", is_flag=True, help="Compare the prompts and call nothing.")
@json_option
@verbose_option
def replay(
    enhancement: str, version: str | None, provider: str | None, model: str | None, dry_run: bool, as_json: bool
) -> None:
    """Render a stored prompt again, and ask again: what differs is shown. The stored answer stays."""
    from tagging_orchestration.ai.access import llm_gateway
    from tagging_orchestration.ai.replay import replay as ask_again
    from tagging_orchestration.wiring import Project

    with Project() as project, llm_gateway(project) as gateway:
        done = ask_again(
            project.pool,
            gateway,
            project.settings.organization_id,
            enhancement,
            version=version,
            provider=provider,
            model=model,
            dry_run=dry_run,
        )
    if as_json:
        print_json(
            {
                "id": done.stored.enhancement.id,
                "same_bytes": done.stored.is_same,
                "prompt_sha256": done.stored.prompt.sha256,
                "version": done.template.version,
                "prompt_diff": done.prompt_diff,
                "answer": done.answer,
                "answer_diff": done.answer_diff,
            }
        )
    else:
        stored = done.stored.enhancement
        same = "the same bytes as then" if done.stored.is_same else "NOT the bytes that were sent then"
        show(f"prompt {stored.template_key} {stored.template_version}: {same} ({done.stored.prompt.sha256[:12]})")
        if done.prompt_diff:
            show("", plain_lines(done.prompt_diff))
        if done.answer and done.answer.status == "success":
            show("", plain_lines(done.answer_diff) if done.answer_diff else "the new answer is the stored one")
        elif done.answer:
            note(f"no new answer: {done.answer.error or done.answer.status}")
    if not done.stored.is_same or (done.answer and done.answer.status != "success"):
        raise click.exceptions.Exit(1)


@enhancements.command
@click.argument("enhancement", metavar="ID")
@click.argument("judgement", type=click.Choice(["up", "down"]))
@click.option("--comment", default="", help="Why; kept with the vote.")
@verbose_option
def vote(enhancement: str, judgement: str, comment: str) -> None:
    """Say whether an enhancement was useful: good ones count for the provider that gave them."""
    from tagging_orchestration.storage import ai_results as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        organization = project.settings.organization_id
        found = storage.find_enhancement(project.pool, organization, enhancement)
        storage.vote(
            project.pool,
            organization,
            found.id,
            useful=judgement == "up",
            actor=f"user:{getpass.getuser()}",
            comment=comment,
        )
        votes = storage.read_votes(project.pool, found.id)
    show(f"noted; useful to {votes.useful}, not to {votes.not_useful}")


@enhancements.command
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("--period", type=click.Choice(["daily", "weekly"]), default="daily", show_default=True)
@click.option(
    "--day", type=Moment(), metavar="DATE", help="Last day of the summary; else the last one with facts."
)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many alerts.")
@click.option("--critical", is_flag=True, help="Only critical alerts.")
@json_option
@verbose_option
def run(
    kind: str | None, period: str, day: datetime | None, limit: int | None, critical: bool, as_json: bool
) -> None:
    """Enhance what is pending: alerts, insights, recommendations or the summary; without a name all of them."""
    from tagging_orchestration.ai.access import enhancement_service
    from tagging_orchestration.wiring import Project

    done: dict[str, EnhanceReport] = {}
    with Project() as project, enhancement_service(project) as service:
        for name in [kind] if kind else KINDS:
            told = _told(name)
            if name == "alerts":
                done[name] = service.enhance_alerts(told, limit, critical, automatic=False)
            elif name == "insights":
                done[name] = service.deepen_insights(told, automatic=False)
            elif name == "recommendations":
                done[name] = service.optimize_all(told, automatic=False)
            else:
                last = day.date() if day else service.last_day()
                weekly = period == "weekly"
                done[name] = service.summarise("weekly" if weekly else "daily", last, told, automatic=False)
    if as_json:
        print_json(done)
    else:
        numbers = ["enhanced", "known", "failed", "tokens", "USD"]
        view = table(None, "what", *numbers, "why not", right=numbers, wide=["why not"])
        for name, report in done.items():
            failed = ", ".join(f"{count} {what}" for what, count in report.failed.items())
            view.add_row(
                name,
                plain(report.enhanced),
                plain(report.from_cache + report.skipped),
                plain(sum(report.failed.values())),
                plain(report.tokens),
                f"{report.cost_usd:.4f}",
                plain(failed or report.reason),
            )
        show(view)
    if any(report.status == "error" for report in done.values()):
        raise click.exceptions.Exit(1)


# ------------------------------------------------------------------------------------------------------ helpers


def _told(name: str) -> Callable[[int, int], None]:
    """Says on stderr how far it is; a local model takes seconds for each answer."""

    def tell(done: int, total: int) -> None:
        note(f"{name}: {done} of {total}")

    return tell


def plain_lines(text: str) -> str:
    """Several lines, safe from being read as markup."""
    from rich.markup import escape

    return escape(text)


def _subject(row: Enhancement) -> str:
    """What an enhancement is of, by the beginning of an id where the subject has one."""
    if row.subject_type in ("alert", "insight"):
        return f"{row.subject_type} {row.subject_id[:SHORT_ID]}"
    return row.subject_id if row.subject_type != "custom" else f"{row.template_key} {row.subject_id}".strip()


def _gist(row: Enhancement) -> str:
    if row.result is None:
        return row.error_subtype or row.error_type or row.status
    lead = next((row.result[name] for name in ("summary", "headline", "deepAnalysis") if row.result.get(name)), "")
    if not lead and row.result.get("ordered"):
        lead = " > ".join(str(item.get("title", "")) for item in row.result["ordered"])
    return shorten(str(lead), LEAD_WIDTH)


def _as_shown(found: Enhancement, references: Mapping[str, Reference]) -> Shown | None:
    from tagging_orchestration.core.enhancement.shown import CLAIM_LISTS, Citation, shown

    if found.subject_type not in CLAIM_LISTS:
        return None
    cited = {str(item.get("ref", "")) for item in found.evidence}
    labels = {ref: references[ref].label if ref in references else ref for ref in cited}
    return shown(
        id=str(found.id),
        subject_type=found.subject_type,
        subject_id=found.subject_id,
        document=found.result or {},
        evidence=found.evidence,
        flags=found.flags,
        confidence=found.confidence,
        degraded=found.degraded,
        citations={ref: Citation(ref, label) for ref, label in labels.items()},
        present_order=(),
        threshold=0.0,
        provider=found.provider_name,
        model=found.model,
        prompt=found.template_key,
        version=found.template_version,
        made_at=found.created_at,
        locale=found.template_locale,
    )


def _show_answer(answer: Shown | None, found: Enhancement) -> None:
    from tagging_orchestration.clients.report.render import words

    if answer is None:
        print_json(found.result)
        return
    say = words("zh-Hant" if answer.language == "zh-Hant" else "en")
    style = BAND_STYLES[answer.band]
    show(f"  [{style}]{say('confidence')} {answer.confidence:.0%}[/]" + ("  degraded" if answer.degraded else ""))
    if answer.lead:
        show("", f"[bold]{plain(answer.lead.text)}[/]")
    for part in answer.parts:
        show(f"  {say(part.word)}", *(f"    {_claim(claim)}" for claim in part.claims))
    for entry in answer.order:
        show(f"  {entry.place}. {_claim(entry.claim)}", *([f"     {plain(entry.reason)}"] if entry.reason else []))
    for word, text in answer.facts:
        show(f"  {say(word)}: {plain(text)}")


def _claim(claim: Claim) -> str:
    cited = "; ".join(plain(citation.label) for citation in claim.citations)
    doubtful = "".join(f" [yellow]({plain(number)} is not in the data)[/]" for number in claim.doubtful)
    return plain(claim.text) + (f" [dim]\\[{cited}][/]" if cited else "") + doubtful


def _reference(ref: str, known: Reference | None, found: Enhancement) -> tuple[str, str]:
    """What a reference leads to, and the command or place where to look at it."""
    if known is None:
        line = next(
            (str(line) for line in found.variables.get("evidence", ()) if str(line).startswith(f"{ref} ")), ""
        )
        return plain(line.partition(" — ")[2] or "a value the model was given"), ""
    if not known.found:
        return "[red]gone[/]", ""
    commands: dict[str, Any] = {
        "tag": f'tagging find "{known.link}"',
        "content": f"tagging tags {known.link}",
        "alert": f"tagging alerts show {known.link[:SHORT_ID]}",
    }
    label = shorten(f"{known.label} {known.detail}".strip(), LEAD_WIDTH * 2)
    return plain(label), plain(commands.get(ref.partition(":")[0], known.link))
