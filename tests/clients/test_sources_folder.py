"""Folders of texts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tagging_orchestration.clients.sources.factory import guess_sources, open_source
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.models import RejectedRow, RejectionCode, SourceRow
from tagging_orchestration.settings import SourceSettings


def read(path: Path, **settings: Any) -> tuple[dict[str, SourceRow], list[RejectedRow]]:
    rows = list(open_source(SourceSettings(name="notes", path=path, **settings)).rows())
    good = {row.external_id: row for row in rows if isinstance(row, SourceRow)}
    return good, [row for row in rows if isinstance(row, RejectedRow)]


def test_texts_markdown_and_html(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "plain.TXT").write_bytes("\ufeffFirst line\r\n第二行\r\n".encode())
    (tmp_path / "note.md").write_text(
        "---\ntitle: 手沖咖啡\ntags: [咖啡, brewing]\ndate: 2024-01-31\nlang: zh-TW\nstatus: draft\n---\n"
        "# Not the title\n\n水溫九十二度。\n"
    )
    (tmp_path / "sub" / "plain.markdown").write_text("Intro\n\n## Opening hours ##\n\nNine to five.\n")
    (tmp_path / "sub" / "page.html").write_bytes(
        "<html><head><meta charset='big5'><title>退貨</title></head><body><p>七天內</p></body></html>".encode(
            "big5"
        )
    )
    (tmp_path / ".hidden.txt").write_text("secret")
    (tmp_path / "sub" / "data.bin").write_bytes(b"\x00")
    os.utime(tmp_path / "note.md", (1_700_000_000, 1_700_000_000))
    good, bad = read(tmp_path)
    assert bad == []
    assert list(good) == ["note.md", "plain.TXT", "sub/page.html", "sub/plain.markdown"]
    assert good["plain.TXT"].body == "First line\n第二行"
    note = good["note.md"]
    assert (note.title, note.given_tags, note.language) == ("手沖咖啡", ("咖啡", "brewing"), "zh-Hant")
    assert note.created_at == datetime(2024, 1, 31, tzinfo=UTC)
    assert note.updated_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert note.metadata == {"status": "draft"}
    assert note.body.startswith("# Not the title")
    assert good["sub/plain.markdown"].title == "Opening hours"
    assert (good["sub/page.html"].title, good["sub/page.html"].body) == ("退貨", "七天內")


def test_bad_files_stop_no_other(tmp_path):
    (tmp_path / "binary.txt").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00")
    (tmp_path / "big.txt").write_text("x" * 1_000_001)
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 con leche, ma\xf1ana")
    (tmp_path / "date.md").write_text("---\ndate: someday\n---\ntext")
    (tmp_path / "yaml.md").write_text("---\ntitle: [a\n---\ntext")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round.txt").symlink_to(tmp_path / "round.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "good.txt").write_text("fine")
    good, bad = read(tmp_path)
    assert list(good) == ["good.txt"]
    assert {row.external_id: (row.code, row.column) for row in bad} == {
        "big.txt": (RejectionCode.TEXT_TOO_LONG, None),
        "binary.txt": (RejectionCode.NOT_TEXT, None),
        "date.md": (RejectionCode.BAD_DATE, "date"),
        "empty.txt": (RejectionCode.EMPTY_TEXT, None),
        "gone.txt": (RejectionCode.UNREADABLE, None),
        "latin.txt": (RejectionCode.INVALID_ENCODING, None),
        "pipe.txt": (RejectionCode.UNREADABLE, None),
        "round.txt": (RejectionCode.UNREADABLE, None),
        "yaml.md": (RejectionCode.MALFORMED, "front matter"),
    }
    for row in bad:
        assert row.row_number == 0
        assert row.message.startswith(f"{tmp_path / (row.external_id or '')}")


def test_a_name_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "good.txt").write_text("fine")
    with open(os.fsencode(tmp_path) + b"/caf\xe9.txt", "w") as file:
        file.write("text")
    good, bad = read(tmp_path)
    assert list(good) == ["good.txt"]
    assert (bad[0].code, bad[0].external_id) == (RejectionCode.BAD_ID, None)
    assert "caf\\udce9.txt" in bad[0].message


def test_links_are_followed_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.txt").write_text("one")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    good, bad = read(tmp_path)
    assert (list(good), bad) == (["a/one.txt"], [])


def test_composed_and_decomposed_names_are_one_id(tmp_path):
    (tmp_path / "cafe\u0301.txt").write_text("text")
    assert list(read(tmp_path)[0]) == ["caf\u00e9.txt"]


def test_an_unreadable_subfolder_is_reported_and_cannot_be_told_from_lost_texts(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "open.txt").write_text("text")
    scandir = os.scandir

    def refusing(path: Any) -> Iterator[os.DirEntry]:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    good, bad = read(tmp_path)
    assert list(good) == ["open.txt"]
    assert [(row.code, row.external_id) for row in bad] == [(RejectionCode.UNREADABLE, None)]
    assert "closed: the folder cannot be read (Permission denied)" in bad[0].message
    with pytest.raises(SourceError, match=r"cannot be read \(Permission denied\)"):
        read(tmp_path / "closed")
    assert open_source(SourceSettings(name="n", path=tmp_path)).fingerprint() is None


def test_a_folder_without_texts_is_an_error(tmp_path):
    with pytest.raises(SourceError, match=r"holds no .txt"):
        read(tmp_path)
    with pytest.raises(SourceError, match="there is no such file or folder"):
        read(tmp_path / "missing", type="folder")


def test_a_single_text_is_a_source(tmp_path):
    (tmp_path / "one.md").write_text("# Title\n\ntext")
    (tmp_path / "two.md").write_text("other")
    (settings,) = guess_sources(tmp_path / "one.md")
    rows = list(open_source(settings).rows())
    assert [(row.external_id, row.title) for row in rows if isinstance(row, SourceRow)] == [("one.md", "Title")]


def test_the_fingerprint_follows_names_and_bytes_not_times(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    source = open_source(SourceSettings(name="n", path=tmp_path))
    first = source.fingerprint()
    os.utime(tmp_path / "a.txt", (1, 1))
    assert source.fingerprint() == first
    shutil.move(tmp_path / "a.txt", tmp_path / "b.txt")
    assert source.fingerprint() not in (first, None)
    (tmp_path / "b.txt").write_text("other")
    shutil.move(tmp_path / "b.txt", tmp_path / "a.txt")
    assert source.fingerprint() != first
