"""Stored answers again: the same bytes, and what another prompt or model says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import LiteralString

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.replay import replay, rerender
from tagging_orchestration.ai.service import EnhancementService
from tagging_orchestration.clients.prompt_files import load_prompt_files
from tagging_orchestration.core.errors import ConfigurationError, UnknownName
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.storage import ai_results
from tagging_orchestration.storage.ai_prompts import sync_prompts
from tests.ai import business
from tests.ai.business import SLOW
from tests.storage.business_relations import AS_OF, run


@pytest.fixture
def database_url(business_url: str) -> str:
    """A database with the business."""
    return business_url


def count(pool: ConnectionPool, query: LiteralString) -> int:
    with pool.connection() as connection:
        (number,) = connection.execute(query).fetchone() or (0,)
    return number


def test_every_stored_answer_renders_to_the_bytes_that_were_sent(
    enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool
):
    enhanced.enhance_alerts()
    enhanced.deepen_insights()
    enhanced.optimize_all()
    enhanced.summarise("weekly", AS_OF)
    enhanced.analyse("custom_analysis", {"core_data": {"orders": 250.0}, "analysis_focus": "growth"})
    stored = ai_results.list_enhancements(pool, "default")
    assert len(stored) == 6
    sent = [call.body["messages"] for call in server.calls]
    for one in stored:
        again = rerender(pool, "default", str(one.id))
        assert again.is_same, one.template_key
        assert any(
            messages[0]["content"] == again.prompt.system and messages[-1]["content"] == again.prompt.prompt
            for messages in sent
        )


def test_the_base_may_change_meanwhile(enhanced: EnhancementService, pool: ConnectionPool):
    enhanced.enhance_alert(SLOW)
    (stored,) = ai_results.list_enhancements(pool, "default")
    business.change_alert(pool, 999)
    run(pool, ("UPDATE tagging.contents SET body = 'another text'", []))
    assert rerender(pool, "default", str(stored.id)[:8]).is_same


def test_another_model_is_asked_and_the_stored_answer_stays(
    enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool
):
    enhanced.enhance_alert(SLOW)
    (stored,) = ai_results.list_enhancements(pool, "default")
    shown = ai_results.newest_results(pool, "default", "alert")
    assert stored.result is not None
    server.answer(json.dumps({**stored.result, "summary": "另一個模型的摘要", "evidence": stored.evidence}))
    done = replay(pool, enhanced.gateway, "default", str(stored.id), model="llama3.2:1b")
    assert done.stored.is_same
    assert done.prompt_diff == ""
    assert done.answer is not None
    assert (done.answer.status, done.answer.model) == ("success", "llama3.2:1b")
    assert server.calls[-1].body["model"] == "llama3.2:1b"
    assert '+  "summary": "另一個模型的摘要"' in done.answer_diff
    assert ai_results.newest_results(pool, "default", "alert") == shown
    assert count(pool, "SELECT count(*) FROM ai.ai_usage_logs WHERE cache_status = 'bypass' AND called") == 1


def test_the_same_question_again_has_no_difference(enhanced: EnhancementService, pool: ConnectionPool):
    enhanced.optimize_recommendations()
    (stored,) = ai_results.list_enhancements(pool, "default")
    done = replay(pool, enhanced.gateway, "default", str(stored.id))
    assert done.answer is not None
    assert (done.answer.status, done.prompt_diff, done.answer_diff) == ("success", "", "")


def test_another_version_shows_how_the_prompts_differ(
    enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool
):
    enhanced.enhance_alert(SLOW)
    (stored,) = ai_results.list_enhancements(pool, "default")
    first = next(
        template
        for template in load_prompt_files()
        if (template.template_key, template.locale) == (stored.template_key, stored.template_locale)
    )
    text = f"請用一句話回答。\n{first.prompt_template}"
    second = replace(first, version="1.1", prompt_template=text, content_sha256="1" * 64)
    sync_prompts(pool, [*load_prompt_files(), second], "zh-TW")
    calls = len(server.calls)
    done = replay(pool, enhanced.gateway, "default", str(stored.id), version="1.1", dry_run=True)
    assert "+請用一句話回答。" in done.prompt_diff
    assert done.answer is None
    assert len(server.calls) == calls


def test_what_cannot_be_replayed_says_why(enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool):
    with pytest.raises(UnknownName, match="no enhancement"):
        rerender(pool, "default", "abc")
    server.answer("rubbish")
    enhanced.enhance_alert(SLOW)
    (failed,) = ai_results.list_enhancements(pool, "default")
    with pytest.raises(ConfigurationError, match="failed"):
        replay(pool, enhanced.gateway, "default", str(failed.id))
    server.reset()
    enhanced.enhance_alert(business.STEADY)
    stored = ai_results.newest_results(pool, "default", "alert")[str(business.STEADY)]
    with pytest.raises(UnknownName):
        replay(pool, enhanced.gateway, "default", str(stored.id), version="9.9")
    with pytest.raises(UnknownName):
        replay(pool, enhanced.gateway, "default", str(stored.id), provider="nobody")
