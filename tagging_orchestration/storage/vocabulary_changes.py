"""What people do to the vocabulary: add, rename, describe, pin, block, retire, place, split, and give aliases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import uuid4

from psycopg import Connection
from psycopg.errors import CheckViolation
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName, VocabularyError
from tagging_orchestration.core.models import ChangeContext, NewTag, Origin, Tag, TagStatus
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.retagging import retag_carrying
from tagging_orchestration.storage.vocabulary import (
    insert_tags,
    load_tags,
    lock_vocabulary,
    resolve_forms,
)


@dataclass(frozen=True, slots=True)
class SplitPart:
    """A narrower tag and the contents of the split tag that it takes over."""

    name: str
    content_ids: tuple[int, ...]


class VocabularyEditor:
    """Changes of single tags, each in one transaction and with its events under one operation.

    Where a tag can now be found in contents it was not found in before, exactly those contents are marked for
    re-tagging. All methods raise UnknownName for an id without a tag and VocabularyError for a change that the
    vocabulary does not allow; the message says what to do instead.
    """

    def __init__(self, pool: ConnectionPool, normaliser: Normaliser) -> None:
        self._pool = pool
        self._normaliser = normaliser

    def add(self, organization_id: str, name: str, context: ChangeContext, description: str | None = None) -> Tag:
        """Make a tag by hand. One that was retired is active again."""
        new = self._new_tag(organization_id, name, description)
        with self._change(context) as connection:
            known = resolve_forms(connection, [(organization_id, new.normal_form)]).get(
                (organization_id, new.normal_form)
            )
            if known is not None and known.status is not TagStatus.RETIRED:
                raise VocabularyError(f"{name!r} is there already, as {known.name!r} ({known.status})")
            if known is None:
                insert_tags(connection, [new])
            else:
                _set_status(connection, known.id, TagStatus.ACTIVE)
            tag = resolve_forms(connection, [(organization_id, new.normal_form)])[organization_id, new.normal_form]
            retag_carrying(connection, [tag.id])
        return tag

    def rename(self, tag_id: int, name: str, context: ChangeContext) -> Tag:
        """Give a tag another name; the old one stays as an alias."""
        form = self._form(name)
        with self._change(context) as connection:
            tag = _tag(connection, tag_id)
            _refuse_merged(tag)
            if form != tag.normal_form:
                self._claim(connection, tag, form)
            connection.execute(
                "UPDATE tagging.tags SET name = %s, normal_form = %s WHERE id = %s",
                [self._normaliser.display_form(name), form, tag_id],
            )
            if form != tag.normal_form:
                _add_alias(connection, tag, tag.name, tag.normal_form)
                retag_carrying(connection, [tag_id])
            return _tag(connection, tag_id)

    def describe(self, tag_id: int, description: str | None, context: ChangeContext) -> Tag:
        """Say what a tag means; its vector is made anew from name and description."""
        with self._change(context) as connection:
            _tag(connection, tag_id)
            connection.execute(
                "UPDATE tagging.tags SET description = %s WHERE id = %s", [description or None, tag_id]
            )
            retag_carrying(connection, [tag_id])
            return _tag(connection, tag_id)

    def pin(self, tag_id: int, pinned: bool, context: ChangeContext) -> Tag:
        """Protect a tag from being merged away or retired by a machine, or stop protecting it."""
        with self._change(context) as connection:
            _tag(connection, tag_id)
            connection.execute("UPDATE tagging.tags SET pinned = %s WHERE id = %s", [pinned, tag_id])
            return _tag(connection, tag_id)

    def block(self, organization_id: str, name: str, context: ChangeContext) -> Tag:
        """Decide that a name is never a tag. Its assignments leave, with events; a name not yet known is noted."""
        new = self._new_tag(organization_id, name, None)
        key = (organization_id, new.normal_form)
        with self._change(context) as connection:
            known = resolve_forms(connection, [key]).get(key)
            if known is not None and known.normal_form != new.normal_form:
                raise VocabularyError(
                    f"{name!r} is another name of {known.name!r}: block that, or remove the alias first"
                )
            if known is None:
                insert_tags(connection, [new])
                known = resolve_forms(connection, [key])[key]
            _set_status(connection, known.id, TagStatus.BLOCKED)
            return _tag(connection, known.id)

    def retire(self, tag_id: int, context: ChangeContext) -> Tag:
        """Take a tag out of use; its assignments leave, with events. People can bring it back."""
        with self._change(context) as connection:
            _refuse_merged(_tag(connection, tag_id))
            _set_status(connection, tag_id, TagStatus.RETIRED)
            return _tag(connection, tag_id)

    def activate(self, tag_id: int, context: ChangeContext) -> Tag:
        """Bring back a blocked or retired tag; contents that carry its words are re-tagged."""
        with self._change(context) as connection:
            _refuse_merged(_tag(connection, tag_id))
            _set_status(connection, tag_id, TagStatus.ACTIVE)
            retag_carrying(connection, [tag_id])
            return _tag(connection, tag_id)

    def place(self, tag_id: int, parent_id: int | None, context: ChangeContext) -> Tag:
        """Put a tag below another one, or at the top."""
        with self._change(context) as connection:
            _tag(connection, tag_id)
            if parent_id is not None:
                _refuse_merged(_tag(connection, parent_id))
            connection.execute("UPDATE tagging.tags SET parent_id = %s WHERE id = %s", [parent_id, tag_id])
            return _tag(connection, tag_id)

    def add_alias(self, tag_id: int, alias: str, context: ChangeContext) -> Tag:
        """Let another spelling lead to a tag."""
        form = self._form(alias)
        with self._change(context) as connection:
            tag = _tag(connection, tag_id)
            _refuse_merged(tag)
            if form == tag.normal_form:
                raise VocabularyError(f"{alias!r} is {tag.name!r} as it is; no alias is needed")
            self._claim(connection, tag, form)
            _add_alias(connection, tag, self._normaliser.display_form(alias), form)
            retag_carrying(connection, [tag_id])
        return tag

    def remove_alias(self, organization_id: str, alias: str, context: ChangeContext) -> None:
        """Let a spelling lead nowhere any more."""
        with self._change(context) as connection:
            removed = connection.execute(
                "DELETE FROM tagging.tag_aliases WHERE organization_id = %s AND normal_form = %s",
                [organization_id, self._form(alias)],
            ).rowcount
        if not removed:
            raise UnknownName(f"{alias!r} is no alias")

    def split(self, tag_id: int, parts: Sequence[SplitPart], context: ChangeContext) -> list[Tag]:
        """Move contents of a too broad tag to narrower ones below it, which are made where they are missing.

        Exactly the named contents are rewritten, with the confidence they had; contents that do not carry the tag
        are left alone. Returns the narrower tags in the order of the parts.
        """
        with self._change(context) as connection:
            tag = _tag(connection, tag_id)
            _refuse_merged(tag)
            narrower = [self._part(connection, tag, part) for part in parts]
            connection.execute("SELECT set_config('tagging.event_type', 'split', true)")
            connection.execute(
                "UPDATE tagging.tags SET metadata = metadata || %s WHERE id = %s",
                [Jsonb({"split_into": [part.id for part in narrower]}), tag_id],
            )
            connection.execute("SELECT set_config('tagging.event_type', '', true)")
            for part, target in zip(parts, narrower, strict=True):
                _move(connection, part.content_ids, tag_id, target.id)
        return narrower

    @contextmanager
    def _change(self, context: ChangeContext) -> Iterator[Connection]:
        context = replace(context, operation_id=context.operation_id or uuid4())
        try:
            with transaction(self._pool, context) as connection:
                lock_vocabulary(connection, exclusive=True)
                yield connection
        except CheckViolation as error:
            said = ". ".join(filter(None, (error.diag.message_primary, error.diag.message_hint)))
            raise VocabularyError(said or str(error)) from error

    def _form(self, name: str) -> str:
        form = self._normaliser.normal_form(name)
        if not form:
            raise VocabularyError(f"{name!r} holds nothing that could name a tag")
        return form

    def _new_tag(self, organization_id: str, name: str, description: str | None) -> NewTag:
        return NewTag(
            organization_id,
            self._normaliser.display_form(name),
            self._form(name),
            origin=Origin.HUMAN,
            description=description,
        )

    def _claim(self, connection: Connection, tag: Tag, form: str) -> None:
        """Make sure that a form leads nowhere, or to this tag, and free it."""
        key = (tag.organization_id, form)
        known = resolve_forms(connection, [key]).get(key)
        if known is not None and known.id != tag.id:
            raise VocabularyError(f"that is {known.name!r} ({known.status}) already: merge the two instead")
        owner = connection.execute(
            "SELECT id FROM tagging.tags WHERE organization_id = %s AND normal_form = %s", key
        ).fetchone()
        if owner is not None:
            raise VocabularyError(f"that is the name of a tag merged into {tag.name!r}: undo that merge first")
        connection.execute("DELETE FROM tagging.tag_aliases WHERE organization_id = %s AND normal_form = %s", key)

    def _part(self, connection: Connection, tag: Tag, part: SplitPart) -> Tag:
        new = self._new_tag(tag.organization_id, part.name, None)
        key = (tag.organization_id, new.normal_form)
        insert_tags(connection, [new])
        target = resolve_forms(connection, [key])[key]
        if target.id == tag.id or target.status is not TagStatus.ACTIVE:
            raise VocabularyError(f"{part.name!r} is {target.name!r} ({target.status}): choose another name")
        if target.parent_id is None:
            connection.execute("UPDATE tagging.tags SET parent_id = %s WHERE id = %s", [tag.id, target.id])
        return _tag(connection, target.id)


def _tag(connection: Connection, tag_id: int) -> Tag:
    tag = load_tags(connection, [tag_id]).get(tag_id)
    if tag is None:
        raise UnknownName(f"there is no tag with id {tag_id}")
    return tag


def _refuse_merged(tag: Tag) -> None:
    if tag.status is TagStatus.MERGED:
        raise VocabularyError(f"{tag.name!r} was merged into another tag: change that one, or undo the merge")


def _set_status(connection: Connection, tag_id: int, status: TagStatus) -> None:
    connection.execute("UPDATE tagging.tags SET status = %s WHERE id = %s", [str(status), tag_id])


def _add_alias(connection: Connection, tag: Tag, alias: str, form: str) -> None:
    connection.execute(
        """
        INSERT INTO tagging.tag_aliases (organization_id, alias, normal_form, tag_id, origin)
        VALUES (%s, %s, %s, %s, 'human')
        """,
        [tag.organization_id, alias, form, tag.id],
    )


def _move(connection: Connection, content_ids: Sequence[int], source_id: int, target_id: int) -> None:
    parameters = {"contents": list(content_ids), "source": source_id, "target": target_id}
    connection.execute(
        """
        INSERT INTO tagging.content_tags (
            content_id, tag_id, organization_id, confidence, weight, method, origin, evidence, tagger_version_id
        )
        SELECT
            content_id, %(target)s, organization_id, confidence, weight, method, origin, evidence,
            tagger_version_id
        FROM tagging.content_tags
        WHERE tag_id = %(source)s AND content_id = ANY (%(contents)s::bigint[])
        ON CONFLICT (content_id, tag_id) DO NOTHING
        """,
        parameters,
    )
    connection.execute(
        """
        DELETE FROM tagging.content_tags
        WHERE tag_id = %(source)s AND content_id = ANY (%(contents)s::bigint[])
        """,
        parameters,
    )
    # The narrower tag carries people's word from now on; on the broader one it would bring that back.
    connection.execute(
        """
        UPDATE tagging.tag_feedback
        SET undone_at = clock_timestamp()
        WHERE
            tag_id = %(source)s AND content_id = ANY (%(contents)s::bigint[]) AND kind IN ('accept', 'add')
            AND undone_at IS NULL
        """,
        parameters,
    )
