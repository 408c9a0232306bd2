"""`tagging alerts`: what is out of line and why, who looks after it, and what people were told."""

from __future__ import annotations

import getpass
import math
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from tagging_orchestration.commands.options import (
    Function,
    Moment,
    json_option,
    limit_option,
    one_of,
    verbose_option,
)
from tagging_orchestration.commands.output import moment, plain, print_json, shorten, show, table
from tagging_orchestration.core.errors import UnknownName

if TYPE_CHECKING:
    from tagging_orchestration.core.models import ChangeContext
    from tagging_orchestration.storage.alerts import Alert, IncidentSummary
    from tagging_orchestration.wiring import Project

SHORT_ID = 8
TAGS_SHOWN = 3
TITLE_WIDTH = 76
STYLES = {"critical": "bold red", "warning": "yellow", "info": "blue"}


@click.group
def alerts() -> None:
    """What is out of line in the business, and why.

    ALERT and INCIDENT are ids, or the first letters of one.
    """


def lang_option(command: Function) -> Function:
    """`--lang`: the language of titles and messages."""
    return click.option(
        "--lang", type=click.Choice(["en", "zh-Hant"]), help="Language; the business's own, unless told otherwise."
    )(command)


# --------------------------------------------------------------------------------------------------- look


@alerts.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
@click.option("--since", type=Moment(), metavar="DATE", help="Those still seen on that business day or later.")
@limit_option(50, "alerts")
@lang_option
@json_option
@verbose_option
def list_alerts(everything: bool, since: datetime | None, limit: int, lang: str | None, as_json: bool) -> None:
    """Open alerts, the latest first; with --since or --all those that are over, too."""
    from tagging_orchestration.storage import alerts as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        lang = lang or project.settings.business.locale
        found = storage.list_alerts(
            project.pool,
            project.settings.organization_id,
            open_only=not (everything or since),
            since=since.date() if since else None,
            limit=limit,
        )
    if as_json:
        print_json(found)
        return
    view = table(None, "id", "from", "to", "priority", "alert", "explained by", wide=["alert"])
    for alert in found:
        view.add_row(
            str(alert.id)[:SHORT_ID],
            str(alert.metric_date),
            _until(alert),
            f"[{STYLES[alert.severity]}]{alert.priority}[/]",
            plain(alert.text("title", lang)) + (" [dim](in hand)[/]" if alert.acknowledged_at else ""),
            plain(", ".join(tag["tag"] for tag in _tags(alert)[:TAGS_SHOWN])),
        )
    show(view if found else "  nothing is out of line" + ("" if everything else ": --all shows what was"))


@alerts.command("show")
@click.argument("alert")
@lang_option
@json_option
@verbose_option
def show_alert(alert: str, lang: str | None, as_json: bool) -> None:
    """One ALERT: its message, the tags and rows that explain it, and its history."""
    from tagging_orchestration.storage import alerts as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        lang = lang or project.settings.business.locale
        found = storage.find_alert(project.pool, project.settings.organization_id, alert)
        events = storage.alert_events(project.pool, found.id)
    if as_json:
        print_json({"alert": found, "events": events})
        return
    about_ai = (found.alert_subtype or "").startswith("ai_")
    about = found.dimension_label or ("the AI" if about_ai else "the whole business")
    show(
        f"[{STYLES[found.severity]}]{plain(found.text('title', lang))}[/]",
        f"  {plain(found.text('message', lang))}",
        f"  {found.metric_name} of {plain(about)}, {found.alert_subtype}, {found.severity},"
        f" priority {found.priority}",
        f"  {found.state} from {found.metric_date} to {_until(found) or 'now'}, seen "
        + (f"{found.occurrences} times" if about_ai else f"on {found.occurrences} days")
        + (f", {found.resolution}" if found.resolution else ""),
    )
    if found.acknowledged_at:
        show(f"  {plain(found.acknowledged_by)} looks after it since {moment(found.acknowledged_at)}")
    for line in found.notes.splitlines():
        show(f"  {plain(line)}")
    _show_evidence(found, lang)
    view = table("History", "when (UTC)", "what", "by", "why")
    for event in events:
        view.add_row(moment(event.occurred_at), event.event_type, plain(event.actor), plain(event.reason))
    show("", view)
    if found.incident_id:
        show("", f"  All of its incident: tagging alerts incidents {str(found.incident_id)[:SHORT_ID]}")


def _show_evidence(alert: Alert, lang: str) -> None:
    evidence = alert.evidence_refs
    if _tags(alert):
        window = evidence["window"]
        numbers = ["contents", "before", "times"]
        view = table(
            f"Tags of {window['from']} to {window['to']}, against the time before",
            "tag", *numbers, "by chance", "contents to look at", right=numbers,
        )  # fmt: skip
        for tag in _tags(alert):
            samples = ", ".join(map(str, tag["sample_ids"]))
            cells = (tag["count"], tag["baseline"])
            view.add_row(
                plain(tag["tag"]), *map(plain, cells), f"{tag['lift']:.1f}", f"{tag['q_value']:.2g}", samples
            )
        show("", view)
    if evidence.get("top_rows"):
        view = table("Rows that moved it", "table", "id", "why")
        for row in evidence["top_rows"]:
            why = row["why_zh"] if lang == "zh-Hant" else row["why"]
            view.add_row(row["table"], plain(row["id"]), plain(why))
        show("", view)


@alerts.command
@click.argument("incident", required=False)
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
@click.option("--since", type=Moment(), metavar="DATE", help="Those still seen on that business day or later.")
@limit_option(50, "incidents")
@lang_option
@json_option
@verbose_option
def incidents(
    incident: str | None, everything: bool, since: datetime | None, limit: int, lang: str | None, as_json: bool
) -> None:
    """Open incidents: alerts with one cause. With INCIDENT, the alerts of that one."""
    from tagging_orchestration.storage import alerts as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        lang = lang or project.settings.business.locale
        organization = project.settings.organization_id
        found = storage.list_incidents(
            project.pool,
            organization,
            open_only=not (everything or since or incident),
            since=since.date() if since else None,
            limit=limit if incident is None else 1_000_000,
        )
        one = _one_incident(found, incident) if incident else None
        members = storage.list_alerts(project.pool, organization, incident_id=one.id) if one else []
    if one:
        _show_incident(one, members, lang, as_json)
    elif as_json:
        print_json(found)
    else:
        view = table(None, "id", "from", "to", "alerts", "incident", right=["alerts"], wide=["incident"])
        for row in found:
            view.add_row(
                str(row.id)[:SHORT_ID],
                str(row.opened_on),
                "" if row.state == "open" else str(row.last_seen_on),
                plain(row.alerts),
                f"[{STYLES[row.severity]}]{plain(shorten(row.text(lang), TITLE_WIDTH))}[/]"
                + (" [dim](silent)[/]" if row.silenced else ""),
            )
        show(view if found else "  no incident is open" + ("" if everything else ": --all shows those that were"))


def _one_incident(found: list[IncidentSummary], name: str) -> IncidentSummary:
    matching = [row for row in found if str(row.id).startswith(name.lower())]
    if len(matching) == 1:
        return matching[0]
    many = f"more than one incident's id begins with {name!r}: give more of it"
    none = f"there is no incident {name!r}: tagging alerts incidents --all shows the ids"
    raise UnknownName(many if matching else none)


def _show_incident(incident: IncidentSummary, members: list[Alert], lang: str, as_json: bool) -> None:
    if as_json:
        print_json({"incident": incident, "alerts": members})
        return
    state = f"{incident.state}, from {incident.opened_on}, last seen on {incident.last_seen_on}"
    show(f"[{STYLES[incident.severity]}]{plain(incident.text(lang))}[/]", f"  {state}")
    for cause in incident.causes:
        show(f"  {plain(cause['tag'])}: {cause['count']} contents, {cause['lift']:.1f} times as often as before")
    view = table(None, "id", "from", "to", "alert", wide=["alert"])
    for alert in reversed(members):
        view.add_row(
            str(alert.id)[:SHORT_ID],
            str(alert.metric_date),
            _until(alert),
            f"[{STYLES[alert.severity]}]{plain(alert.text('title', lang))}[/]",
        )
    show("", view)


# ------------------------------------------------------------------------------------------------- look after


@alerts.command
@click.argument("alert")
@click.option("--note", "remark", help="Why, or what is being done; kept with the alert.")
@verbose_option
def ack(alert: str, remark: str | None) -> None:
    """Say that you look after ALERT: nobody is told of it any more."""
    from tagging_orchestration.storage import alerts as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = storage.find_alert(project.pool, project.settings.organization_id, alert)
        storage.acknowledge(project.pool, found.id, _context(project, remark))
        if remark:
            storage.add_note(project.pool, found.id, remark, _context(project))
        found = storage.find_alert(project.pool, project.settings.organization_id, str(found.id))
    show(f"{plain(found.acknowledged_by)} looks after: {plain(found.title)}")


@alerts.command
@click.argument("alert")
@click.argument("text")
@verbose_option
def note(alert: str, text: str) -> None:
    """Write a line under ALERT."""
    if not text.strip():
        raise click.UsageError("a note needs some words")
    from tagging_orchestration.storage import alerts as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = storage.find_alert(project.pool, project.settings.organization_id, alert)
        storage.add_note(project.pool, found.id, text, _context(project))
    show(f"noted under: {plain(found.title)}")


@alerts.command
@click.argument("alert")
@click.option("--note", "remark", help="Why; kept in the history.")
@verbose_option
def close(alert: str, remark: str | None) -> None:
    """End ALERT by your word. It stays closed until its metric was back in line and leaves it again."""
    from tagging_orchestration.storage import alerts as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = storage.find_alert(project.pool, project.settings.organization_id, alert)
        done = storage.close_alert(project.pool, found.id, _context(project, remark))
    show(f"{'closed' if done else 'was over already'}: {plain(found.title)}")


@alerts.command
@click.option("--alert", help="This alert, now and when it comes back.")
@click.option("--metric", help="All alerts of this metric.")
@click.option("--dimension", help="All alerts of this part of the business, as in product:KT-EL08.")
@click.option(
    "--hours", type=click.FloatRange(min=0, max=24 * 366, min_open=True), default=24.0, show_default=True
)
@click.option("--reason", help="Why; it stands beside the silence.")
@click.option("--list", "listed", is_flag=True, help="Show what is silent instead.")
@json_option
@verbose_option
def silence(
    alert: str | None,
    metric: str | None,
    dimension: str | None,
    hours: float,
    reason: str | None,
    listed: bool,
    as_json: bool,
) -> None:
    """Tell nobody of what matches all that is given, for some hours. Alerts are recorded all the same."""
    from tagging_orchestration.storage import alerts as storage
    from tagging_orchestration.wiring import Project

    if math.isnan(hours):
        raise click.UsageError("--hours must be a number")
    with Project() as project:
        organization = project.settings.organization_id
        if metric:
            one_of(metric, storage.metric_names(project.pool), "metric")
        if not listed:
            found = storage.find_alert(project.pool, organization, alert) if alert else None
            storage.silence(
                project.pool,
                organization,
                metric_name=metric,
                dimension=dimension,
                fingerprint=found.fingerprint if found else None,
                lasting=timedelta(hours=hours),
                reason=reason or "",
                actor=_context(project).actor,
            )
        silences = storage.list_silences(project.pool, organization)
    if as_json:
        print_json(silences)
        return
    view = table(None, "id", "what", "until (UTC)", "by", "why", right=["id"], wide=["why"])
    for row in silences:
        fingerprint = f"alert {row.fingerprint[:SHORT_ID]}" if row.fingerprint else None
        what = ", ".join(part for part in (row.metric_name, row.dimension, fingerprint) if part)
        view.add_row(str(row.id), plain(what), moment(row.ends_at), plain(row.created_by), plain(row.reason))
    show(view if silences else "  nothing is silent")


@alerts.command
@click.argument("silence_id", metavar="ID", type=int)
@verbose_option
def unsilence(silence_id: int) -> None:
    """End the silence ID now."""
    from tagging_orchestration.storage import alerts as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        storage.end_silence(project.pool, project.settings.organization_id, silence_id)
    show(f"silence {silence_id} is over")


# ------------------------------------------------------------------------------------------------ notifications


@alerts.command("dead-letters")
@json_option
@verbose_option
def dead_letters(as_json: bool) -> None:
    """Messages that could not be delivered."""
    from tagging_orchestration.storage.notifications import list_dead_letters
    from tagging_orchestration.wiring import Project

    with Project() as project:
        letters = list_dead_letters(project.pool, project.settings.organization_id)
    if as_json:
        print_json(letters)
        return
    view = table(None, "id", "channel", "attempts", "incident", "why", right=["id", "attempts"], wide=["incident"])
    for letter in letters:
        view.add_row(
            str(letter.id),
            plain(letter.channel),
            plain(letter.attempts),
            plain(letter.title),
            plain(letter.last_error),
        )
    show(view if letters else "  every message was delivered")


@alerts.command
@click.argument("letter", metavar="ID", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@verbose_option
def retry(letter: int | None, everything: bool) -> None:
    """Send the dead letter ID again, or all. One that may have arrived arrives twice then."""
    from tagging_orchestration.storage.notifications import retry_dead_letters
    from tagging_orchestration.wiring import Project

    if (letter is None) != everything:
        raise click.UsageError("give the id of a dead letter, or --all")
    with Project() as project:
        count = retry_dead_letters(project.pool, project.settings.organization_id, letter)
    show(f"{count:,} messages will be sent again")


# ------------------------------------------------------------------------------------------------------ helpers


def _tags(alert: Alert) -> list[dict[str, Any]]:
    return alert.evidence_refs.get("top_tags", [])


def _until(alert: Alert) -> str:
    last: date = alert.last_metric_date
    return "" if alert.is_active else str(last)


def _context(project: Project, reason: str | None = None) -> ChangeContext:
    return project.context(f"user:{getpass.getuser()}", reason or "")
