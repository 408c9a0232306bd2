"""The language model as a generator of tags: asked once, one voice among others, never in the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tagging_orchestration.ai.tag_proposals import estimated_tokens, preview, propose_tags, shortened
from tagging_orchestration.core.enhancement.models import ErrorSubtype, LlmFailure, RenderedPrompt
from tagging_orchestration.core.models import Method, Origin, Scope
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage.history import erase_content
from tagging_orchestration.storage.tag_proposals import hearing
from tagging_orchestration.wiring import Project
from tests.ai.tagging import answer, contents_of, librarian, tag, tag_pending, tagging_project
from tests.fakes.gateway import ScriptedGateway
from tests.storage.builders import add_contents, add_tags, pending

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
TEXTS = (
    "The kettle leaks at the handle after two weeks of daily use.",
    "手沖壺的把手鬆脫，壺嘴也會漏水，想要退貨。",
    "Parcel came late; the courier never rang.",
)


@pytest.fixture
def project(settings: Settings) -> Iterator[Project]:
    with tagging_project(settings) as project:
        yield project


def kettles(text: str) -> list[dict]:
    if "kettle" in text:
        return [tag("kettle leaks", "The kettle leaks")]
    return [tag("退貨", "想要退貨", is_new=False)] if "退貨" in text else []


def state(project: Project) -> list[tuple]:
    with project.pool.connection() as connection:
        return connection.execute(
            """
            SELECT content_id, input_hash, tagger_version_id, proposals::text
            FROM tagging.generated_tags ORDER BY content_id
            """
        ).fetchall()


def silent(prompt: RenderedPrompt) -> str:
    raise AssertionError("nobody was to be asked")


def deaf(prompt: RenderedPrompt) -> str:
    raise LlmFailure("no answer", subtype=ErrorSubtype.UNAVAILABLE)


def test_proposals_make_exactly_their_contents_pending_and_enter_the_ranking(project: Project) -> None:
    add_tags(project.pool, "退貨")
    kettle, 退貨, _ = add_contents(project.pool, *TEXTS)
    tag_pending(project)
    assert pending(project.pool) == set()
    version = project.engine.version_id

    gateway = ScriptedGateway(
        lambda prompt: answer(
            (content["number"], kettles(content["text"]))
            for content in contents_of(prompt)
            if "Parcel" not in content["text"]
        )
    )
    report = propose_tags(project, gateway, now=lambda: NOW)
    assert (report.contents, report.answered, report.tags) == (3, 2, 2)
    assert report.failures == {"the answer left this content out": 1}
    assert pending(project.pool) == {kettle, 退貨}
    tag_pending(project)
    assert pending(project.pool) == set()
    assert project.engine.version_id == version

    (row,) = project.stores.generated.load([kettle])
    (proposal,) = [p for p in row.proposals if p.normal_form == project.normaliser.normal_form("kettle leaks")]
    (evidence,) = [e for e in proposal.evidence if e.method is Method.LLM]
    assert evidence.detail["quote"] == "The kettle leaks"
    assert evidence.detail["model"] == "scripted"
    assert evidence.detail["prompt"] == "1.0 en"
    assert TEXTS[0][evidence.detail["start"] : evidence.detail["end"]] == "The kettle leaks"
    assert proposal.effects["llm"] > 0
    assert proposal.confidence >= 0.9 * 0.6

    asked = len(gateway.asks)
    gateway.model = silent
    again = propose_tags(project, gateway, now=lambda: NOW)
    assert (again.contents, len(gateway.asks)) == (0, asked)


def test_prompts_and_providers_are_there_where_only_contents_are_tagged(settings: Settings) -> None:
    with tagging_project(settings, synchronised=False) as project:
        (kettle,) = add_contents(project.pool, TEXTS[0])
        tag_pending(project)
        report = propose_tags(project, ScriptedGateway(librarian(kettles)))
        assert (report.answered, report.tags) == (1, 1)
        assert pending(project.pool) == {kettle}


def generate_again(project: Project) -> list[tuple]:
    """What the tagger stages for the same vocabulary and neighbours."""
    with project.pool.connection() as connection:
        connection.execute("UPDATE tagging.content_ledger SET tagged_input_hash = NULL")
        connection.execute("UPDATE tagging.generated_tags SET input_hash = ''")
    project.engine.generate(Scope())
    return state(project)


def test_without_proposals_nothing_differs(project: Project, settings: Settings) -> None:
    add_contents(project.pool, *TEXTS)
    with tagging_project(settings, synchronised=False, enabled=False) as plain:
        tag_pending(plain)
        before, version = generate_again(plain), plain.engine.version_id
        report = propose_tags(plain, ScriptedGateway(silent))
        assert not report.enabled
        assert report.contents == 0
    assert project.engine.version_id == version
    assert generate_again(project) == before


def voices(project: Project) -> set[Method]:
    ids = [row[0] for row in state(project)]
    rows = project.stores.generated.load(ids)
    return {e.method for row in rows for p in row.proposals for e in p.evidence}


def test_a_model_that_is_not_heard_changes_nothing_and_is_asked_again_later(project: Project) -> None:
    (kettle,) = add_contents(project.pool, TEXTS[0])
    tag_pending(project)
    before = state(project)
    gateway = ScriptedGateway(deaf)
    report = propose_tags(project, gateway, now=lambda: NOW)
    assert report.failures == {"unavailable": 1}
    assert report.stopped == "unavailable"
    assert pending(project.pool) == set()
    assert state(project) == before
    heard = hearing(project.pool, kettle)
    assert heard is not None
    assert (heard.status, heard.reason, heard.attempts) == ("failed", "unavailable", 1)

    asked = len(gateway.asks)
    assert propose_tags(project, gateway, now=lambda: NOW + timedelta(minutes=59)).contents == 0
    propose_tags(project, gateway, now=lambda: NOW + timedelta(hours=1))
    assert len(gateway.asks) == asked + 1
    later = hearing(project.pool, kettle)
    assert later is not None
    assert later.attempts == 2
    assert later.retry_at == NOW + timedelta(hours=3)

    gateway.model = librarian(kettles)
    assert propose_tags(project, gateway, now=lambda: NOW + timedelta(hours=3)).answered == 1
    healed = hearing(project.pool, kettle)
    assert healed is not None
    assert (healed.status, healed.reason, healed.retry_at) == ("done", "", None)


def test_a_failure_leaves_what_was_proposed_before(project: Project) -> None:
    (kettle,) = add_contents(project.pool, TEXTS[0])
    gateway = ScriptedGateway(librarian(kettles))
    propose_tags(project, gateway, now=lambda: NOW)
    tag_pending(project)
    changed = project.settings.ai.tags.model_copy(update={"vocabulary": 7})
    project.settings = project.settings.model_copy(
        update={"ai": project.settings.ai.model_copy(update={"tags": changed})}
    )
    gateway.model = deaf
    assert propose_tags(project, gateway, now=lambda: NOW).failures == {"unavailable": 1}
    assert propose_tags(project, gateway, now=lambda: NOW).contents == 0
    assert pending(project.pool) == set()
    (content,) = project.stores.contents.load([kettle])
    assert project.stores.llm_proposals is not None
    assert project.stores.llm_proposals.load([content])[kettle].tags


def test_a_changed_text_is_asked_about_again_and_its_old_proposals_do_not_count(project: Project) -> None:
    (kettle,) = add_contents(project.pool, TEXTS[0])
    gateway = ScriptedGateway(librarian(kettles))
    propose_tags(project, gateway, now=lambda: NOW)
    with project.pool.connection() as connection:
        connection.execute("UPDATE tagging.contents SET body = 'A grinder.' WHERE id = %s", [kettle])
    tag_pending(project)
    (row,) = project.stores.generated.load([kettle])
    assert all(e.method is not Method.LLM for p in row.proposals for e in p.evidence)
    assert propose_tags(project, gateway, now=lambda: NOW).contents == 1


def test_switching_off_takes_the_model_s_word_back_and_on_again_asks_nobody(
    project: Project, settings: Settings
) -> None:
    (kettle,) = add_contents(project.pool, TEXTS[0])
    propose_tags(project, ScriptedGateway(librarian(kettles)), now=lambda: NOW)
    tag_pending(project)
    assert Method.LLM in voices(project)
    with tagging_project(settings, synchronised=False, enabled=False) as off:
        assert propose_tags(off, ScriptedGateway(silent)).pending == 1
        tag_pending(off)
        assert Method.LLM not in voices(off)
        assert propose_tags(off, ScriptedGateway(silent)).pending == 0
    assert propose_tags(project, ScriptedGateway(silent)).pending == 1
    assert pending(project.pool) == {kettle}
    tag_pending(project)
    assert Method.LLM in voices(project)


def test_an_erasure_reaches_proposals_and_answers(project: Project) -> None:
    kettle, _ = add_contents(project.pool, *TEXTS[:2])
    propose_tags(project, ScriptedGateway(librarian(kettles)), now=lambda: NOW)
    with project.pool.connection() as connection:
        for subject, about in (("content", f"{kettle},99"), ("content", f"9{kettle}"), ("alert", "x")):
            connection.execute(
                """
                INSERT INTO ai.ai_enhancements (
                    cache_key, context_hash, subject_type, subject_id, enhancement_type, template_key,
                    template_version, template_locale, requested_key, prompt_sha256, variables, provider_name,
                    model, status, result, request_id, fresh_until, expires_at
                ) VALUES (
                    'k', 'h', %s, %s, 't', 't', '1', 'en', 't', 'p', jsonb_build_object('samples', %s::text),
                    'local', 'm', 'success', '{}', gen_random_uuid(), now(), now()
                )
                """,
                [subject, about, f"content:{kettle} — leaks" if subject == "alert" else f"content:{kettle}7"],
            )
    erase_content(project.pool, kettle, "asked by the customer", project.context("test"))
    with project.pool.connection() as connection:
        left = connection.execute("SELECT content_id FROM tagging.llm_proposals").fetchall()
        answers = connection.execute("SELECT subject_id FROM ai.ai_enhancements").fetchall()
    assert kettle not in {row[0] for row in left}
    assert answers == [(f"9{kettle}",)]


def test_prompts_hold_choices_and_no_other_content_s_text(project: Project) -> None:
    add_tags(project.pool, "kettle", "leak")
    ids = add_contents(
        project.pool, *(f"The kettle number {n} leaks. Secret word {'abcdefgh'[n]}zq." for n in range(8))
    )
    tag_pending(project)
    gateway = ScriptedGateway(librarian(lambda text: []))
    propose_tags(project, gateway, now=lambda: NOW)
    assert sorted(int(n) for ask in gateway.asks for n in ask.subject_id.split(",")) == sorted(ids)
    for ask, prompt in zip(gateway.asks, gateway.prompts, strict=True):
        shown = contents_of(prompt)
        assert len(shown) == len(ask.subject_id.split(",")) <= 5
        assert "kettle" in shown[0]["tags"]
        for letter in "abcdefgh":
            held = sum(f"{letter}zq" in content["text"] for content in shown)
            assert prompt.prompt.count(f"{letter}zq") == held


def test_what_failed_in_company_is_asked_about_alone(project: Project) -> None:
    add_contents(project.pool, *(f"The kettle of shop {name} leaks." for name in ("Anna", "Bert", "Carl")))
    gateway = ScriptedGateway(lambda prompt: "nonsense")
    propose_tags(project, gateway, now=lambda: NOW)
    assert [len(ask.subject_id.split(",")) for ask in gateway.asks] == [3]
    propose_tags(project, gateway, now=lambda: NOW + timedelta(hours=2))
    assert [len(ask.subject_id.split(",")) for ask in gateway.asks[1:]] == [1, 1, 1]


def test_preview_writes_nothing(project: Project) -> None:
    (kettle,) = add_contents(project.pool, TEXTS[0])
    (content,) = project.stores.contents.load([kettle])
    found = preview(project, ScriptedGateway(librarian(kettles)), content)
    assert [item.name for item in found.tags] == ["kettle leaks"]
    suggestion = project.engine.suggest(content, found)
    assert any(a.name == "kettle leaks" and a.origin is Origin.MACHINE for a in suggestion.assignments)
    assert hearing(project.pool, kettle) is None
    assert preview(project, ScriptedGateway(deaf), content).reason == "unavailable"


def test_lengths() -> None:
    assert estimated_tokens("四個字元") == 5
    assert estimated_tokens("x" * 35) == 11
    text = "begin " + "x" * 500 + " end"
    assert len(shortened(text, 100)) <= 100
    assert shortened(text, 100).startswith("begin")
    assert shortened(text, 100).endswith("end")
    assert shortened("short", 100) == "short"
