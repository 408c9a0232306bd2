"""Prompts and providers: what is asked, and who can be asked."""

import dagster as dg

from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import table
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.settings import get_settings


@dg.asset(
    group_name="ai",
    kinds={"markdown", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="The prompts of the folder `prompts/`, the providers and who may answer what, in the tables of "
    "the schema `ai`. A new version of a text becomes the one in use; the old ones are kept for ever. What people "
    "changed in the tables stands.",
)
@retry_only_transient()
def prompt_templates(tagging: Tagging) -> dg.MaterializeResult:
    """Synchronise files and settings with the tables."""
    from tagging_orchestration.ai.sync import sync_ai
    from tagging_orchestration.storage.ai_prompts import list_templates

    project = tagging.project
    done = sync_ai(project.pool, project.settings)
    templates = list_templates(project.pool)
    return dg.MaterializeResult(
        metadata={
            "providers_added": done.providers_added,
            "providers_changed": done.providers_changed,
            "versions_added": len(done.prompts.inserted),
            "held_back": list(done.prompts.held_back),
            "configs_added": done.configs_added,
            "templates": table(
                ["key", "name", "category", "language", "version", "in use"],
                [
                    [
                        row.template_key,
                        row.template_name,
                        row.category,
                        row.locale,
                        row.version,
                        "yes" if row.is_active else "no",
                    ]
                    for row in templates
                ],
            ),
        }
    )


@dg.asset(
    deps=[prompt_templates],
    group_name="ai",
    kinds={"ollama", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="How each active provider is: reachable, and has its model. A look generates nothing and costs "
    "nothing; with AI off nobody is contacted.",
)
@retry_only_transient()
def provider_health(tagging: Tagging) -> dg.MaterializeResult:
    """Look at every active provider."""
    from tagging_orchestration.ai.health import probe_providers

    project = tagging.project
    found = probe_providers(project.pool, project.settings)
    return dg.MaterializeResult(
        metadata={
            "providers": len(found),
            "healthy": sum(row.status == "healthy" for row in found),
            "health": table(
                ["provider", "model", "status", "answered in ms", "detail"],
                [[row.name, row.model, row.status, row.response_time_ms or "", row.detail] for row in found],
            ),
        }
    )
