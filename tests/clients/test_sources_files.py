"""CSV, TSV, JSON Lines and Parquet files: good rows come in, bad ones say what is wrong with them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tagging_orchestration.clients.sources import base, delimited, jsonl
from tagging_orchestration.clients.sources.factory import guess_sources, open_source
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.models import RejectedRow, RejectionCode, SourceRow
from tagging_orchestration.settings import SourceSettings

Rows = tuple[list[SourceRow], list[RejectedRow]]


def read(path: Path, **settings: Any) -> Rows:
    rows = list(open_source(SourceSettings(name="shop", path=path, **settings)).rows())
    return (
        [row for row in rows if isinstance(row, SourceRow)],
        [row for row in rows if isinstance(row, RejectedRow)],
    )


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(*objects: Any) -> str:
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in objects)


@pytest.fixture
def csv_file(tmp_path: Path):
    return lambda content: written(tmp_path / "tickets.csv", content)


@pytest.fixture
def jsonl_file(tmp_path: Path):
    return lambda content: written(tmp_path / "tickets.jsonl", content)


# ------------------------------------------------------------------------------------------------- good rows


def test_every_field_of_a_csv_arrives(csv_file):
    path = csv_file(
        "id,title,text,url,lang,created_at,updated_at,tags,stars,color\r\n"
        '7,Late  parcel ,"Where is it?\r\nStill waiting, ""urgent""",https://x.test/7,en-US,2024-01-31 09:30,'
        "2024-02-01,shipping|late |shipping,2,\r\n"
        "8,包裹遲到,還沒收到貨,,zh_TW,2024/02/01,,物流；延遲,1,red\r\n"
    )
    good, bad = read(path, timezone="Asia/Taipei", content_type="ticket")
    assert bad == []
    assert good[0] == SourceRow(
        source="shop",
        external_id="7",
        title="Late parcel",
        body='Where is it?\nStill waiting, "urgent"',
        row_number=2,
        content_type="ticket",
        url="https://x.test/7",
        language="en",
        created_at=datetime(2024, 1, 31, 1, 30, tzinfo=UTC),
        updated_at=datetime(2024, 1, 31, 16, 0, tzinfo=UTC),
        given_tags=("shipping", "late"),
        metadata={"stars": "2"},
    )
    assert good[1].language == "zh-Hant"
    assert good[1].given_tags == ("物流", "延遲")
    assert good[1].metadata == {"stars": "1", "color": "red"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"\xef\xbb\xbfid,text\n1,\xe9\x81\xb2\xe5\x88\xb0\n"),
        ("a.csv", "id;text\n1;遲到\n"),
        ("a.csv", "id,text\n1,遲到"),
        ("a.csv", "id,text\r1,遲到\r"),
        ("a.csv", "id,text\n\n1,遲到\n\n"),
        ("a.csv", "id,text\n1,遲到,,\n"),
        ("a.csv", "id,text\n1,遲到\n".encode("utf-16")),
        ("a.tsv", "id\ttext\n1\t遲到\n"),
        ("a.csv.gz", gzip.compress("id,text\n1,遲到\n".encode(), mtime=0)),
        ("a.jsonl", lines({"id": 1, "text": "遲到"})),
        ("a.jsonl", '\ufeff{"id": 1, "text": "遲到"}\r\n\r\n'),
        ("a.ndjson.gz", gzip.compress(lines({"id": 1, "text": "遲到"}).encode(), mtime=0)),
    ],
)
def test_byte_order_marks_line_ends_delimiters_and_compression(tmp_path, name, content):
    good, bad = read(written(tmp_path / name, content))
    assert bad == []
    assert [(row.external_id, row.body) for row in good] == [("1", "遲到")]


def test_another_encoding_is_read_when_stated(csv_file):
    good, bad = read(csv_file("id,text\n1,咖啡豆太酸\n".encode("big5")), encoding="big5")
    assert (good[0].body, bad) == ("咖啡豆太酸", [])


def test_tags_of_one_cell(csv_file):
    cells = ['"[""a, b"", ""c""]"', "a;b", '"a, b"', "a、b", "a", "[a|b"]
    path = csv_file("id,text,tags\n" + "".join(f"{n},x,{cell}\n" for n, cell in enumerate(cells)))
    assert [row.given_tags for row in read(path)[0]] == [
        ("a, b", "c"),
        ("a", "b"),
        ("a", "b"),
        ("a", "b"),
        ("a",),
        ("[a", "b"),
    ]
    assert read(path, tag_separator=";")[0][2].given_tags == ("a, b",)


def test_an_organization_column_is_taken_where_stated(csv_file):
    path = csv_file("id,text,team\n1,a,north\n2,b,\n")
    good, _ = read(path, columns={"organization": "team"}, organization_id="main")
    assert [row.organization_id for row in good] == ["north", "main"]


def test_markup_of_bodies_becomes_text(csv_file):
    good, _ = read(csv_file('id,title,text\n1,Q&amp;A,"<p>Too <b>sour</b>!</p><script>x()</script>"\n'))
    assert (good[0].title, good[0].body) == ("Q&A", "Too sour!")


def test_rows_without_id_get_one_that_stays(csv_file):
    path = csv_file("text,stars\ngood,5\nbad,1\n")
    first, _ = read(path)
    again, _ = read(path)
    assert [row.external_id for row in first] == [row.external_id for row in again]
    assert len({row.external_id for row in first}) == 2


def test_jsonl_values_of_all_kinds(jsonl_file):
    path = jsonl_file(
        '{"id": 1, "text": ["one", "two"], "tags": ["早餐", "coffee "], "n": NaN, "nested": {"a": [1, null]}}\n'
        '{"id": 2.0, "text": 12, "rare": true, "tags": null}\n'
    )
    good, bad = read(path)
    assert bad == []
    assert (good[0].body, good[0].given_tags) == ("one\ntwo", ("早餐", "coffee"))
    assert good[0].metadata == {"nested": {"a": [1, None]}}
    assert (good[1].external_id, good[1].body, good[1].metadata) == ("2", "12", {"rare": True})


def test_a_guessed_date_column_that_holds_no_dates_is_metadata(jsonl_file):
    path = jsonl_file(lines({"id": 1, "text": "x", "time": "12:30"}, {"id": 2, "text": "y", "time": "13:00"}))
    good, bad = read(path)
    assert bad == []
    assert good[0].created_at is None
    assert good[0].metadata == {"time": "12:30"}
    assert "created_at" not in open_source(SourceSettings(name="s", path=path)).describe()


def test_metadata_nobody_asked_for_stays_short(jsonl_file):
    path = jsonl_file(lines({"id": 1, "text": "x", "note": "y" * 5_000, "kind": "z"}))
    assert read(path)[0][0].metadata == {"kind": "z"}
    assert len(read(path, columns={"metadata": ["note"]})[0][0].metadata["note"]) == 5_000
    path = jsonl_file(lines({"id": 1, "text": "x", "note": "y" * 50_000}))
    good, bad = read(path, columns={"metadata": ["note"]})
    assert (good, bad[0].code, bad[0].column) == ([], RejectionCode.BAD_VALUE, "note")


def test_parquet_values_of_all_kinds(tmp_path):
    table = pa.table(
        {
            "id": pa.array([10, 11], pa.int64()),
            "text": pa.array(["遲到", None], pa.large_string()),
            "title": pa.array(["a", "b"]).dictionary_encode(),
            "created_at": pa.array([datetime(2024, 1, 31, 9, 30), None], pa.timestamp("ns")),
            "updated_at": pa.array([datetime(2024, 2, 1, tzinfo=UTC), None], pa.timestamp("ms", "UTC")),
            "tags": pa.array([["咖啡", "late"], None]),
            "price": pa.array([Decimal("1.50"), None]),
            "raw": pa.array([b"\x00\xff", None]),
            "score": pa.array([float("nan"), 2.5]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    good, bad = read(tmp_path / "a.parquet", timezone="Asia/Taipei")
    assert bad == []
    assert good[0].created_at == datetime(2024, 1, 31, 1, 30, tzinfo=UTC)
    assert good[0].updated_at == datetime(2024, 2, 1, tzinfo=UTC)
    assert (good[0].external_id, good[0].title, good[0].body) == ("10", "a", "遲到")
    assert (good[0].given_tags, good[0].metadata) == (("咖啡", "late"), {"price": 1.5})
    assert (good[1].title, good[1].body, good[1].metadata) == ("b", "", {"score": 2.5})


def test_parquet_text_stored_as_bytes_or_with_invalid_bytes(tmp_path):
    invalid = pa.array([b"fine", b"caf\xe9 con leche"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"id": [b"1", b"2"], "text": invalid}), tmp_path / "a.parquet")
    good, bad = read(tmp_path / "a.parquet")
    assert [row.external_id for row in good] == ["1"]
    assert [(row.external_id, row.code, row.column) for row in bad] == [
        ("2", RejectionCode.INVALID_ENCODING, "text")
    ]


def test_rows_are_read_as_they_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "SAMPLE_ROWS", 2)
    path = written(tmp_path / "a.jsonl", lines({"id": 1, "text": "a"}, {"id": 2, "text": "b"}) + '{"id": 3,\n')
    rows = open_source(SourceSettings(name="s", path=path)).rows()
    assert [next(rows).external_id, next(rows).external_id] == ["1", "2"]
    assert isinstance(next(rows), RejectedRow)


# -------------------------------------------------------------------------------------------------- bad rows


def test_each_bad_row_names_file_row_and_column_and_stops_no_other(csv_file):
    path = csv_file(
        b"id,text,created_at,tags\n"
        b"1,good,2024-01-31,\n"
        b"2,   ,2024-01-31,\n"
        b"3,bad date,2024-02-30,\n"
        b"4,caf\xe9 au lait,2024-01-31,\n"
        b"5,nul \x00 byte,2024-01-31,\n"
        b"6,too few\n"
        b"7,too many,2024-01-31,,extra\n"
        b",no id,2024-01-31,\n"
        b"9,<p> </p>,2024-01-31,\n"
        b'10,"quote"d,2024-01-31,\n'
        b"11,long tag,2024-01-31," + b"t" * 201 + b"\n"
        b"12,\xe5\xa5\xbd,2024-01-31,\n"
    )
    good, bad = read(path)
    assert [row.external_id for row in good] == ["1", "12"]
    assert [(row.row_number, row.column, row.code, row.external_id) for row in bad] == [
        (3, "text", RejectionCode.EMPTY_TEXT, "2"),
        (4, "created_at", RejectionCode.BAD_DATE, "3"),
        (5, "text", RejectionCode.INVALID_ENCODING, "4"),
        (6, "text", RejectionCode.NUL_BYTE, "5"),
        (7, None, RejectionCode.MALFORMED, None),
        (8, None, RejectionCode.MALFORMED, None),
        (9, "id", RejectionCode.MISSING_ID, None),
        (10, "text", RejectionCode.EMPTY_TEXT, "9"),
        (11, None, RejectionCode.MALFORMED, None),
        (12, "tags", RejectionCode.BAD_TAGS, "11"),
    ]
    for row in bad:
        assert row.source == "shop"
        assert row.location == str(path)
        assert row.message.startswith(f"{path}, row {row.row_number}")
        assert "\x00" not in row.message + (row.excerpt or "")
        (row.message + (row.excerpt or "")).encode()
        assert len(row.excerpt or "") <= 200
    assert bad[1].message == (
        f"{path}, row 4, column 'created_at': '2024-02-30' is not a date: use ISO 8601 (2024-01-31T09:30:00Z) or "
        "set date_format"
    )
    assert bad[2].message.startswith(f"{path}, row 5, column 'text': character 4 is not valid utf-8")
    assert "2 fields where the header has 4 (line 7 of the file)" in bad[4].message


def test_an_encoding_is_suggested(csv_file):
    text = "咖啡豆太酸了，我想要退貨，請問要怎麼辦理退款？" * 3
    _, bad = read(csv_file(f"id,text\n1,{text}\n".encode("big5")))
    assert bad[0].code == RejectionCode.INVALID_ENCODING
    assert "set encoding: big5" in bad[0].message


def test_a_text_that_is_too_long_is_refused_and_not_kept(tmp_path):
    path = written(tmp_path / "a.jsonl", lines({"id": 1, "text": "長" * 17_000_000}, {"id": 2, "text": "short"}))
    good, bad = read(path)
    assert [row.external_id for row in good] == ["2"]
    assert bad[0].code == RejectionCode.TEXT_TOO_LONG
    assert "51,000,000 bytes, 1,000,000 are allowed (max_text_bytes" in bad[0].message
    assert len(bad[0].excerpt or "") == 200
    csv_path = written(tmp_path / "a.csv", "id,text\n1," + "x" * 50_000_000 + "\n2,short\n")
    good, bad = read(csv_path)
    assert ([row.external_id for row in good], bad[0].code) == (["2"], RejectionCode.TEXT_TOO_LONG)


def test_the_limit_counts_bytes(jsonl_file):
    path = jsonl_file(lines({"id": 1, "text": "長" * 4}, {"id": 2, "text": "長" * 3 + "ab"}))
    good, bad = read(path, max_text_bytes=11)
    assert [row.external_id for row in good] == ["2"]
    assert [row.external_id for row in bad] == ["1"]


def test_a_quote_that_is_never_closed_refuses_its_row_only(csv_file):
    good, bad = read(csv_file('id,text\n1,a\n2,"b\n3,c\n'))
    assert [row.external_id for row in good] == ["1"]
    assert [(row.row_number, row.external_id) for row in bad] == [(3, None)]
    assert "a quote is never closed; everything from line 3 to the end" in bad[0].message


def test_a_field_without_end_stops_the_reading(csv_file, monkeypatch):
    monkeypatch.setattr(delimited, "MAX_RECORD_CHARACTERS", 1_000)
    with pytest.raises(SourceError, match="row 3: from line 3 on a field is longer than 1,000 characters"):
        read(csv_file('id,text\n1,a\n2,"' + "b\n" * 1_000))


def test_a_json_line_without_end_is_skipped(jsonl_file, monkeypatch):
    monkeypatch.setattr(jsonl, "MAX_RECORD_CHARACTERS", 100)
    good, bad = read(jsonl_file(lines({"id": 1, "text": "x" * 1_000}, {"id": 2, "text": "ok"})))
    assert [row.external_id for row in good] == ["2"]
    assert [(row.row_number, row.code) for row in bad] == [(1, RejectionCode.MALFORMED)]


def test_lines_that_are_no_objects(jsonl_file):
    path = jsonl_file(
        '{"id": 1, "text": "ok"}\n[1, 2]\n"text"\n{"id": 2,\n'
        + '{"a": '
        + "[" * 100_000
        + "\n"
        + '{"id": 3, "text": "half \\ud83d"}\n{"id": 4, "text": "nul \\u0000"}\n{"id": 5, "text": {"a": 1}}\n'
        + '{"id": 6, "text": "x", "tags": {"a": 1}}\n{"id": 7, "text": "x", "tags": [["a"]]}\n'
        + '{"id": 8, "text": "x", "meta": {"k": ["\\u0000"]}}\n{"text": "no id"}\n'
        + lines({"id": "i" * 1_001, "text": "x"})
    )
    good, bad = read(path)
    assert [row.external_id for row in good] == ["1"]
    assert [(row.row_number, row.column, row.code) for row in bad] == [
        (2, None, RejectionCode.MALFORMED),
        (3, None, RejectionCode.MALFORMED),
        (4, None, RejectionCode.MALFORMED),
        (5, None, RejectionCode.MALFORMED),
        (6, "text", RejectionCode.INVALID_ENCODING),
        (7, "text", RejectionCode.NUL_BYTE),
        (8, "text", RejectionCode.BAD_VALUE),
        (9, "tags", RejectionCode.BAD_TAGS),
        (10, "tags", RejectionCode.BAD_TAGS),
        (11, "meta", RejectionCode.NUL_BYTE),
        (12, "id", RejectionCode.MISSING_ID),
        (13, "id", RejectionCode.BAD_ID),
    ]
    assert "a JSON object expected, not list" in bad[0].message


# ---------------------------------------------------------------------------------------------- whole files


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "is empty; nothing was changed"),
        ("a.jsonl", b"", "is empty; nothing was changed"),
        ("a.jsonl", b"\n\n", "has no rows; nothing was changed"),
        ("a.csv", b"id,text\n", "has a header but no rows; nothing was changed"),
        ("a.csv", b"id,text\x00\n1,a\n", "is not a text file"),
        ("a.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "no column is known to hold the text"),
        ("a.csv", b"number,when\n1,2\n", "Columns found: 'number', 'when'"),
        ("a.jsonl", b'[{"id": 1, "text": "a"}]', "jq -c '.[]' a.jsonl > a.jsonl"),
        ("a.parquet", b"PAR1 nonsense", "cannot be read as Parquet"),
        ("a.csv.gz", b"\x1f\x8b\x08\x00 nonsense", "the compressed file is damaged"),
        ("a.csv.gz", gzip.compress(b"id,text\n1,a\n" * 9_000, mtime=0)[:-30], "the compressed file is damaged"),
        ("a.csv", b"\xff\xfei\x00d\x00,\x00\x00\xd8", "cannot be decoded"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_an_error(tmp_path, name, content, said):
    path = written(tmp_path / name, content)
    with pytest.raises(SourceError) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert said in str(error.value)


def test_a_missing_file_is_an_error(tmp_path):
    for name in ("a.csv", "a.jsonl", "a.parquet", "a.unknown"):
        with pytest.raises(SourceError, match="no such file or folder"):
            read(tmp_path / name)
    with pytest.raises(SourceError, match="no such file or folder"):
        guess_sources(tmp_path / "nothing")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SourceError, match="is a folder, a file was expected"):
        read(tmp_path / "folder.csv", type="csv")


def test_wrong_columns_encodings_and_time_zones_are_errors(csv_file, jsonl_file):
    path = csv_file("id,text\n1,a\n")
    with pytest.raises(SourceError, match=r"no column 'body' \(columns.body in tagging.yaml\)"):
        read(path, columns={"body": "body"})
    with pytest.raises(SourceError, match="'utf-9' is no text encoding"):
        read(path, encoding="utf-9")
    with pytest.raises(SourceError, match="unknown time zone"):
        read(path, timezone="Mars/Olympus")
    rare = lines({"id": 1, "text": "a"}, {"id": 2, "text": "b", "labels": ["x"]})
    assert read(jsonl_file(rare), columns={"tags": "labels"})[0][1].given_tags == ("x",)
    with pytest.raises(SourceError, match=r"no column 'labls' \(columns.tags in .*\). Did you mean 'labels'"):
        read(jsonl_file(rare), columns={"tags": "labls"})


def test_an_empty_parquet_file_is_an_error(tmp_path):
    pq.write_table(
        pa.table({"id": pa.array([], pa.int64()), "text": pa.array([], pa.string())}), tmp_path / "a.parquet"
    )
    with pytest.raises(SourceError, match="has no rows"):
        read(tmp_path / "a.parquet")


def test_the_fingerprint_follows_bytes_and_settings(csv_file):
    path = csv_file("id,text\n1,a\n")

    def fingerprint(**settings: Any) -> str | None:
        return open_source(SourceSettings(name="s", path=path, **settings)).fingerprint()

    first = fingerprint()
    path.touch()
    assert fingerprint() == first
    assert fingerprint(timezone="Asia/Taipei") != first
    csv_file("id,text\n1,b\n")
    assert fingerprint() != first


# ---------------------------------------------------------------------------------------------------- guess


def test_a_file_is_one_source_with_a_name_of_its_own(tmp_path):
    (tmp_path / "north").mkdir()
    (tmp_path / "south").mkdir()
    names = []
    for folder in ("north", "south"):
        (settings,) = guess_sources(written(tmp_path / folder / "my data.csv", "id,text\n1,a\n"))
        assert settings.type == "csv"
        names.append(settings.name)
    assert len(set(names)) == 2
    assert all(name.startswith("my-data-") for name in names)
    (settings,) = guess_sources(written(tmp_path / "資料.csv.gz", gzip.compress(b"id,text\n1,a\n")))
    assert settings.name.startswith("csv-")


def test_a_folder_is_a_source_for_each_data_file_and_one_for_its_texts(tmp_path):
    written(tmp_path / "b.jsonl", lines({"id": 1, "text": "a"}))
    written(tmp_path / "a.csv", "id,text\n1,a\n")
    written(tmp_path / "picture.png", b"\x89PNG")
    assert [source.type for source in guess_sources(tmp_path)] == ["csv", "jsonl"]
    written(tmp_path / "notes.md", "# Hello\n")
    assert [source.type for source in guess_sources(tmp_path)] == ["csv", "jsonl", "folder"]


def test_nothing_to_read_is_an_error(tmp_path):
    written(tmp_path / "picture.png", b"\x89PNG")
    with pytest.raises(SourceError, match="holds nothing to read"):
        guess_sources(tmp_path)
    with pytest.raises(SourceError, match="the kind of file is not known by its name"):
        guess_sources(tmp_path / "picture.png")
