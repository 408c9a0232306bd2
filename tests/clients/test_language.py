"""The real language libraries answer as the tagger needs them to."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tagging_orchestration.clients.language import LibraryLanguageTools
from tagging_orchestration.core.vocabulary.normalise import Normaliser

TOOLS = LibraryLanguageTools()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Can I reuse the silica gel packets from a bag of dried seaweed?", "en"),
        ("GPU prices", "en"),
        ("客服電話一直打不通，等了三天", "zh-Hant"),
        ("客服电话一直打不通，等了三天", "zh-Hans"),
        ("用 PostgreSQL 資料庫做 performance tuning", "zh-Hant"),
        ("東京は大きい都市です", "ja"),
        ("서울은 큰 도시입니다", "ko"),
        ("O produto chegou antes do prazo, muito obrigado pela atenção", "pt"),
        ("Wie geht es dir heute, mein lieber Freund?", "de"),
        ("12345 !!!", "und"),
        ("", "und"),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    assert TOOLS.detect(text) == language


def test_segments_cover_the_text_in_its_own_script() -> None:
    text = "機器學習的資料庫連線逾時 OFDM 调制"
    words = TOOLS.segment(text)
    assert "".join(word for word, _, _ in words) == text
    assert all(text[start:end] == word for word, start, end in words)
    assert "資料庫" in [word for word, _, _ in words]


def test_both_scripts_are_cut_alike() -> None:
    traditional = TOOLS.segment("網路連線與資料庫的備份")
    simplified = TOOLS.segment("网路连线与资料库的备份")
    assert [span for _, *span in traditional] == [span for _, *span in simplified]


@pytest.mark.parametrize(("word", "lemma"), [("mice", "mouse"), ("said", "say"), ("kubernetes", "kubernetes")])
def test_lemmas_are_dictionary_forms(word: str, lemma: str) -> None:
    assert TOOLS.lemma(word, "en") == lemma
    assert TOOLS.lemma(word, "xx") == word


@pytest.mark.parametrize("text", ["乾隆頭髮發展", "臺灣麵包，颱風後復原", "abc 123", "発展"])
def test_folding_keeps_every_place(text: str) -> None:
    assert len(TOOLS.to_simplified(text)) == len(text)


def test_scripts_are_converted_both_ways() -> None:
    assert TOOLS.to_simplified("資料庫軟體") == "资料库软体"
    assert TOOLS.to_traditional("数据库") == "數據庫"


def test_stop_words_of_a_language_without_a_list_are_none() -> None:
    assert "para" in TOOLS.stop_words("pt")
    assert TOOLS.stop_words("xx") == frozenset()


def test_the_normaliser_folds_scripts_with_it() -> None:
    normaliser = Normaliser(TOOLS)
    assert normaliser.normal_form("機器學習") == normaliser.normal_form("机器学习")


def test_nothing_is_loaded_before_its_first_use_nor_written_beside_it(tmp_path) -> None:
    code = (
        "import sys; from tagging_orchestration.clients.language import LibraryLanguageTools as T; t = T(); "
        "heavy = {'jieba', 'opencc', 'simplemma', 'py3langid', 'stop_words'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); t.segment('資料庫')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"TMPDIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_words_of_taiwan_and_the_mainland_and_how_they_sound():
    assert TOOLS.to_mainland("解析度") == TOOLS.to_simplified("分辨率")
    assert TOOLS.to_taiwan("分辨率") == "解析度"
    assert TOOLS.pronunciation("坦尚尼亞") == "tan shang ni ya"
    assert TOOLS.pronunciation("AI 代理") == "AI dai li"
