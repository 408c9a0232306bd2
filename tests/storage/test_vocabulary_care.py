"""What is retired without being asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import Origin, TagStatus
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.storage.vocabulary_care import retire_unused
from tagging_orchestration.storage.vocabulary_changes import VocabularyEditor
from tests.storage.builders import (
    MACHINE,
    NORMALISER,
    PERSON,
    add_contents,
    add_tags,
    assignment,
    differences,
    publish,
)

SETTINGS = VocabularySettings(retire_after_days=30)


def test_only_what_nobody_uses_is_retired(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    unused, used, pinned, parent, child, once = add_tags(pool, "無用", "used", "pinned", "parent", "child", "once")
    add_tags(pool, "theirs", origin=Origin.HUMAN)
    editor = VocabularyEditor(pool, NORMALISER)
    editor.pin(pinned.id, True, PERSON)
    editor.place(child.id, parent.id, PERSON)
    publish(pool, {content: [assignment(used), assignment(child), assignment(once)]})
    publish(pool, {content: [assignment(used), assignment(child)]})

    soon, later = (datetime.now(UTC) + timedelta(days=days) for days in (29, 31))
    assert retire_unused(pool, SETTINGS, now=soon, context=MACHINE) == []
    retired = retire_unused(pool, SETTINGS, now=later, context=MACHINE)

    assert {tag.id for tag in retired} == {unused.id, once.id}
    assert {tag.status for tag in retired} == {TagStatus.RETIRED}
    assert retire_unused(pool, SETTINGS, now=later, context=MACHINE) == []
    assert differences(pool) == []
