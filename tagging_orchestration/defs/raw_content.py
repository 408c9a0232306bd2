"""`raw_content`: the sources, loaded into `contents`."""

from pathlib import Path

import dagster as dg

from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import table
from tagging_orchestration.defs.progress import step_progress
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.settings import SourceSettings, get_settings


class LoadConfig(dg.Config):
    """Which sources to load. With no `input`, those of tagging.yaml (or the named ones of them)."""

    input: str | None = None
    sources: list[str] | None = None
    allow_mass_removal: bool = False


def sources_to_load(config: LoadConfig) -> list[SourceSettings]:
    """The sources this load is about. Raises SourceError for a name tagging.yaml does not have."""
    from tagging_orchestration.clients.sources.factory import guess_sources

    if config.input:
        return guess_sources(Path(config.input))
    declared = {source.name: source for source in get_settings().sources}
    unknown = sorted(set(config.sources or []) - set(declared))
    if unknown:
        raise SourceError(f"no source named {', '.join(unknown)} in tagging.yaml; it has {', '.join(declared)}")
    return [source for name, source in declared.items() if config.sources is None or name in config.sources]


@dg.asset(
    group_name="contents",
    kinds={"python", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="Rows of all sources, upserted into `contents` by source and id. Unchanged rows cost nothing; "
    "rows gone from a full snapshot become tombstones; bad rows go to `rejected_rows` with their reason.",
)
@retry_only_transient()
def raw_content(context: dg.AssetExecutionContext, config: LoadConfig, tagging: Tagging) -> dg.MaterializeResult:
    """Load every source in its own transaction."""
    from tagging_orchestration.clients.sources.factory import open_source
    from tagging_orchestration.storage.source_loads import load_source

    project = tagging.project
    reports = [
        load_source(
            project.pool,
            open_source(source),
            context=tagging.context(context, f"load of source {source.name}"),
            allow_mass_removal=config.allow_mass_removal,
            progress=step_progress(context, f"Loading {source.name}"),
        )
        for source in sources_to_load(config)
    ]
    totals = {
        name: sum(getattr(report, name) for report in reports)
        for name in ("rows_read", "inserted", "updated", "unchanged", "tombstoned", "rejected", "withheld")
    }
    return dg.MaterializeResult(
        metadata={
            **totals,
            "sources": table(
                ["source", "read", "inserted", "updated", "unchanged", "tombstoned", "rejected", "file unchanged"],
                [
                    [
                        report.source,
                        report.rows_read,
                        report.inserted,
                        report.updated,
                        report.unchanged,
                        report.tombstoned,
                        report.rejected,
                        "yes" if report.skipped_unchanged_file else "",
                    ]
                    for report in reports
                ],
            ),
        }
    )
