"""The packaged sample: valid, spread over a year, messy where a tagger should help, and nobody's real data."""

import json
import re
from collections import Counter
from datetime import datetime
from importlib.resources import files

import pytest

SAMPLE = files("tagging_orchestration.demo") / "sample_contents.jsonl"
FIELDS = {
    "id": str, "kind": str, "title": str, "text": str, "language": str, "url": str, "created_at": str,
    "updated_at": str, "tags": list, "product_sku": str, "rating": int, "channel": str, "customer_segment": str,
}  # fmt: skip
REQUIRED = {"id", "kind", "title", "text", "created_at", "channel"}
MONTHS = [f"2025-{month}" for month in (11, 12)] + [f"2026-{month:02d}" for month in range(1, 11)]
CHINESE = re.compile(r"[\u4e00-\u9fff]")

INCIDENTS = {
    "late deliveries": ("2025-12-07", "2025-12-23", r"delivery delay|late|tracking number|延遲|物流|十天|淹水"),
    "payment outage": ("2026-03-10", "2026-03-13", r"payment failed|card|payment|付款|信用卡|扣款"),
    "faulty batch": ("2026-06-01", "2026-07-01", r"lid|leak|漏水|H26-0"),
    "price error": ("2026-08-12", "2026-08-16", r"398|price error|typo|標錯價"),
    "viral praise": ("2026-09-05", "2026-09-20", r"video|viral|pour over set|影片|手沖組|濾杯"),
    "support backlog": ("2026-10-26", "2026-11-01", r"no reply|slow reply|slow to answer|回覆|回電|已讀不回"),
}
CONCEPTS = (
    "gooseneck kettle", "pour over", "hand grinder", "burr", "water temperature", "oolong", "cold brew",
    "gift box", "subscription", "refund", "payment failed", "credit card", "delivery delay", "tracking number",
    "packaging", "customs", "warranty", "lid leak", "brewing guide", "loyalty points", "手沖壺", "磨豆機",
    "水溫", "烏龍茶", "冷萃", "禮盒", "訂閱", "退款", "付款失敗", "信用卡", "延遲出貨", "物流", "包裝", "保固",
    "漏水", "沖煮教學", "會員點數",
)  # fmt: skip
MESSY_TAGS = [
    {"shipping", "Shipping", "delivery", "deliveries", "late-delivery", "late delivery"},
    {"refund", "refunds", "Refund", "refnud"},
    {"e-mail", "email"},
    {"coffee grinder", "coffee grinders", "hand grinder"},
    {"運費", "運送", "运费"},
    {"退款", "退費"},
    {"发货", "發貨"},
    {"lantern club", "燈籠俱樂部", "black friday 2024"},
    {"kettel", "subscripton", "warrenty"},
    {"gift box", "gift boxes", "禮盒"},
    {"misc", "todo", "其他"},
]


@pytest.fixture(scope="module")
def items() -> list[dict]:
    """One object a line; json raises on a broken one."""
    return [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]


def whole_text(item: dict) -> str:
    return f"{item['title']}\n{item['text']}"


def test_every_line_has_the_fields_it_should(items: list[dict]) -> None:
    for item in items:
        assert set(item) >= REQUIRED, item["id"]
        assert set(item) <= set(FIELDS), item["id"]
        for name, value in item.items():
            assert isinstance(value, FIELDS[name]), (item["id"], name)
            assert value, (item["id"], name)
            assert not isinstance(value, str) or value == value.strip(), (item["id"], name)
        assert 1 <= item.get("rating", 1) <= 5
        assert ("rating" in item) == (item["kind"] == "review"), item["id"]
        assert all(isinstance(tag, str) and tag.strip() for tag in item.get("tags", [])), item["id"]


def test_size_kinds_and_unique_ids(items: list[dict]) -> None:
    assert 180 <= len(items) <= 250
    assert len({item["id"] for item in items}) == len(items)
    kinds = Counter(item["kind"] for item in items)
    assert set(kinds) == {"ticket", "review", "article", "product"}
    assert min(kinds.values()) >= 15


def test_english_and_traditional_chinese_with_some_languages_unstated(items: list[dict]) -> None:
    assert {item.get("language") for item in items} == {"en", "zh-Hant", "zh-Hans", None}
    chinese = sum(bool(CHINESE.search(whole_text(item))) for item in items)
    assert 0.35 <= chinese / len(items) <= 0.48
    assert 0.05 <= sum("language" not in item for item in items) / len(items) <= 0.2
    for item in items:
        if item.get("language") == "en":
            assert not CHINESE.search(whole_text(item)), item["id"]


def test_dates_cover_twelve_months_in_order(items: list[dict]) -> None:
    created = [datetime.fromisoformat(item["created_at"]) for item in items]
    assert all(moment.tzinfo is not None for moment in created)
    assert created == sorted(created)
    assert [*dict.fromkeys(item["created_at"][:7] for item in items)] == MONTHS
    assert min(Counter(item["created_at"][:7] for item in items).values()) >= 10
    for item in items:
        if "updated_at" in item:
            updated = datetime.fromisoformat(item["updated_at"])
            assert updated > datetime.fromisoformat(item["created_at"]), item["id"]


def test_about_a_third_carries_given_tags_messy_enough_to_need_care(items: list[dict]) -> None:
    tagged = [item for item in items if "tags" in item]
    assert 0.3 <= len(tagged) / len(items) <= 0.4
    given = {tag for item in tagged for tag in item["tags"]}
    for group in MESSY_TAGS:
        assert group <= given, group - given


@pytest.mark.parametrize("incident", INCIDENTS)
def test_an_incident_fills_its_window(items: list[dict], incident: str) -> None:
    start, end, words = INCIDENTS[incident]
    told = re.compile(words, re.IGNORECASE)
    about = [item for item in items if told.search(whole_text(item))]
    inside = [item for item in about if start <= item["created_at"][:10] < end]
    assert len(inside) >= 8
    assert any(CHINESE.search(whole_text(item)) for item in inside)
    assert any(item["kind"] == "article" for item in inside)
    # The window stands out: many times as many a day as in the rest of the year.
    days = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).days
    assert len(inside) / days >= 4 * (len(about) - len(inside)) / (365 - days)


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_concept_recurs_often_enough_to_become_a_tag(items: list[dict], concept: str) -> None:
    assert sum(concept in whole_text(item).lower() for item in items) >= 5


def test_lengths_vary_from_one_sentence_to_a_page(items: list[dict]) -> None:
    words = [len(item["text"].split()) for item in items if item.get("language") == "en"]
    assert min(words) < 15
    assert 110 <= max(words) <= 180


def test_near_duplicates_and_one_exact_duplicate(items: list[dict]) -> None:
    texts = Counter((item["title"], item["text"]) for item in items)
    assert sorted(texts.values())[-2:] == [1, 2]
    titles = Counter(item["title"].rstrip("!！") for item in items)
    assert sum(count == 2 for count in titles.values()) >= 3


def test_one_text_carries_html(items: list[dict]) -> None:
    assert sum("<p>" in item["text"] and "&nbsp;" in item["text"] for item in items) == 1


def test_personal_data_is_fictional_and_never_a_tag(items: list[dict]) -> None:
    texts = [f"{whole_text(item)} {item.get('url', '')}" for item in items]
    addresses = {address for text in texts for address in re.findall(r"[\w.+-]+@[\w.-]+\w", text)}
    phones = {phone for text in texts for phone in re.findall(r"(?:\+886|\b0)[-\d ]{8,}\d", text)}
    assert len(addresses) == len(phones) == 2
    assert all(address.endswith("@example.com") for address in addresses)
    assert all(phone.startswith("0900-000-") for phone in phones)
    hosts = {host for text in texts for host in re.findall(r"https?://([^/\s]+)", text)}
    assert hosts == {"lantern-and-leaf.example"}
    given = {tag for item in items for tag in item.get("tags", [])}
    assert not any("@" in tag or re.search(r"\d{3}-\d{3}", tag) for tag in given)
