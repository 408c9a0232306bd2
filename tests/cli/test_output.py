"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from rich.cells import cell_len

from tagging_orchestration.commands import output
from tagging_orchestration.core.models import Method


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    at: datetime
    method: Method
    parts: tuple[int, ...]


def test_json_holds_domain_rows_with_times_in_utc_and_chinese_as_it_is(capsys: pytest.CaptureFixture[str]):
    at = datetime(2026, 3, 31, 18, 30, tzinfo=timezone(timedelta(hours=8)))
    output.print_json(
        {"row": Row("手沖壺", at, Method.RULE, (1, 2)), "id": UUID(int=5), "path": Path("a/b"), 7: {"x"}}
    )
    said = capsys.readouterr().out
    assert "手沖壺" in said
    assert json.loads(said) == {
        "row": {"name": "手沖壺", "at": "2026-03-31T10:30:00+00:00", "method": "rule", "parts": [1, 2]},
        "id": "00000000-0000-0000-0000-000000000005",
        "path": "a/b",
        "7": ["x"],
    }


def test_numbers_of_numpy_stay_numbers_in_json(capsys: pytest.CaptureFixture[str]):
    output.print_json([np.float32(0.5), np.int64(3)])
    assert json.loads(capsys.readouterr().out) == [0.5, 3]


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 10, "short"),
        ("two\nlines  here", 20, "two lines here"),
        ("abcdefghij", 5, "abcd…"),
        ("細水流也能垂直落下", 8, "細水流…"),
        ("細水流也能垂直落下", 7, "細水流…"),
    ],
)
def test_texts_are_cut_by_the_columns_they_take(text, width, shown):
    assert output.shorten(text, width) == shown
    assert cell_len(output.shorten(text, width)) <= width


def test_cells_cannot_be_markup():
    assert output.plain("[bold]x[/]") == r"\[bold]x\[/]"
    assert output.plain(None) == ""
    assert output.plain(1234567) == "1,234,567"
    assert output.plain(datetime(2026, 3, 31, 1, 2, 3, 4, tzinfo=UTC)) == "2026-03-31 01:02:03"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (42.4, "42 s"), (59.7, "1 min 00 s"), (3700, "1 h 01 min")],
)
def test_durations(seconds, said):
    assert output.duration(seconds) == said


def test_tables_keep_their_columns_with_chinese_cells(capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    view = output.table(None, "tag", "contents", right=["contents"])
    view.add_row("手沖壺", "12")
    view.add_row("kettle", "3")
    output.show(view)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len({cell_len(line.rstrip()) for line in lines[2:]}) == 1
