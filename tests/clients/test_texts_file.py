"""Files of texts: read whole, or refused with every wrong line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagging_orchestration.clients.texts_file import read_texts
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.tagging.corpus_tagger import Text


def write(folder: Path, *lines: str) -> Path:
    file = folder / "in.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_texts_keep_their_ids_and_order(tmp_path: Path) -> None:
    file = write(tmp_path, '{"id": 7, "text": "a kiln"}', "", '{"id": "b", "title": "退貨", "text": "杯子破了"}')
    assert read_texts(file) == [Text(7, "", "a kiln"), Text("b", "退貨", "杯子破了")]


@pytest.mark.parametrize("field", ["tags", "gold", "labels"])
def test_labelled_texts_carry_their_tags(tmp_path: Path, field: str) -> None:
    file = write(tmp_path, f'{{"id": 1, "text": "t", "{field}": ["kiln", "陶藝"]}}')
    assert read_texts(file, labelled=True)[0].tags == ("kiln", "陶藝")


def test_every_wrong_line_is_named(tmp_path: Path) -> None:
    file = write(
        tmp_path, '{"id": 1, "text": "t"}', "[]", '{"text": "t"}', '{"id": 2}', '{"id": 3, "text": "", "title": 4}'
    )
    with pytest.raises(SourceError) as error:
        read_texts(file)
    said = str(error.value)
    for line, fault in ((2, "no JSON object"), (3, 'no "id"'), (4, '"text"'), (5, '"title" is no text')):
        assert f"line {line}: " in said
        assert fault in said
    assert "line 1:" not in said


@pytest.mark.parametrize("tags", ["", ', "tags": "kiln"', ', "tags": ["kiln", 3]', ', "tags": [" "]'])
def test_labelled_texts_need_a_list_of_names(tmp_path: Path, tags: str) -> None:
    with pytest.raises(SourceError, match="line 1"):
        read_texts(write(tmp_path, f'{{"id": 1, "text": "t"{tags}}}'), labelled=True)
