"""The quality gates as asset checks (spec: tagging, section 8). Blocking where downstream would be poisoned."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from tagging_orchestration.core.models import Scope
from tagging_orchestration.core.quality import DRIFT_BINS, population_stability_index, share
from tagging_orchestration.core.vocabulary.admission import STARTING_VOCABULARY
from tagging_orchestration.defs.classifier import tag_models_no_worse
from tagging_orchestration.defs.embeddings import content_embeddings
from tagging_orchestration.defs.feedback import confidence_calibration
from tagging_orchestration.defs.metadata import table
from tagging_orchestration.defs.raw_content import raw_content
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.tags import content_tags, generated_tags
from tagging_orchestration.defs.vocabulary import merged_vocabulary, tag_weights

WARN = dg.AssetCheckSeverity.WARN
ERROR = dg.AssetCheckSeverity.ERROR
DRIFT_SINCE = timedelta(days=7)


@dg.asset_check(
    asset=raw_content, description="The last load of each source rejected no more than the allowed share of rows."
)
def rejected_rows(tagging: Tagging) -> dg.AssetCheckResult:
    """Share of rejected rows by source, with the commonest reasons."""
    from tagging_orchestration.storage.source_loads import latest_loads, rejection_reasons

    project = tagging.project
    limit = project.settings.gates.max_rejected_share
    loads = latest_loads(project.pool)
    worst = max((share(load.rejected, load.rows_read) for load in loads), default=0.0)
    return dg.AssetCheckResult(
        passed=worst <= limit,
        severity=WARN,
        description=f"worst source: {worst:.1%} of its rows rejected, {limit:.0%} allowed",
        metadata={
            "worst_share": worst,
            "reasons": table(
                ["source", "reason", "rows", "example"],
                [[r.source, r.code, r.rows, r.example] for r in rejection_reasons(project.pool)],
            ),
        },
    )


@dg.asset_check(
    asset=raw_content,
    blocking=True,
    description="The capture triggers saw every content: each has its ledger row.",
)
def every_content_is_tracked(tagging: Tagging) -> dg.AssetCheckResult:
    """Contents without a ledger row would never be tagged."""
    from tagging_orchestration.storage.quality import contents_without_ledger

    missing = contents_without_ledger(tagging.project.pool)
    return dg.AssetCheckResult(
        passed=not missing,
        severity=ERROR,
        description=f"{len(missing)} contents without ledger row: enable the triggers on tagging.contents again"
        if missing
        else "every content is tracked",
        metadata={"content_ids": missing},
    )


@dg.asset_check(
    asset=content_embeddings,
    blocking=True,
    description="Vectors have the model's dimension and unit length, and hold no NaN.",
)
def embeddings_are_sound(tagging: Tagging) -> dg.AssetCheckResult:
    """Unsound vectors would poison neighbours and merges."""
    health = tagging.project.stores.embeddings.health()
    bad = [row for row in health if row.unsound]
    return dg.AssetCheckResult(
        passed=not bad,
        severity=ERROR,
        description="unsound vectors: " + ", ".join(f"{row.model}: {row.unsound}" for row in bad)
        if bad
        else "all sampled vectors are sound",
        metadata={
            "models": table(
                ["model", "dimension", "vectors", "sampled", "unsound"],
                [[row.model, row.dimension, row.vectors, row.sampled, row.unsound] for row in health],
            )
        },
    )


@dg.asset_check(
    asset=generated_tags,
    blocking=True,
    description="Staged proposals have a name, evidence and a confidence in [0, 1].",
)
def proposals_are_valid(tagging: Tagging) -> dg.AssetCheckResult:
    """The audit of write-audit-publish: invalid proposals never reach `content_tags`."""
    from tagging_orchestration.storage.quality import staged_faults

    faults = staged_faults(tagging.project.pool)
    return dg.AssetCheckResult(
        passed=not faults,
        severity=ERROR,
        description=f"{len(faults)} faults in staged proposals" if faults else "all staged proposals are valid",
        metadata={"faults": table(["content", "fault"], faults)},
    )


@dg.asset_check(
    asset=merged_vocabulary, blocking=True, description="Aliases, merges and parents lead somewhere: no loops."
)
def vocabulary_has_no_loops(tagging: Tagging) -> dg.AssetCheckResult:
    """Loops of aliases or parents would make resolution endless."""
    from tagging_orchestration.storage.quality import alias_loops, hierarchy_cycles

    pool = tagging.project.pool
    loops, cycles = alias_loops(pool), hierarchy_cycles(pool)
    return dg.AssetCheckResult(
        passed=not loops and not cycles,
        severity=ERROR,
        description=f"{len(loops)} alias loops, {len(cycles)} hierarchy cycles",
        metadata={"alias_loops": loops, "hierarchy_cycles": cycles},
    )


@dg.asset_check(
    asset=merged_vocabulary, description="No two active tags differ in nothing but spaces, points or hyphens."
)
def no_duplicate_tags(tagging: Tagging) -> dg.AssetCheckResult:
    """Duplicates that care of the vocabulary left."""
    from tagging_orchestration.storage.quality import duplicate_tags

    duplicates = duplicate_tags(tagging.project.pool)
    return dg.AssetCheckResult(
        passed=not duplicates,
        severity=WARN,
        description=f"{len(duplicates)} groups of duplicates" if duplicates else "no duplicates",
        metadata={"duplicates": table(["tags"], [[", ".join(group)] for group in duplicates])},
    )


@dg.asset_check(asset=content_tags, description="Enough live contents have at least the wanted minimum of tags.")
def coverage(tagging: Tagging) -> dg.AssetCheckResult:
    """Share of contents with at least `tagger.min_tags` tags."""
    from tagging_orchestration.storage.quality import coverage as measure

    project = tagging.project
    covered = measure(project.pool, project.settings.tagger.min_tags)
    limit = project.settings.gates.min_coverage
    return dg.AssetCheckResult(
        passed=covered.share >= limit,
        severity=WARN,
        description=f"{covered.share:.1%} of {covered.contents:,} contents have at least "
        f"{project.settings.tagger.min_tags} tags, {limit:.0%} wanted",
        metadata={"coverage": covered.share, "contents": covered.contents, "tagged": covered.tagged},
    )


@dg.asset_check(asset=content_tags, blocking=True, description="No content has more machine tags than allowed.")
def tags_per_content(tagging: Tagging) -> dg.AssetCheckResult:
    """Distribution of machine tags over contents against the upper bound; a closed vocabulary has none."""
    from tagging_orchestration.storage.quality import tags_per_content as measure

    project = tagging.project
    histogram = measure(project.pool)
    limit = project.settings.tagger.max_tags
    bounded = not project.settings.tagger.closed_vocabulary
    above = sum(contents for tags, contents in histogram.items() if bounded and tags > limit)
    # Contents tagged under a larger bound wait for their re-tagging; that is pending, not poison.
    waiting = project.stores.contents.pending_count(Scope(), project.engine.version_id).total
    return dg.AssetCheckResult(
        passed=above <= waiting,
        severity=ERROR,
        description=f"{above:,} contents have more than {limit} machine tags",
        metadata={"contents_by_tags": {str(tags): contents for tags, contents in histogram.items()}},
    )


@dg.asset_check(asset=content_tags, description="Confidences of the last week are distributed like those before.")
def confidence_drift(tagging: Tagging) -> dg.AssetCheckResult:
    """Population stability index of recent against earlier confidences."""
    from tagging_orchestration.storage.quality import confidences

    project = tagging.project
    cut = datetime.now(UTC) - DRIFT_SINCE
    before = confidences(project.pool, None, cut, DRIFT_BINS)
    after = confidences(project.pool, cut, None, DRIFT_BINS)
    drift = population_stability_index(before, after)
    limit = project.settings.gates.max_drift
    compared = bool(sum(before) and sum(after))
    return dg.AssetCheckResult(
        passed=drift <= limit,
        severity=WARN,
        description=f"stability index {drift:.3f}, {limit} allowed"
        if compared
        else "no earlier week to compare with",
        metadata={"index": drift, "before": before, "after": after},
    )


@dg.asset_check(asset=content_tags, description="The vocabulary does not explode into tags used once.")
def single_use_tags(tagging: Tagging) -> dg.AssetCheckResult:
    """Share of used tags that one content carries."""
    from tagging_orchestration.storage.quality import vocabulary_figures

    project = tagging.project
    figures = vocabulary_figures(project.pool)
    limit = project.settings.gates.max_single_use_share
    return dg.AssetCheckResult(
        passed=figures.single_use_share <= limit,
        severity=WARN,
        description=f"{figures.single_use:,} of {figures.used:,} used tags are used once "
        f"({figures.single_use_share:.0%}, {limit:.0%} allowed)",
        metadata={"single_use_share": figures.single_use_share, "orphans": figures.orphans},
    )


@dg.asset_check(asset=content_tags, description="New tags per 1,000 contents stay within the growth bound.")
def new_tags(tagging: Tagging) -> dg.AssetCheckResult:
    """Machine tags of the last day for each 1,000 live contents, beyond what any vocabulary starts with."""
    from tagging_orchestration.storage.quality import coverage as measure
    from tagging_orchestration.storage.quality import vocabulary_figures

    project = tagging.project
    figures = vocabulary_figures(project.pool)
    contents = measure(project.pool, project.settings.tagger.min_tags).contents
    growth = 1000 * share(max(figures.created_recently - STARTING_VOCABULARY, 0), contents)
    limit = project.settings.gates.max_new_tags_per_1000
    return dg.AssetCheckResult(
        passed=growth <= limit,
        severity=WARN,
        description=f"{figures.created_recently:,} new machine tags: beyond the first {STARTING_VOCABULARY}, "
        f"{growth:.0f} per 1,000 contents, {limit:.0f} allowed",
        metadata={"new_tags_per_1000": growth, "active": figures.active},
    )


@dg.asset_check(
    asset=content_tags, description="Replaying all tag events from nothing gives exactly the present state."
)
def replay_equals_state(tagging: Tagging) -> dg.AssetCheckResult:
    """The proof that tags are permanent."""
    from tagging_orchestration.storage.quality import replay_differences

    differences = replay_differences(tagging.project.pool)
    return dg.AssetCheckResult(
        passed=not differences,
        severity=ERROR,
        description=f"{len(differences)} rows differ from the replay" if differences else "replay equals state",
        metadata={"differences": table(["row"], [[row] for row in differences])},
    )


@dg.asset_check(
    asset=content_tags,
    blocking=True,
    description="What people rejected is not assigned, and what they confirmed is.",
)
def feedback_is_respected(tagging: Tagging) -> dg.AssetCheckResult:
    """The proof that people outrank machines."""
    from tagging_orchestration.storage.feedback import violations

    found = violations(tagging.project.pool)
    return dg.AssetCheckResult(
        passed=not found,
        severity=ERROR,
        description=f"{len(found)} assignments contradict people" if found else "people's word holds everywhere",
        metadata={"violations": table(["content", "tag", "wanted", "feedback"], found)},
    )


@dg.asset_check(
    asset=confidence_calibration,
    blocking=True,
    description="The calibration fitted last is no worse on held-out answers than the one in use then.",
)
def calibration_no_worse(tagging: Tagging) -> dg.AssetCheckResult:
    """The gate of promotion: a calibration that does worse is kept as a candidate and never used."""
    from tagging_orchestration.core.models import ModelKind
    from tagging_orchestration.storage.trained_models import PostgresTrainedModelStore

    project = tagging.project
    models = PostgresTrainedModelStore(project.pool).all(project.settings.organization_id, ModelKind.CALIBRATION)
    metrics = models[0].metrics if models else {}
    judged = "log_loss" in metrics
    return dg.AssetCheckResult(
        passed=not judged or metrics["no_worse"],
        severity=ERROR,
        description=f"log loss {metrics['log_loss']:.3f} on {metrics['held_out']} held-out answers, "
        f"{metrics['log_loss_before']:.3f} before"
        if judged
        else f"{metrics.get('held_out', 0)} held-out answers are too few to judge: confidences stay as they are",
        metadata={"held_out": dict(metrics)},
    )


@dg.asset_check(
    asset=content_tags, description="No changed content waits too long, and none was given up (dead letters)."
)
def pending_and_failed(tagging: Tagging) -> dg.AssetCheckResult:
    """Age of the oldest pending change, and the failed contents with how to recover."""
    from tagging_orchestration.storage.quality import pending_age

    project = tagging.project
    figures = pending_age(project.pool)
    hours = (datetime.now(UTC) - figures.oldest).total_seconds() / 3600 if figures.oldest else 0.0
    failed = project.stores.contents.failed(20)
    limit = project.settings.gates.max_pending_hours
    return dg.AssetCheckResult(
        passed=hours <= limit and not figures.failed,
        severity=WARN,
        description=f"{figures.pending:,} pending (oldest {hours:.1f} h), {figures.failed:,} failed"
        + ("; see the table, mend the cause, then: tagging retry" if figures.failed else ""),
        metadata={
            "oldest_hours": hours,
            "failed": table(["content", "error"], [[row.content_id, row.error] for row in failed]),
        },
    )


@dg.asset_check(asset=tag_weights, description="Weights are finite and not negative.")
def weights_are_sound(tagging: Tagging) -> dg.AssetCheckResult:
    """Ranking by an unsound weight would hide tags."""
    from tagging_orchestration.storage.weights import unsound_weights

    unsound = unsound_weights(tagging.project.pool)
    return dg.AssetCheckResult(passed=unsound == 0, severity=ERROR, metadata={"unsound": unsound})


ALL_CHECKS = [
    rejected_rows,
    every_content_is_tracked,
    embeddings_are_sound,
    proposals_are_valid,
    vocabulary_has_no_loops,
    no_duplicate_tags,
    coverage,
    tags_per_content,
    confidence_drift,
    single_use_tags,
    new_tags,
    replay_equals_state,
    feedback_is_respected,
    calibration_no_worse,
    tag_models_no_worse,
    pending_and_failed,
    weights_are_sound,
]
