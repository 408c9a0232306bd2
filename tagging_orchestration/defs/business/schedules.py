"""When the business is refreshed, and how people come to know of incidents."""

from datetime import UTC, datetime

import dagster as dg

from tagging_orchestration.business.dbt import rules_hash
from tagging_orchestration.defs.business.jobs import load_business_facts, notify_incidents, refresh_alerts
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.run_states import at_work
from tagging_orchestration.settings import get_settings

RUNNING = dg.DefaultScheduleStatus.RUNNING

hourly_facts = dg.ScheduleDefinition(
    name="hourly_facts",
    job=load_business_facts,
    cron_schedule="12 * * * *",
    default_status=RUNNING,
    description="Read the sources of the business. A file that did not change is not read again.",
)


@dg.schedule(job=refresh_alerts, cron_schedule="*/15 * * * *", default_status=RUNNING)
def refresh_alerts_when_due(context: dg.ScheduleEvaluationContext, tagging: Tagging):
    """Refresh alerts when facts, tags or rules changed since the last refresh, else say that nothing did."""
    from tagging_orchestration.storage.business_runs import pending

    found = pending(tagging.project.pool, get_settings().organization_id, rules_hash())
    if not found:
        return dg.SkipReason(found.said)
    if at_work(context.instance, refresh_alerts.name):
        return dg.SkipReason(f"{found.said}: a refresh is at work, the next tick sees what it left")
    return dg.RunRequest()


@dg.sensor(
    job=notify_incidents,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run of `notify_incidents` when nobody was told of an incident yet, or a failed "
    "message is due again. The outbox, not the cursor, keeps people from being told twice.",
)
def new_critical_alert_sensor(context: dg.SensorEvaluationContext, tagging: Tagging):
    """One tick: incidents that somebody is to hear of, and messages whose time has come."""
    from tagging_orchestration.storage.notifications import count_due, queue_notifications

    settings = get_settings()
    business = settings.business
    if not business.notify:
        return dg.SkipReason("tagging.yaml names nobody to tell (business.notify)")
    pool, organization = tagging.project.pool, settings.organization_id
    channels = {channel.name: channel.min_severity for channel in business.notify}
    queued = queue_notifications(pool, organization, channels, business.alert_hours)
    due = count_due(pool, organization, datetime.now(UTC))
    if not due:
        return dg.SkipReason(f"no message is due, {queued.withdrawn} withdrawn")
    if at_work(context.instance, notify_incidents.name):
        return dg.SkipReason(f"{due} messages are due, and a run is at work on them")
    return dg.RunRequest()


ALL_SCHEDULES = [hourly_facts, refresh_alerts_when_due]
ALL_SENSORS = [new_critical_alert_sensor]
