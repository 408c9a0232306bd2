"""Dates as people and programs write them."""

from datetime import UTC, date, datetime

import pytest

from tagging_orchestration.clients.sources.dates import DateReader
from tagging_orchestration.core.errors import SourceError

MORNING = datetime(2024, 1, 31, 9, 30, tzinfo=UTC)
DAY = datetime(2024, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2024-01-31T09:30:00Z",
        "2024-01-31 09:30",
        "2024-01-31T17:30:00+08:00",
        "2024-01-31 09:30:00+00",
        " 2024/01/31 09:30:00 ",
        "Wed, 31 Jan 2024 09:30:00 GMT",
        "Wed Jan 31 09:30:00 +0000 2024",
        "31 January 2024 9:30 AM",
        "January 31, 2024 09:30",
        "31.01.2024 09:30",
        "2024年1月31日 9時30分",
        "1/31/2024 9:30 AM",
        "1706693400",
        "1706693400000",
        1706693400,
        1706693400.0,
        1706693400000,
        1706693400000000,
        1706693400000000000,
        datetime(2024, 1, 31, 9, 30),
        MORNING,
    ],
)
def test_forms_of_one_instant(written):
    assert DateReader().read(written) == MORNING


@pytest.mark.parametrize(
    "written", ["2024-01-31", "20240131", 20240131, date(2024, 1, 31), "31-Jan-2024", "2024年1月31日"]
)
def test_a_day_is_its_first_instant(written):
    assert DateReader().read(written) == DAY


@pytest.mark.parametrize("missing", [None, "", "  ", float("nan")])
def test_missing_is_missing(missing):
    assert DateReader().read(missing) is None


@pytest.mark.parametrize(
    "written",
    [
        "2024-02-30",
        "2024-13-01",
        "yesterday",
        "昨天",
        "10",
        "Jan 2024",
        "12:30",
        "Friday",
        "99999999",
        12,
        True,
        "infinity",
        "0001-01-01",
        "31 Jan 2024 09:30 XYZ",
        ["2024-01-31"],
    ],
)
def test_what_is_no_date_says_so(written):
    with pytest.raises(ValueError, match=r"not a date|outside|no agreed|expected"):
        DateReader().read(written)


def test_an_ambiguous_order_is_not_guessed():
    with pytest.raises(ValueError, match="set date_format"):
        DateReader().read("03/04/2024")
    with pytest.raises(ValueError, match="set date_format"):
        DateReader().read("25/12/23")


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (["03/04/2024", "25/12/2023"], datetime(2024, 4, 3, tzinfo=UTC)),
        (["03/04/2024", "12/25/2023"], datetime(2024, 3, 4, tzinfo=UTC)),
    ],
)
def test_one_certain_date_tells_the_order_of_all(samples, expected):
    reader = DateReader()
    reader.learn(samples)
    assert reader.read("03/04/2024") == expected


def test_contradictory_samples_leave_the_order_open():
    reader = DateReader()
    reader.learn(["25/12/2023", "12/25/2023"])
    with pytest.raises(ValueError, match="set date_format"):
        reader.read("03/04/2024")


def test_times_without_offset_are_in_the_stated_time_zone():
    assert DateReader(timezone_name="Asia/Taipei").read("2024-01-31 17:30") == MORNING
    assert DateReader(timezone_name="Asia/Taipei").read("2024-01-31T09:30Z") == MORNING


def test_a_stated_format_is_the_only_one():
    reader = DateReader("%d.%m.%y %H:%M")
    assert reader.read("31.01.24 09:30") == MORNING
    with pytest.raises(ValueError, match=r"not of the form '%d.%m.%y %H:%M'"):
        reader.read("2024-01-31")


def test_an_unknown_time_zone_is_refused():
    with pytest.raises(SourceError, match="unknown time zone 'Taipei'"):
        DateReader(timezone_name="Taipei")
