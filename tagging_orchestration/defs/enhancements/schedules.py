"""When AI is asked, looked after and cleaned up. With AI off every tick says so and nothing is contacted."""

import hashlib
from datetime import timedelta

import dagster as dg

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.defs.enhancements.jobs import (
    ai_enhancement_job,
    clean_up_ai,
    enhance_critical_alerts,
    summarize_day,
    summarize_week,
    synchronize_prompts,
    watch_ai,
)
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.run_states import at_work
from tagging_orchestration.settings import get_settings

RUNNING = dg.DefaultScheduleStatus.RUNNING
WATCHING = dg.DefaultSensorStatus.RUNNING
AI_OFF = "AI is switched off (`tagging ai on` switches it on)"
UNATTENDED = "nothing is asked unattended: auto-enhancement is switched off"


def _off(tagging: Tagging, *, unattended: bool = True) -> str | None:
    """Why nothing is to be asked (by no person); None when something is. A switch that cannot be read is off."""
    from tagging_orchestration.ai.switch import read_switch

    try:
        switch = read_switch(tagging.project.pool, tagging.project.settings)
    except ConfigurationError as error:
        return f"AI stays off: {error}"
    if not switch.is_on:
        return AI_OFF
    return UNATTENDED if unattended and not switch.unattended else None


@dg.schedule(job=ai_enhancement_job, cron_schedule="*/15 * * * *", default_status=RUNNING)
def enhance_when_due(context: dg.ScheduleEvaluationContext, tagging: Tagging):
    """Enhance what is pending; what is known already costs a look-up."""
    if why := _off(tagging):
        return dg.SkipReason(why)
    if at_work(context.instance, ai_enhancement_job.name):
        return dg.SkipReason("a run is at work, the next tick sees what it left")
    return dg.RunRequest()


@dg.schedule(job=summarize_day, cron_schedule="30 6 * * *", default_status=RUNNING)
def daily_executive_summary(context: dg.ScheduleEvaluationContext, tagging: Tagging):
    """The summary of the business's last complete day."""
    return _summary_request(tagging, weekly=False)


@dg.schedule(job=summarize_week, cron_schedule="45 6 * * 1", default_status=RUNNING)
def weekly_executive_summary(context: dg.ScheduleEvaluationContext, tagging: Tagging):
    """The summary of the week of the business's last complete day."""
    return _summary_request(tagging, weekly=True)


def _summary_request(tagging: Tagging, *, weekly: bool):
    from tagging_orchestration.storage.business_runs import latest_run

    if why := _off(tagging):
        return dg.SkipReason(why)
    last = latest_run(tagging.project.pool, get_settings().organization_id)
    if last is None or last.as_of is None:
        return dg.SkipReason("the business has no finished refresh to summarise")
    day = last.as_of - timedelta(days=last.as_of.weekday()) if weekly else last.as_of
    return dg.RunRequest(partition_key=day.isoformat())


@dg.schedule(job=watch_ai, cron_schedule="50 * * * *", default_status=RUNNING)
def hourly_ai_watch(context: dg.ScheduleEvaluationContext, tagging: Tagging):
    """Figures of the AI, and alerts about it."""
    if why := _off(tagging, unattended=False):
        return dg.SkipReason(why)
    return dg.RunRequest()


nightly_ai_clean_up = dg.ScheduleDefinition(
    name="nightly_ai_clean_up", job=clean_up_ai, cron_schedule="25 3 * * *", default_status=RUNNING
)


@dg.sensor(
    job=enhance_critical_alerts,
    minimum_interval_seconds=30,
    default_status=WATCHING,
    description="Asks for the enhancement of critical alerts as soon as there are new ones, before the others' "
    "turn comes. Pending is a comparison, the sensor has no cursor to lose.",
)
def critical_alert_enhancement_sensor(context: dg.SensorEvaluationContext, tagging: Tagging):
    """One tick: critical alerts without an answer to what is known of them now."""
    from tagging_orchestration.ai.access import enhancement_service

    if why := _off(tagging):
        return dg.SkipReason(why)
    with enhancement_service(tagging.project) as service:
        pending = service.pending_alerts(critical_only=True)
    if not pending:
        return dg.SkipReason("every critical alert was asked about, or none is open")
    for job in (enhance_critical_alerts, ai_enhancement_job):
        if at_work(context.instance, job.name):
            return dg.SkipReason(f"{pending} critical alerts are pending, and {job.name} is at work")
    return dg.RunRequest(tags={"tagging/trigger": "critical_alert_enhancement_sensor"})


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=WATCHING,
    description="Looks at every active provider: reachable, and has its model. Nothing is generated.",
)
def ai_health_sensor(context: dg.SensorEvaluationContext, tagging: Tagging):
    """One tick: a look at each provider, noted in `ai_providers`."""
    from tagging_orchestration.ai.health import probe_providers

    if why := _off(tagging, unattended=False):
        return dg.SkipReason(why)
    found = probe_providers(tagging.project.pool, tagging.project.settings)
    said = ", ".join(f"{row.name}: {row.status}" + (f" ({row.detail})" if row.detail else "") for row in found)
    return dg.SkipReason(said or "no provider is active")


@dg.sensor(
    job=synchronize_prompts,
    minimum_interval_seconds=60,
    default_status=WATCHING,
    description="Brings edited files of `prompts/` into the tables.",
)
def prompt_file_sensor(context: dg.SensorEvaluationContext):
    """One tick: a hash over the files against the one that was synchronised last."""
    from tagging_orchestration.clients.prompt_files import prompt_folder

    digest = hashlib.sha256()
    for path in sorted(prompt_folder().rglob("*.md")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    fingerprint = digest.hexdigest()
    if context.cursor == fingerprint:
        return dg.SkipReason("no prompt changed")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=fingerprint)], cursor=fingerprint)


ALL_SCHEDULES = [
    enhance_when_due,
    daily_executive_summary,
    weekly_executive_summary,
    hourly_ai_watch,
    nightly_ai_clean_up,
]
ALL_SENSORS = [critical_alert_enhancement_sensor, ai_health_sensor, prompt_file_sensor]
