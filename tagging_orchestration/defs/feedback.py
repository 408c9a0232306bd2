"""`review_queue`, `feedback_statistics`, `confidence_calibration`: what to ask people, and what they taught."""

from itertools import pairwise

import dagster as dg

from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import new_figure, plot, table
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.tags import content_tags
from tagging_orchestration.settings import get_settings

SHOWN = 20
RELIABILITY_BINS = 5


@dg.asset(
    deps=[content_tags],
    group_name="learning",
    kinds={"python", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="The questions whose answers are worth most: open decisions of the tagger by uncertainty and "
    "reach. `tagging review` asks them; what people judged is never asked again.",
)
@retry_only_transient()
def review_queue(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Compute the questions anew."""
    from tagging_orchestration.storage.calibrations import judged_organizations
    from tagging_orchestration.storage.review import refresh_queue

    project = tagging.project
    organizations = sorted({project.settings.organization_id, *judged_organizations(project.pool)})
    ranked = [
        item
        for organization_id in organizations
        for item in refresh_queue(project.pool, organization_id, project.engine.threshold(organization_id))
    ]
    return dg.MaterializeResult(
        metadata={
            "questions": len(ranked),
            "about_assigned_tags": sum(item.doubt.assigned for item in ranked),
            "best": table(
                ["content", "tag", "assigned", "confidence", "uncertainty", "reach"],
                [
                    [
                        item.doubt.content_id,
                        item.doubt.tag_name,
                        item.doubt.assigned,
                        item.doubt.confidence,
                        item.uncertainty,
                        item.reach,
                    ]
                    for item in ranked[:SHOWN]
                ],
            ),
        }
    )


@dg.asset(
    deps=[content_tags],
    group_name="learning",
    kinds={"postgres", "matplotlib"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="What people's answers say of each generator (how often it was right), each reviewer (agreement "
    "with the others) and each tag, and how well confidences tell how often the machine is right.",
)
@retry_only_transient()
def feedback_statistics(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Summarise people's corrections."""
    from tagging_orchestration.core.tagging.calibration import expected_calibration_error
    from tagging_orchestration.storage import feedback
    from tagging_orchestration.storage.quality import Metric, save_metrics

    pool, organization_id = tagging.project.pool, tagging.project.settings.organization_id
    methods = feedback.statistics_by_method(pool, organization_id)
    reviewers = feedback.statistics_by_reviewer(pool, organization_id)
    tags = feedback.statistics_by_tag(pool, organization_id)
    judged = feedback.judged_proposals(pool, organization_id)
    error = expected_calibration_error([row.confidence for row in judged], [row.accepted for row in judged])
    metrics = [Metric("calibration_error", error, {})] if judged else []
    metrics += [Metric("generator_precision", row.precision, {"method": row.method}) for row in methods]
    save_metrics(pool, metrics, context.run_id)
    return dg.MaterializeResult(
        metadata={
            "judged": len(judged),
            "accepted": sum(row.accepted for row in judged),
            "missed": sum(row.missed for row in tags),
            "calibration_error": error,
            "generators": table(
                ["generator", "accepted", "rejected", "precision", "mean confidence"],
                [[row.method, row.accepted, row.rejected, row.precision, row.mean_confidence] for row in methods],
            ),
            "reviewers": table(
                ["reviewer", "accepted", "rejected", "added", "undone", "agreement"],
                [
                    [row.reviewer, row.accepted, row.rejected, row.added, row.undone, row.agreement]
                    for row in reviewers
                ],
            ),
            "tags": table(
                ["tag", "accepted", "rejected", "missed"],
                [[row.name, row.accepted, row.rejected, row.missed] for row in tags[:SHOWN]],
            ),
            "reliability": plot(_reliability_figure(judged)),
        }
    )


@dg.asset(
    deps=[content_tags],
    group_name="learning",
    kinds={"python", "scipy", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="Corrections of confidences learned from people's answers, and the threshold that fits them. "
    "Fitted on four fifths of the judged contents; it takes over only if it is no worse on the others. The ones "
    "before are kept: `tagging models` lists them and puts them back.",
)
@retry_only_transient()
def confidence_calibration(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Refit, judge, promote."""
    from tagging_orchestration.storage.calibrations import judged_organizations, refit_calibration

    project = tagging.project
    organizations = sorted({project.settings.organization_id, *judged_organizations(project.pool)})
    actor = tagging.context(context).actor
    generosity = project.settings.tagger.generosity
    refits = [refit_calibration(project.pool, name, actor, generosity) for name in organizations]
    own = next(refit for refit in refits if refit.organization_id == project.settings.organization_id)
    extremes = sorted(own.calibration.tags.items(), key=lambda item: item[1])
    return dg.MaterializeResult(
        metadata={
            "answers": own.answers,
            "fitted": own.is_new,
            "in_use": own.promoted,
            "version": own.calibration.version,
            "slope": own.calibration.slope,
            "bias": own.calibration.bias,
            "threshold": own.calibration.threshold if own.calibration.threshold is not None else "as set",
            "held_out": dict(own.metrics),
            "generators": table(["generator", "log-odds"], list(own.calibration.methods.items())),
            "most_lowered": table(["tag", "log-odds"], extremes[:SHOWN]),
            "most_raised": table(["tag", "log-odds"], extremes[::-1][:SHOWN]),
            "reliability": plot(_reliability_figure(own.judged)),
        }
    )


def _reliability_figure(judged):
    """Share of accepted proposals by confidence, beside what the confidence promised."""
    figure = new_figure()
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], "--", color="grey", label="as promised")
    edges = [number / RELIABILITY_BINS for number in range(RELIABILITY_BINS + 1)]
    for low, high in pairwise(edges):
        inside = [row for row in judged if low <= row.confidence < high or row.confidence == high == 1]
        if inside:
            right = sum(row.accepted for row in inside) / len(inside)
            axes.bar((low + high) / 2, right, width=0.9 / RELIABILITY_BINS, color="#4f81a8")
            axes.annotate(str(len(inside)), ((low + high) / 2, right), ha="center")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.1)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accepted by people")
    axes.set_title("How far confidences hold")
    axes.legend(loc="upper left")
    return figure
