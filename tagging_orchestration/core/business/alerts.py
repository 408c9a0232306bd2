"""The life of alerts.

A candidate says that one metric was out of line on one day. Candidates of one fingerprint that follow each
other are one alert: new, active once it is seen again, then resolved (the value was back inside for some days)
or expired (nothing was known of the metric any more). The life is a pure fold over days (`advance`), so a year
replayed at once ends where a year of daily runs does, and running a day twice changes nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from uuid import UUID, uuid5

# Ids are made from what an alert is, so that the same alert found twice is one row.
NAMESPACE = UUID("5d1f0a52-6a0b-4f0e-9d3c-2f4b7c1e8a90")
HOURS_A_DAY = 24
QUIET_DAYS = 2
# A share of the active customers from which an alert concerns many.
MANY_CUSTOMERS = 0.1


class Severity(StrEnum):
    """How bad an alert is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info, 1 for warning, 2 for critical."""
        return _SEVERITIES.index(self)


_SEVERITIES = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
PRIORITIES = ("low", "medium", "high", "urgent")


class Phase(StrEnum):
    """Where an alert is in its life."""

    NEW = "new"
    ACTIVE = "active"
    RESOLVED = "resolved"
    EXPIRED = "expired"


OPEN_PHASES = frozenset({Phase.NEW, Phase.ACTIVE})


class Resolution(StrEnum):
    """Why an alert is resolved: the value came back, the facts were corrected, or a person closed it."""

    RECOVERED = "recovered"
    CORRECTED = "corrected"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class LifeRules:
    """`alert_hours` without any knowledge of the metric expire an alert; so many `quiet_days` inside resolve
    it."""

    alert_hours: float = 24
    quiet_days: int = QUIET_DAYS

    @property
    def memory_days(self) -> int:
        """Days after the last known one on which a re-fire is still the same alert."""
        return max(1, math.ceil(self.alert_hours / HOURS_A_DAY))


@dataclass(frozen=True, slots=True)
class Candidate:
    """One metric out of line on one business day, as the dbt models `alerts_*` found it. Values are in the
    metric's unit."""

    organization_id: str
    metric_name: str
    dimension: str
    dimension_label: str
    metric_date: date
    alert_type: str
    alert_subtype: str
    severity: Severity
    direction: str
    current_value: Decimal | None
    threshold_value: Decimal | None
    expected_value: Decimal | None
    score: float
    title_en: str
    title_zh: str
    message_en: str
    message_zh: str

    @property
    def fingerprint(self) -> str:
        """What makes two candidates the same alert: organisation, metric, type, direction and dimension."""
        parts = (self.organization_id, self.metric_name, self.alert_type, self.direction, self.dimension)
        return sha256("\x1f".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AlertState:
    """One alert after some day. `known_on` is the last day on which anything was known of its metric;
    `ended_on` the day that resolved or expired it."""

    first: Candidate
    last: Candidate
    worst: Severity
    occurrences: int
    known_on: date
    quiet_days: int
    phase: Phase
    ended_on: date | None

    @property
    def fingerprint(self) -> str:
        """See `Candidate.fingerprint`."""
        return self.first.fingerprint

    @property
    def id(self) -> UUID:
        """The id of an alert that opened on this day."""
        return uuid5(NAMESPACE, f"{self.fingerprint}:{self.first.metric_date.isoformat()}")

    @property
    def is_open(self) -> bool:
        """Whether the alert still stands."""
        return self.phase in OPEN_PHASES

    @property
    def resolved_on(self) -> date | None:
        """The day on which the value was back inside for good; None unless the alert is resolved."""
        return self.ended_on if self.phase is Phase.RESOLVED else None


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """What the table knows of an alert, as far as its life is concerned."""

    id: UUID
    fingerprint: str
    metric_date: date
    last_metric_date: date
    phase: Phase
    occurrences: int
    resolution: Resolution | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What the table must become: alerts to insert, alerts to bring up to date, alerts whose days turned out to
    be no news after all, and open alerts of days that nobody can judge any more."""

    opened: tuple[tuple[UUID, AlertState], ...]
    continued: tuple[tuple[UUID, AlertState], ...]
    corrected: frozenset[UUID]
    forgotten: frozenset[UUID]


# ------------------------------------------------------------------------------------------------------ life


def advance(
    alert: AlertState | None, day: date, candidate: Candidate | None, *, known: bool, rules: LifeRules
) -> AlertState | None:
    """The alert of one fingerprint after one more day; days come in order.

    `candidate` is the day's candidate if it has one, `known` whether the metric had a value. A candidate
    continues the alert as long as its memory lasts, even when it was resolved meanwhile; later it is an alert
    of its own.
    """
    if candidate is not None:
        if alert is None or day > alert.known_on + timedelta(days=rules.memory_days):
            return AlertState(candidate, candidate, candidate.severity, 1, day, 0, Phase.NEW, None)
        return replace(
            alert,
            last=candidate,
            worst=max(alert.worst, candidate.severity, key=lambda severity: severity.rank),
            occurrences=alert.occurrences + 1,
            known_on=day,
            quiet_days=0,
            phase=Phase.ACTIVE,
            ended_on=None,
        )
    if alert is None or not alert.is_open:
        return alert
    if known:
        quiet = alert.quiet_days + 1
        over = quiet >= rules.quiet_days
        return replace(
            alert,
            quiet_days=quiet,
            known_on=day,
            phase=Phase.RESOLVED if over else alert.phase,
            ended_on=day if over else None,
        )
    if (day - alert.known_on).days * HOURS_A_DAY >= rules.alert_hours:
        return replace(alert, phase=Phase.EXPIRED, ended_on=day)
    return alert


def replay(
    candidates: Sequence[Candidate],
    known_days: Mapping[tuple[str, str], Collection[date]],
    as_of: date,
    rules: LifeRules,
) -> list[AlertState]:
    """All alerts that these candidates make until the day `as_of`, by fingerprint and day.

    `known_days` has the days with a value by metric and dimension. Only days that can matter are looked at, so
    the cost goes with the candidates, not with the days.
    """
    by_fingerprint: dict[str, dict[date, Candidate]] = defaultdict(dict)
    for candidate in candidates:
        if candidate.metric_date <= as_of:
            days = by_fingerprint[candidate.fingerprint]
            rival = days.get(candidate.metric_date)
            if rival is None or _strength(candidate) > _strength(rival):
                days[candidate.metric_date] = candidate
    alerts: list[AlertState] = []
    for fingerprint in sorted(by_fingerprint):
        days = by_fingerprint[fingerprint]
        metric = next(iter(days.values()))
        known = known_days.get((metric.metric_name, metric.dimension), ())
        alert: AlertState | None = None
        for day in sorted(days):
            alert = _wait(alert, day - timedelta(days=1), known, rules)
            after = advance(alert, day, days[day], known=True, rules=rules)
            if alert is not None and after is not None and after.first is not alert.first:
                alerts.append(alert)
            alert = after
        alert = _wait(alert, as_of, known, rules)
        if alert is not None:
            alerts.append(alert)
    return alerts


def reconcile(alerts: Sequence[AlertState], stored: Sequence[StoredAlert], since: date) -> Changes:
    """How the table becomes what `replay` says, keeping identities: an alert is the stored one of its
    fingerprint whose days it shares. Stored alerts before `since`, the first day that was judged, can only be
    forgotten. What a person closed stays closed for as long as it lasts.
    """
    by_fingerprint: dict[str, list[StoredAlert]] = defaultdict(list)
    for row in sorted(stored, key=lambda row: (row.metric_date, row.id)):
        by_fingerprint[row.fingerprint].append(row)
    opened, continued, matched = [], [], set()
    for alert in sorted(alerts, key=lambda alert: (alert.first.metric_date, alert.fingerprint)):
        row = _row_of(alert, [row for row in by_fingerprint[alert.fingerprint] if row.id not in matched])
        if row is None:
            opened.append((alert.id, alert))
            continue
        matched.add(row.id)
        if row.resolution is not Resolution.CLOSED:
            continued.append((row.id, alert))
    others = [row for row in stored if row.id not in matched]
    corrected = [row.id for row in others if row.metric_date >= since and row.resolution not in _SETTLED]
    forgotten = [row.id for row in others if row.metric_date < since and row.phase in OPEN_PHASES]
    return Changes(tuple(opened), tuple(continued), frozenset(corrected), frozenset(forgotten))


_SETTLED = (Resolution.CORRECTED, Resolution.CLOSED)


def _row_of(alert: AlertState, rows: Sequence[StoredAlert]) -> StoredAlert | None:
    for row in rows:
        overlaps = row.metric_date <= alert.last.metric_date and row.last_metric_date >= alert.first.metric_date
        if overlaps and row.resolution is not Resolution.CORRECTED:
            return row
    return next((row for row in rows if row.id == alert.id), None)


def _wait(alert: AlertState | None, until: date, known: Collection[date], rules: LifeRules) -> AlertState | None:
    """The alert after the days without a candidate that follow its last one, up to `until`."""
    day = alert.last.metric_date + timedelta(days=1) if alert is not None else until
    while alert is not None and alert.is_open and day <= until:
        alert = advance(alert, day, None, known=day in known, rules=rules)
        day += timedelta(days=1)
    return alert


def _strength(candidate: Candidate) -> tuple[int, float, str]:
    return candidate.severity.rank, candidate.score, candidate.alert_subtype


# --------------------------------------------------------------------------------------------------- weight


def is_good_news(direction: str, is_higher_better: bool | None) -> bool | None:
    """Whether a move in this direction is good; None where neither direction is."""
    if is_higher_better is None or direction not in ("up", "down"):
        return None
    return (direction == "up") == is_higher_better


def priority(severity: Severity, good_news: bool | None, affected_share: float | None) -> str:
    """low, medium, high or urgent: the severity, a step up when many customers are concerned (`affected_share` of
    the active ones), and never more than low for good news."""
    if good_news:
        return PRIORITIES[0]
    many = affected_share is not None and affected_share >= MANY_CUSTOMERS
    return PRIORITIES[min(severity.rank + many, len(PRIORITIES) - 1)]
