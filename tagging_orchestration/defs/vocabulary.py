"""`merged_vocabulary`, `tag_weights`, `tag_relationships`: the vocabulary and what its use projects."""

from datetime import UTC, datetime

import dagster as dg

from tagging_orchestration.core.models import Scope
from tagging_orchestration.defs.automation import after_upstream
from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import table
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.tags import content_tags, generated_tags
from tagging_orchestration.settings import get_settings

SHOWN = 20


class CareConfig(dg.Config):
    """`everything`: look at all pairs of tags, not only at those with a changed one, and for broader tags and
    splits to propose. `retire_unused`: also retire machines' tags that nobody carries and nothing happened to
    for `vocabulary.retire_after_days`."""

    everything: bool = False
    retire_unused: bool = False


@dg.asset(
    deps=[generated_tags],
    group_name="vocabulary",
    kinds={"python", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="2",
    retry_policy=TRANSIENT_RETRIES,
    description="The vocabulary after care: tags the staged proposals need are admitted, tags that mean the same "
    "are merged above the automatic threshold; pairs between the thresholds, broader tags and splits wait for a "
    "person.",
)
@retry_only_transient()
def merged_vocabulary(
    context: dg.AssetExecutionContext, config: CareConfig, tagging: Tagging
) -> dg.MaterializeResult:
    """Admit, embed, merge, retire."""
    from tagging_orchestration.storage.merges import find_and_apply
    from tagging_orchestration.storage.structure import find_and_save
    from tagging_orchestration.storage.vocabulary_care import retire_unused

    project = tagging.project
    engine, settings = project.engine, project.settings
    created = engine.admit(Scope(), tagging.context(context, "admitted: the corpus supports it"))
    organizations = {tag.organization_id for tag in created} | {settings.organization_id}
    embedded = sum(engine.embed_tags(organization_id) for organization_id in sorted(organizations))
    outcomes = [
        find_and_apply(
            project.pool,
            organization_id,
            settings.vocabulary,
            project.matcher,
            tagging.context(context, "automatic merge"),
            everything=config.everything,
        )
        for organization_id in sorted(organizations)
    ]
    proposals = (
        sum(find_and_save(project.pool, organization_id) for organization_id in sorted(organizations))
        if config.everything
        else 0
    )
    merged = [merge for outcome in outcomes for merge in outcome.merged]
    retired = (
        retire_unused(
            project.pool,
            settings.vocabulary,
            now=datetime.now(UTC),
            context=tagging.context(context, "unused"),
        )
        if config.retire_unused
        else []
    )
    candidates = sum(outcome.candidates for outcome in outcomes)
    return dg.MaterializeResult(
        metadata={
            "tags_created": len(created),
            "tags_embedded": embedded,
            "tags_merged": len(merged),
            "tags_retired": len(retired),
            "merge_candidates": candidates,
            "structure_proposals": proposals,
            "created": table(["tag", "origin"], [[tag.name, tag.origin] for tag in created[:SHOWN]]),
            "merged": table(
                ["from", "into", "score"],
                [[merge.source_name, merge.target_name, merge.score] for merge in merged[:SHOWN]],
            ),
        }
    )


@dg.asset(
    deps=[content_tags],
    group_name="vocabulary",
    kinds={"postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    automation_condition=after_upstream(),
    description="Usage and weight of each tag (confidence, decay since last use, usage gain); assignments whose "
    "weight moved by more than the tolerance are rewritten with an event.",
)
@retry_only_transient()
def tag_weights(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Recompute weights."""
    from tagging_orchestration.storage.weights import recompute_weights

    project = tagging.project
    report = recompute_weights(
        project.pool,
        project.settings.vocabulary,
        now=datetime.now(UTC),
        context=tagging.context(context, "weights recomputed"),
    )
    return dg.MaterializeResult(
        metadata={"tags": report.tags, "assignments_reweighted": report.assignments_changed}
    )


@dg.asset(
    deps=[content_tags],
    group_name="vocabulary",
    kinds={"postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    automation_condition=after_upstream(),
    description="How strongly tags occur together: counts, correlation and normalised pointwise mutual "
    "information of every pair that meets in a content.",
)
@retry_only_transient()
def tag_relationships(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Recompute co-occurrence."""
    from tagging_orchestration.storage.weights import recompute_relationships, strongest_relationships

    pool = tagging.project.pool
    pairs = recompute_relationships(pool)
    strongest = strongest_relationships(pool, SHOWN)
    return dg.MaterializeResult(
        metadata={
            "pairs": pairs,
            "strongest": table(
                ["tag", "related", "together", "npmi"],
                [[pair.tag, pair.related, pair.co_occurrences, pair.npmi] for pair in strongest],
            ),
        }
    )
