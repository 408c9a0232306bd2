"""The executive health report: the facts it is made from, the report, and how one becomes the other.

Numbers stay numbers and days stay days here; whoever renders the report formats them in a language.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Literal, TypeVar

from tagging_orchestration.core.tagging.names import MARKUP, PERSONAL

Locale = Literal["en", "zh-Hant"]
Level = Literal["good", "watch", "alert", "critical", "unknown"]
Severity = Literal["info", "warning", "critical"]
Item = TypeVar("Item")

# What an executive asks for first; a metric a business does not have is left out.
KEY_METRICS = (
    "daily_revenue",
    "daily_orders",
    "average_order_value",
    "active_customers",
    "conversion_rate",
    "order_completion_rate",
    "late_delivery_rate",
    "payment_failure_rate",
    "return_rate",
    "avg_response_time",
    "customer_satisfaction_rate",
    "customer_churn_rate",
)
HISTORY_DAYS = 365
SERIES_DAYS = 90
RECENT_DAYS = 28
BASELINE_DAYS = 84
EXCERPT_CHARACTERS = 180
MAJOR_INCIDENTS = 12
TAGS_SHOWN, SAMPLES_SHOWN, ROWS_SHOWN, LINEAGE_SHOWN, MOVEMENTS_SHOWN = 6, 3, 5, 6, 6
# Of the movements of tags that are told, at most one in ten is chance (Benjamini-Hochberg).
FALSE_MOVEMENTS = 0.1
# Fewer contents cannot be told from chance, and testing their tags only weakens the test of the others.
MIN_MOVING_CONTENTS = 4
# A source is late when it is silent for so many times as long as it usually is.
LATE_GAPS = 3
PERSONAL_MARK = "■■■"

_WORST_FIRST: tuple[Severity, ...] = ("critical", "warning", "info")
_SEVERITIES: Mapping[str, int] = {"info": 0, "warning": 1, "critical": 2}
_PRIORITIES: Mapping[str, int] = {"low": 0, "medium": 1, "high": 2, "urgent": 3}
_REJECTIONS: Mapping[str, str] = {
    "bad_value": "數值不合理",
    "bad_date": "日期無法採用",
    "bad_id": "識別碼無法採用",
    "missing_id": "缺少識別碼",
    "duplicate_id": "識別碼重複",
    "malformed": "格式錯誤",
}
_RISKS: Mapping[str, int] = {"低": 0, "中": 1, "高": 2, "極高": 3}


@dataclass(frozen=True, slots=True)
class Phrase:
    """The same words in English and 繁體中文; a missing one falls back on the other."""

    en: str
    zh: str

    def of(self, locale: Locale) -> str:
        """The words in this language."""
        return (self.zh or self.en) if locale == "zh-Hant" else (self.en or self.zh)


# ---------------------------------------------------------------------------------------------------- facts


@dataclass(frozen=True, slots=True)
class Business:
    """Whose report it is. Days are cut in `timezone`; money is in `currency` (ISO 4217)."""

    organization_id: str
    name: Phrase
    timezone: str
    currency: str
    locale: Locale


@dataclass(frozen=True, slots=True)
class Metric:
    """The newest known value of a metric, in `unit`, and how it moved.

    `trend_*_pct` compare the last 7 (30) days with those before, in per cent. `is_higher_better` is None where
    both directions are news.
    """

    metric_name: str
    dimension: str
    label: Phrase
    category: str
    unit: str
    value: float | None
    day: date
    is_higher_better: bool | None = None
    warning_threshold: float | None = None
    critical_threshold: float | None = None
    trend_7d_pct: float | None = None
    trend_30d_pct: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Values of consecutive days that end on the day of the report; None is a day without a value."""

    first: date
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class EvidenceTag:
    """A tag that `count` contents around an alert carry, `lift` times the share they had in the weeks before;
    `q_value` is how likely chance alone does that, corrected for the number of tags looked at."""

    tag_id: int
    name: str
    count: int
    lift: float | None
    q_value: float | None
    sample_ids: tuple[int, ...] = ()

    @property
    def usual(self) -> float | None:
        """How many contents would be usual for as many days."""
        return self.count / self.lift if self.lift else None


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """A raw row that moved the metric, and why it is named."""

    table: str
    id: str
    why: Phrase


@dataclass(frozen=True, slots=True)
class Lineage:
    """From a content to the raw row it belongs to."""

    content_id: int
    source: str
    external_id: str
    table: str
    id: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an alert rests on, strongest first."""

    tags: tuple[EvidenceTag, ...] = ()
    rows: tuple[EvidenceRow, ...] = ()
    lineage: tuple[Lineage, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it stood on the day of the report; `closed_on` is None while it is open."""

    id: str
    incident_id: str | None
    metric_name: str
    dimension: str
    alert_type: str
    alert_subtype: str
    severity: Severity
    priority: str
    direction: str
    title: Phrase
    message: Phrase
    current_value: float | None
    threshold_value: float | None
    metric_date: date
    last_metric_date: date
    closed_on: date | None = None
    acknowledged_by: str | None = None
    notes: str = ""
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def about_ai(self) -> bool:
        """Whether it is about the AI that helps to read the business, not about the business."""
        return self.alert_subtype.startswith("ai_")


@dataclass(frozen=True, slots=True)
class Incident:
    """Alerts with one cause; `causes` are the tags on top of their evidence."""

    id: str
    severity: Severity
    title: Phrase
    opened_on: date
    last_seen_on: date
    open: bool
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SampleText:
    """A content quoted as evidence."""

    content_id: int
    source: str
    external_id: str
    content_type: str
    title: str
    text: str
    day: date


@dataclass(frozen=True, slots=True)
class Grounds:
    """What an insight or recommendation rests on."""

    alert_ids: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Insight:
    """A key business insight, made by a rule."""

    id: str
    insight_type: str
    category: str
    title: Phrase
    description: Phrase
    impact: str
    confidence: float | None
    actions: tuple[Phrase, ...] = ()
    grounds: Grounds = field(default_factory=Grounds)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A strategic recommendation, made by a rule; `priority` is 0..100."""

    id: str
    category: str
    title: Phrase
    description: Phrase
    impact: str
    effort: str
    priority: int
    confidence: float | None
    timeline: Phrase
    grounds: Grounds = field(default_factory=Grounds)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where a metric will probably stand on `target`, and how likely it crosses its limit until then."""

    metric_name: str
    dimension: str
    label: Phrase
    unit: str
    horizon_days: int
    target: date
    value: float
    lower: float
    upper: float
    threshold: float | None
    probability: float
    level: str
    method: str


@dataclass(frozen=True, slots=True)
class Cohort:
    """What each customer who first bought in this month has brought in on average: so far, and in the first 30
    days (None until all had them), with the change of the latter against the cohort before in per cent."""

    month: date
    customers: int
    value: float
    first_30_days: float | None = None
    change_pct: float | None = None


@dataclass(frozen=True, slots=True)
class Stock:
    """A product on the shelf: units on hand and how many days they last at the pace of the last four weeks.
    `status` is out, low, ok or slow."""

    product_id: str
    name: str
    on_hand: int
    sold_per_day: float
    days_left: float | None
    status: str


@dataclass(frozen=True, slots=True)
class TagCounts:
    """Contents with a tag in the last `RECENT_DAYS` and in the `BASELINE_DAYS` before; `weekly` ends with the
    newest full week."""

    tag_id: int
    name: str
    recent: int
    before: int
    weekly: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Rows of a load refused for one reason (`RejectionCode`) in one column ("" for the whole row)."""

    column: str
    code: str
    count: int


@dataclass(frozen=True, slots=True)
class SourceState:
    """One table of business facts: its last load (status "" if plain SQL fills it), the last day it has facts of,
    and on how many of the last `SERIES_DAYS` days it has some."""

    source: str
    status: str
    last_day: date | None
    days: int
    rows: int = 0
    rejected: tuple[Rejection, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class MissingDay:
    """A day on which a metric should have had a value and had none."""

    label: Phrase
    day: date


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """Everything the report is made from, for one business and day.

    `as_of` is None without any business fact; `computed` is false before the first dbt build. `labels` are the
    names of metrics that people read. `past` reports have no insights, recommendations, forecasts, LTV and
    inventory: only their present state is kept.
    """

    business: Business
    generated_at: datetime
    as_of: date | None = None
    computed: bool = False
    past: bool = False
    labels: Mapping[str, Phrase] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    series: Mapping[tuple[str, str], Series] = field(default_factory=dict)
    alerts: tuple[Alert, ...] = ()
    incidents: tuple[Incident, ...] = ()
    samples: Mapping[int, SampleText] = field(default_factory=dict)
    insights: tuple[Insight, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    forecasts: tuple[Forecast, ...] = ()
    cohorts: tuple[Cohort, ...] = ()
    stock: tuple[Stock, ...] = ()
    tags: tuple[TagCounts, ...] = ()
    contents_recent: int = 0
    contents_before: int = 0
    sources: tuple[SourceState, ...] = ()
    missing_days: tuple[MissingDay, ...] = ()


# --------------------------------------------------------------------------------------------------- report


@dataclass(frozen=True, slots=True)
class Health:
    """The overall state, the rule's reason for it, and how many situations of each severity are open."""

    level: Level
    headline: Phrase
    reason: Phrase
    critical: int = 0
    warning: int = 0
    info: int = 0


@dataclass(frozen=True, slots=True)
class MetricCard:
    """A metric, its last 90 days and the days with alerts (indices into the series)."""

    metric: Metric
    series: Series | None
    alert_days: tuple[int, ...] = ()
    open_severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """A sample content, shortened, without personal data."""

    content_id: int
    source: str
    external_id: str
    content_type: str
    title: str
    excerpt: str
    day: date


@dataclass(frozen=True, slots=True)
class Situation:
    """Something that needs attention now: an open incident with its alerts, or an alert that stands alone."""

    id: str
    severity: Severity
    title: Phrase
    since: date
    days: int
    is_new: bool
    alerts: tuple[Alert, ...]
    metrics: tuple[Phrase, ...]
    tags: tuple[EvidenceTag, ...]
    quotes: tuple[Quote, ...]
    rows: tuple[EvidenceRow, ...]
    lineage: tuple[Lineage, ...]
    acknowledged_by: str | None


@dataclass(frozen=True, slots=True)
class PastIncident:
    """What happened, and why: an incident of the last twelve months with its place (0..1) in that year. The
    weightiest are `major`: critical before warnings, then those that moved more metrics; news never is."""

    incident: Incident
    days: int
    metrics: tuple[Phrase, ...]
    message: Phrase | None
    starts: float
    length: float
    major: bool = False


@dataclass(frozen=True, slots=True)
class TagMovement:
    """A tag that appears significantly more or less often than before; `expected` contents would be usual,
    `q_value` is the p-value corrected for the number of tags."""

    tag_id: int
    name: str
    recent: int
    expected: float
    q_value: float
    weekly: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class QualityNote:
    """Something to know about the data behind the report."""

    level: Literal["good", "notice", "problem"]
    text: Phrase


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The executive health report of one business and day."""

    business: Business
    generated_at: datetime
    as_of: date | None
    computed: bool
    past: bool
    labels: Mapping[str, Phrase]
    health: Health
    key_metrics: tuple[MetricCard, ...]
    other_metrics: tuple[MetricCard, ...]
    situations: tuple[Situation, ...]
    history: tuple[PastIncident, ...]
    history_from: date | None
    insights: tuple[Insight, ...]
    recommendations: tuple[Recommendation, ...]
    forecasts: tuple[Forecast, ...]
    cohorts: tuple[Cohort, ...]
    stock: tuple[Stock, ...]
    rising: tuple[TagMovement, ...]
    falling: tuple[TagMovement, ...]
    quality: tuple[QualityNote, ...]


def build_report(facts: ReportFacts) -> HealthReport:
    """The report of these facts. Never fails for want of a fact: what is not known is left out or said so."""
    situations = _situations(facts)
    key, other = _metric_cards(facts)
    rising, falling = _movements(facts)
    forecasts = tuple(sorted(facts.forecasts, key=lambda f: (-_RISKS.get(f.level, 0), -f.probability)))
    return HealthReport(
        business=facts.business,
        generated_at=facts.generated_at,
        as_of=facts.as_of,
        computed=facts.computed,
        past=facts.past,
        labels=facts.labels,
        health=_health(facts, situations, forecasts),
        key_metrics=key,
        other_metrics=other,
        situations=situations,
        history=_history(facts),
        history_from=facts.as_of - timedelta(days=HISTORY_DAYS - 1) if facts.as_of else None,
        # In the order of get_unified_dashboard_content(), which is that of storage.
        insights=facts.insights,
        recommendations=facts.recommendations,
        forecasts=forecasts,
        cohorts=tuple(sorted(facts.cohorts, key=lambda c: c.month)),
        stock=tuple(sorted(facts.stock, key=_scarcity)),
        rising=rising,
        falling=falling,
        quality=_quality(facts),
    )


# --------------------------------------------------------------------------------------------------- health


def health_level(severities: Sequence[Severity], widest_critical: int, risky: bool) -> Level:
    """The overall state from the severities of the open situations.

    critical: two situations are critical, or a critical one reaches two metrics (`widest_critical`).
    alert: one situation is critical, or three are warnings. watch: any warning, or a metric that is expected
    beyond its limit with a high risk (`risky`). good: none of these; news (info) never lowers the state.
    """
    critical, warning = severities.count("critical"), severities.count("warning")
    if critical >= 2 or (critical and widest_critical >= 2):
        return "critical"
    if critical or warning >= 3:
        return "alert"
    return "watch" if warning or risky else "good"


def _health(facts: ReportFacts, situations: Sequence[Situation], forecasts: Sequence[Forecast]) -> Health:
    if facts.as_of is None or not facts.computed:
        return Health(
            "unknown",
            Phrase("There is nothing to judge yet.", "目前還沒有可以判斷的資料。"),
            Phrase("No business metrics have been computed.", "尚未計算任何營運指標。"),
        )
    # How the AI does says nothing about how the business does.
    situations = [s for s in situations if not all(alert.about_ai for alert in s.alerts)]
    severities: list[Severity] = [situation.severity for situation in situations]
    critical, warning, info = (severities.count(name) for name in _WORST_FIRST)
    widest = max((len(s.metrics) for s in situations if s.severity == "critical"), default=0)
    now = {(metric.metric_name, metric.dimension): metric.value for metric in facts.metrics}
    risks = [
        forecast
        for forecast in forecasts
        if _crosses(forecast, now.get((forecast.metric_name, forecast.dimension)))
    ]
    level = health_level(severities, widest, bool(risks))
    worst = next((s for s in situations if s.severity != "info"), None)
    if worst:
        headline = worst.title
    elif risks:
        name = risks[0].label
        headline = Phrase(
            f"Quiet now; {name.en} is expected to cross its limit", f"目前平穩，但預期{name.zh}將越過門檻"
        )
    else:
        headline = Phrase("Business as usual: nothing needs attention", "營運如常，沒有需要處理的事項")
    return Health(level, headline, _reason(level, critical, warning, widest, bool(risks)), critical, warning, info)


def _crosses(forecast: Forecast, now: float | None) -> bool:
    """Whether the expected value lies beyond the limit, seen from today's, with a high risk. The probability alone
    does not say so: within a month, one day of a noisy metric will almost surely lie there."""
    if forecast.threshold is None or now is None or _RISKS.get(forecast.level, 0) < _RISKS["高"]:
        return False
    return (forecast.value - forecast.threshold) * (now - forecast.threshold) < 0


def _reason(level: Level, critical: int, warning: int, widest: int, risky: bool) -> Phrase:
    if level == "critical" and critical >= 2:
        return Phrase(f"{critical} critical situations are open.", f"有 {critical} 件嚴重事件尚未解除。")
    if level == "critical":
        return Phrase(f"A critical situation reaches {widest} metrics.", f"一件嚴重事件同時影響 {widest} 項指標。")
    if critical:
        return Phrase("One critical situation is open.", "有 1 件嚴重事件尚未解除。")
    if warning:
        noun = "situation needs" if warning == 1 else "situations need"
        return Phrase(f"{warning} {noun} watching.", f"有 {warning} 件警告需要留意。")
    if risky:
        return Phrase(
            "No alert is open, but a metric is expected beyond its limit.",
            "沒有未解除的警示，但預測有指標將越過門檻。",
        )
    return Phrase("No warning or critical alert is open.", "沒有未解除的警告或嚴重警示。")


# ---------------------------------------------------------------------------------------------- situations


def _situations(facts: ReportFacts) -> tuple[Situation, ...]:
    """Open incidents and open alerts without one, worst first."""
    if facts.as_of is None:
        return ()
    groups: dict[str, list[Alert]] = defaultdict(list)
    for alert in facts.alerts:
        if alert.closed_on is None:
            groups[alert.incident_id or alert.id].append(alert)
    incidents = {incident.id: incident for incident in facts.incidents}
    made = [
        _situation(key, sorted(alerts, key=_urgency), incidents.get(key), facts, facts.as_of)
        for key, alerts in groups.items()
    ]
    return tuple(
        sorted(made, key=lambda s: (-_SEVERITIES[s.severity], _urgency(s.alerts[0]), -s.since.toordinal(), s.id))
    )


def _situation(
    key: str,
    alerts: Sequence[Alert],
    incident: Incident | None,
    facts: ReportFacts,
    as_of: date,
) -> Situation:
    # An alert about the AI is of today, which may be later than the last day of facts.
    since = min(alert.metric_date for alert in alerts)
    days = max((as_of - since).days, 0)
    tags = _best_tags(alerts)
    return Situation(
        id=key,
        severity=_worst(alert.severity for alert in alerts) or "info",
        title=incident.title if incident else alerts[0].title,
        since=since,
        days=days + 1,
        is_new=days <= 1,
        alerts=tuple(alerts),
        metrics=_metric_labels(alerts, facts.labels),
        tags=tags[:TAGS_SHOWN],
        quotes=_quotes(tags, facts.samples),
        rows=_first((row for alert in alerts for row in alert.evidence.rows), ROWS_SHOWN),
        lineage=_first((link for alert in alerts for link in alert.evidence.lineage), LINEAGE_SHOWN),
        acknowledged_by=next((alert.acknowledged_by for alert in alerts if alert.acknowledged_by), None),
    )


def _urgency(alert: Alert) -> tuple[int, int, int, str]:
    """Sort key: the alert to read first."""
    return (
        -_SEVERITIES[alert.severity],
        -_PRIORITIES.get(alert.priority, 1),
        alert.metric_date.toordinal(),
        alert.id,
    )


def _worst(severities: Iterable[Severity]) -> Severity | None:
    present = set(severities)
    return next((name for name in _WORST_FIRST if name in present), None)


def _metric_labels(alerts: Iterable[Alert], labels: Mapping[str, Phrase]) -> tuple[Phrase, ...]:
    """The metrics that alert, each once, by the names people read."""
    names = dict.fromkeys(alert.metric_name for alert in alerts)
    return tuple(labels.get(name, Phrase(name, name)) for name in names)


def _best_tags(alerts: Iterable[Alert]) -> tuple[EvidenceTag, ...]:
    """The tags of all the alerts, each once as its strongest evidence has it, most telling first."""
    best: dict[int, tuple[int, EvidenceTag]] = {}
    for alert in alerts:
        for place, tag in enumerate(alert.evidence.tags):
            known = best.get(tag.tag_id)
            if known is None or _significance(tag) < _significance(known[1]):
                best[tag.tag_id] = (place if known is None else min(place, known[0]), tag)
    return tuple(tag for _, tag in sorted(best.values(), key=lambda item: (item[0], _significance(item[1]))))


def _significance(tag: EvidenceTag) -> tuple[float, int]:
    return (1.0 if tag.q_value is None else tag.q_value, -tag.count)


def _quotes(tags: Iterable[EvidenceTag], samples: Mapping[int, SampleText]) -> tuple[Quote, ...]:
    """Some contents behind the tags: first one of each tag, so that one tag does not speak for all."""
    columns = [[samples[number] for number in tag.sample_ids if number in samples] for tag in tags]
    rounds = max(map(len, columns), default=0)
    chosen: dict[str, SampleText] = {}
    for place in range(rounds):
        for column in columns:
            if place < len(column):
                chosen.setdefault(column[place].title + column[place].text, column[place])
    return tuple(
        Quote(
            content_id=sample.content_id,
            source=sample.source,
            external_id=sample.external_id,
            content_type=sample.content_type,
            title=excerpt(sample.title, 90),
            excerpt=excerpt(sample.text, EXCERPT_CHARACTERS),
            day=sample.day,
        )
        for sample in list(chosen.values())[:SAMPLES_SHOWN]
    )


def excerpt(text: str, characters: int) -> str:
    """The beginning of a text on one line: without markup, and with e-mail addresses and phone, card and
    identity numbers blanked (`core/tagging/names.py` says what counts as one)."""
    clean = re.sub(MARKUP, " ", PERSONAL.sub(PERSONAL_MARK, text))
    line = " ".join(clean.split())
    if len(line) <= characters:
        return line
    cut = line[:characters]
    # End between two words where the script has spaces.
    space = cut.rfind(" ")
    return (cut[:space] if space > characters * 0.7 else cut).rstrip(" ,，、;；") + "…"


# -------------------------------------------------------------------------------------- metrics and history


def _metric_cards(facts: ReportFacts) -> tuple[tuple[MetricCard, ...], tuple[MetricCard, ...]]:
    """Cards of the key metrics and of those with an open alert, and of all others of the whole business."""
    whole = {metric.metric_name: metric for metric in facts.metrics if metric.dimension == "all"}
    dates: dict[str, set[date]] = defaultdict(set)
    severities: dict[str, list[Severity]] = defaultdict(list)
    for alert in facts.alerts:
        if alert.dimension != "all":
            continue
        span = (alert.last_metric_date - alert.metric_date).days
        dates[alert.metric_name] |= {alert.metric_date + timedelta(days=number) for number in range(span + 1)}
        if alert.closed_on is None:
            severities[alert.metric_name].append(alert.severity)
    cards = {
        name: MetricCard(
            metric=metric,
            series=facts.series.get((name, "all")),
            alert_days=_places(facts.series.get((name, "all")), dates[name]),
            open_severity=_worst(severities[name]),
        )
        for name, metric in whole.items()
    }
    alerting = [name for name, card in cards.items() if card.open_severity and name not in KEY_METRICS]
    key = [name for name in KEY_METRICS if name in cards] + alerting
    return tuple(cards[name] for name in key), tuple(cards[name] for name in cards if name not in key)


def _places(series: Series | None, days: Iterable[date]) -> tuple[int, ...]:
    if series is None:
        return ()
    found = ((day - series.first).days for day in days)
    return tuple(sorted(place for place in found if 0 <= place < len(series.values)))


def _history(facts: ReportFacts) -> tuple[PastIncident, ...]:
    """The incidents of the last twelve months, newest first."""
    if facts.as_of is None:
        return ()
    start = facts.as_of - timedelta(days=HISTORY_DAYS - 1)
    alerts: dict[str, list[Alert]] = defaultdict(list)
    for alert in sorted(facts.alerts, key=_urgency):
        if alert.incident_id:
            alerts[alert.incident_id].append(alert)
    made = []
    for incident in facts.incidents:
        if incident.last_seen_on < start:
            continue
        members = alerts[incident.id]
        first = max(incident.opened_on, start)
        made.append(
            PastIncident(
                incident=incident,
                days=(incident.last_seen_on - incident.opened_on).days + 1,
                metrics=_metric_labels(members, facts.labels),
                message=members[0].message if members else None,
                starts=(first - start).days / HISTORY_DAYS,
                length=((incident.last_seen_on - first).days + 1) / HISTORY_DAYS,
            )
        )
    made.sort(key=lambda past: (past.incident.opened_on, past.incident.id), reverse=True)
    bad = [past for past in made if past.incident.severity != "info"]
    weighty = sorted(bad, key=lambda past: (-_SEVERITIES[past.incident.severity], -len(past.metrics)))
    major = {past.incident.id for past in weighty[:MAJOR_INCIDENTS]}
    return tuple(replace(past, major=past.incident.id in major) for past in made)


def _scarcity(item: Stock) -> tuple[int, float, str]:
    """Sort key: what runs out first."""
    rank = {"out": 0, "low": 1, "slow": 3}.get(item.status, 2)
    return rank, float("inf") if item.days_left is None else item.days_left, item.product_id


# ---------------------------------------------------------------------------------------------------- tags


def _movements(facts: ReportFacts) -> tuple[tuple[TagMovement, ...], tuple[TagMovement, ...]]:
    """Tags that rise and that fall, the surest first.

    A tag that does not move has its contents spread over the recent and the earlier window as all contents are:
    an exact binomial test, two-sided by doubling, corrected for the number of tags looked at.
    """
    from scipy.stats import binom, false_discovery_control

    tags = [tag for tag in facts.tags if tag.recent + tag.before >= MIN_MOVING_CONTENTS]
    if not tags or not facts.contents_recent or not facts.contents_before:
        return (), ()
    share = facts.contents_recent / (facts.contents_recent + facts.contents_before)
    ups = [tag.recent > (tag.recent + tag.before) * share for tag in tags]
    tails = [
        binom.sf(tag.recent - 1, tag.recent + tag.before, share)
        if up
        else binom.cdf(tag.recent, tag.recent + tag.before, share)
        for tag, up in zip(tags, ups, strict=True)
    ]
    corrected = false_discovery_control([min(1.0, 2 * float(tail)) for tail in tails])
    rising: list[TagMovement] = []
    falling: list[TagMovement] = []
    for tag, up, q_value in zip(tags, ups, corrected, strict=True):
        if q_value < FALSE_MOVEMENTS:
            expected = tag.before * facts.contents_recent / facts.contents_before
            movement = TagMovement(tag.tag_id, tag.name, tag.recent, expected, float(q_value), tag.weekly)
            (rising if up else falling).append(movement)
    best = [sorted(side, key=lambda m: (m.q_value, m.name))[:MOVEMENTS_SHOWN] for side in (rising, falling)]
    return tuple(best[0]), tuple(best[1])


# ------------------------------------------------------------------------------------------------- quality


def _quality(facts: ReportFacts) -> tuple[QualityNote, ...]:
    """What to know about the data: loads that failed, rows refused, sources that lag, days without a value."""
    notes: list[QualityNote] = []
    for source in facts.sources:
        name = source.source
        if source.status == "failed":
            notes.append(
                QualityNote(
                    "problem",
                    Phrase(
                        f"The last load of {name} failed: {source.error or 'no reason recorded'}.",
                        f"{name} 最近一次載入失敗：{source.error or '未記錄原因'}。",
                    ),
                )
            )
        if source.rejected:
            count = sum(rejection.count for rejection in source.rejected)
            english = [f"{r.column} {r.code.replace('_', ' ')}: {r.count}".strip() for r in source.rejected]
            chinese = [
                f"{r.column} {_REJECTIONS.get(r.code, r.code)} {r.count} 筆".strip() for r in source.rejected
            ]
            notes.append(
                QualityNote(
                    "notice",
                    Phrase(
                        f"{name}: {count} of {source.rows} rows were refused ({', '.join(english)}).",
                        f"{name}：{source.rows} 筆中有 {count} 筆未採用（{'、'.join(chinese)}）。",
                    ),
                )
            )
        if facts.as_of and (behind := _behind(source, facts.as_of)):
            notes.append(
                QualityNote(
                    "notice",
                    Phrase(
                        f"{name} ends on {source.last_day}, {behind} days before this report.",
                        f"{name} 的資料只到 {source.last_day}，比本報告早 {behind} 天。",
                    ),
                )
            )
    for label, days in _by_label(facts.missing_days).items():
        told = ", ".join(map(str, days[:4])) + (", …" if len(days) > 4 else "")
        notes.append(
            QualityNote(
                "notice",
                Phrase(
                    f"{label.en} has no value on {len(days)} day{'s' * (len(days) > 1)}: {told}.",
                    f"{label.zh}有 {len(days)} 天沒有數值：{told}。",
                ),
            )
        )
    if not notes and facts.computed:
        notes.append(
            QualityNote(
                "good",
                Phrase(
                    "All sources are up to date, and no row was refused.",
                    "所有資料來源都是最新的，沒有未採用的資料列。",
                ),
            )
        )
    return tuple(sorted(notes, key=lambda note: note.level != "problem"))


def _behind(source: SourceState, as_of: date) -> int:
    """Days since the source's last facts when that is much longer than usual between its facts, else 0."""
    if source.last_day is None or not source.days:
        return 0
    behind = (as_of - source.last_day).days
    return behind if behind >= 2 and behind > LATE_GAPS * SERIES_DAYS / source.days else 0


def _by_label(missing: Iterable[MissingDay]) -> dict[Phrase, list[date]]:
    found: dict[Phrase, list[date]] = defaultdict(list)
    for item in sorted(missing, key=lambda item: item.day):
        found[item.label].append(item.day)
    return found


def _first(items: Iterable[Item], count: int) -> tuple[Item, ...]:
    """The first distinct items."""
    return tuple(dict.fromkeys(items))[:count]
