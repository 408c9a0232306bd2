"""`generated_tags` and `content_tags`: proposals first, assignments after the gate and the vocabulary."""

from dataclasses import asdict

import dagster as dg

from tagging_orchestration.core.tagging.tagger import TAGGER_CODE_VERSION
from tagging_orchestration.defs.embeddings import content_embeddings
from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import samples_table
from tagging_orchestration.defs.partitions import CONTENT_PARTITIONS
from tagging_orchestration.defs.progress import step_progress
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.scope import PendingConfig, run_scope
from tagging_orchestration.settings import get_settings


@dg.asset(
    deps=[content_embeddings],
    partitions_def=CONTENT_PARTITIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="tags",
    kinds={"python", "scikitlearn", "postgres"},
    owners=[get_settings().runs.owner],
    code_version=TAGGER_CODE_VERSION,
    retry_policy=TRANSIENT_RETRIES,
    description="Ranked proposals for pending contents from all candidate generators, with confidence, method and "
    "evidence. Staged here, not yet assigned.",
)
@retry_only_transient()
def generated_tags(
    context: dg.AssetExecutionContext, config: PendingConfig, tagging: Tagging
) -> dg.MaterializeResult:
    """Propose tags for pending contents."""
    engine = tagging.project.engine
    report = engine.generate(run_scope(context, config), step_progress(context, "Generating tags"))
    return dg.MaterializeResult(
        metadata={
            "contents": report.contents,
            "already_staged": report.reused,
            "proposals": report.proposals,
            "failed": report.failed,
            "languages": dict(report.languages.most_common(10)),
            "methods": dict(report.methods),
            "tagger_version": engine.version_id,
            "samples": samples_table(report.samples),
        }
    )


@dg.asset(
    deps=[generated_tags, dg.AssetKey("merged_vocabulary")],
    partitions_def=CONTENT_PARTITIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="tags",
    kinds={"python", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="Assignments: staged proposals resolved through the merged vocabulary and published with their "
    "events and ledger rows, one transaction a batch.",
)
@retry_only_transient()
def content_tags(
    context: dg.AssetExecutionContext, config: PendingConfig, tagging: Tagging
) -> dg.MaterializeResult:
    """Publish staged proposals."""
    report = tagging.project.engine.publish(
        run_scope(context, config),
        tagging.context(context, "tagging run"),
        step_progress(context, "Publishing tags"),
    )
    return dg.MaterializeResult(metadata=asdict(report))
