"""`content_embeddings`: one vector a text and model."""

import dagster as dg

from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.partitions import CONTENT_PARTITIONS
from tagging_orchestration.defs.progress import step_progress
from tagging_orchestration.defs.raw_content import raw_content
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.scope import PendingConfig, run_scope
from tagging_orchestration.settings import get_settings


@dg.asset(
    deps=[raw_content],
    partitions_def=CONTENT_PARTITIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="contents",
    kinds={"python", "sentencetransformers", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="Vectors of pending contents in pgvector, cached by text and model: a text that was embedded "
    "before, anywhere, is never encoded again.",
)
@retry_only_transient()
def content_embeddings(
    context: dg.AssetExecutionContext, config: PendingConfig, tagging: Tagging
) -> dg.MaterializeResult:
    """Encode the texts of pending contents that have no vector yet."""
    report = tagging.project.engine.embed(run_scope(context, config), step_progress(context, "Embedding contents"))
    return dg.MaterializeResult(
        metadata={
            "contents_pending": report.contents,
            "texts_encoded": report.encoded,
            "texts_reused": report.reused,
            "encoded_by_model": dict(report.by_model),
        }
    )
