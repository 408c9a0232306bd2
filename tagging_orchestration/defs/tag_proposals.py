"""Tags that a language model proposes: one more generator, beside and after the others."""

import dagster as dg

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.defs.embeddings import content_embeddings
from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import table
from tagging_orchestration.defs.progress import step_progress
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.run_states import at_work
from tagging_orchestration.defs.tags import content_tags
from tagging_orchestration.settings import get_settings


class ProposalConfig(dg.Config):
    """`limit`: contents a run, as set by default."""

    limit: int | None = None


@dg.asset(
    deps=[content_embeddings, content_tags],
    group_name="ai",
    kinds={"ollama", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    pool="llm",
    retry_policy=TRANSIENT_RETRIES,
    description="Tags that a language model proposes for contents, from the text, tags of similar texts and the "
    "relevant vocabulary. Contents with new proposals become pending, and the tagger weighs them among all "
    "others. Without a model, or when it fails, the tagger's own result stands.",
)
@retry_only_transient()
def llm_tag_proposals(
    context: dg.AssetExecutionContext, config: ProposalConfig, tagging: Tagging
) -> dg.MaterializeResult:
    """Ask about contents that were not asked about, newest first."""
    from tagging_orchestration.ai.access import llm_gateway
    from tagging_orchestration.ai.tag_proposals import propose_tags

    project = tagging.project
    with llm_gateway(project) as gateway:
        done = propose_tags(
            project,
            gateway,
            progress=step_progress(context, "Asking for tags"),
            limit=config.limit,
            run_id=context.run_id,
        )
    return dg.MaterializeResult(
        metadata={
            "enabled": done.enabled,
            "contents": done.contents,
            "prompts": done.prompts,
            "answered": done.answered,
            "tags": done.tags,
            "made_pending": done.pending,
            "tokens": done.tokens,
            "cost_usd": done.cost_usd,
            "failures": table(["what", "how often"], done.failures.most_common()),
            "refused": table(["why", "proposals"], done.refused.most_common()),
            "said": done.stopped or "done",
        }
    )


propose_tags_job = dg.define_asset_job(
    "propose_tags",
    selection=dg.AssetSelection.assets(llm_tag_proposals),
    tags={"tagging/kind": "ai"},
    description="Ask the language model for tags of contents that were not asked about yet.",
)


@dg.schedule(job=propose_tags_job, cron_schedule="*/10 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def propose_tags_when_due(context: dg.ScheduleEvaluationContext, tagging: Tagging):
    """Ask for tags where the language model is to propose some; a run is short when nothing is new. After it was
    switched off, one more run makes what was tagged with its word pending."""
    from tagging_orchestration.ai.switch import read_switch
    from tagging_orchestration.storage.tag_proposals import proposals_in_use

    settings, pool = get_settings(), tagging.project.pool
    try:
        switch = read_switch(pool, settings)
    except ConfigurationError as error:
        return dg.SkipReason(f"AI stays off: {error}")
    if not (settings.ai.tags.enabled and switch.is_on):
        if not proposals_in_use(pool, settings.organization_id):
            return dg.SkipReason("the language model is not to propose tags (ai.tags.enabled, `tagging ai on`)")
    elif not switch.unattended:
        return dg.SkipReason("nothing is asked unattended: auto-enhancement is switched off")
    if at_work(context.instance, propose_tags_job.name):
        return dg.SkipReason("a run is at work, the next tick sees what it left")
    return dg.RunRequest()
