"""How an alert about the AI lives: seen look by look, not by business day; and the context it is stored with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

from tagging_orchestration.core.business.alerts import NAMESPACE, OPEN_PHASES, Phase, Resolution
from tagging_orchestration.core.enhancement.subjects import ABOUT_AI
from tagging_orchestration.core.enhancement.watch import (
    CATEGORY,
    Finding,
    Judgement,
    WatchRules,
)


@dataclass(frozen=True, slots=True)
class WatchedAlert:
    """An alert about the AI as stored, the latest of its key. `finding` is what it was last seen with; None when a
    look only moved its life."""

    id: UUID
    key: tuple[str, str, str]
    phase: Phase
    resolution: Resolution | None
    occurrences: int
    quiet_looks: int
    detected_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None = None
    finding: Finding | None = None

    @property
    def is_open(self) -> bool:
        """Whether the alert still stands."""
        return self.phase in OPEN_PHASES

    @property
    def metric_and_dimension(self) -> tuple[str, str]:
        """Of what it is."""
        return self.key[0], self.key[2]


def fingerprint(organization_id: str, key: Collection[str]) -> str:
    """What makes two alerts of the table the same."""
    return sha256("\x1f".join((organization_id, ABOUT_AI, *key)).encode()).hexdigest()


def advance(
    organization_id: str,
    judgement: Judgement,
    stored: Sequence[WatchedAlert],
    now: datetime,
    rules: WatchRules,
) -> list[WatchedAlert]:
    """The alerts that are new or changed by one look.

    `stored` is the latest alert of each key. A finding continues the alert of its key as long as its memory lasts,
    even when it was resolved meanwhile; what a person closed stays closed for as long as it lasts. Without a
    finding an open alert is over after some looks, unless nothing could be said; then it expires with its memory.
    """
    latest = {alert.key: alert for alert in stored}
    changed: list[WatchedAlert] = []
    memory = timedelta(hours=rules.memory_hours)
    found = {finding.key: finding for finding in judgement.findings}
    for key, finding in found.items():
        alert = latest.get(key)
        remembered = alert is not None and now < alert.last_seen_at + memory
        if alert is not None and remembered and alert.resolution is Resolution.CLOSED:
            if alert.quiet_looks < rules.quiet_looks:
                changed.append(replace(alert, last_seen_at=now, quiet_looks=0))
                continue
            remembered = False
        if alert is not None and remembered and alert.phase is not Phase.EXPIRED:
            changed.append(_seen_again(alert, finding, now))
            continue
        if alert is not None and alert.is_open:
            changed.append(replace(alert, phase=Phase.EXPIRED))
        id = uuid5(NAMESPACE, f"{fingerprint(organization_id, key)}:{now.isoformat()}")
        changed.append(WatchedAlert(id, key, Phase.NEW, None, 1, 0, now, now, None, finding))
    for key, alert in latest.items():
        if key in found:
            continue
        if alert.is_open and now >= alert.last_seen_at + memory:
            changed.append(replace(alert, phase=Phase.EXPIRED))
        elif alert.metric_and_dimension not in judgement.unknown:
            changed += _quiet(alert, now, rules)
    return changed


def _seen_again(alert: WatchedAlert, finding: Finding, now: datetime) -> WatchedAlert:
    return replace(
        alert,
        phase=Phase.ACTIVE,
        resolution=None,
        occurrences=alert.occurrences + 1,
        quiet_looks=0,
        last_seen_at=now,
        resolved_at=None,
        finding=finding,
    )


def _quiet(alert: WatchedAlert, now: datetime, rules: WatchRules) -> list[WatchedAlert]:
    closed = alert.resolution is Resolution.CLOSED and alert.quiet_looks < rules.quiet_looks
    if not (alert.is_open or closed):
        return []
    alert = replace(alert, quiet_looks=alert.quiet_looks + 1)
    if alert.is_open and alert.quiet_looks >= rules.quiet_looks:
        alert = replace(alert, phase=Phase.RESOLVED, resolution=Resolution.RECOVERED, resolved_at=now)
    return [alert]


# ----------------------------------------------------------------------------------------------------- context


def business_context(
    finding: Finding, now: datetime, local_day: date, *, is_open: bool, currency: str
) -> dict[str, Any]:
    """The context frozen with an alert about the AI: the figure itself and the moment, for nothing else of the
    business explains it. Keeps to the schema `business_context.v1`; `now` is in UTC."""
    return {
        "schema_version": 1,
        "snapshot_timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "metric_category": CATEGORY,
        "current_business_hours": is_open,
        "day_of_week": local_day.isoweekday() % 7,
        "currency": currency,
        "triggering_metrics": {
            "primary_metric": finding.metric_name,
            "dimension": finding.dimension,
            "current_value": finding.current_value,
            **({} if finding.threshold_value is None else {"threshold_value": finding.threshold_value}),
            "breach_severity": finding.severity.value,
        },
        "business_indicators": {},
        "trend_analysis": {"trend_period": "7_days"},
        "contextual_factors": {
            "time_of_day": "during_day",
            "day_of_week": local_day.strftime("%A").lower(),
            "recent_events": [],
        },
        "related_alerts": [],
        "business_impact": {},
        "evidence": {},
    }
