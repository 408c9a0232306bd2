"""Keys of answers: equal for equal questions, different for all others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagging_orchestration.core.enhancement.keys import cache_key, context_hash
from tagging_orchestration.core.enhancement.models import PromptTemplate

TEMPLATE = PromptTemplate(
    "alert_enhancement",
    "zh-TW",
    "1.0",
    "警示",
    "analysis",
    "{{business_context}}",
    "",
    (),
    (),
    400,
    0.3,
    None,
    "a" * 64,
)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def key(**changes: Any) -> str:
    arguments: dict[str, Any] = {
        "organization_id": "default",
        "subject_type": "alert",
        "subject_id": "1",
        "context_hash": "c",
        "template": TEMPLATE,
        "provider": "local",
        "model": "phi4-mini:latest",
        "params": {"temperature": 0.3, "options": {"num_ctx": 8192}},
        "masker_fingerprint": "m",
    }
    return cache_key(**(arguments | changes))


def test_snapshots_that_begin_alike_differ() -> None:
    snapshots = [
        {"snapshot_timestamp": "2025-08-07T10:30:00Z", "triggering_metrics": {"current_value": value}}
        for value in (125.5, 125.6)
    ]
    assert len({context_hash({"business_context": snapshot}) for snapshot in snapshots}) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"snapshot_timestamp": "2026-01-01T00:00:00Z"},
        {"related": [{"metric": "營收", "detected_hours_ago": 7}]},
        {"generated_at": "now", "last_updated": 3},
        {"value": 2},
        {"value": 2.0000000000001},
        {"name": "cafe\u0301"},
    ],
)
def test_what_makes_no_difference(change: dict[str, Any]) -> None:
    base = {
        "value": 2.0,
        "name": "caf\u00e9",
        "related": [{"metric": "營收", "detected_hours_ago": 2}],
        "snapshot_timestamp": "2025-08-07T10:30:00Z",
    }
    assert context_hash({"b": base, "timestamp": "x"}) == context_hash(
        {"timestamp": "y", "b": {**change, **base} | change}
    )


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"a": 1}, {"a": "1"}),
        ({"a": True}, {"a": 1}),
        ({"a": None}, {}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": ["b,c"]}, {"a": ["b", "c"]}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": None}}),
        ({"a": 1e-9}, {"a": 2e-9}),
        ({"a": 10**20}, {"a": 10**20 + 1}),
        ({"a": "臺"}, {"a": "台"}),
        ({"a": {"timestamp": 1}}, {"a": {"timestamp": 2}}),
    ],
)
def test_what_makes_a_difference(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert context_hash(left) != context_hash(right)


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=4))
def test_the_order_of_keys_makes_none(document: dict[str, Any]) -> None:
    assert context_hash(document) == context_hash(dict(reversed(document.items())))


def test_what_json_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        context_hash({"a": {1, 2}})


@pytest.mark.parametrize(
    "change",
    [
        {"organization_id": "other"},
        {"subject_type": "insight"},
        {"subject_id": "2"},
        {"context_hash": "d"},
        {"provider": "openai"},
        {"model": "llama3.2:1b"},
        {"params": {"temperature": 0.3, "options": {"num_ctx": 4096}}},
        {"masker_fingerprint": "n"},
        *[
            {"template": replace(TEMPLATE, **field)}
            for field in (
                {"template_key": "insight_deepening"},
                {"locale": "en"},
                {"ab_group": "B"},
                {"version": "1.1"},
                {"output_schema": "alert_enhancement.v1"},
                {"content_sha256": "b" * 64},
            )
        ],
    ],
)
def test_everything_an_answer_depends_on_is_in_its_key(change: dict[str, Any]) -> None:
    assert key(**change) != key()


def test_parts_do_not_run_into_one_another() -> None:
    assert key(provider="a", model="bc") != key(provider="ab", model="c")
    assert key(subject_type="alert", subject_id="1") == key()
