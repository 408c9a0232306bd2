"""Refreshing scores and alerts, and telling people: storage in, the pure functions of core/business, storage
out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from tagging_orchestration.core.business.alerts import (
    OPEN_PHASES,
    AlertState,
    Changes,
    LifeRules,
    Phase,
    Resolution,
    is_good_news,
    priority,
    reconcile,
    replay,
)
from tagging_orchestration.core.business.detectors import DETECTOR_VERSION, DayJudgement, MetricProfile, judge
from tagging_orchestration.core.business.evidence import AlertEvidence
from tagging_orchestration.core.business.incidents import Incident, IncidentAlert, causes_of, group
from tagging_orchestration.core.business.notices import Notifier
from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.core.ports import Progress
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage.alert_evidence import EvidenceRequest, gather_evidence
from tagging_orchestration.storage.alert_refresh import (
    AlertRow,
    Judged,
    KnownAlert,
    load_judged,
    load_known,
    save_alerts,
)
from tagging_orchestration.storage.anomaly_scores import (
    drop_orphans,
    holidays,
    load_series,
    pending_series,
    save_scores,
)
from tagging_orchestration.storage.notifications import QueueReport, SendReport, queue_notifications, send_due

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

Judge = Callable[[Sequence[date], Sequence[float | None], MetricProfile, Collection[date]], Sequence[DayJudgement]]

# Series read, judged and written in one go.
SERIES_BATCH = 50


@dataclass(frozen=True, slots=True)
class ScoreRefresh:
    """What judging did: series and days judged anew, how many of these days are anomalies, and scores
    forgotten."""

    series: int = 0
    days_scored: int = 0
    anomalies: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class AlertRefresh:
    """What a refresh of alerts did. `seen` were known and seen again; alerts that came and went between two
    refreshes count as new and as resolved or expired. `open` stand at the day `as_of`."""

    as_of: date | None = None
    new: int = 0
    seen: int = 0
    resolved: int = 0
    expired: int = 0
    corrected: int = 0
    open: int = 0
    incidents_opened: int = 0
    incidents_closed: int = 0


# ----------------------------------------------------------------------------------------------------- scores


def score_pending(
    pool: ConnectionPool,
    settings: Settings,
    *,
    progress: Progress | None = None,
    judge: Judge = judge,
    detector_version: str = DETECTOR_VERSION,
) -> ScoreRefresh:
    """Let the detectors judge the days whose metric or detector changed, and all days after them."""
    organization = settings.organization_id
    dropped = drop_orphans(pool, organization)
    free_days = holidays(pool, organization)
    pending = pending_series(pool, organization, detector_version, free_days)
    days = anomalies = done = 0
    for start in range(0, len(pending), SERIES_BATCH):
        part = pending[start : start + SERIES_BATCH]
        values = load_series(pool, organization, [(series.metric_name, series.dimension) for series in part])
        judged = []
        for series in part:
            daily = values[series.metric_name, series.dimension]
            verdicts = [
                verdict
                for verdict in judge(daily.days, daily.values, series.profile, free_days)
                if verdict.day >= series.first_day
            ]
            judged.append((series, verdicts))
            days += len(verdicts)
            anomalies += sum(verdict.is_anomaly for verdict in verdicts)
        save_scores(pool, organization, judged)
        done += len(part)
        if progress:
            progress(done, len(pending))
    return ScoreRefresh(len(pending), days, anomalies, dropped)


# ----------------------------------------------------------------------------------------------------- alerts


def refresh_alerts(pool: ConnectionPool, settings: Settings, change: ChangeContext) -> AlertRefresh:
    """Bring alerts and incidents to what the candidates of all days say; the same twice changes nothing.

    Days count, not runs: a year found at once gives the alerts that a year of daily refreshes gives. An alert
    whose days turn out to be no news, because facts were corrected, is resolved as `corrected`.
    """
    organization, locale = settings.organization_id, settings.business.locale
    rules = LifeRules(settings.business.alert_hours)
    judged = load_judged(pool, organization, rules)
    if judged is None:
        return AlertRefresh()
    known = {row.stored.id: row for row in load_known(pool, organization)}
    alerts = replay(judged.candidates, judged.known_days, judged.as_of, rules)
    changes = reconcile(alerts, [row.stored for row in known.values()], judged.first_day)
    evidence = gather_evidence(pool, organization, _requests(changes, known), judged.as_of)
    work = _Work(judged, rules, known, changes, evidence)
    incidents = group(work.incident_alerts())
    save_alerts(
        pool,
        organization,
        work.rows(incidents, locale),
        corrected=dict.fromkeys(changes.corrected, work.day_end(judged.as_of)),
        forgotten=changes.forgotten,
        incidents=incidents,
        closed_at={incident.id: work.day_end(incident.closed_on) for incident in incidents if incident.closed_on},
        locale=locale,
        change=change,
    )
    return work.counted(incidents)


def _requests(changes: Changes, known: Mapping[UUID, KnownAlert]) -> list[EvidenceRequest]:
    """Alerts whose evidence is gathered: new ones, and those that stand or stood until now."""
    living = [
        (id, alert) for id, alert in changes.continued if alert.is_open or known[id].stored.phase in OPEN_PHASES
    ]
    return [
        EvidenceRequest(
            id,
            alert.first.metric_name,
            alert.first.dimension,
            alert.last.dimension_label,
            alert.first.direction,
            alert.first.alert_subtype,
            alert.first.metric_date,
            alert.last.metric_date,
        )
        for id, alert in (*changes.opened, *living)
    ]


@dataclass(frozen=True, slots=True)
class _Work:
    """One refresh: what was judged, what the table knew, what must change, and the evidence gathered."""

    judged: Judged
    rules: LifeRules
    known: Mapping[UUID, KnownAlert]
    changes: Changes
    evidence: Mapping[UUID, AlertEvidence]

    def day_end(self, day: date) -> datetime:
        """The moment at which a business day is over."""
        return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(self.judged.timezone))

    def incident_alerts(self) -> list[IncidentAlert]:
        """All alerts as grouping sees them. Corrected ones were no alerts; where nothing else is left of an
        incident, they stand for it, so that it is closed."""
        living = [self._living(id, alert) for id, alert in (*self.changes.opened, *self.changes.continued)]
        changed = {alert.id for alert in living}
        others = [row for id, row in self.known.items() if id not in changed]
        valid = [row for row in others if not self._is_corrected(row)]
        populated = {alert.incident_id for alert in living} | {row.incident_id for row in valid}
        emptied = [row for row in others if self._is_corrected(row) and row.incident_id not in populated]
        return [*living, *(self._stored(row) for row in (*valid, *emptied))]

    def rows(self, incidents: Sequence[Incident], locale: str) -> list[AlertRow]:
        """The rows of alerts that are new or go on."""
        incident_of = {alert.id: incident.id for incident in incidents for alert in incident.alerts}
        return [
            AlertRow(
                id=id,
                first=alert.first,
                last=alert.last,
                phase=alert.phase,
                occurrences=alert.occurrences,
                quiet_days=alert.quiet_days,
                priority=self._priority(alert),
                title=alert.last.title_zh if locale == "zh-Hant" else alert.last.title_en,
                message=alert.last.message_zh if locale == "zh-Hant" else alert.last.message_en,
                detected_at=self.day_end(alert.first.metric_date),
                last_seen_at=self.day_end(alert.last.metric_date),
                expires_at=self.day_end(alert.known_on) + timedelta(hours=self.rules.alert_hours),
                resolved_at=self.day_end(alert.resolved_on) if alert.resolved_on else None,
                resolution=Resolution.RECOVERED if alert.resolved_on else None,
                incident_id=incident_of[id],
                evidence=self.evidence[id].document() if id in self.evidence else None,
            )
            for id, alert in (*self.changes.opened, *self.changes.continued)
        ]

    def counted(self, incidents: Sequence[Incident]) -> AlertRefresh:
        """What the refresh did, in figures."""
        opened, continued = self.changes.opened, self.changes.continued
        before = {id: row.stored for id, row in self.known.items()}
        had = {row.incident_id for row in self.known.values()}
        open_before = {row.incident_id for row in self.known.values() if row.stored.phase in OPEN_PHASES}

        def ended(phase: Phase) -> int:
            new = sum(alert.phase is phase for _, alert in opened)
            return new + sum(alert.phase is phase and before[id].phase is not phase for id, alert in continued)

        return AlertRefresh(
            as_of=self.judged.as_of,
            new=len(opened),
            seen=sum(alert.occurrences > before[id].occurrences for id, alert in continued),
            resolved=ended(Phase.RESOLVED),
            expired=ended(Phase.EXPIRED) + len(self.changes.forgotten),
            corrected=len(self.changes.corrected),
            open=sum(alert.is_open for _, alert in (*opened, *continued)),
            incidents_opened=sum(incident.id not in had for incident in incidents),
            incidents_closed=sum(
                incident.closed_on is not None and (incident.id not in had or incident.id in open_before)
                for incident in incidents
            ),
        )

    def _living(self, id: UUID, alert: AlertState) -> IncidentAlert:
        row, last = self.known.get(id), alert.last
        causes = row.causes if row else ()
        if id in self.evidence:
            causes = causes_of(self.evidence[id].document()["top_tags"])
        return IncidentAlert(
            id,
            last.metric_name,
            last.dimension,
            alert.worst,
            self._priority(alert),
            self._is_good_news(last.metric_name, last.direction),
            alert.first.metric_date,
            last.metric_date,
            alert.ended_on,
            *self._names(last.metric_name, last.dimension_label),
            last.title_en,
            last.title_zh,
            causes,
            row.incident_id if row else None,
        )

    def _stored(self, row: KnownAlert) -> IncidentAlert:
        is_over = self._is_corrected(row) or row.stored.id in self.changes.forgotten
        return IncidentAlert(
            row.stored.id,
            row.metric_name,
            row.dimension,
            row.severity,
            row.priority,
            self._is_good_news(row.metric_name, row.direction),
            row.stored.metric_date,
            row.stored.last_metric_date,
            row.ended_on or (self.judged.as_of if is_over else None),
            *self._names(row.metric_name, row.dimension_label),
            row.title_en,
            row.title_zh,
            row.causes,
            row.incident_id,
        )

    def _is_corrected(self, row: KnownAlert) -> bool:
        return row.stored.id in self.changes.corrected or row.stored.resolution is Resolution.CORRECTED

    def _priority(self, alert: AlertState) -> str:
        last = alert.last
        share = self.judged.affected_shares.get((last.metric_name, last.dimension, last.metric_date))
        return priority(last.severity, self._is_good_news(last.metric_name, last.direction), share)

    def _is_good_news(self, metric_name: str, direction: str) -> bool | None:
        return is_good_news(direction, self.judged.metrics[metric_name].is_higher_better)

    def _names(self, metric_name: str, label: str) -> tuple[str, str]:
        """What people call a metric, with its dimension, in English and Chinese."""
        words = self.judged.metrics[metric_name]
        if not label:
            return words.display_name, words.display_name_zh
        return f"{words.display_name} ({label})", f"{words.display_name_zh}（{label}）"


# ---------------------------------------------------------------------------------------------- notifications


def notify(
    pool: ConnectionPool, settings: Settings, notifier: Notifier, now: Callable[[], datetime] | None = None
) -> tuple[QueueReport, SendReport]:
    """Tell people of incidents they have not heard of, through the channels of `business.notify`."""
    business = settings.business
    queued = queue_notifications(
        pool,
        settings.organization_id,
        {channel.name: channel.min_severity for channel in business.notify},
        business.alert_hours,
    )
    clock = now or (lambda: datetime.now(UTC))
    return queued, send_due(pool, settings.organization_id, notifier, locale=business.locale, now=clock)
