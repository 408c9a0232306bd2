"""Jobs of the business: load facts, refresh everything made of them, tell people."""

import dagster as dg

from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.resources import Tagging

RUN_TAGS = {"tagging/kind": "business"}
EVERYTHING_MADE = dg.AssetSelection.groups("staging", "metrics", "alerts", "insights", "health")

load_business_facts = dg.define_asset_job(
    "load_business_facts",
    selection=dg.AssetSelection.groups("facts"),
    tags=RUN_TAGS,
    description="Load the facts of the section `business` of tagging.yaml into `raw`.",
)

refresh_alerts = dg.define_asset_job(
    "refresh_alerts",
    selection=EVERYTHING_MADE,
    tags=RUN_TAGS,
    description="Metrics, scores, alerts with evidence, insights, recommendations and the report, from the facts "
    "and tags as they are. Days without changes are not computed again.",
)

refresh_business = dg.define_asset_job(
    "refresh_business",
    selection=dg.AssetSelection.groups("facts") | EVERYTHING_MADE,
    tags=RUN_TAGS,
    description="Load the facts, then refresh everything made of them.",
)


@dg.op(retry_policy=TRANSIENT_RETRIES)
@retry_only_transient()
def send_notifications(context: dg.OpExecutionContext, tagging: Tagging) -> None:
    """Queue a message for each new incident and channel, and send what is due; never two for one."""
    from tagging_orchestration.business.alerts import notify
    from tagging_orchestration.clients.notifier import AppriseNotifier

    project = tagging.project
    queued, sent = notify(project.pool, project.settings, AppriseNotifier(project.settings.business.notify))
    figures = {
        "queued": queued.queued,
        "withdrawn": queued.withdrawn,
        "sent": sent.sent,
        "to_be_retried": sent.retried,
        "given_up": sent.dead,
    }
    context.log.info(", ".join(f"{count} {what.replace('_', ' ')}" for what, count in figures.items()))
    context.add_output_metadata(figures)


@dg.job(description="Tell people of new incidents over the channels of tagging.yaml.", tags=RUN_TAGS)
def notify_incidents() -> None:
    """Send what is due."""
    send_notifications()


ALL_JOBS = [load_business_facts, refresh_alerts, refresh_business, notify_incidents]
