"""Filling `raw` from where the settings say the facts of the business are: the user's tables, or the demo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tagging_orchestration.core.business.facts import TABLES, FactRow, FactTable, TableLoad
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.settings import Settings

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from tagging_orchestration.demo.shop import Shop
    from tagging_orchestration.storage.business_facts import FactLoad

DEMO = "demo"


def load_business(
    pool: ConnectionPool, settings: Settings, *, run_id: str | None, now: datetime | None = None
) -> list[TableLoad]:
    """Bring the profile of the business and the tables of `raw` up to date; one report a table and source.

    A source that did not change is not read again. Without the demo, facts that the demo left are removed. Raises
    SourceError when sources could not be read or had too many bad rows; all others are loaded by then.
    """
    from tagging_orchestration.storage.business_facts import save_profile

    save_profile(pool, settings.organization_id, settings.business)
    if settings.business.demo:
        return _load_demo(pool, settings, run_id)
    _remove_demo(pool, settings, run_id)
    return _load_sources(pool, settings, run_id, now or datetime.now(UTC))


def sources_changed(pool: ConnectionPool, settings: Settings) -> bool:
    """Whether `load_business` would find anything to do. What only reading can tell, such as a query, counts as
    changed, and so does a source that cannot be read: the load says why."""
    from tagging_orchestration.clients.business_sources.reader import BusinessReader
    from tagging_orchestration.storage.business_facts import is_loaded, profile_differs, was_loaded_from

    if profile_differs(pool, settings.organization_id, settings.business):
        return True
    if settings.business.demo:
        return not all(is_loaded(pool, load) for load in _demo_loads(settings, None))
    if any(was_loaded_from(pool, load) for load in _demo_loads(settings, None)):
        return True
    for source in settings.business.sources:
        try:
            reader = BusinessReader(source, settings.business, datetime.now(UTC))
            load = _load_of(settings, reader.table, reader.location, reader.fingerprint(), None)
        except SourceError:
            return True
        if not is_loaded(pool, load):
            return True
    return False


def _load_sources(pool: ConnectionPool, settings: Settings, run_id: str | None, now: datetime) -> list[TableLoad]:
    from tagging_orchestration.clients.business_sources.reader import BusinessReader
    from tagging_orchestration.storage.business_facts import is_loaded, load_facts

    # What others point to comes first.
    sources = sorted(settings.business.sources, key=lambda source: list(TABLES).index(source.table))
    reports, failures = [], []
    for source in sources:
        try:
            reader = BusinessReader(source, settings.business, now)
            load = _load_of(settings, reader.table, reader.location, reader.fingerprint(), run_id)
            if is_loaded(pool, load):
                reports.append(TableLoad(source.table, reader.location, skipped_unchanged_source=True))
                continue
            report = load_facts(pool, load, reader.rows())
        except SourceError as error:
            failures.append(str(error))
        else:
            taken = ", ".join(f"{ours} ← {theirs}" for ours, theirs in reader.guesses)
            remarks = (*report.remarks, *([f"raw.{source.table}: columns guessed: {taken}"] if taken else []))
            reports.append(replace(report, left_out=reader.left_out, remarks=remarks))
    if failures:
        raise SourceError("\n".join(failures))
    return reports


def load_shop(
    pool: ConnectionPool,
    settings: Settings,
    shop: Shop,
    *,
    location: str,
    fingerprint: str | None = None,
    run_id: str | None,
) -> list[TableLoad]:
    """Load a simulated shop's facts; `location` tells one shop from another."""
    from tagging_orchestration.storage.business_facts import load_facts, save_profile

    save_profile(pool, settings.organization_id, settings.business)
    loads = [_load_of(settings, table, location, fingerprint, run_id) for table in TABLES.values()]
    return [load_facts(pool, load, _shop_rows(shop, load.table)) for load in loads]


def _load_demo(pool: ConnectionPool, settings: Settings, run_id: str | None) -> list[TableLoad]:
    from tagging_orchestration.demo.shop import simulate
    from tagging_orchestration.storage.business_facts import is_loaded

    loads = _demo_loads(settings, run_id)
    if all(is_loaded(pool, load) for load in loads):
        return [TableLoad(name, DEMO, skipped_unchanged_source=True) for name in TABLES]
    return load_shop(pool, settings, simulate(), location=DEMO, fingerprint=loads[0].fingerprint, run_id=run_id)


def _demo_loads(settings: Settings, run_id: str | None) -> list[FactLoad]:
    from tagging_orchestration.demo.shop import DEFAULT_SEED, VERSION

    fingerprint = f"{DEMO} {VERSION}.{DEFAULT_SEED}"
    return [_load_of(settings, table, DEMO, fingerprint, run_id) for table in TABLES.values()]


def _remove_demo(pool: ConnectionPool, settings: Settings, run_id: str | None) -> None:
    """Delete what the demo loaded: a shop that does not exist must not mix with one that does."""
    from tagging_orchestration.demo.shop import simulate
    from tagging_orchestration.storage.business_facts import remove_facts, was_loaded_from

    loads = [load for load in _demo_loads(settings, run_id) if was_loaded_from(pool, load)]
    if loads:
        shop = simulate()
        for load in loads:
            remove_facts(pool, load, _shop_rows(shop, load.table))


def _load_of(
    settings: Settings, table: FactTable, location: str, fingerprint: str | None, run_id: str | None
) -> FactLoad:
    from tagging_orchestration.storage.business_facts import FactLoad

    return FactLoad(
        table=table,
        organization_id=settings.organization_id,
        location=location,
        fingerprint=fingerprint,
        run_id=run_id,
        timezone=settings.business.timezone,
        currency=settings.business.currency,
        max_rejected_share=settings.business.max_rejected_share,
    )


def _shop_rows(shop: Shop, table: FactTable) -> Iterator[FactRow]:
    for number, fact in enumerate(getattr(shop, table.name), start=1):
        yield FactRow(number, fact)
