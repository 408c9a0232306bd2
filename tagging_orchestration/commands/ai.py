"""`tagging ai`: the optional language model: its switches, providers, cost and health."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from tagging_orchestration.commands.options import json_option, one_of, verbose_option
from tagging_orchestration.commands.output import moment, note, plain, print_json, share, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tagging_orchestration.ai.health import ProbeResult
    from tagging_orchestration.core.enhancement.figures import BudgetShare, EnhancementMetrics, UsageTotal
    from tagging_orchestration.settings import Settings
    from tagging_orchestration.storage.ai_providers import ProviderHealth
    from tagging_orchestration.wiring import Project

TOGGLES = ("alerts", "insights", "recommendations", "executiveSummary", "autoEnhance", "enabled")
BUDGETS = {"day": "tokens today", "cost": "USD today", "hour": "requests this hour"}
HEALTH_STYLES = {"healthy": "green", "degraded": "yellow", "unhealthy": "red"}
HOW_TO_START = """\
  The AI is optional, and everything else works without it. To turn it on:
    with Ollama:      ollama pull phi4-mini, then tagging ai on
    without a model:  tagging dev-llm in another terminal (its answers are canned), then tagging ai on"""


@click.group
def ai() -> None:
    """The optional language model: switches, providers, cost and health.

    Nothing of the base needs it. Only the local provider (Ollama) is active until you say otherwise.
    """


# ------------------------------------------------------------------------------------------------------ status


@dataclass(frozen=True, slots=True)
class Score:
    """Mean score of a provider over the templates it may answer: as stated, and as measured figures make it."""

    stated: float
    effective: float
    calls_7d: int


@dataclass(frozen=True, slots=True)
class AiStatus:
    """Everything about the AI at one moment. `stated` is what tagging.yaml says of the switch, None: nothing;
    `enabled` what the table of the environment says."""

    environment: str
    stated: bool | None
    enabled: bool
    toggles: Mapping[str, bool]
    providers: Sequence[ProviderHealth]
    scores: Mapping[str, Score]
    budgets: Sequence[BudgetShare]
    last_24_hours: EnhancementMetrics
    use_24_hours: UsageTotal | None

    @property
    def is_on(self) -> bool:
        """Whether anything is asked at all."""
        return self.enabled and self.stated is not False


def read_status(project: Project) -> AiStatus:
    """The state of the AI now; nobody is contacted."""
    from tagging_orchestration.storage import ai_figures, ai_providers
    from tagging_orchestration.storage.ai_results import read_user_settings

    pool, settings = project.pool, project.settings
    now = datetime.now(UTC)
    use = ai_figures.usage_totals(pool, settings.organization_id, since=now - timedelta(days=1))
    return AiStatus(
        environment=settings.ai.environment,
        stated=settings.ai.enabled,
        enabled=ai_providers.system_settings(pool, settings.ai.environment).ai_enabled,
        toggles=read_user_settings(pool, settings.organization_id).document(),
        providers=ai_providers.provider_health(pool),
        scores=_scores(project),
        budgets=ai_figures.budget_use(pool, settings.ai, now),
        last_24_hours=ai_figures.enhancement_metrics(pool, settings.organization_id),
        use_24_hours=use[0] if use else None,
    )


def _scores(project: Project) -> dict[str, Score]:
    from tagging_orchestration.storage.ai_providers import list_configs

    of: dict[str, list[Any]] = {}
    for config in list_configs(project.pool):
        if config.is_active:
            of.setdefault(config.provider_name, []).append(config)
    return {
        name: Score(
            sum(config.overall_score for config in configs) / len(configs),
            sum(config.effective_score for config in configs) / len(configs),
            sum(config.calls_7d for config in configs),
        )
        for name, configs in of.items()
    }


@ai.command
@json_option
@verbose_option
def status(as_json: bool) -> None:
    """Switches, providers, limits, and the last 24 hours."""
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = read_status(project)
    if as_json:
        print_json(_document(found))
        return
    show(*_status_view(found))


def _document(found: AiStatus) -> dict[str, Any]:
    return {
        "on": found.is_on,
        "environment": found.environment,
        "switches": {"tagging.yaml": found.stated, "table": found.enabled, "people": found.toggles},
        "providers": found.providers,
        "scores": found.scores,
        "budgets": found.budgets,
        "last_24_hours": found.last_24_hours.document(),
        "use_24_hours": found.use_24_hours,
    }


def _status_view(found: AiStatus) -> list[RenderableType]:
    said = "nothing" if found.stated is None else "on" if found.stated else "off"
    off = [name for name, wanted in found.toggles.items() if not wanted]
    parts: list[RenderableType] = [
        f"[bold]AI is {'on' if found.is_on else 'off'}[/] ({found.environment}): tagging.yaml says {said}, "
        f"the table {'on' if found.enabled else 'off'}; people "
        + (f"switched off {', '.join(off)}" if off else "want all of it"),
    ]
    if not found.is_on:
        parts += ["", HOW_TO_START]
    if found.providers:
        parts += ["", _providers_view(found.providers, found.scores)]
    elif found.is_on:
        parts += ["", "  no provider is known yet: tagging ai sync"]
    if found.is_on or (found.use_24_hours and found.use_24_hours.requests):
        parts += ["", _budgets_view(found.budgets), "", *_last_day_view(found)]
    return parts


def _providers_view(
    providers: Sequence[ProviderHealth], scores: Mapping[str, Score] | None = None
) -> RenderableType:
    view = table(None, "provider", "active", "health", "model", "score", "detail", wide=["detail"])
    for row in providers:
        provider, score = row.provider, (scores or {}).get(row.provider.name)
        style = HEALTH_STYLES.get(provider.health_status, "dim")
        view.add_row(
            plain(provider.name) + (" *" if provider.is_default else ""),
            "yes" if provider.is_active else "no",
            f"[{style}]{provider.health_status}[/]",
            plain(provider.default_model or "none"),
            _score(score),
            plain(_detail(row)),
        )
    return view


def _score(score: Score | None) -> str:
    if score is None:
        return ""
    measured = abs(score.effective - score.stated) >= 0.005
    return f"{score.stated:.2f} → {score.effective:.2f}" if measured else f"{score.stated:.2f}"


def _detail(row: ProviderHealth) -> str:
    failing = f"{row.consecutive_failures} calls in a row failed" if row.consecutive_failures else ""
    left_alone = f"left alone since {moment(row.circuit_opened_at)}" if row.circuit_opened_at else ""
    looked = f"seen {moment(row.last_health_check)}" if row.last_health_check else ""
    return "; ".join(part for part in (row.health_detail, failing, left_alone, looked) if part)


def _budgets_view(budgets: Sequence[BudgetShare]) -> RenderableType:
    right = ["used", "reserved", "limit", "left"]
    view = table(None, "limit of", *right, "", right=right)
    for budget in budgets:
        digits = ",.4f" if budget.scope == "cost" else ",.0f"
        figures = (budget.used, budget.reserved, budget.limit, budget.left)
        full = "[red]used up[/]" if not budget.left else f"{budget.share:.0%}"
        view.add_row(BUDGETS[budget.scope], *(format(figure, digits) for figure in figures), full)
    return view


def _last_day_view(found: AiStatus) -> list[RenderableType]:
    use, metrics = found.use_24_hours, found.last_24_hours
    if use is None or not use.requests:
        return ["  nothing was asked in the last 24 hours"]
    return [
        f"  last 24 hours: {use.requests:,} questions, {use.calls:,} calls, {_rate(use.success_rate)} of them "
        f"succeeded, {_rate(use.cache_hit_rate)} from the cache",
        f"  {use.tokens:,} tokens, USD {use.cost_usd:,.4f}; mean {_seconds(use.avg_response_ms)}, "
        f"one in twenty over {_seconds(use.p95_response_ms)}",
        f"  answers of high, medium and low confidence: {metrics.high_confidence}, {metrics.medium_confidence}, "
        f"{metrics.low_confidence}; {_rate(metrics.user_engagement_rate)} voted on",
    ]


def _rate(value: float | None) -> str:
    return "none" if value is None else share(value)


def _seconds(milliseconds: float | None) -> str:
    return "no time" if milliseconds is None else f"{milliseconds / 1000:.1f} s"


# ---------------------------------------------------------------------------------------------------- switches


@ai.command
@verbose_option
def on() -> None:
    """Switch AI on for this environment, and look at the providers."""
    from tagging_orchestration.ai.health import probe_providers
    from tagging_orchestration.settings import get_settings
    from tagging_orchestration.wiring import Project

    _switch(enabled=True)
    # The file may have changed with the switch.
    get_settings.cache_clear()
    with Project() as project:
        found = probe_providers(project.pool, project.settings)
    show(_probes_view(found))
    if not any(result.status == "healthy" for result in found):
        note("AI is on, but no provider is well yet; what it adds appears when one is (tagging ai probe).")
    else:
        note("AI is on. The next run enhances what is pending; tagging ai off switches it off again.")


@ai.command
@verbose_option
def off() -> None:
    """Switch AI off for this environment: nothing is asked, what it added is hidden at once."""
    _switch(enabled=False)
    note("AI is off. Nothing of the base changes by it.")


def _switch(*, enabled: bool) -> None:
    """Write the switch where it counts: the table, and tagging.yaml where that says otherwise."""
    from tagging_orchestration.ai.sync import sync_ai
    from tagging_orchestration.clients.settings_file import change_settings
    from tagging_orchestration.core.errors import ConfigurationError
    from tagging_orchestration.settings import CONFIG_FILE, get_settings, project_root
    from tagging_orchestration.storage.ai_providers import switch_ai
    from tagging_orchestration.wiring import Project

    settings = get_settings()
    if settings.ai.enabled is (not enabled):
        change_settings(project_root() / CONFIG_FILE, {"ai": {"enabled": enabled}})
        get_settings.cache_clear()
        settings = get_settings()
        if settings.ai.enabled is not enabled:
            raise ConfigurationError("the environment variable TAGGING_AI__ENABLED says otherwise: change it")
        note(f"{CONFIG_FILE} said otherwise and was changed")
    with Project(settings) as project:
        sync_ai(project.pool, settings)
        switch_ai(project.pool, settings.ai.environment, enabled)


@ai.command
@click.argument("what", type=click.Choice(TOGGLES), required=False)
@click.argument("wanted", type=click.Choice(["on", "off"]), required=False)
@click.option("--user", default="", help="Of one person; else of everybody.")
@json_option
@verbose_option
def toggles(what: str | None, wanted: str | None, user: str, as_json: bool) -> None:
    """What people want to see of the AI; with WHAT and on or off, change it. What is off is hidden at once."""
    from tagging_orchestration.core.enhancement.switches import UserSettings
    from tagging_orchestration.storage.ai_results import read_user_settings, save_user_settings
    from tagging_orchestration.wiring import Project

    if what and not wanted:
        raise click.UsageError(f"say on or off: tagging ai toggles {what} off")
    with Project() as project:
        organization = project.settings.organization_id
        found = read_user_settings(project.pool, organization, user).document()
        if what:
            found[what] = wanted == "on"
            save_user_settings(project.pool, organization, UserSettings.from_document(found), user)
    if as_json:
        print_json(found)
        return
    for name, state in found.items():
        show(f"  {name}: {'on' if state else 'off'}")


# --------------------------------------------------------------------------------------------------- providers


@ai.group(invoke_without_command=True)
@json_option
@verbose_option
@click.pass_context
def providers(context: click.Context, as_json: bool) -> None:
    """Who can be asked; `enable` and `disable` change that."""
    from tagging_orchestration.storage.ai_providers import provider_health
    from tagging_orchestration.wiring import Project

    if context.invoked_subcommand:
        return
    with Project() as project:
        found = provider_health(project.pool)
        scores = _scores(project)
    if as_json:
        print_json({"providers": found, "scores": scores})
        return
    show(_providers_view(found, scores) if found else "  no provider is known yet: tagging ai sync")


@providers.command
@click.argument("name")
@click.option("--model", help="The model it answers with, as its server calls it.")
@click.option("--url", help="Where its server is, such as http://127.0.0.1:11434.")
@verbose_option
def enable(name: str, model: str | None, url: str | None) -> None:
    """Let NAME be asked; --model and --url change what is asked, and where."""
    import os

    provider = _change_provider(name, active=True, model=model, base_url=url)
    show(f"  {provider.name} is active, with {provider.default_model or 'no model'}")
    if provider.provider_type == "cloud":
        note(f"What is asked of {provider.display_name} leaves this machine; personal data is masked before.")
    if provider.api_key_env and not os.environ.get(provider.api_key_env):
        note(f"Its key belongs into the environment variable {provider.api_key_env}, which is not set here.")


@providers.command
@click.argument("name")
@verbose_option
def disable(name: str) -> None:
    """Let NAME not be asked any more."""
    provider = _change_provider(name, active=False)
    show(f"  {provider.name} is not active any more")


def _change_provider(name: str, **changes: Any):
    """Write what is stated of a provider to its row. Raises UnknownName, and ConfigurationError where tagging.yaml
    states something else, which would win at the next run."""
    from tagging_orchestration.ai.sync import sync_ai
    from tagging_orchestration.core.enhancement.choice import PROVIDER_ALIASES
    from tagging_orchestration.settings import AiSettings, ProviderSettings
    from tagging_orchestration.storage.ai_providers import list_providers, load_provider, sync_providers
    from tagging_orchestration.wiring import Project

    with Project() as project:
        sync_ai(project.pool, project.settings)
        name = one_of(
            PROVIDER_ALIASES.get(name, name), [row.name for row in list_providers(project.pool)], "provider"
        )
        stated = {key: value for key, value in changes.items() if value is not None}
        _refuse_what_the_file_overrules(project.settings, name, stated)
        wanted = AiSettings(providers={name: ProviderSettings(**stated)})
        sync_providers(project.pool, [], [], wanted)
        return load_provider(project.pool, name)


def _refuse_what_the_file_overrules(settings: Settings, name: str, stated: Mapping[str, Any]) -> None:
    from tagging_orchestration.core.enhancement.choice import PROVIDER_ALIASES
    from tagging_orchestration.core.errors import ConfigurationError

    for written, of in settings.ai.providers.items():
        if PROVIDER_ALIASES.get(written, written) != name:
            continue
        for key, value in stated.items():
            if getattr(of, key) not in (None, value):
                raise ConfigurationError(
                    f"tagging.yaml says ai.providers.{written}.{key}: {getattr(of, key)}, and would win at the "
                    "next run: change it there"
                )


@ai.command
@json_option
@verbose_option
@click.pass_context
def probe(context: click.Context, as_json: bool) -> None:
    """Look at the active providers now; nothing is generated. Exit code 1 when none is well."""
    from tagging_orchestration.ai.health import probe_providers
    from tagging_orchestration.ai.switch import read_switch
    from tagging_orchestration.wiring import Project

    with Project() as project:
        is_on = read_switch(project.pool, project.settings).configured
        found = probe_providers(project.pool, project.settings)
    if as_json:
        print_json(found)
    elif found:
        show(_probes_view(found))
    else:
        show("  nobody was contacted: " + ("no provider is active" if is_on else "AI is off (tagging ai on)"))
    context.exit(1 if found and not any(result.status == "healthy" for result in found) else 0)


def _probes_view(found: Sequence[ProbeResult]) -> RenderableType:
    view = table(None, "provider", "model", "health", "ms", "detail", right=["ms"], wide=["detail"])
    for result in found:
        view.add_row(
            plain(result.name),
            plain(result.model),
            f"[{HEALTH_STYLES[result.status]}]{result.status}[/]",
            plain(result.response_time_ms),
            plain(result.detail),
        )
    return view


@ai.command
@json_option
@verbose_option
def sync(as_json: bool) -> None:
    """Bring prompts, providers and their configs from files and tagging.yaml into the tables."""
    from tagging_orchestration.ai.sync import sync_ai
    from tagging_orchestration.wiring import Project

    with Project() as project:
        done = sync_ai(project.pool, project.settings)
    if as_json:
        print_json(done)
        return
    show(
        f"  {done.providers_added} providers and system configs added, {done.providers_changed} changed as "
        f"tagging.yaml says; {done.configs_added} configs added",
        f"  {len(done.prompts.inserted)} versions of prompts added, {len(done.prompts.activated)} put into use",
    )


# ------------------------------------------------------------------------------------------------------- usage


@ai.command
@click.option("--days", type=click.IntRange(1, 366), default=7, show_default=True, help="So many last days.")
@click.option(
    "--by",
    type=click.Choice(["provider", "model", "template", "subject", "day"]),
    default="provider",
    show_default=True,
    help="What a row is about.",
)
@json_option
@verbose_option
def usage(days: int, by: Any, as_json: bool) -> None:
    """Questions, calls, tokens and cost, and the errors."""
    from tagging_orchestration.storage.ai_figures import error_counts, usage_totals
    from tagging_orchestration.wiring import Project

    since = datetime.now(UTC) - timedelta(days=days)
    with Project() as project:
        organization = project.settings.organization_id
        totals = usage_totals(project.pool, organization, since=since, by=by)
        errors = error_counts(project.pool, organization, since=since)
    if as_json:
        print_json({"since": since, "by": by, "totals": totals, "errors": errors})
        return
    if not totals:
        show(f"  nothing was asked in the last {days} days")
        return
    right = ["questions", "calls", "success", "cache", "p95", "tokens", "USD"]
    view = table(None, by, *right, right=right)
    for row in totals:
        view.add_row(
            plain(row.name or "no provider"),
            f"{row.requests:,}",
            f"{row.calls:,}",
            _rate(row.success_rate) if row.calls else "",
            "" if row.cache_hit_rate is None else share(row.cache_hit_rate),
            _seconds(row.p95_response_ms) if row.calls else "",
            f"{row.tokens:,}" + (" ~" if row.tokens_estimated else ""),
            f"{row.cost_usd:,.4f}",
        )
    show(view)
    if any(row.tokens_estimated for row in totals):
        show("  ~ some tokens are estimated: the provider did not say how many it used")
    for error in errors:
        show(f"  {error.count:,} × {plain(error.error_type)} {plain(error.error_subtype)}")
    if errors:
        show("  What to do about each: docs/ai-operations.md")
