"""Personal data and debris never name a tag; ordinary names do."""

from __future__ import annotations

import pytest

from tagging_orchestration.core.tagging.names import is_personal, mask_debris, mask_filing, may_name_tag


@pytest.mark.parametrize(
    "name",
    [
        "amy.chen@example.com",
        "0912-345-678",
        "+886 912 345 678",
        "(02) 2345-6789",
        "4111 1111 1111 1111",
        "4111111111111111",
        "A123456789",
        "123-45-6789",
        "110101199003072316",
        "call 0912-345-678",
    ],
)
def test_personal_data_is_no_name(name: str) -> None:
    assert is_personal(name)
    assert not may_name_tag(name)


@pytest.mark.parametrize(
    "name",
    [
        "2024",
        "3.5",
        "2024-05-01",
        "12/31/2020",
        "5月12日",
        "https://example.com/x",
        "www.example.com",
        "<br>",
        "&nbsp;",
        "XXXX",
        "XX/XX/2019",
        "ORD-20391823",
        "x",
        "--",
        "",
    ],
)
def test_numbers_dates_and_debris_are_no_names(name: str) -> None:
    assert not may_name_tag(name)


@pytest.mark.parametrize(
    "name",
    [
        "late delivery",
        "Windows 11",
        "iPhone 15",
        "H26-05",
        "C++",
        ".NET",
        "covid-19",
        "陶藝",
        "5G 網路",
        "R&D",
        "mp3",
    ],
)
def test_ordinary_names_may_be_tags(name: str) -> None:
    assert may_name_tag(name)
    assert not is_personal(name)


def test_masking_keeps_every_place() -> None:
    text = "寫信到 amy@example.com 或撥 0912-345-678，訂單 ORD-20391823 <b>退貨</b> XXXX &amp; 陶藝"
    masked = mask_debris(text)
    assert len(masked) == len(text)
    for kept in ("寫信到", "退貨", "陶藝", "訂單"):
        assert masked.index(kept) == text.index(kept)
    for gone in ("amy", "0912", "20391823", "<b>", "XXXX", "amp"):
        assert gone not in masked


@pytest.mark.parametrize(
    ("body", "rest"),
    [
        ("LOS ANGELES (Reuters) - Apple shipped", "Apple shipped"),
        ("AP - A company won", "A company won"),
        ("BAGHDAD, Iraq -- A conference", "A conference"),
        ("A simple - thing", "A simple - thing"),
        ("HP - the printer maker", "HP - the printer maker"),
    ],
)
def test_a_dateline_is_no_subject(body: str, rest: str) -> None:
    assert mask_filing(body, title=False).strip("\x00") == rest


@pytest.mark.parametrize("name", ["n't", "don't", "'s", "it’s", "we'll"])
def test_contractions_name_no_tag(name: str) -> None:
    assert not may_name_tag(name)


@pytest.mark.parametrize("name", ["McDonald's", "rock 'n' roll", "women's health"])
def test_apostrophes_alone_do_no_harm(name: str) -> None:
    assert may_name_tag(name)
