"""Import and export of the vocabulary as a CSV table (core/vocabulary/table.py has the format)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from psycopg import Connection
from psycopg.errors import CheckViolation
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import VocabularyError
from tagging_orchestration.core.models import ChangeContext, Origin, TagStatus
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.core.vocabulary.table import (
    TableIssue,
    TablePlan,
    TagChange,
    TagRow,
    plan_table,
    read_table,
    write_table,
)
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.retagging import retag_carrying
from tagging_orchestration.storage.vocabulary import lock_vocabulary

_ISSUES_SHOWN = 50


def tag_rows(pool: ConnectionPool, organization_id: str) -> list[TagRow]:
    """All tags with their aliases and the number of contents that carry them, merged ones included."""
    with transaction(pool) as connection:
        return _tag_rows(connection, organization_id)


def export_table(pool: ConnectionPool, organization_id: str) -> str:
    """The vocabulary as CSV text."""
    with transaction(pool) as connection:
        return write_table(_tag_rows(connection, organization_id))


def plan_import(pool: ConnectionPool, organization_id: str, text: str, normaliser: Normaliser) -> TablePlan:
    """What importing the CSV text would change, or all that is wrong with it; nothing is written."""
    with transaction(pool) as connection:
        return _plan(connection, organization_id, text, normaliser)


def import_table(
    pool: ConnectionPool, organization_id: str, text: str, normaliser: Normaliser, context: ChangeContext
) -> TablePlan:
    """Bring the vocabulary to what the CSV text says, all of it or nothing, in one transaction.

    Returns what was changed; importing the same text again changes nothing. Contents that carry the words of new
    or re-described tags are marked for re-tagging. Raises VocabularyError listing every mistake by row and column.
    """
    context = replace(context, operation_id=context.operation_id or uuid4())
    try:
        with transaction(pool, context) as connection:
            lock_vocabulary(connection, exclusive=True)
            plan = _plan(connection, organization_id, text, normaliser)
            if plan.issues:
                raise VocabularyError(_message(plan.issues))
            _apply(connection, organization_id, plan.changes)
    except CheckViolation as error:
        raise VocabularyError(f"the table was not imported: {error.diag.message_primary}") from error
    return plan


def _plan(connection: Connection, organization_id: str, text: str, normaliser: Normaliser) -> TablePlan:
    rows, issues = read_table(text)
    plan = plan_table(rows, _tag_rows(connection, organization_id), normaliser)
    if not issues:
        return plan
    return TablePlan(issues=tuple(sorted((*issues, *plan.issues), key=lambda issue: issue.row_number)))


def _message(issues: Sequence[TableIssue]) -> str:
    lines = [f"  {issue}" for issue in issues[:_ISSUES_SHOWN]]
    if len(issues) > _ISSUES_SHOWN:
        lines.append(f"  and {len(issues) - _ISSUES_SHOWN} more")
    return "\n".join(["the table was not imported; mend these and import it again:", *lines])


def _tag_rows(connection: Connection, organization_id: str) -> list[TagRow]:
    aliases: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for tag_id, alias, normal_form in connection.execute(
        "SELECT tag_id, alias, normal_form FROM tagging.tag_aliases WHERE organization_id = %s ORDER BY alias",
        [organization_id],
    ):
        aliases[tag_id].append((alias, normal_form))
    rows = connection.execute(
        """
        SELECT
            t.id, t.name, t.normal_form, t.status, t.description, t.parent_id, t.pinned, t.language, t.origin,
            (SELECT count(*) FROM tagging.content_tags AS ct WHERE ct.tag_id = t.id)
        FROM tagging.tags AS t
        WHERE t.organization_id = %s
        ORDER BY t.id
        """,
        [organization_id],
    )
    return [
        TagRow(
            tag_id=row[0],
            name=row[1],
            normal_form=row[2],
            status=TagStatus(row[3]),
            description=row[4],
            parent_id=row[5],
            aliases=tuple(aliases[row[0]]),
            pinned=row[6],
            language=row[7],
            origin=Origin(row[8]),
            usage_count=row[9],
        )
        for row in rows
    ]


def _apply(connection: Connection, organization_id: str, changes: Sequence[TagChange]) -> None:
    """Tags first, then what refers to them."""
    for change in changes:
        if change.is_new:
            _insert(connection, organization_id, change)
        else:
            _update(connection, change)
    ids = dict(
        connection.execute(
            "SELECT normal_form, id FROM tagging.tags WHERE organization_id = %s", [organization_id]
        ).fetchall()
    )
    _set_parents(connection, changes, ids)
    _set_aliases(connection, organization_id, changes, ids)
    retag_carrying(connection, [ids[change.normal_form] for change in changes if change.says_more_about_texts])


def _insert(connection: Connection, organization_id: str, change: TagChange) -> None:
    connection.execute(
        """
        INSERT INTO tagging.tags
            (organization_id, name, normal_form, status, description, pinned, language, origin)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            organization_id,
            change.name,
            change.normal_form,
            str(change.status),
            change.description,
            change.pinned,
            change.language,
            str(change.origin),
        ],
    )


def _update(connection: Connection, change: TagChange) -> None:
    connection.execute(
        """
        UPDATE tagging.tags
        SET name = %s, status = %s, description = %s, pinned = %s, language = %s, origin = %s
        WHERE id = %s
        """,
        [
            change.name,
            str(change.status),
            change.description,
            change.pinned,
            change.language,
            str(change.origin),
            change.tag_id,
        ],
    )


def _set_parents(connection: Connection, changes: Sequence[TagChange], ids: dict[str, int]) -> None:
    # One statement: two rows that change places in the hierarchy would be a circle in between.
    connection.execute(
        """
        UPDATE tagging.tags AS t
        SET parent_id = c.parent_id
        FROM unnest(%s::bigint[], %s::bigint[]) AS c (id, parent_id)
        WHERE t.id = c.id AND t.parent_id IS DISTINCT FROM c.parent_id
        """,
        [
            [ids[change.normal_form] for change in changes],
            [ids[change.parent_form] if change.parent_form else None for change in changes],
        ],
    )


def _set_aliases(
    connection: Connection, organization_id: str, changes: Sequence[TagChange], ids: dict[str, int]
) -> None:
    connection.execute(
        "DELETE FROM tagging.tag_aliases WHERE organization_id = %s AND normal_form = ANY (%s::text[])",
        [organization_id, [form for change in changes for form in change.removed_aliases]],
    )
    added = [(ids[change.normal_form], *alias) for change in changes for alias in change.added_aliases]
    connection.execute(
        """
        INSERT INTO tagging.tag_aliases (organization_id, alias, normal_form, tag_id, origin)
        SELECT %s, a.alias, a.normal_form, a.tag_id, 'human'
        FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS a (tag_id, alias, normal_form)
        """,
        [
            organization_id,
            [tag_id for tag_id, _, _ in added],
            [alias for _, alias, _ in added],
            [form for _, _, form in added],
        ],
    )
