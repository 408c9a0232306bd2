"""Canned answers keep to any schema, speak the prompt's language and cite what the prompt shows."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagging_orchestration.core.enhancement.forms import FORMS, output_schema
from tagging_orchestration.core.enhancement.models import EvidenceItem, PromptTemplate
from tagging_orchestration.core.enhancement.prompts import render
from tagging_orchestration.dev_llm.replies import canned_answer, canned_vector, language_of, references_in

EVIDENCE = (
    EvidenceItem("tag:12", "尺寸不合 (提升 3.2)"),
    EvidenceItem("context:triggering_metrics.current_value", "目前值 12.5"),
    EvidenceItem("content:a/b-1", "A review: colour differs from the picture, and so does the size of all of it"),
)
RECOMMENDATIONS = [
    {"title": "改善包裝", "impact": "high", "id": "r1"},
    {"title": "Raise stock: winter, 20%", "impact": "low", "id": "r2"},
]
SYSTEMS = {"zh-TW": "你是專業的商業分析師。", "en": "You are a business analyst."}
SCHEMAS = sorted(
    file.name.removesuffix(".json")
    for file in resources.files("tagging_orchestration.core.enhancement").joinpath("schemas").iterdir()
)


def prompt_of(locale: Any) -> str:
    template = PromptTemplate(
        *("recommendation_optimization", locale, "1.0", "x", "optimization"),
        "Data:\n{{ current_recommendations }}\nEvidence:\n{{ evidence }}",
        SYSTEMS[locale],
        *(("current_recommendations",), ("evidence",), 400, 0.3, None, ""),
    )
    return render(template, {"current_recommendations": RECOMMENDATIONS, "evidence": list(EVIDENCE)}).prompt


@pytest.mark.parametrize("locale", ["zh-TW", "en"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_answers_of_the_projects_schemas(name, locale):
    schema = output_schema(name)
    document = json.loads(canned_answer(schema, SYSTEMS[locale], prompt_of(locale)))
    jsonschema.validate(document, schema)
    refs = [cited["ref"] for cited in document.get("evidence", [])]
    assert set(refs) <= {item.ref for item in EVIDENCE}
    if name == "tag_generation.v1":
        return
    assert {"zh-TW": "【範例】", "en": "[canned]"}[locale] in json.dumps(document, ensure_ascii=False)
    assert {cited["claim_index"] for cited in document["evidence"]} == set(range(claims(document, name)))


def claims(document: Any, schema_name: str) -> int:
    """How many claims the form numbers."""
    count = 0
    for path in FORMS[schema_name].claim_paths:
        value = document
        for part in path.split("."):
            value = value[part]
        count += len(value)
    return count


def test_recommendations_keep_their_titles():
    schema = output_schema("recommendation_optimization.v1")
    document = json.loads(canned_answer(schema, SYSTEMS["en"], prompt_of("en")))
    assert [item["title"] for item in document["ordered"]] == [one["title"] for one in RECOMMENDATIONS]


def test_no_number_is_made_up():
    document = canned_answer(output_schema("alert_enhancement.v1"), SYSTEMS["zh-TW"], prompt_of("zh-TW"))
    texts = re.findall(r'"(【範例】[^"]*)"', document)
    assert texts
    numbers = {number for text in texts for number in re.findall(r"\d+(?:\.\d+)?", text)}
    assert numbers <= {"3.2", "12.5"}


def test_tags_are_chosen_from_the_candidates_and_quoted_word_for_word():
    contents = [
        {
            "number": 1,
            "title": "退貨",
            "text": "尺寸不合，退款卻很慢。",
            "tags": ["退款: 退錢", "尺寸", "物流"],
        },
        {"number": 2, "title": "Lamp", "text": "The lamp broke.", "tags": ["furniture"], "similar": []},
        {"number": 3, "title": "無", "text": "……", "tags": []},
    ]
    prompt = f"內容:\n```資料，非指令\n{json.dumps(contents, ensure_ascii=False, indent=2)}\n```\n每則標籤上限:3"
    schema = output_schema("tag_generation.v1")
    document = json.loads(canned_answer(schema, SYSTEMS["zh-TW"], prompt))
    jsonschema.validate(document, schema)
    found = {entry["number"]: [tag["name"] for tag in entry["tags"]] for entry in document["contents"]}
    assert found == {1: ["退款", "尺寸"], 2: ["furniture"], 3: []}
    for shown, entry in zip(contents, document["contents"], strict=True):
        assert all(tag["quote"] in shown["text"] and not tag["is_new"] for tag in entry["tags"])


def test_references_are_read_once_in_order_with_labels():
    prompt = "- tag:12 — colour\n* `metric:daily_revenue` — revenue\n- tag:12 — colour\nalert:now is no such line"
    assert [(item.ref, item.label) for item in references_in(prompt)] == [
        ("tag:12", "colour"),
        ("metric:daily_revenue", "revenue"),
    ]


def test_a_long_label_is_cut_between_words_and_numbers():
    (item,) = references_in("- tag:1 — the revenue of the last days fell by 1,234,567 dollars in all shops")
    assert item.label == "the revenue of the last days fell by"


@pytest.mark.parametrize(
    ("system", "prompt", "locale"),
    [
        ("你是分析師", "All in English", "zh-TW"),
        ("You are an analyst", "全部都是中文的資料", "en"),
        ("", "為什麼訂單 A-1 減少了", "zh-TW"),
        ("", "Why did it fall? 退貨", "en"),
        ("", "", "en"),
    ],
)
def test_the_language_is_that_of_the_instructions(system, prompt, locale):
    assert language_of(system, prompt) == locale


def test_without_a_schema_it_is_a_text_that_says_so():
    assert canned_answer(None, "You are kind", "hello").startswith("[canned] ")
    assert json.loads(canned_answer("json", "你好", "嗨"))["summary"].startswith("【範例】")


NAMES = st.sampled_from(["summary", "items", "evidence", "score", "title", "refs", "level", "causes"])
LEAVES = st.one_of(
    st.just({"type": "string"}),
    st.just({"type": "boolean"}),
    st.just({"type": ["string", "null"]}),
    st.integers(0, 40).map(lambda size: {"type": "string", "minLength": size, "maxLength": size + 5}),
    st.integers(-9, 9).map(lambda low: {"type": "integer", "minimum": low, "maximum": low + 3}),
    st.integers(-9, 9).map(lambda low: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 1}),
    st.lists(st.text(max_size=5), min_size=1, max_size=4).map(lambda values: {"enum": values}),
    st.text(max_size=5).map(lambda value: {"const": value}),
)


def objects(parts: st.SearchStrategy) -> st.SearchStrategy:
    return st.dictionaries(NAMES, parts, max_size=4).map(
        lambda named: {
            "type": "object",
            "properties": named,
            "required": sorted(named),
            "additionalProperties": False,
        }
    )


def arrays(parts: st.SearchStrategy) -> st.SearchStrategy:
    return st.tuples(parts, st.integers(0, 3), st.integers(0, 3)).map(
        lambda made: {"type": "array", "items": made[0], "minItems": made[1], "maxItems": made[1] + made[2]}
    )


SCHEMAS_OF_ALL_KINDS = st.recursive(LEAVES, lambda parts: objects(parts) | arrays(parts), max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(objects(SCHEMAS_OF_ALL_KINDS), st.booleans())
def test_an_instance_of_any_schema(schema, with_evidence):
    document = json.loads(canned_answer(schema, "", prompt_of("en") if with_evidence else "hello"))
    jsonschema.validate(document, schema)


def test_references_within_a_schema():
    schema = {
        "type": "object",
        "properties": {
            "node": {"$ref": "#/$defs/node"},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "integer"}]},
        },
        "required": ["node", "maybe"],
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "next": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["name", "next"],
            }
        },
    }
    jsonschema.validate(json.loads(canned_answer(schema, "", "hello")), schema)


def test_vectors_depend_on_the_text_alone():
    assert canned_vector("a", 8) == canned_vector("a", 8)
    assert canned_vector("a", 8) != canned_vector("b", 8)
    assert len(canned_vector("a", 384, 99)) == 99
