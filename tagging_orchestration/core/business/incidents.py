"""Storms of alerts with one cause, grouped into incidents.

An alert joins the open incident it is most closely linked to: the same metric, the same product or tag, a
metric that the same kind of cause moves, or evidence tags in common. Good news joins bad news only when both
begin at once and one tag leads the evidence of both. Alerts are taken in the order of their days, so the same
alerts give the same incidents however often they are grouped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import IntEnum
from typing import Any
from uuid import UUID, uuid5

from tagging_orchestration.core.business.alerts import NAMESPACE, PRIORITIES, Severity
from tagging_orchestration.core.business.evidence import MIN_LIFT, SIGNIFICANT

# An incident takes in alerts for so many days after it was last seen.
STILL_OPEN = timedelta(days=3)
# Metrics that usually move together tell of one cause while one moves, but not for ever: trends last for months.
MOVES_OTHERS = timedelta(days=14)
# A part of the business moves the whole, and one cause brings good and bad news, at once.
AT_ONCE = timedelta(days=3)
# Evidence tags of an alert that count when causes are compared.
COMPARED_TAGS = 3
MOST_CAUSES = 5
LONGEST_TITLE = 200
NAMED_METRICS = 3

# Metrics that one kind of cause moves at once.
MOVED_TOGETHER = tuple(
    frozenset(metrics.split())
    for metrics in (
        # Payment or checkout fails.
        "payment_failure_rate conversion_rate daily_orders daily_revenue pending_orders order_completion_rate"
        " api_response_time ticket_volume",
        # More or fewer people want to buy.
        "visits conversion_rate daily_orders daily_revenue units_sold average_order_value active_customers"
        " high_value_customers customer_trend_pct revenue_trend_pct volatility",
        # A product sells out.
        "stockouts units_sold pending_orders",
        # Parcels are late.
        "late_delivery_rate average_delivery_days pending_orders order_completion_rate efficiency_trend_pct"
        " ticket_volume customer_satisfaction_rate bad_reviews",
        # Support cannot keep up.
        "avg_response_time ticket_volume customer_satisfaction_rate bad_reviews",
        # Goods are not what they should be.
        "return_rate bad_reviews customer_satisfaction_rate review_volume ticket_volume",
        # A price is wrong.
        "price_deviation average_order_value units_sold daily_orders daily_revenue order_completion_rate",
        # Customers leave.
        "customer_churn_rate active_customers customer_trend_pct",
    )
)


class Link(IntEnum):
    """How closely an alert belongs to an incident."""

    NONE = 0
    TAGS = 1
    MOVED_TOGETHER = 2
    SEGMENT = 3
    METRIC = 4


@dataclass(frozen=True, slots=True)
class Cause:
    """A tag that the evidence names; `significant` when chance is ruled out."""

    tag_id: int
    tag: str
    count: int
    lift: float
    p_value: float
    significant: bool


@dataclass(frozen=True, slots=True)
class IncidentAlert:
    """An alert as far as grouping needs it. `ended_on` is None while it is open; `good_news` is None where
    neither direction is good. `name_en` and `name_zh` are what people call the metric, with its dimension."""

    id: UUID
    metric_name: str
    dimension: str
    severity: Severity
    priority: str
    good_news: bool | None
    opened_on: date
    last_seen_on: date
    ended_on: date | None
    name_en: str
    name_zh: str
    title_en: str
    title_zh: str
    causes: tuple[Cause, ...] = ()
    incident_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """Alerts with one cause. `closed_on` is the day on which the last of them ended, None while one is open."""

    id: UUID
    alerts: tuple[IncidentAlert, ...]
    severity: Severity
    title_en: str
    title_zh: str
    opened_on: date
    last_seen_on: date
    closed_on: date | None
    causes: tuple[Cause, ...]

    def causes_document(self) -> list[dict[str, Any]]:
        """The causes as the JSON kept in `alert_incidents.causes`."""
        return [
            {"tag_id": cause.tag_id, "tag": cause.tag, "count": cause.count, "lift": round(cause.lift, 2)}
            for cause in self.causes
        ]


def causes_of(top_tags: Sequence[Mapping[str, Any]]) -> tuple[Cause, ...]:
    """The `top_tags` of an evidence document as causes."""
    return tuple(
        Cause(
            tag["tag_id"],
            tag["tag"],
            tag["count"],
            tag["lift"],
            tag["p_value"],
            tag["q_value"] <= SIGNIFICANT and tag["lift"] >= MIN_LIFT,
        )
        for tag in top_tags
    )


def group(alerts: Sequence[IncidentAlert]) -> list[Incident]:
    """The incidents these alerts make, by their first day. Alerts that have an incident stay in it; the others
    join one of these or open their own."""
    members: dict[UUID, list[IncidentAlert]] = {}
    waiting = []
    for alert in sorted(alerts, key=_order):
        if alert.incident_id is not None:
            members.setdefault(alert.incident_id, []).append(alert)
        else:
            waiting.append(alert)
    for alert in waiting:
        links = [(_closest(alert, others), others[0].opened_on, id) for id, others in members.items()]
        best = max(links, default=(Link.NONE, date.min, None))
        incident_id = best[2] if best[0] else None
        if incident_id is None:
            incident_id = uuid5(NAMESPACE, f"incident:{alert.id}")
        joined = [*members.get(incident_id, ()), replace(alert, incident_id=incident_id)]
        members[incident_id] = sorted(joined, key=_order)
    incidents = [_incident(incident_id, others) for incident_id, others in members.items()]
    return sorted(incidents, key=lambda incident: (incident.opened_on, incident.id))


def link(alert: IncidentAlert, other: IncidentAlert) -> Link:
    """How closely an alert is linked to another one of an incident that is open."""
    if (alert.metric_name, alert.dimension) == (other.metric_name, other.dimension):
        return Link.METRIC
    if alert.dimension == other.dimension != "all":
        return Link.SEGMENT
    at_once = abs(alert.opened_on - other.opened_on) <= AT_ONCE
    if None not in (alert.good_news, other.good_news) and alert.good_news != other.good_news:
        return Link.TAGS if at_once and _tags(alert)[:1] == _tags(other)[:1] != [] else Link.NONE
    if _move_together(alert, other):
        return Link.MOVED_TOGETHER
    if set(_tags(alert)) & set(_tags(other)):
        return Link.TAGS
    return Link.NONE


def _closest(alert: IncidentAlert, others: Sequence[IncidentAlert]) -> Link:
    """How closely an alert is linked to an incident; not at all to one that is over, or began after it."""
    if alert.opened_on > max(other.last_seen_on for other in others) + STILL_OPEN:
        return Link.NONE
    if alert.last_seen_on + STILL_OPEN < min(other.opened_on for other in others):
        return Link.NONE
    return max(link(alert, other) for other in others)


def _move_together(alert: IncidentAlert, other: IncidentAlert) -> bool:
    """Whether one kind of cause moves both metrics, and their days allow for it. Two products that move at once
    have a cause in common only if their texts say so."""
    if not any({alert.metric_name, other.metric_name} <= metrics for metrics in MOVED_TOGETHER):
        return False
    if alert.dimension == other.dimension:
        return alert.opened_on <= min(other.last_seen_on + STILL_OPEN, other.opened_on + MOVES_OTHERS)
    return "all" in (alert.dimension, other.dimension) and abs(alert.opened_on - other.opened_on) <= AT_ONCE


def _tags(alert: IncidentAlert) -> list[int]:
    return [cause.tag_id for cause in alert.causes[:COMPARED_TAGS] if cause.significant]


def _order(alert: IncidentAlert) -> tuple[date, int, int, str, str, str]:
    """By day; of one day the weightiest first, so that it leads its incident."""
    return (
        alert.opened_on,
        -alert.severity.rank,
        -PRIORITIES.index(alert.priority),
        alert.dimension,
        alert.metric_name,
        str(alert.id),
    )


def _incident(incident_id: UUID, alerts: Sequence[IncidentAlert]) -> Incident:
    causes = _merged_causes(alerts)
    ended = [alert.ended_on for alert in alerts]
    title_en, title_zh = _titles(alerts, causes)
    return Incident(
        incident_id,
        tuple(alerts),
        max((alert.severity for alert in alerts), key=lambda severity: severity.rank),
        title_en,
        title_zh,
        min(alert.opened_on for alert in alerts),
        max(alert.last_seen_on for alert in alerts),
        None if None in ended else max(day for day in ended if day is not None),
        causes,
    )


def _merged_causes(alerts: Sequence[IncidentAlert]) -> tuple[Cause, ...]:
    """The significant tags of all alerts, the surest first, each with its best figures."""
    best: dict[int, Cause] = {}
    named: dict[int, int] = {}
    for alert in alerts:
        for cause in alert.causes:
            if cause.significant:
                named[cause.tag_id] = named.get(cause.tag_id, 0) + 1
                rival = best.get(cause.tag_id)
                if rival is None or cause.p_value < rival.p_value:
                    best[cause.tag_id] = cause
    order = sorted(best.values(), key=lambda cause: (cause.p_value, -named[cause.tag_id], cause.tag_id))
    return tuple(order[:MOST_CAUSES])


def _titles(alerts: Sequence[IncidentAlert], causes: Sequence[Cause]) -> tuple[str, str]:
    """What people call the incident: its cause tag and the metrics it moved, else the title of its first alert."""
    leading = min(alerts, key=lambda alert: (-alert.severity.rank, *_order(alert)))
    names = list(dict.fromkeys((alert.name_en, alert.name_zh) for alert in [leading, *alerts]))
    more = len(names) - NAMED_METRICS
    if causes:
        english, chinese = ([name[i] for name in names[:NAMED_METRICS]] for i in (0, 1))
        title_en = f"{causes[0].tag}: {', '.join(english)}{f' and {more} more' if more > 0 else ''}"
        title_zh = f"「{causes[0].tag}」：{'、'.join(chinese)}{f'等 {len(names)} 項' if more > 0 else ''}"
    else:
        others = len(names) - 1
        title_en = f"{leading.title_en}{f' (and {others} more)' if others else ''}"
        title_zh = f"{leading.title_zh}{f'（另有 {others} 項）' if others else ''}"
    return _cut(title_en), _cut(title_zh)


def _cut(title: str) -> str:
    return title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"
