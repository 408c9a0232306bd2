"""Trained models and the labels they learn from: table `trained_models`, `contents`, `content_tags`."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, sql
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName
from tagging_orchestration.core.models import (
    LabelledContent,
    ModelKind,
    ModelStatus,
    NewModel,
    TrainedModel,
)
from tagging_orchestration.storage.connection import transaction

_SELECT = sql.SQL(
    """
    SELECT
        id, organization_id, kind, version, status, trained_on, metrics, length(payload),
        created_at, activated_at, activated_by, retired_at
    FROM tagging.trained_models
    """
)


class PostgresTrainedModelStore:
    """`TrainedModelStore` over Postgres."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def add(self, model: NewModel) -> TrainedModel:
        """Store a candidate; a version known for this organisation and kind returns the stored model."""
        with transaction(self._pool) as connection:
            connection.execute(
                """
                INSERT INTO tagging.trained_models (organization_id, kind, version, payload, trained_on, metrics)
                VALUES (%s, %s, %s, %s, %s, %s)
                ON CONFLICT (organization_id, kind, version) DO NOTHING
                """,
                [
                    model.organization_id,
                    model.kind,
                    model.version,
                    model.payload,
                    Jsonb(dict(model.trained_on)),
                    Jsonb(dict(model.metrics)),
                ],
            )
            (row,) = connection.execute(
                _SELECT + sql.SQL("WHERE organization_id = %s AND kind = %s AND version = %s"),
                [model.organization_id, model.kind, model.version],
            ).fetchall()
        return _model(row)

    def find(self, organization_id: str, kind: ModelKind, version: str) -> TrainedModel | None:
        """The model of this version, whatever its status."""
        with transaction(self._pool) as connection:
            row = connection.execute(
                _SELECT + sql.SQL("WHERE organization_id = %s AND kind = %s AND version = %s"),
                [organization_id, kind, version],
            ).fetchone()
        return _model(row) if row else None

    def active(self, organization_id: str, kind: ModelKind) -> TrainedModel | None:
        """The model in use, None while there is none."""
        with transaction(self._pool) as connection:
            row = connection.execute(
                _SELECT + sql.SQL("WHERE organization_id = %s AND kind = %s AND status = 'active'"),
                [organization_id, kind],
            ).fetchone()
        return _model(row) if row else None

    def active_versions(self, kind: ModelKind) -> dict[str, str]:
        """Version of the active model of each organisation that has one."""
        with transaction(self._pool) as connection:
            rows = connection.execute(
                """
                SELECT organization_id, version
                FROM tagging.trained_models
                WHERE kind = %s AND status = 'active'
                ORDER BY organization_id
                """,
                [kind],
            ).fetchall()
        return dict(rows)

    def get(self, model_id: int) -> TrainedModel:
        """One model; raises UnknownName when there is none with this id."""
        with transaction(self._pool) as connection:
            return _get(connection, model_id)

    def payload(self, model_id: int) -> bytes:
        """The model's bytes; raises UnknownName when there is none with this id."""
        with transaction(self._pool) as connection:
            row = connection.execute(
                "SELECT payload FROM tagging.trained_models WHERE id = %s", [model_id]
            ).fetchone()
        if row is None:
            raise _unknown(model_id)
        return bytes(row[0])

    def all(self, organization_id: str, kind: ModelKind | None = None) -> list[TrainedModel]:
        """Every model of the organisation, newest first."""
        with transaction(self._pool) as connection:
            rows = connection.execute(
                _SELECT
                + sql.SQL("WHERE organization_id = %s AND (%s::text IS NULL OR kind = %s) ORDER BY id DESC"),
                [organization_id, kind, kind],
            ).fetchall()
        return [_model(row) for row in rows]

    def promote(self, model_id: int, actor: str) -> TrainedModel:
        """Make a model the active one of its kind and retire the one before, in one transaction.

        Promoting the active model changes nothing. Raises UnknownName when there is none with this id.
        """
        with transaction(self._pool) as connection:
            model = _get(connection, model_id)
            _lock(connection, model.organization_id, model.kind)
            if _get(connection, model_id).status is ModelStatus.ACTIVE:
                return _get(connection, model_id)
            _retire(connection, model.organization_id, model.kind)
            connection.execute(
                """
                UPDATE tagging.trained_models
                SET status = 'active', activated_at = clock_timestamp(), activated_by = %s, retired_at = NULL
                WHERE id = %s
                """,
                [actor, model_id],
            )
            return _get(connection, model_id)

    def rollback(self, organization_id: str, kind: ModelKind, actor: str) -> TrainedModel | None:
        """Put the model back that was active before, in one transaction; None when there was none before.

        Asked again it goes one step further back. Raises UnknownName when no model is active.
        """
        with transaction(self._pool) as connection:
            _lock(connection, organization_id, kind)
            present = connection.execute(
                """
                SELECT activated_at
                FROM tagging.trained_models
                WHERE organization_id = %s AND kind = %s AND status = 'active'
                """,
                [organization_id, kind],
            ).fetchone()
            if present is None:
                raise UnknownName(f"no {kind} is active in organisation {organization_id}: nothing to roll back")
            _retire(connection, organization_id, kind)
            row = connection.execute(
                """
                UPDATE tagging.trained_models
                SET status = 'active', activated_by = %s, retired_at = NULL
                WHERE id = (
                    SELECT id
                    FROM tagging.trained_models
                    WHERE
                        organization_id = %s AND kind = %s AND status = 'retired' AND activated_at < %s
                    ORDER BY activated_at DESC
                    LIMIT 1
                )
                RETURNING id
                """,
                [actor, organization_id, kind, present[0]],
            ).fetchone()
            return _get(connection, row[0]) if row else None

    def labelled_contents(self, organization_id: str) -> list[LabelledContent]:
        """Live contents that people tagged or judged, by id.

        A content whose source brought tags is fully labelled. On others people judged some of the machines' tags;
        the rest of those are unknown.
        """
        with transaction(self._pool) as connection:
            rows = connection.execute(
                """
                WITH told AS (
                    SELECT
                        ct.content_id,
                        array_agg(ct.tag_id ORDER BY ct.tag_id) FILTER (WHERE ct.origin = 'human') AS labels,
                        array_agg(ct.tag_id ORDER BY ct.tag_id) FILTER (WHERE ct.origin <> 'human') AS machines
                    FROM tagging.content_tags AS ct
                    WHERE ct.organization_id = %(organization)s
                    GROUP BY ct.content_id
                ),
                rejected AS (
                    SELECT v.content_id, array_agg(v.tag_id ORDER BY v.tag_id) AS tags
                    FROM tagging.feedback_verdicts AS v
                    WHERE v.organization_id = %(organization)s AND NOT v.accepted
                    GROUP BY v.content_id
                )
                SELECT
                    c.id, c.title, c.body, c.text_hash, told.labels, rejected.tags,
                    CASE WHEN c.given_tags = '{}' THEN told.machines END
                FROM tagging.contents AS c
                LEFT JOIN told ON told.content_id = c.id
                LEFT JOIN rejected ON rejected.content_id = c.id
                WHERE
                    c.organization_id = %(organization)s AND c.deleted_at IS NULL
                    AND (told.labels IS NOT NULL OR rejected.tags IS NOT NULL)
                ORDER BY c.id
                """,
                {"organization": organization_id},
            ).fetchall()
        return [
            LabelledContent(
                content_id=content_id,
                title=title,
                body=body,
                text_hash=text_hash,
                labels=frozenset(labels or ()),
                rejected=frozenset(rejected or ()),
                unknown=frozenset(machines or ()),
            )
            for content_id, title, body, text_hash, labels, rejected, machines in rows
        ]

    def labels_fingerprint(self, organization_id: str) -> str:
        """Changes when people's tags, their rejections, or a text or tag name of those would; reads no text."""
        with transaction(self._pool) as connection:
            (row,) = connection.execute(
                """
                WITH told AS (
                    SELECT ct.content_id, ct.tag_id, 'label' AS said
                    FROM tagging.content_tags AS ct
                    WHERE ct.organization_id = %(organization)s AND ct.origin = 'human'
                    UNION ALL
                    SELECT v.content_id, v.tag_id, 'rejected'
                    FROM tagging.feedback_verdicts AS v
                    WHERE v.organization_id = %(organization)s AND NOT v.accepted
                )
                SELECT
                    md5(
                        coalesce(
                            string_agg(
                                concat_ws(':', told.content_id, c.text_hash, told.said, told.tag_id, t.name),
                                ',' ORDER BY told.content_id, told.tag_id, told.said
                            ),
                            ''
                        )
                    )
                FROM told
                INNER JOIN tagging.contents AS c ON c.id = told.content_id AND c.deleted_at IS NULL
                INNER JOIN tagging.tags AS t ON t.id = told.tag_id
                """,
                {"organization": organization_id},
            ).fetchall()
        return row[0]

    def labelled_organizations(self) -> list[str]:
        """Organisations with tags that people gave, or judgements of theirs."""
        with transaction(self._pool) as connection:
            rows = connection.execute(
                """
                SELECT organization_id FROM tagging.content_tags WHERE origin = 'human'
                UNION
                SELECT organization_id FROM tagging.tag_feedback
                ORDER BY 1
                """
            ).fetchall()
        return [organization_id for (organization_id,) in rows]


def _lock(connection: Connection, organization_id: str, kind: str) -> None:
    """Let the writers of one organisation's models of a kind wait for each other."""
    connection.execute(
        """
        SELECT id FROM tagging.trained_models WHERE organization_id = %s AND kind = %s ORDER BY id FOR UPDATE
        """,
        [organization_id, kind],
    )


def _retire(connection: Connection, organization_id: str, kind: str) -> None:
    connection.execute(
        """
        UPDATE tagging.trained_models
        SET status = 'retired', retired_at = clock_timestamp()
        WHERE organization_id = %s AND kind = %s AND status = 'active'
        """,
        [organization_id, kind],
    )


def _get(connection: Connection, model_id: int) -> TrainedModel:
    row = connection.execute(
        _SELECT + sql.SQL("WHERE id = %s"),
        [model_id],
    ).fetchone()
    if row is None:
        raise _unknown(model_id)
    return _model(row)


def _unknown(model_id: int) -> UnknownName:
    return UnknownName(f"there is no trained model {model_id}: `tagging models list` shows them")


def _model(row: tuple[Any, ...]) -> TrainedModel:
    model_id, organization_id, kind, version, status, trained_on, metrics, size, *times = row
    created_at, activated_at, activated_by, retired_at = times
    return TrainedModel(
        id=model_id,
        organization_id=organization_id,
        kind=ModelKind(kind),
        version=version,
        status=ModelStatus(status),
        trained_on=trained_on,
        metrics=metrics,
        size=size,
        created_at=created_at,
        activated_at=activated_at,
        activated_by=activated_by,
        retired_at=retired_at,
    )
