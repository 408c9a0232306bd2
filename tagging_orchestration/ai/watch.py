"""The watch over the AI: alerts about its speed, faults, cost, availability and answers, for people to read.

Nobody else writes these alerts, and they are written even when the AI itself is down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.switch import read_switch
from tagging_orchestration.core.business.alerts import Phase
from tagging_orchestration.core.enhancement.watch import Finding, Judgement, WatchRules, judge
from tagging_orchestration.core.enhancement.watch_life import WatchedAlert, advance
from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage.ai_watch import load_figures, load_limits, update_alerts


@dataclass(frozen=True, slots=True)
class WatchReport:
    """What one look at the AI did to the alerts about it. `judged` is False while the AI is off, or before the
    thresholds were first published; alerts that are still open then end like those of a figure that recovered."""

    judged: bool = False
    new: int = 0
    seen: int = 0
    resolved: int = 0
    expired: int = 0
    findings: tuple[Finding, ...] = ()


def watch_ai(
    pool: ConnectionPool,
    settings: Settings,
    change: ChangeContext,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> WatchReport:
    """Judge the AI's figures once and bring the alerts about it up to date."""
    moment, organization = now(), settings.organization_id
    rules = WatchRules(memory_hours=settings.business.alert_hours)
    limits = load_limits(pool)
    judged = bool(limits) and read_switch(pool, settings).configured
    judgement = Judgement()
    if judged:
        judgement = judge(load_figures(pool, organization, settings.ai, rules, moment), limits, rules)
    before, changed = update_alerts(
        pool,
        organization,
        partial(_decide, organization, judgement, moment, rules),
        moment,
        memory=timedelta(hours=rules.memory_hours),
        locale=settings.business.locale,
        change=change,
    )
    ended = [alert for alert in changed if alert.key in before and before[alert.key].is_open and not alert.is_open]
    return WatchReport(
        judged,
        new=sum(alert.phase is Phase.NEW and alert.finding is not None for alert in changed),
        seen=sum(alert.phase is Phase.ACTIVE and alert.finding is not None for alert in changed),
        resolved=sum(alert.phase is Phase.RESOLVED for alert in ended),
        expired=sum(alert.phase is Phase.EXPIRED for alert in ended),
        findings=judgement.findings,
    )


def _decide(
    organization: str, judgement: Judgement, now: datetime, rules: WatchRules, stored: Sequence[WatchedAlert]
) -> list[WatchedAlert]:
    return advance(organization, judgement, stored, now, rules)
