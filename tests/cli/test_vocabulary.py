"""People's hand on the vocabulary."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from tests.cli.conftest import Shop, Tagging, data, returned_id


def active(tagging: Tagging) -> dict[str, int]:
    return {row["name"]: row["usage_count"] for row in data(tagging("vocabulary", "list", "--json"))}


def test_list_shows_use_biggest_first(tagging: Tagging, own_shop: Shop):
    rows = data(tagging("vocabulary", "list", "--json"))
    assert (rows[0]["name"], rows[0]["usage_count"]) == ("kettle", 2)
    assert [row["name"] for row in data(tagging("vocabulary", "list", "--search", "手沖", "--json"))] == [
        "手沖咖啡"
    ]
    shown = tagging("vocabulary", "list", "--limit", "2")
    assert "kettle" in shown.stdout
    assert "3 more" in shown.stderr


def test_merge_and_undo_bring_back_what_was(tagging: Tagging, own_shop: Shop):
    before = active(tagging)
    merged = data(tagging("vocabulary", "merge", "手沖咖啡", "pour over", "--reason", "same thing", "--json"))
    after = active(tagging)
    assert "手沖咖啡" not in after
    assert after["pour over"] == 2
    assert data(tagging("find", "手沖咖啡", "--json"))["tag"]["name"] == "pour over"

    operation = merged["operation_id"]
    assert operation[:8] in tagging("vocabulary", "merges").stdout
    undone = tagging("vocabulary", "undo", operation[:8])
    assert undone.exit_code == 0
    assert active(tagging) == before
    again = tagging("vocabulary", "undo", operation)
    assert again.exit_code == 1
    events = data(tagging("history", "手沖咖啡", "--json"))["events"]
    assert {"created", "merged"} <= {event["event_type"] for event in events}
    assert any(event["reason"] == "same thing" and event["actor"].startswith("user:") for event in events)


def test_undo_of_what_is_no_merge_ends_with_3(tagging: Tagging, own_shop: Shop):
    for operation in ("0123456789", "x", ""):
        assert tagging("vocabulary", "undo", operation).exit_code == 3


def test_a_tag_is_not_merged_into_itself(tagging: Tagging, own_shop: Shop):
    result = tagging("vocabulary", "merge", "kettle", "Kettle")
    assert result.exit_code == 1
    assert "into itself" in result.stderr


def test_candidates_are_accepted_and_refused(tagging: Tagging, own_shop: Shop):
    with own_shop.pool.connection() as connection:
        ids = [
            returned_id(
                connection,
                "INSERT INTO tagging.tag_merge_candidates (source_tag_id, target_tag_id, score, signals)"
                """ VALUES (%s, %s, %s, '{"letters": 0.8, "vectors": 0.9}') RETURNING id""",
                [own_shop.tags[source].id, own_shop.tags[target].id, score],
            )
            for source, target, score in (("手沖咖啡", "pour over", 0.9), ("unused", "kettle", 0.8))
        ]
    shown = tagging("vocabulary", "candidates")
    assert "letters 0.80, vectors 0.90" in " ".join(shown.stdout.split())
    assert [pair["id"] for pair in data(tagging("vocabulary", "candidates", "--json"))] == ids
    assert tagging("vocabulary", "accept", str(ids[0])).exit_code == 0
    assert tagging("vocabulary", "refuse", str(ids[1])).exit_code == 0
    assert data(tagging("vocabulary", "candidates", "--json")) == []
    assert tagging("vocabulary", "accept", str(ids[1])).exit_code == 3
    assert set(active(tagging)) == {"kettle", "pour over", "late delivery", "unused"}


def test_structure_is_proposed_and_decided(tagging: Tagging, own_shop: Shop):
    assert tagging("vocabulary", "add", "delivery").exit_code == 0
    assert data(tagging("vocabulary", "structure", "look", "--json")) == {"new": 1}
    assert "late delivery below delivery" in tagging("vocabulary", "structure", "list").stdout
    (proposal,) = data(tagging("vocabulary", "structure", "list", "--json"))
    number = str(proposal["id"])
    assert tagging("vocabulary", "structure", "accept", number, "--reason", "is one").exit_code == 0
    assert tagging("vocabulary", "structure", "accept", number).exit_code == 3
    assert tagging("vocabulary", "structure", "undo", number).exit_code == 0
    assert "no new proposal" in tagging("vocabulary", "structure", "look").stderr
    assert tagging("vocabulary", "structure", "refuse", number).exit_code == 3


def test_cluster_answers_every_line_without_a_database(tagging: Tagging, folder: Path):
    rows = [{"tag": tag, "domain": "shop"} for tag in ("wi-fi", "陶藝", "wifi", "Wi-Fi", "資料庫", "數據庫")]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "in.jsonl").write_text("\n".join([*lines[:3], "", *lines[3:]]) + "\n", encoding="utf-8")
    result = tagging("vocabulary", "cluster", "in.jsonl", "out.jsonl")
    assert result.exit_code == 0
    placed = [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["tag"] for row in placed] == [row["tag"] for row in rows]
    cluster = [row["cluster"] for row in placed]
    assert cluster[0] == cluster[2] == cluster[3] != cluster[1]
    assert cluster[4] == cluster[5]
    assert [row["automatic"] for row in placed] == [True, False, True, True, True, True]
    assert all(set(row) == {"tag", "cluster", "probability", "automatic"} for row in placed)
    assert not (folder / "state").exists()


def test_cluster_names_the_lines_it_cannot_read(tagging: Tagging, folder: Path):
    (folder / "in.jsonl").write_text('{"tag": "a"}\nnonsense\n{"tag": " "}\n[1]\n{"tag": "b", "domain": 3}\n')
    result = tagging("vocabulary", "cluster", "in.jsonl", "out.jsonl")
    assert result.exit_code == 1
    for number in (2, 3, 4, 5):
        assert f"line {number}:" in result.stderr
    assert not (folder / "out.jsonl").exists()
    (folder / "latin.jsonl").write_bytes(b'{"tag": "caf\xe9"}')
    assert "UTF-8" in tagging("vocabulary", "cluster", "latin.jsonl", "out.jsonl").stderr


def test_add_rename_alias_block_retire_and_activate(tagging: Tagging, own_shop: Shop):
    assert tagging("vocabulary", "add", "濾杯", "--description", "holds the filter paper").exit_code == 0
    assert tagging("vocabulary", "add", "濾杯").exit_code == 1
    assert tagging("vocabulary", "rename", "unused", "dripper").exit_code == 0
    assert tagging("vocabulary", "alias", "dripper", "cone").exit_code == 0
    assert {data(tagging("find", name, "--json"))["tag"]["name"] for name in ("unused", "cone")} == {"dripper"}
    assert tagging("vocabulary", "block", "kettle").exit_code == 0
    assert tagging("vocabulary", "retire", "late delivery").exit_code == 0
    assert set(active(tagging)) == {"濾杯", "dripper", "pour over", "手沖咖啡"}
    assert data(tagging("tags", "sample:ticket:7", "--json"))["tags"] == []
    assert tagging("vocabulary", "activate", "kettle").exit_code == 0
    assert "kettle" in active(tagging)
    assert tagging("vocabulary", "rename", "nothing", "x").exit_code == 3


def test_export_edit_and_import(tagging: Tagging, own_shop: Shop, project: Path):
    assert tagging("vocabulary", "export", "tags.csv").exit_code == 0
    rows = list(csv.DictReader((project / "tags.csv").open(encoding="utf-8")))
    assert {row["name"] for row in rows} == set(own_shop.tags)
    assert tagging("vocabulary", "export").stdout == (project / "tags.csv").read_text(encoding="utf-8")

    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerows([["name", "description", "aliases"], ["kettle", "boils water", "水壺"], ["磨豆機", "", ""]])
    (project / "edited.csv").write_text(table.getvalue(), encoding="utf-8")
    dry = tagging("vocabulary", "import", "edited.csv", "--dry-run")
    assert "2 tags would change" in dry.stderr
    assert "磨豆機" not in active(tagging)
    assert tagging("vocabulary", "import", "edited.csv").exit_code == 0
    assert "磨豆機" in active(tagging)
    assert data(tagging("find", "水壺", "--json"))["tag"]["name"] == "kettle"
    assert "nothing to change" in tagging("vocabulary", "import", "edited.csv").stderr


def test_a_wrong_table_changes_nothing_and_names_rows_and_columns(tagging: Tagging, own_shop: Shop, project: Path):
    (project / "wrong.csv").write_text("name,status\n磨豆機,active\nkettle,gone\n", encoding="utf-8")
    for extra in ([], ["--dry-run"]):
        result = tagging("vocabulary", "import", "wrong.csv", *extra)
        assert result.exit_code == 1
        assert "row 3, status" in result.stderr
    assert "磨豆機" not in active(tagging)
    (project / "latin.csv").write_bytes("name\ncaf\xe9\n".encode("latin-1"))
    assert "UTF-8" in tagging("vocabulary", "import", "latin.csv").stderr
