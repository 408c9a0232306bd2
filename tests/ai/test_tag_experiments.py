"""What a language model is worth as a generator of tags, tried in the sandbox all the way to a server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from psycopg import sql

from tagging_orchestration.ai.sync import sync_ai
from tagging_orchestration.ai.tag_experiments import proposer
from tagging_orchestration.commands.experiment import _flat, _overrides
from tagging_orchestration.core.enhancement.models import RenderedPrompt
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.experiments import adopt, candidate_settings, run_experiment
from tagging_orchestration.settings import AiSettings, ProviderSettings, Settings
from tagging_orchestration.wiring import Project
from tests.ai.tagging import answer, contents_of, tag, tag_pending, tagging_project
from tests.storage.builders import add_contents

SUBJECTS = {"leaks": "water damage", "late": "delivery", "refund": "returns"}


@pytest.fixture
def server() -> Iterator[DevLlm]:
    with DevLlm() as server:
        yield server


@pytest.fixture
def project(settings: Settings, server: DevLlm) -> Iterator[Project]:
    with tagging_project(settings, synchronised=False, enabled=False) as project:
        local = ProviderSettings(active=True, base_url=server.base_url, model=server.models[0].name)
        ai = AiSettings(enabled=True, providers={"local": local}, tags=project.settings.ai.tags)
        project.settings = project.settings.model_copy(update={"ai": ai})
        sync_ai(project.pool, project.settings)
        yield project


def prompt_of(fields: Mapping[str, Any]) -> RenderedPrompt:
    said = {message["role"]: message["content"] for message in fields["messages"]}
    return RenderedPrompt(said.get("system", ""), said["user"], "")


def knowing(fields: Mapping[str, Any]) -> str:
    """A model that knows which subject each word is of."""
    return answer(
        (
            content["number"],
            [
                tag(subject, word, is_new=False)
                for word, subject in SUBJECTS.items()
                if word in content["text"] and subject in content["tags"]
            ],
        )
        for content in contents_of(prompt_of(fields))
    )


def books(project: Project) -> dict[str, str]:
    """A hash of every table of the schema `tagging`."""
    found = {}
    with project.pool.connection() as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'tagging'").fetchall()
        for (name,) in tables:
            rows = connection.execute(
                sql.SQL("SELECT t::text FROM tagging.{} AS t ORDER BY 1").format(sql.Identifier(name))
            ).fetchall()
            found[name] = hashlib.sha256("\n".join(row[0] for row in rows).encode()).hexdigest()
    return found


def tagged_tickets(project: Project) -> None:
    """Tickets whose tags people gave: words that stand in none of the texts."""
    for word, subject in SUBJECTS.items():
        for number in range(4):
            (content,) = add_contents(
                project.pool, f"Ticket {'abcd'[number]}: it {word} again, please help.", source=word
            )
            with project.pool.connection() as connection:
                connection.execute(
                    "UPDATE tagging.contents SET given_tags = %s WHERE id = %s", [[subject], content]
                )
    tag_pending(project)


def test_the_gain_of_a_model_is_measured_and_nothing_written(project: Project, server: DevLlm) -> None:
    tagged_tickets(project)
    server.script(text=knowing)
    before = books(project)
    done = run_experiment(
        project,
        {"ai": {"tags": {"enabled": True}}},
        name="with a model",
        sample=12,
        context=project.context("test"),
        propose=proposer(project),
    )
    assert books(project) == before
    now, then = done.report["current"], done.report["candidate"]
    assert (now["tokens_per_1000"], now["unheard"]) == (0, 0)
    assert then["tokens_per_1000"] > 0
    assert then["unheard"] == 0
    assert then["recall"] >= now["recall"]
    assert then["f1"] > now["f1"]
    assert len(server.calls) == 3
    with project.pool.connection() as connection:
        assert connection.execute("SELECT count(*) FROM ai.ai_usage_logs WHERE called").fetchone() == (3,)


def test_a_silent_model_leaves_both_sides_alike(project: Project, server: DevLlm) -> None:
    tagged_tickets(project)
    server.script(text="sorry, no")
    done = run_experiment(
        project,
        {"ai": {"tags": {"enabled": True}}},
        name="silent",
        sample=4,
        context=project.context("test"),
        propose=proposer(project),
    )
    assert done.report["candidate"]["unheard"] == 4
    assert done.report["candidate"]["f1"] == done.report["current"]["f1"]
    assert done.report["agreement"] == 1


def test_another_model_and_prompt_can_be_tried(project: Project, server: DevLlm) -> None:
    tagged_tickets(project)
    server.script(text=knowing)
    other = server.models[-1].name
    overrides = {
        "ai": {"tags": {"enabled": True, "prompt_version": "1.0"}, "providers": {"local": {"model": other}}}
    }
    settings = candidate_settings(project.settings, overrides)
    assert settings.ai.providers["local"].base_url == server.base_url
    proposer(project)(settings, project.stores.contents.load([1, 2]))
    assert {call.body["model"] for call in server.calls} == {other}


def test_settings_of_a_candidate(project: Project) -> None:
    wanted = _overrides(None, ("ai.tags.enabled=true", "ai.tags.neighbours=3", "tagger.max_tags=4"))
    assert wanted == {"ai": {"tags": {"enabled": True, "neighbours": 3}}, "tagger": {"max_tags": 4}}
    assert _flat(wanted) == ["ai.tags.enabled=True", "ai.tags.neighbours=3", "tagger.max_tags=4"]
    settings = candidate_settings(project.settings, wanted)
    assert (settings.ai.tags.enabled, settings.ai.tags.neighbours, settings.tagger.max_tags) == (True, 3, 4)
    with pytest.raises(ConfigurationError, match=r"ai\.tags\.neighbour: Extra inputs"):
        candidate_settings(project.settings, {"ai": {"tags": {"neighbour": 3}}})
    with pytest.raises(ConfigurationError, match="ai cannot be tried"):
        candidate_settings(project.settings, {"ai": {"daily_token_limit": 3}})


def test_adopting_switches_the_model_on(project: Project, server: DevLlm) -> None:
    tagged_tickets(project)
    server.script(text=knowing)
    overrides = {"ai": {"tags": {"enabled": True}}}
    done = run_experiment(
        project, overrides, name="x", sample=2, context=project.context("test"), propose=proposer(project)
    )
    path = adopt(project, done, project.context("test"))
    assert "tags: {enabled: true}" in path.read_text()
