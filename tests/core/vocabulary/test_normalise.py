"""Spellings of one tag meet in one normal form, and different tags stay apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagging_orchestration.core.vocabulary.normalise import MAX_NAME_LENGTH, Normaliser
from tests.fakes.language import FakeLanguageTools

NORMALISER = Normaliser(FakeLanguageTools())


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("Machine Learning", "machine learning"),
        ("#Machine-Learning", "machine learning"),
        ("machine_learning", "machine learning"),
        ("  machine   learning. ", "machine learning"),
        ("ＡＩ", "ai"),
        ("Databases", "database"),
        ("companies", "company"),
        ("women's health", "woman health"),
        ("APIs", "api"),
        ("TCP/IP", "tcp ip"),
        ("U.S.A.", "usa"),
        ("Research & Development", "research and development"),
        ("R&D", "r&d"),
        ("C#/.NET", "c# .net"),
        ("Node.JS", "node.js"),
        ("50%", "50%"),
        ("Straße", "strasse"),
        ("हिन्दी समाचार", "हिन्दी समाचार"),
        ("🎉 party", "🎉 party"),
        ("機器學習", "机器学习"),
        ("机器学习", "机器学习"),
        ("AI 資料庫", "ai资料库"),
        ("陶藝 ・ 電腦", "陶艺电脑"),
    ],
)
def test_normal_form(name: str, form: str) -> None:
    assert NORMALISER.normal_form(name) == form


@pytest.mark.parametrize(
    "names",
    [
        ("C", "C++", "C#"),
        ("net", ".NET", "ASP.NET"),
        ("node", "node.js"),
        ("market", "marketing"),
        ("run", "running"),
        ("medium", "media"),
        ("window", "Windows"),
        ("python 2", "python 3"),
        ("資料", "資料庫"),
        ("café", "cave"),
    ],
)
def test_different_tags_stay_apart(names: tuple[str, ...]) -> None:
    assert len({NORMALISER.normal_form(name) for name in names}) == len(names)


@pytest.mark.parametrize("name", ["", "   ", "#", "!!!", "---", "\u200b", "$"])
def test_nothing_that_could_name_a_tag(name: str) -> None:
    assert NORMALISER.normal_form(name) == ""


def test_scripts_stay_apart_where_not_folded() -> None:
    apart = Normaliser(FakeLanguageTools(), fold_chinese_script=False)
    assert apart.normal_form("機器學習") == "機器學習"
    assert apart.normal_form("机器学习") == "机器学习"


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"[A-Za-z.#+&'%/ 機器學習-]{0,20}", fullmatch=True))
def test_idempotent(name: str) -> None:
    form = NORMALISER.normal_form(name)
    assert NORMALISER.normal_form(form) == form
    assert form == form.strip()
    assert "\x00" not in form


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("  Machine\n Learning ", "Machine Learning"),
        ("#AI 代理", "AI 代理"),
        ("C#", "C#"),
        ("no\x00bytes\u200b", "nobytes"),
        ("機器學習", "機器學習"),
        ("x" * 300, "x" * MAX_NAME_LENGTH),
    ],
)
def test_display_form(name: str, shown: str) -> None:
    assert NORMALISER.display_form(name) == shown
