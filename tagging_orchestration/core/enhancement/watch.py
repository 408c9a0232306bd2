"""Alerts about the AI itself: which of its figures are out of line.

They stand among the alerts of the business and are made apart from them: the refresh of the business neither sees
nor ends them, and no language model is ever asked about them: their subtypes begin with `subjects.ABOUT_AI`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from tagging_orchestration.core.business.alerts import Severity, priority
from tagging_orchestration.core.enhancement import watch_words as words

CATEGORY = "ai"
PERFORMANCE, COST, AVAILABILITY, QUALITY = "ai_performance", "ai_cost", "ai_availability", "ai_quality"
SUCCESS_RATE, RESPONSE_TIME = "ai_success_rate", "ai_response_time"
DAILY_COST, DAILY_TOKENS = "ai_daily_cost", "ai_daily_tokens"
PROVIDER_AVAILABILITY, ANSWER_QUALITY = "ai_availability", "ai_answer_quality"
METRICS = (SUCCESS_RATE, RESPONSE_TIME, DAILY_COST, DAILY_TOKENS, PROVIDER_AVAILABILITY, ANSWER_QUALITY)
WHOLE = "all"

BREACH, UNUSUAL = "threshold_breach", "anomaly_detection"


# ---------------------------------------------------------------------------------------------------- figures


@dataclass(frozen=True, slots=True)
class WatchRules:
    """When figures say something. Limits themselves are rows of `metric_thresholds`.

    Calls count that began within `window_hours`; fewer than `min_calls` (or answers) say nothing. Use is unusual
    from `unusual_factor` times the median of the past week's days, when at least `min_past_days` had any and
    `unusual_share` of the limit is used. An alert is over after so many `quiet_looks` without a finding; one that
    is seen again within `memory_hours` is the same.
    """

    window_hours: float = 6
    min_calls: int = 10
    min_probes: int = 5
    max_failures: int = 3
    min_past_days: int = 3
    unusual_factor: float = 3
    unusual_share: float = 0.1
    quiet_looks: int = 2
    memory_hours: float = 24


@dataclass(frozen=True, slots=True)
class Limits:
    """A row of `metric_thresholds`: beyond `warning` (below it when `comparison` is lt) is an alert; None: no
    limit."""

    metric_name: str
    comparison: str
    warning: float | None
    critical: float | None

    def judge(self, value: float) -> tuple[Severity, float] | None:
        """How bad a value is, and the limit it crosses; None when it crosses none."""
        for severity, limit in ((Severity.CRITICAL, self.critical), (Severity.WARNING, self.warning)):
            if limit is not None and (value < limit if self.comparison == "lt" else value > limit):
                return severity, limit
        return None


@dataclass(frozen=True, slots=True)
class ProviderFigures:
    """One active provider. Counts are those of the window; probes those of the last 24 hours. `valid_answers` kept
    to their form and cited what exists."""

    name: str
    display_name: str
    health_status: str = "unknown"
    health_detail: str = ""
    consecutive_failures: int = 0
    calls: int = 0
    successes: int = 0
    main_error: str = ""
    p95_response_ms: float | None = None
    answers: int = 0
    valid_answers: int = 0
    probes: int = 0
    good_probes: int = 0


@dataclass(frozen=True, slots=True)
class DailyUse:
    """What was used today of a daily limit, and on each day of the past week that had any. A limit of 0 forbids
    all use, so that none can be unusual."""

    used: float = 0
    limit: float = 0
    past: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class AiFigures:
    """What the watch judges. Cost is in US dollars."""

    providers: tuple[ProviderFigures, ...] = ()
    cost: DailyUse = DailyUse()
    tokens: DailyUse = DailyUse()


# --------------------------------------------------------------------------------------------------- findings


@dataclass(frozen=True, slots=True)
class Finding:
    """A figure out of line. `texts` holds title and message by locale."""

    alert_type: str
    alert_subtype: str
    metric_name: str
    dimension: str
    dimension_label: str
    direction: str
    severity: Severity
    current_value: float
    threshold_value: float | None
    texts: Mapping[str, Mapping[str, str]]

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two findings the same alert within an organisation."""
        return self.metric_name, self.alert_type, self.dimension

    @property
    def priority(self) -> str:
        """low, medium, high or urgent, as of any alert."""
        return priority(self.severity, False, None)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one look found. Of the metrics and dimensions in `unknown` nothing could be said: too few calls."""

    findings: tuple[Finding, ...] = ()
    unknown: frozenset[tuple[str, str]] = frozenset()


def judge(figures: AiFigures, limits: Mapping[str, Limits], rules: WatchRules) -> Judgement:
    """The figures that are out of line. Metrics without a row in `limits` (switched off) are not judged."""
    findings: list[Finding] = []
    unknown: set[tuple[str, str]] = set()
    for provider in figures.providers:
        dimension = f"provider:{provider.name}"
        if provider.calls < rules.min_calls:
            unknown |= {(SUCCESS_RATE, dimension), (RESPONSE_TIME, dimension)}
        else:
            findings += _performance(provider, dimension, limits, rules)
        if provider.answers < rules.min_calls:
            unknown.add((ANSWER_QUALITY, dimension))
        else:
            findings += _quality(provider, dimension, limits, rules)
        if provider.health_status == "unknown" and not provider.probes and not provider.consecutive_failures:
            unknown.add((PROVIDER_AVAILABILITY, dimension))
        else:
            alone = all(_is_away(other, rules) for other in figures.providers if other is not provider)
            findings += _availability(provider, alone, dimension, limits, rules)
    findings += _use(DAILY_COST, figures.cost, limits, rules)
    findings += _use(DAILY_TOKENS, figures.tokens, limits, rules)
    return Judgement(tuple(findings), frozenset(unknown))


def _performance(
    provider: ProviderFigures, dimension: str, limits: Mapping[str, Limits], rules: WatchRules
) -> Iterator[Finding]:
    name, hours = provider.display_name, rules.window_hours
    rate = provider.successes / provider.calls
    if beyond := _beyond(limits, SUCCESS_RATE, rate):
        severity, limit = beyond
        said = (words.FAILING_CALLS_BY if provider.main_error else words.FAILING_CALLS).say(
            name=name,
            hours=hours,
            value=rate,
            limit=limit,
            calls=provider.calls,
            successes=provider.successes,
            error=provider.main_error,
        )
        yield Finding(BREACH, PERFORMANCE, SUCCESS_RATE, dimension, name, "down", severity, rate, limit, said)
    took = provider.p95_response_ms
    if took is not None and (beyond := _beyond(limits, RESPONSE_TIME, took)):
        severity, limit = beyond
        said = words.SLOW_ANSWERS.say(name=name, hours=hours, seconds=took / 1000, limit_seconds=limit / 1000)
        yield Finding(BREACH, PERFORMANCE, RESPONSE_TIME, dimension, name, "up", severity, took, limit, said)


def _quality(
    provider: ProviderFigures, dimension: str, limits: Mapping[str, Limits], rules: WatchRules
) -> Iterator[Finding]:
    share = provider.valid_answers / provider.answers
    if beyond := _beyond(limits, ANSWER_QUALITY, share):
        severity, limit = beyond
        name = provider.display_name
        said = words.POOR_ANSWERS.say(
            name=name,
            hours=rules.window_hours,
            value=share,
            limit=limit,
            answers=provider.answers,
            valid=provider.valid_answers,
        )
        yield Finding(BREACH, QUALITY, ANSWER_QUALITY, dimension, name, "down", severity, share, limit, said)


def _availability(
    provider: ProviderFigures, alone: bool, dimension: str, limits: Mapping[str, Limits], rules: WatchRules
) -> Iterator[Finding]:
    """Away now (critical when no other provider can answer), there without what it needs (such as its model), or
    away too often in the last day."""
    if PROVIDER_AVAILABILITY not in limits:
        return
    name = provider.display_name
    share = provider.good_probes / provider.probes if provider.probes else 0.0
    beyond = limits[PROVIDER_AVAILABILITY].judge(share) if provider.probes >= rules.min_probes else None
    limit = beyond[1] if beyond else limits[PROVIDER_AVAILABILITY].warning
    reasons = words.reasons_away(provider.consecutive_failures, provider.health_detail)
    if _is_away(provider, rules):
        severity = Severity.CRITICAL if alone else Severity.WARNING
        said = (words.AWAY_ALONE if alone else words.AWAY).say(name=name, **reasons)
    elif provider.health_status == "degraded":
        severity = Severity.WARNING
        said = words.UNWELL.say(name=name, **reasons)
    elif beyond:
        severity, limit = beyond
        said = words.OFTEN_AWAY.say(
            name=name, value=share, limit=limit, good=provider.good_probes, probes=provider.probes
        )
    else:
        return
    yield Finding(
        BREACH, AVAILABILITY, PROVIDER_AVAILABILITY, dimension, name, "down", severity, share, limit, said
    )


def _is_away(provider: ProviderFigures, rules: WatchRules) -> bool:
    return provider.health_status == "unhealthy" or provider.consecutive_failures >= rules.max_failures


def _use(metric: str, use: DailyUse, limits: Mapping[str, Limits], rules: WatchRules) -> Iterator[Finding]:
    """Use near the daily limit, and use beyond what the past week explains; values are shares of the limit."""
    if metric not in limits or use.limit <= 0:
        return
    much, unusual = (
        (words.MUCH_OF_COST, words.UNUSUAL_COST)
        if metric == DAILY_COST
        else (words.MUCH_OF_TOKENS, words.UNUSUAL_TOKENS)
    )
    share = use.used / use.limit
    if beyond := _beyond(limits, metric, share):
        severity, limit = beyond
        said = much.say(value=share, used=use.used, whole=use.limit)
        yield Finding(BREACH, COST, metric, WHOLE, "", "up", severity, share, limit, said)
    usual = median(use.past) if len(use.past) >= rules.min_past_days else 0.0
    if usual and share >= rules.unusual_share and use.used > rules.unusual_factor * usual:
        said = unusual.say(used=use.used, usual=usual, times=use.used / usual)
        limit = rules.unusual_factor * usual / use.limit
        yield Finding(UNUSUAL, COST, metric, WHOLE, "", "up", Severity.WARNING, share, limit, said)


def _beyond(limits: Mapping[str, Limits], metric: str, value: float) -> tuple[Severity, float] | None:
    return limits[metric].judge(value) if metric in limits else None
