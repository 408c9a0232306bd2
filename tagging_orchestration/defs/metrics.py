"""`tagging_metrics`: coverage, confidence, vocabulary and events over time, with plots."""

import dagster as dg

from tagging_orchestration.core.quality import DRIFT_BINS
from tagging_orchestration.defs.automation import after_upstream
from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import new_figure, plot
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.tags import content_tags
from tagging_orchestration.settings import get_settings

TOP_TAGS = 15


@dg.asset(
    deps=[content_tags],
    group_name="observability",
    kinds={"python", "postgres", "matplotlib"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    automation_condition=after_upstream(),
    description="Figures of the whole system, appended to `system_metrics`: coverage, tags per content, "
    "vocabulary size and single-use share, events, pending and failed contents.",
)
@retry_only_transient()
def tagging_metrics(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Measure and plot."""
    from tagging_orchestration.storage import quality

    project = tagging.project
    pool = project.pool
    covered = quality.coverage(pool, project.settings.tagger.min_tags)
    vocabulary = quality.vocabulary_figures(pool)
    pending = quality.pending_age(pool)
    events = quality.event_counts(pool)
    values = {
        "contents": covered.contents,
        "coverage": covered.share,
        "assignments": covered.assignments,
        "tags_per_content": covered.assignments / covered.contents if covered.contents else 0.0,
        "tags_active": vocabulary.active,
        "tags_used": vocabulary.used,
        "single_use_share": vocabulary.single_use_share,
        "pending": pending.pending,
        "failed": pending.failed,
        "events": sum(events.values()),
    }
    quality.save_metrics(
        pool, [quality.Metric(name, float(value), {}) for name, value in values.items()], context.run_id
    )
    buckets = quality.coverage_over_time(pool)
    return dg.MaterializeResult(
        metadata={
            **values,
            "events_by_type": events,
            "coverage_and_confidence": plot(_coverage_figure(buckets)),
            "biggest_tags": plot(_biggest_figure(quality.biggest_tags(pool, TOP_TAGS))),
            "vocabulary_growth": plot(_growth_figure(quality.vocabulary_growth(pool))),
            "confidence_distribution": plot(_confidence_figure(quality.confidences(pool, None, None, DRIFT_BINS))),
        }
    )


def _coverage_figure(buckets):
    figure = new_figure()
    axes = figure.add_subplot()
    periods = [bucket.period for bucket in buckets]
    axes.bar(periods, [bucket.contents for bucket in buckets], width=20, color="#c9d6e3", label="contents")
    axes.set_ylabel("contents a month")
    shares = figure.axes[0].twinx()
    shares.plot(periods, [bucket.tagged / bucket.contents for bucket in buckets], "o-", label="coverage")
    shares.plot(periods, [bucket.mean_confidence for bucket in buckets], "s--", label="mean confidence")
    shares.set_ylim(0, 1.05)
    shares.legend(loc="lower left")
    axes.set_title("Coverage and confidence by month of creation")
    figure.autofmt_xdate()
    return figure


def _biggest_figure(tags):
    figure = new_figure(height=4.2)
    axes = figure.add_subplot()
    axes.barh([tag.name for tag in tags][::-1], [tag.contents for tag in tags][::-1], color="#4f81a8")
    axes.set_title("Biggest tags")
    axes.set_xlabel("contents")
    return figure


def _growth_figure(growth):
    figure = new_figure()
    axes = figure.add_subplot()
    axes.step([hour for hour, _ in growth], [size for _, size in growth], where="post")
    axes.set_ylim(bottom=0)
    axes.set_title("Vocabulary growth (tags ever created)")
    figure.autofmt_xdate()
    return figure


def _confidence_figure(histogram):
    figure = new_figure()
    axes = figure.add_subplot()
    width = 1 / len(histogram)
    axes.bar([(index + 0.5) * width for index in range(len(histogram))], histogram, width=width * 0.9)
    axes.set_title("Confidence of machine assignments")
    axes.set_xlabel("confidence")
    axes.set_xlim(0, 1)
    return figure
