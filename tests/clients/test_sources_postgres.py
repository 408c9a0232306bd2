"""Tables and queries of a Postgres database as a source."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime
from typing import cast

import psycopg
import pytest

from tagging_orchestration.clients.sources.factory import open_source
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.models import RejectedRow, RejectionCode, SourceRow
from tagging_orchestration.settings import SourceSettings

TICKETS = """
    CREATE SCHEMA "Help Desk";
    CREATE TABLE "Help Desk".tickets (
        id uuid, subject text, body text, created_at timestamp, updated_at timestamptz, tags text[], extra jsonb,
        price numeric
    );
    INSERT INTO "Help Desk".tickets VALUES
        ('00000000-0000-0000-0000-000000000001', '遲到', 'Where is my parcel?', '2024-01-31 17:30', '2024-02-01Z',
            '{shipping,物流}', '{"a": [1]}', 1.50),
        ('00000000-0000-0000-0000-000000000002', 'x', 'y', 'infinity', NULL, NULL, NULL, 'NaN'),
        (NULL, 'x', 'y', NULL, NULL, NULL, NULL, NULL);
"""


@pytest.fixture
def helpdesk(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a foreign database with tickets, in the variable HELPDESK_URL."""
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(TICKETS)
    monkeypatch.setenv("HELPDESK_URL", empty_database_url)
    return empty_database_url


def source(**settings):
    return open_source(SourceSettings(name="helpdesk", url_env="HELPDESK_URL", **settings))


def test_a_table_is_read(helpdesk):
    rows = list(source(table="Help Desk.tickets", timezone="Asia/Taipei").rows())
    assert rows[0] == SourceRow(
        source="helpdesk",
        external_id="00000000-0000-0000-0000-000000000001",
        title="遲到",
        body="Where is my parcel?",
        row_number=1,
        created_at=datetime(2024, 1, 31, 9, 30, tzinfo=UTC),
        updated_at=datetime(2024, 2, 1, tzinfo=UTC),
        given_tags=("shipping", "物流"),
        metadata={"extra": {"a": [1]}, "price": 1.5},
    )
    bad = [(row.row_number, row.column, row.code) for row in rows if isinstance(row, RejectedRow)]
    assert bad == [(2, "created_at", RejectionCode.BAD_DATE), (3, "id", RejectionCode.MISSING_ID)]
    assert source(table="Help Desk.tickets").location == "$HELPDESK_URL Help Desk.tickets"


def test_a_query_is_read_and_may_be_stopped_half_way(helpdesk):
    many = source(query="SELECT n AS id, 'text ' || n AS text FROM generate_series(1, 100000) AS n;")
    with closing(cast("Generator", many.rows())) as rows:
        assert [next(rows).external_id for _ in range(300)] == [str(number) for number in range(1, 301)]
    assert many.describe().startswith("id <- id (guessed)\nbody <- text (guessed)")
    assert many.fingerprint() is None
    assert list(source(query="SELECT 1 AS id, 'x' AS text WHERE false").rows()) == []


def test_nothing_can_be_written(helpdesk):
    writing = source(query="INSERT INTO \"Help Desk\".tickets (body) VALUES ('x') RETURNING id, body")
    with pytest.raises(SourceError, match="read-only transaction"):
        list(writing.rows())


def test_what_goes_wrong_is_said_without_the_secret(helpdesk, monkeypatch):
    with pytest.raises(SourceError, match=r'\$HELPDESK_URL nothing.*relation "nothing" does not exist'):
        list(source(table="nothing").rows())
    with pytest.raises(SourceError, match=r"no column 'texts'.*Columns found: 'id', 'subject'"):
        list(source(table="Help Desk.tickets", columns={"body": "texts"}).rows())
    monkeypatch.delenv("HELPDESK_URL")
    with pytest.raises(SourceError, match="environment variable HELPDESK_URL is not set"):
        list(source(table="x").rows())
    for address in ("postgresql://ann:s3cr3t@127.0.0.1:1/x", "postgres//ann:s3cr3t@nowhere"):
        monkeypatch.setenv("HELPDESK_URL", address)
        with pytest.raises(SourceError) as error:
            list(source(table="x").rows())
        assert "s3cr3t" not in str(error.value)
