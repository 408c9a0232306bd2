"""Dates people type, and help for wrong names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from tagging_orchestration.commands.options import Moment, did_you_mean, one_of
from tagging_orchestration.core.errors import UnknownName

LAST = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "first", "after"),
    [
        ("2026", datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12", datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("2024-02", datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        (" 2024-02-29 ", datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_date_means_all_of_it(text, first, after):
    assert Moment().convert(text, None, None) == first
    assert Moment(last=True).convert(text, None, None) == after - LAST


def test_a_time_means_itself_in_its_own_time_zone():
    taipei = timezone(timedelta(hours=8))
    for kind in (Moment(), Moment(last=True)):
        assert kind.convert("2026-03-31T18:30:00+08:00", None, None) == datetime(
            2026, 3, 31, 18, 30, tzinfo=taipei
        )
        assert kind.convert("2026-03-31T18:30", None, None) == datetime(2026, 3, 31, 18, 30, tzinfo=UTC)
        assert kind.convert("2026-03-31T18:30:05Z", None, None) == datetime(2026, 3, 31, 18, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13", "2026-02-30", "31.03.2026", "0000", "二〇二六年"])
def test_what_is_no_date_is_a_usage_error_with_examples(text):
    with pytest.raises(click.BadParameter, match="write 2026-03-31"):
        Moment().convert(text, None, None)


def test_near_names_are_offered():
    assert did_you_mean("grinders", ["grinder", "kettle", "手沖壺"]) == "; did you mean grinder?"
    assert did_you_mean("手沖", ["grinder", "手沖壺"]) == "; did you mean 手沖壺?"
    assert did_you_mean("zzz", ["grinder"]) == ""


def test_one_of_names_what_there_is():
    assert one_of("tickets", ["tickets", "sample"], "source") == "tickets"
    with pytest.raises(UnknownName, match="no source named ticket; did you mean tickets"):
        one_of("ticket", ["tickets", "sample"], "source")
    with pytest.raises(UnknownName, match="there are: tickets, sample"):
        one_of("xyz", ["tickets", "sample"], "source")
