"""Whatever a model writes, reading it gives an answer that keeps its promises or AnswerRejected."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tagging_orchestration.core.enhancement.answers import output_schema, parse_answer
from tagging_orchestration.core.enhancement.forms import FORMS
from tagging_orchestration.core.enhancement.models import AnswerRejected, ParsedAnswer
from tagging_orchestration.core.enhancement.screening import unsafe
from tests.core.enhancement.answer_samples import EVIDENCE, VARIABLES, ZH, written
from tests.core.enhancement.test_answers import ORDER, OTHERS, TITLES

KNOWN = {item.ref for item in EVIDENCE}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.text(max_size=60),
    st.sampled_from([item.ref for item in EVIDENCE]),
    st.sampled_from(
        [
            "高",
            "85%",
            "1. a\n2. b\n3. c",
            "<script>",
            "{{x}}",
            "http://a.b",
            "\ud800",
            "\x00",
            "摘要：",
            "- [tag:12]",
        ]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=12,
)
PIECES = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.sampled_from(
            [
                *(
                    "{",
                    "}",
                    "[",
                    "]",
                    '"',
                    ":",
                    ",",
                    "\n",
                    "```json\n",
                    "```",
                    "<think>",
                    "</think>",
                    "\\",
                    "\\u0000",
                    "NaN",
                ),
                *(
                    '"summary"',
                    '"evidence"',
                    "## 摘要\n",
                    "根因：",
                    "- ",
                    "1. ",
                    "建議：",
                    "信心：85%",
                    "[tag:12]",
                    "百分之",
                    "三成",
                ),
                *(
                    written(ZH),
                    written(ZH)[:90],
                    written(ZH)[60:],
                    "2025-08-07",
                    "8/7",
                    "NT$1,2",
                    "１２％",
                    "99999999999999999",
                ),
            ]
        ),
    ),
    max_size=14,
).map("".join)


def read(text: str, finish: str, name: str | None, locale: str) -> ParsedAnswer | None:
    try:
        return parse_answer(
            text,
            finish,
            schema_name=name,
            evidence=EVIDENCE,
            variables=VARIABLES,
            locale=locale,
            expected={"titles": TITLES, "system_message": "You are a careful analyst of business data. " * 3},
        )
    except AnswerRejected as error:
        refused = error
    assert refused.faults
    assert refused.__cause__ is None, "refused for a mistake of ours"
    assert all(fault.strip() and "\n" not in fault for fault in refused.faults)
    return None


def keeps_its_promises(answer: ParsedAnswer | None, name: str | None) -> None:
    if answer is None:
        return
    json.dumps(answer.document, ensure_ascii=False, allow_nan=False).encode()
    assert 0 <= answer.confidence <= 1
    assert all(pair["ref"] in KNOWN for pair in answer.evidence)
    if name is None:
        return
    form = FORMS[name]
    claims = 0
    for path in form.claim_paths:
        items = answer.document
        for key in path.split("."):
            items = items[key]
        claims += len(items)
    # Every claim is cited, and nothing else is.
    assert {pair["claim_index"] for pair in answer.evidence} == set(range(claims))
    assert claims >= len(form.claims)
    assert answer.document["evidence"] == [dict(pair) for pair in answer.evidence]
    # The document keeps to its schema, but for lists that lost uncited items.
    for error in Draft202012Validator(output_schema(name)).iter_errors(answer.document):
        assert error.validator == "minItems"
    for text in strings(answer.document):
        assert unsafe(text) is None or text in TITLES
    assert answer.degraded == (answer.level in ("repaired", "headings"))


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("evidence", "title"):
                yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=400) | PIECES,
    finish=st.sampled_from(["stop", "length"]),
    locale=st.sampled_from(["zh-TW", "en"]),
)
def test_any_text(text, finish, locale):
    for name in ("alert_enhancement.v1", "recommendation_optimization.v1", None):
        keeps_its_promises(read(text, finish, name, locale), name)


DOCUMENTS = {"alert_enhancement.v1": ZH, "recommendation_optimization.v1": ORDER, **OTHERS}


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_good_answers_with_a_part_replaced(name, data):
    document = json.loads(written(DOCUMENTS[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        place = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
                place = place[key]
                continue
            if data.draw(st.integers(0, 3)) == 0:
                del place[key]
            else:
                place[key] = data.draw(VALUES)
            break
    keeps_its_promises(read(json.dumps(document), "stop", name, "zh-TW"), name)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_good_answers_with_characters_changed(data):
    text = written(ZH)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text)))
        gone = data.draw(st.integers(0, 12))
        text = text[:place] + data.draw(st.text('{}[]",:\\\n abc你好0.5', max_size=4)) + text[place + gone :]
    keeps_its_promises(read(text, "stop", "alert_enhancement.v1", "zh-TW"), "alert_enhancement.v1")
