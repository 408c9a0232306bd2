"""Loading sources into `contents`: what is written, what is left alone, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.clients.sources.factory import open_source
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.models import ChangeContext, LoadReport, RejectedRow, RejectionCode, SourceRow
from tagging_orchestration.settings import SourceSettings
from tagging_orchestration.storage.source_loads import (
    latest_loads,
    load_source,
    purge_rejections,
    rejection_reasons,
    rejections,
)

CONTEXT = ChangeContext("asset:raw_content", "load of source shop", run_id="run-1")
JANUARY = datetime(2024, 1, 31, 9, 30, tzinfo=UTC)


@dataclass(frozen=True)
class ScriptedSource:
    """A RowSource that yields what it is told; an exception among the rows is raised."""

    content: tuple[SourceRow | RejectedRow | Exception, ...]
    name: str = "shop"
    location: str = "shop.csv"
    organization_id: str = "default"
    full_snapshot: bool = True
    digest: str | None = None

    def describe(self) -> str:
        return "scripted"

    def fingerprint(self) -> str | None:
        return self.digest

    def rows(self) -> Iterator[SourceRow | RejectedRow]:
        for row in self.content:
            if isinstance(row, Exception):
                raise row
            yield row


def good(external_id: str, body: str = "包裹遲到", number: int = 2, **fields: Any) -> SourceRow:
    return SourceRow(
        "shop",
        external_id,
        fields.pop("title", ""),
        body,
        number,
        created_at=fields.pop("created_at", JANUARY),
        **fields,
    )


def bad(external_id: str | None, number: int = 3) -> RejectedRow:
    return RejectedRow(
        "shop", "shop.csv", number, "when", RejectionCode.BAD_DATE, f"row {number}: bad", external_id, "x"
    )


def load(pool: ConnectionPool, *rows: SourceRow | RejectedRow | Exception, **source: Any) -> LoadReport:
    allowed = source.pop("allow_mass_removal", False)
    return load_source(pool, ScriptedSource(rows, **source), context=CONTEXT, allow_mass_removal=allowed)


def counts(report: LoadReport) -> tuple[int, int, int, int, int]:
    return report.inserted, report.updated, report.unchanged, report.tombstoned, report.rejected


def run(pool: ConnectionPool, query: str, *values: Any) -> list[tuple]:
    with pool.connection() as connection:
        cursor = connection.execute(query, values)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def tag_all(pool: ConnectionPool) -> None:
    """Stamp the ledger as a publisher does."""
    run(pool, "UPDATE tagging.content_ledger SET tagged_input_hash = input_hash, tagger_version_id = 1")


def stale(pool: ConnectionPool) -> set[str]:
    return {
        row[0]
        for row in run(
            pool,
            "SELECT external_id FROM tagging.contents AS c JOIN tagging.content_ledger AS l ON l.content_id = c.id"
            " WHERE l.stale",
        )
    }


def versions(pool: ConnectionPool) -> dict[int, str]:
    """Physical version of every row of contents and ledger: it changes when a row is written."""
    return dict(
        run(
            pool,
            "SELECT c.id, c.xmin || ' ' || l.xmin FROM tagging.contents AS c"
            " JOIN tagging.content_ledger AS l ON l.content_id = c.id",
        )
    )


# -------------------------------------------------------------------------------------------------- upsert


def test_every_field_is_stored(pool):
    row = good(
        "7",
        "Where is it?",
        title="遲到",
        content_type="ticket",
        url="https://x.test/7",
        language="zh-Hant",
        updated_at=JANUARY + timedelta(days=1),
        given_tags=("物流", 'a "b", {c}\\'),
        metadata={"stars": 5, "note": "a\tb\\n", "nested": {"k": [1, None]}},
    )
    assert counts(load(pool, row)) == (1, 0, 0, 0, 0)
    texts = "source, external_id, title, body, content_type, url, language"
    assert run(pool, f"SELECT {texts}, given_tags, metadata, created_at, updated_at FROM tagging.contents") == [
        (
            "shop", "7", "遲到", "Where is it?", "ticket", "https://x.test/7", "zh-Hant", ["物流", 'a "b", {c}\\'],
            {"stars": 5, "note": "a\tb\\n", "nested": {"k": [1, None]}}, JANUARY, JANUARY + timedelta(days=1),
        )
    ]  # fmt: skip
    assert stale(pool) == {"7"}


def test_unchanged_rows_cost_nothing(pool):
    rows = [good(str(number), given_tags=("a",), metadata={"n": 1.5}, number=number) for number in range(50)]
    assert counts(load(pool, *rows)) == (50, 0, 0, 0, 0)
    tag_all(pool)
    before = versions(pool)
    assert counts(load(pool, *rows)) == (0, 0, 50, 0, 0)
    assert versions(pool) == before
    changed = [replace(rows[0], body="換貨"), replace(rows[1], url="https://x.test"), *rows[2:], good("new")]
    assert counts(load(pool, *changed)) == (1, 2, 48, 0, 0)
    after = versions(pool)
    assert sum(before[content] != after[content] for content in before) == 2
    assert stale(pool) == {"0", "new"}


def test_dates_the_source_does_not_give_stay(pool):
    load(pool, good("1", updated_at=JANUARY), good("2", created_at=None, updated_at=JANUARY))
    assert run(pool, "SELECT created_at FROM tagging.contents") == [(JANUARY,), (JANUARY,)]
    before = run(pool, "SELECT created_at, updated_at FROM tagging.contents ORDER BY external_id")
    report = load(pool, good("1", created_at=None), good("2", created_at=None))
    assert counts(report) == (0, 0, 2, 0, 0)
    assert run(pool, "SELECT created_at, updated_at FROM tagging.contents ORDER BY external_id") == before
    load(pool, good("1", "new text", created_at=None), good("2", created_at=None))
    assert run(pool, "SELECT created_at, updated_at > now() - interval '1 minute' FROM tagging.contents") == [
        (JANUARY, False),
        (JANUARY, True),
    ]


def test_sources_and_organizations_are_kept_apart(pool):
    load(pool, good("1", "ours"), good("1", "theirs", organization_id="north"))
    load(pool, replace(good("1", "other"), source="desk"), name="desk")
    assert sorted(run(pool, "SELECT source, organization_id, body FROM tagging.contents")) == [
        ("desk", "default", "other"),
        ("shop", "default", "ours"),
        ("shop", "north", "theirs"),
    ]


def test_the_actor_of_a_load_is_known_to_the_events(pool):
    load(pool, good("1"), good("2"))
    run(pool, "INSERT INTO tagging.tags (name, normal_form) VALUES ('物流', '物流')")
    run(
        pool,
        "INSERT INTO tagging.content_tags (content_id, tag_id, confidence, weight, method, origin)"
        " SELECT c.id, t.id, 0.9, 0.9, 'given', 'human' FROM tagging.contents AS c, tagging.tags AS t",
    )
    load(pool, good("1"))
    assert run(pool, "SELECT actor, reason, run_id FROM tagging.tag_events WHERE event_type = 'dissociated'") == [
        ("asset:raw_content", "load of source shop", "run-1")
    ]


# ------------------------------------------------------------------------------------------------ snapshots


def test_rows_gone_become_tombstones_and_come_back_pending(pool):
    load(pool, good("1"), good("2"), good("3"))
    tag_all(pool)
    assert counts(load(pool, good("1"))) == (0, 0, 1, 2, 0)
    assert run(pool, "SELECT external_id FROM tagging.contents WHERE deleted_at IS NULL") == [("1",)]
    assert stale(pool) == set()
    assert counts(load(pool, good("1"), good("2"))) == (0, 1, 1, 0, 0)
    assert stale(pool) == {"2"}
    assert counts(load(pool, good("4"), full_snapshot=False)) == (1, 0, 0, 0, 0)
    assert len(run(pool, "SELECT id FROM tagging.contents WHERE deleted_at IS NULL")) == 3


def test_tombstones_stay_with_the_organizations_the_source_speaks_for(pool):
    load(pool, good("1"), good("2"), good("3", organization_id="north"))
    load(pool, good("9", organization_id="south"), organization_id="south")
    assert counts(load(pool, good("1"))) == (0, 0, 1, 1, 0)
    live = run(
        pool, "SELECT organization_id, external_id FROM tagging.contents WHERE deleted_at IS NULL ORDER BY 1, 2"
    )
    assert live == [("default", "1"), ("north", "3"), ("south", "9")]


def test_a_snapshot_that_takes_most_away_is_refused(pool):
    rows = [good(str(number), number=number) for number in range(20)]
    load(pool, *rows)
    before = versions(pool)
    with pytest.raises(SourceError, match=r"shop.csv: 11 of the 20 contents of source shop.*--allow-mass-removal"):
        load(pool, *rows[:9], good("new"))
    assert versions(pool) == before
    assert counts(load(pool, *rows[:10])) == (0, 0, 10, 10, 0)
    assert counts(load(pool, good("new"), allow_mass_removal=True)) == (1, 0, 0, 10, 0)


def test_a_snapshot_of_nothing_is_refused(pool):
    load(pool, good("1"))
    with pytest.raises(SourceError, match="1 of the 1 contents"):
        load(pool)
    assert counts(load(pool, allow_mass_removal=True)) == (0, 0, 0, 1, 0)


def test_a_failed_read_writes_nothing_but_its_record(pool):
    load(pool, good("1"), good("2"))
    before = versions(pool)
    with pytest.raises(SourceError, match="the disk is on fire"):
        load(pool, good("1", "changed"), bad("2"), SourceError("the disk is on fire"))
    assert versions(pool) == before
    assert run(pool, "SELECT id FROM tagging.rejected_rows") == []
    (latest,) = latest_loads(pool)
    assert (latest.status, latest.error, latest.rejected) == ("failed", "the disk is on fire", 0)


# ------------------------------------------------------------------------------------------------- rejected


def test_bad_rows_are_kept_with_their_reason_and_keep_their_content(pool):
    load(pool, good("1"), good("2"), good("3"))
    report = load(pool, good("1"), bad("2"))
    assert counts(report) == (0, 0, 1, 1, 1)
    assert run(pool, "SELECT external_id FROM tagging.contents WHERE deleted_at IS NOT NULL") == [("3",)]
    assert report.load_id is not None
    assert rejections(pool, report.load_id) == [bad("2")]
    (reason,) = rejection_reasons(pool)
    assert (reason.source, reason.code, reason.rows, reason.example) == ("shop", "bad_date", 1, "row 3: bad")


def test_rows_nobody_can_name_withhold_tombstones(pool):
    load(pool, good("1"), good("2"))
    report = load(pool, good("1", "changed"), bad(None))
    assert counts(report) == (0, 1, 0, 0, 1)
    assert report.withheld == 1
    assert run(pool, "SELECT id FROM tagging.contents WHERE deleted_at IS NOT NULL") == []


def test_a_doubled_id_is_rejected_but_the_first_row_goes_in(pool):
    report = load(
        pool,
        good("1", "first", number=2),
        good("1", "second", number=3),
        good("1", "north's own", number=4, organization_id="north"),
        good("1", "third", number=5),
    )
    assert counts(report) == (2, 0, 0, 0, 2)
    assert report.rows_read == 4
    assert sorted(run(pool, "SELECT body FROM tagging.contents")) == [("first",), ("north's own",)]
    assert report.load_id is not None
    assert [
        (row.row_number, row.code, row.column, row.external_id, row.message)
        for row in rejections(pool, report.load_id)
    ] == [
        (3, "duplicate_id", "id", "1", "shop.csv, row 3, column 'id': the id '1' was given in row 2 already"),
        (5, "duplicate_id", "id", "1", "shop.csv, row 5, column 'id': the id '1' was given in row 2 already"),
    ]


def test_rejected_rows_are_purged_by_age(pool):
    load(pool, bad("1"), bad("2", 4))
    run(pool, "UPDATE tagging.rejected_rows SET rejected_at = now() - interval '91 days' WHERE row_number = 4")
    assert purge_rejections(pool, timedelta(days=90)) == 1
    assert purge_rejections(pool, timedelta(days=90)) == 0
    (latest,) = latest_loads(pool)
    assert latest.rejected == 2


# ---------------------------------------------------------------------------------------------- fingerprints


def test_a_source_that_did_not_change_is_not_read(pool):
    unread = SourceError("was read")
    first = load(pool, good("1"), digest="a")
    assert load(pool, unread, digest="a") == LoadReport("shop", skipped_unchanged_file=True)
    assert [found.id for found in latest_loads(pool)] == [first.load_id]
    with pytest.raises(SourceError, match="was read"):
        load(pool, unread, digest="b")
    # A load that failed says nothing about the file.
    assert counts(load(pool, good("1"), digest="a")) == (0, 0, 1, 0, 0)
    run(pool, "DELETE FROM tagging.contents")
    assert counts(load(pool, good("1"), digest="a")) == (1, 0, 0, 0, 0)


# ----------------------------------------------------------------------------------------------- real files


def test_a_file_goes_the_whole_way(pool, tmp_path: Path):
    path = tmp_path / "tickets.jsonl"
    rows: list[dict[str, Any]] = [
        {"id": number, "text": f"包裹 {number} 遲到", "created_at": "2024-01-31", "tags": ["物流"]}
        for number in range(2_500)
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    lines[7] = '{"id": 7, "text": "nul \\u0000"}'
    lines[8] = "not json"
    lines.append(lines[0])
    told: list[int] = []

    def load_file() -> LoadReport:
        path.write_text("\n".join(lines), encoding="utf-8")
        source = open_source(SourceSettings(name="tickets", path=path))
        return load_source(pool, source, context=CONTEXT, progress=lambda done, total: told.append(done))

    assert counts(load_file()) == (2_498, 0, 0, 0, 3)
    assert told == [1_000, 2_000]
    assert load_file().skipped_unchanged_file
    lines[8] = json.dumps({"id": 8, "text": "mended"})
    del lines[100]
    report = load_file()
    assert counts(report) == (1, 0, 2_497, 1, 2)
    assert report.load_id is not None
    assert [(row.row_number, row.code, row.column) for row in rejections(pool, report.load_id)] == [
        (8, RejectionCode.NUL_BYTE, "text"),
        (2_500, RejectionCode.DUPLICATE_ID, "id"),
    ]
    assert str(path) in rejections(pool, report.load_id)[0].message
