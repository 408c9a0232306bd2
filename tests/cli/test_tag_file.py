"""`tagging tag-file`: texts in, tags out, no database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Tagging

ROWS = [
    {"id": 1, "title": "Kiln repair", "text": "The kiln cracked. Who offers kiln repair for a gas kiln?"},
    {"id": "二", "text": "杯子在運送途中破了，我想退貨退款。客服說退貨運費由我負擔。"},
    {"id": 3, "text": ""},
]


def write(file: Path, rows: list[dict]) -> str:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def read(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_every_text_gets_its_line_in_order(folder: Path, tagging: Tagging) -> None:
    done = tagging("tag-file", write(folder / "in.jsonl", ROWS), "out.jsonl")
    assert done.exit_code == 0, done.output
    out = read(folder / "out.jsonl")
    assert [row["id"] for row in out] == [1, "二", 3]
    assert any("kiln" in tag.lower() for tag in out[0]["tags"])
    assert any("退貨" in tag for tag in out[1]["tags"])
    assert out[2]["tags"] == []
    for row in out:
        assert len(row["tags"]) == len(row["confidences"])
        assert row["confidences"] == sorted(row["confidences"], reverse=True)
    assert not (folder / "state" / "postgres").exists()


def test_a_closed_vocabulary_from_a_table(folder: Path, tagging: Tagging) -> None:
    (folder / "v.csv").write_text(
        "name,aliases,status\nReturns,退貨,active\nPottery,kiln,active\nOld,repair,retired\n"
    )
    done = tagging("tag-file", write(folder / "in.jsonl", ROWS), "out.jsonl", "--vocabulary", "v.csv", "--closed")
    assert done.exit_code == 0, done.output
    assert [row["tags"] for row in read(folder / "out.jsonl")] == [["Pottery"], ["Returns"], []]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--closed"], "--train or --vocabulary"),
        (["--train", "in.jsonl"], "line 1: no tags"),
        (["--vocabulary", "in.jsonl"], "cannot be used"),
    ],
)
def test_wrong_input_is_refused_and_nothing_written(
    folder: Path, tagging: Tagging, arguments: list[str], said: str
) -> None:
    refused = tagging("tag-file", write(folder / "in.jsonl", ROWS), "out.jsonl", *arguments)
    assert refused.exit_code != 0
    assert said in refused.output + (refused.stderr or "")
    assert not (folder / "out.jsonl").exists()
