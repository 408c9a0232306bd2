"""Candidates, alerts and tags for tests of the business."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from tagging_orchestration.core.business.alerts import Candidate, Severity
from tagging_orchestration.core.business.incidents import Cause, IncidentAlert

START = date(2026, 3, 1)


def day(number: int) -> date:
    """Day `number` of the tests, the first is 1 March 2026."""
    return START + timedelta(days=number - 1)


def candidate(
    number: int,
    metric: str = "daily_revenue",
    *,
    dimension: str = "all",
    alert_type: str = "anomaly_detection",
    subtype: str = "drop",
    direction: str = "down",
    severity: Severity = Severity.WARNING,
    value: int = 100,
    score: float = 5.0,
) -> Candidate:
    """One metric out of line on a day."""
    return Candidate(
        "default",
        metric,
        dimension,
        "" if dimension == "all" else dimension.partition(":")[2],
        day(number),
        alert_type,
        subtype,
        severity,
        direction,
        Decimal(value),
        Decimal(200),
        Decimal(210),
        score,
        f"{metric} is out of line",
        f"{metric} 異常",
        f"{metric} was {value}",
        f"{metric} 為 {value}",
    )


def cause(tag_id: int, tag: str, *, p_value: float = 0.001, significant: bool = True) -> Cause:
    """A tag on top of an alert's evidence."""
    return Cause(tag_id, tag, 5, 8.0, p_value, significant)


def incident_alert(
    number: int,
    metric: str,
    start: int,
    end: int | None = None,
    *,
    dimension: str = "all",
    severity: Severity = Severity.WARNING,
    good_news: bool | None = False,
    causes: tuple[Cause, ...] = (),
    seen: int | None = None,
    incident_id: UUID | None = None,
) -> IncidentAlert:
    """An alert from one day to another; it is open while `end` is None."""
    return IncidentAlert(
        UUID(int=number),
        metric,
        dimension,
        severity,
        "high",
        good_news,
        day(start),
        day(seen or end or start),
        None if end is None else day(end),
        metric.replace("_", " "),
        f"{metric} 指標",
        f"{metric} is out of line",
        f"{metric} 異常",
        causes,
        incident_id,
    )
