"""What AI added, as it may be shown, replayed and voted on; and what people want to see of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString, cast
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.facts import TABLES
from tagging_orchestration.core.business.report import excerpt
from tagging_orchestration.core.enhancement.envelopes import Status
from tagging_orchestration.core.enhancement.models import Severity, SubjectType
from tagging_orchestration.core.enhancement.switches import UserSettings
from tagging_orchestration.core.errors import ConfigurationError, UnknownName
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.report import SAMPLE_CHARACTERS

EVERYBODY = ""
"""The user name whose settings are everybody's."""

REPLAY = "replay"
"""The kind of an answer that was asked for to be compared; it is never shown in a report."""

RESULT_HOURS = 24
LABEL_CHARACTERS, DETAIL_CHARACTERS = 60, 160

_COLUMNS = sql.SQL("""
    e.id, e.organization_id, e.subject_type, e.subject_id, e.enhancement_type, e.severity, e.template_key,
    e.template_version, e.template_locale, e.ab_group, e.requested_key, trim(e.prompt_sha256) AS prompt_sha256,
    trim(e.context_hash) AS context_hash, e.variables, e.provider_id, e.provider_name, e.model, e.model_digest,
    e.params, e.status, e.error_type, e.error_subtype, e.result, e.parse_level, e.degraded, e.flags, e.evidence,
    e.confidence::double precision AS confidence, coalesce(e.processing_time_ms, 0) AS processing_time_ms,
    e.created_at, e.fresh_until, e.expires_at
""")


@dataclass(frozen=True, slots=True)
class Enhancement:
    """A stored enhancement. `variables` are what its prompt was rendered from, `evidence` which claim rests on
    what: {claim_index, ref}."""

    id: UUID
    organization_id: str
    subject_type: SubjectType
    subject_id: str
    enhancement_type: str
    severity: Severity | None
    template_key: str
    template_version: str
    template_locale: str
    ab_group: str
    requested_key: str
    prompt_sha256: str
    context_hash: str
    variables: dict[str, Any]
    provider_id: UUID | None
    provider_name: str
    model: str
    model_digest: str | None
    params: dict[str, Any]
    status: str
    error_type: str | None
    error_subtype: str | None
    result: dict[str, Any] | None
    parse_level: str | None
    degraded: bool
    flags: list[str]
    evidence: list[dict[str, Any]]
    confidence: float | None
    processing_time_ms: int
    created_at: datetime
    fresh_until: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Reference:
    """What a reference to evidence leads to. `link` names the row behind it, as a command or a place understands
    it; `found` is false where it is gone."""

    ref: str
    label: str
    detail: str = ""
    link: str = ""
    found: bool = True


@dataclass(frozen=True, slots=True)
class Votes:
    """What people thought of an answer."""

    useful: int = 0
    not_useful: int = 0
    comments: tuple[str, ...] = ()


# --------------------------------------------------------------------------------------------------- answers


def newest_results(
    pool: ConnectionPool, organization: str, subject_type: str, subject_ids: Sequence[str] | None = None
) -> dict[str, Enhancement]:
    """Of each subject the newest answer that may still be shown, by subject id: a success of the last 24 hours
    that has not expired."""
    # Indexes: ai_enhancements_subject, ai_enhancements_created_at.
    query = """
        SELECT DISTINCT ON (e.subject_id) {columns}
        FROM ai.ai_enhancements AS e
        WHERE
            e.organization_id = %(organization)s AND e.subject_type = %(type)s AND e.status = 'success'
            AND e.enhancement_type <> %(replay)s
            AND (%(ids)s::text[] IS NULL OR e.subject_id = ANY (%(ids)s::text[]))
            AND e.created_at > clock_timestamp() - make_interval(hours => %(hours)s)
            AND e.expires_at > clock_timestamp()
        ORDER BY e.subject_id, e.created_at DESC
    """
    found = _read(
        pool,
        query,
        organization=organization,
        type=subject_type,
        ids=None if subject_ids is None else list(subject_ids),
        hours=RESULT_HOURS,
        replay=REPLAY,
    )
    return {row.subject_id: row for row in found}


def subject_statuses(
    pool: ConnectionPool, organization: str, subject_type: str, subject_ids: Sequence[str]
) -> dict[str, Status]:
    """What is known of subjects: success where an answer may be shown, else loading where a call runs, else error
    where the last attempt failed. Subjects that nobody asked about are not in it."""
    # Indexes: ai_enhancements_subject, ai_usage_logs_subject.
    query = """
        SELECT
            s.id,
            CASE
                WHEN EXISTS (
                    SELECT FROM ai.ai_enhancements AS e
                    WHERE
                        e.organization_id = %(organization)s AND e.subject_type = %(type)s AND e.subject_id = s.id
                        AND e.status = 'success' AND e.expires_at > clock_timestamp()
                        AND e.enhancement_type <> %(replay)s
                        AND e.created_at > clock_timestamp() - make_interval(hours => %(hours)s)
                ) THEN 'success'
                WHEN EXISTS (
                    SELECT FROM ai.ai_enhancements AS e
                    WHERE
                        e.organization_id = %(organization)s AND e.subject_type = %(type)s AND e.subject_id = s.id
                        AND e.status = 'loading' AND e.expires_at > clock_timestamp()
                        AND e.enhancement_type <> %(replay)s
                ) THEN 'loading'
                WHEN EXISTS (
                    SELECT FROM ai.ai_usage_logs AS u
                    WHERE
                        u.organization_id = %(organization)s AND u.subject_type = %(type)s AND u.subject_id = s.id
                        AND u.status <> 'success' AND u.enhancement_type <> %(replay)s
                        AND u.created_at > clock_timestamp() - make_interval(hours => %(hours)s)
                ) THEN 'error'
            END AS status
        FROM unnest(%(ids)s::text[]) AS s (id)
    """
    with transaction(pool) as connection:
        rows = connection.execute(
            query,
            {
                "organization": organization,
                "type": subject_type,
                "ids": list(subject_ids),
                "hours": RESULT_HOURS,
                "replay": REPLAY,
            },
        ).fetchall()
    return {id: cast(Status, status) for id, status in rows if status}


def asked_lately(
    pool: ConnectionPool, organization: str, subject_type: str, subject_ids: Sequence[str], within: timedelta
) -> set[tuple[str, str]]:
    """Subject ids and context hashes that were asked about within that time, whatever came of it."""
    with transaction(pool) as connection:
        # index: ai_usage_logs_subject
        rows = connection.execute(
            """
            SELECT DISTINCT u.subject_id, trim(u.context_hash)
            FROM ai.ai_usage_logs AS u
            WHERE
                u.organization_id = %s AND u.subject_type = %s AND u.subject_id = ANY (%s::text[])
                AND u.created_at > clock_timestamp() - %s::interval
            """,
            [organization, subject_type, list(subject_ids), within],
        ).fetchall()
    return {(subject, context) for subject, context in rows}


def find_enhancement(pool: ConnectionPool, organization: str, name: str) -> Enhancement:
    """The enhancement whose id begins with `name`. Raises UnknownName when there is none, or more than one."""
    query = """
        SELECT {columns}
        FROM ai.ai_enhancements AS e
        WHERE
            e.organization_id = %(organization)s AND starts_with(e.id::text, %(prefix)s) AND e.status <> 'loading'
        ORDER BY e.created_at DESC
        LIMIT 2
    """
    found = _read(pool, query, organization=organization, prefix=name.lower())
    if len(found) != 1:
        many = f"more than one enhancement's id begins with {name!r}: give more of it"
        none = f"there is no enhancement {name!r}: tagging enhancements list shows the ids"
        raise UnknownName(many if found else none)
    return found[0]


def list_enhancements(
    pool: ConnectionPool, organization: str, *, subject: str | None = None, limit: int = 50
) -> list[Enhancement]:
    """Stored enhancements, the newest first. `subject` is a type such as alert, or the beginning of a subject's
    id."""
    # Index: ai_enhancements_created_at.
    query = """
        SELECT {columns}
        FROM ai.ai_enhancements AS e
        WHERE
            e.organization_id = %(organization)s AND e.subject_type <> 'content'
            AND (
                %(subject)s::text IS NULL OR e.subject_type = %(subject)s
                OR starts_with(e.subject_id, %(subject)s)
            )
        ORDER BY e.created_at DESC, e.id
        LIMIT %(limit)s
    """
    return _read(pool, query, organization=organization, subject=subject, limit=limit)


def _read(pool: ConnectionPool, query: LiteralString, **values: object) -> list[Enhancement]:
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(Enhancement)) as cursor:
        return cursor.execute(sql.SQL(query).format(columns=_COLUMNS), values).fetchall()


# ------------------------------------------------------------------------------------------------------ votes


def vote(
    pool: ConnectionPool, organization: str, enhancement_id: UUID, *, useful: bool, actor: str, comment: str = ""
) -> None:
    """Note what somebody thinks of an answer, in place of what they thought before.

    Raises ConfigurationError for an enhancement that is no answer.
    """
    with transaction(pool) as connection:
        done = connection.execute(
            """
            INSERT INTO ai.ai_enhancement_votes (enhancement_id, organization_id, actor, useful, comment)
            SELECT e.id, e.organization_id, %(actor)s, %(useful)s, %(comment)s
            FROM ai.ai_enhancements AS e
            WHERE e.id = %(id)s AND e.organization_id = %(organization)s AND e.status = 'success'
            ON CONFLICT (enhancement_id, actor)
            DO UPDATE SET useful = excluded.useful, comment = excluded.comment, voted_at = now()
            """,
            {
                "id": enhancement_id,
                "organization": organization,
                "actor": actor,
                "useful": useful,
                "comment": comment.strip(),
            },
        )
    if not done.rowcount:
        raise ConfigurationError(f"enhancement {enhancement_id} is no answer that could be voted on")


def read_votes(pool: ConnectionPool, enhancement_id: UUID) -> Votes:
    """What people thought of an answer."""
    with transaction(pool) as connection:
        rows = connection.execute(
            """
            SELECT v.useful, v.comment
            FROM ai.ai_enhancement_votes AS v
            WHERE v.enhancement_id = %s
            ORDER BY v.voted_at
            """,
            [enhancement_id],
        ).fetchall()
    useful = sum(liked for liked, _ in rows)
    return Votes(useful, len(rows) - useful, tuple(comment for _, comment in rows if comment))


# ------------------------------------------------------------------------------------------------- references

# Key, label, detail and link of what references of a kind lead to; by primary keys and the models' unique indexes.
_LOOK_UPS: Mapping[str, LiteralString] = {
    "tag": """
        SELECT t.id::text AS key, t.name AS label, '' AS detail, t.name AS link
        FROM tagging.tags AS t
        WHERE t.id = ANY (%(numbers)s::bigint[]) AND t.organization_id = %(organization)s
    """,
    "content": """
        SELECT
            c.id::text AS key, coalesce(nullif(c.title, ''), left(c.body, %(characters)s)) AS label,
            left(c.body, %(characters)s) AS detail, c.source || ':' || c.external_id AS link
        FROM tagging.contents AS c
        WHERE
            c.id = ANY (%(numbers)s::bigint[]) AND c.organization_id = %(organization)s AND c.deleted_at IS NULL
    """,
    "alert": """
        SELECT
            a.id::text AS key, coalesce(a.texts #>> ARRAY[%(locale)s, 'title'], a.title) AS label,
            coalesce(a.texts #>> ARRAY[%(locale)s, 'message'], a.message) AS detail, a.id::text AS link
        FROM analytics.dashboard_alerts AS a
        WHERE a.id = ANY (%(uuids)s::uuid[]) AND a.organization_id = %(organization)s
    """,
    "metric": """
        SELECT
            t.metric_name AS key, CASE WHEN %(zh)s THEN t.display_name_zh ELSE t.display_name END AS label,
            t.category AS detail, t.metric_name AS link
        FROM analytics.metric_thresholds AS t
        WHERE t.metric_name = ANY (%(keys)s)
    """,
    "insight": """
        SELECT
            i.insight_id AS key, CASE WHEN %(zh)s THEN i.title_zh ELSE i.title END AS label,
            CASE WHEN %(zh)s THEN i.description_zh ELSE i.description END AS detail, i.insight_id AS link
        FROM analytics.business_insights AS i
        WHERE i.insight_id = ANY (%(keys)s) AND i.organization_id = %(organization)s
    """,
    "recommendation": """
        SELECT
            r.recommendation_id AS key, CASE WHEN %(zh)s THEN r.title_zh ELSE r.title END AS label,
            CASE WHEN %(zh)s THEN r.description_zh ELSE r.description END AS detail,
            r.recommendation_id AS link
        FROM analytics.strategic_recommendations AS r
        WHERE r.recommendation_id = ANY (%(keys)s) AND r.organization_id = %(organization)s
    """,
}
_MADE_BY_DBT = {"insight": "analytics.business_insights", "recommendation": "analytics.strategic_recommendations"}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def resolve_references(
    pool: ConnectionPool, organization: str, refs: Iterable[str], locale: str = "en"
) -> dict[str, Reference]:
    """What references to tags, contents, alerts, metrics, insights, recommendations and rows lead to. Others, such
    as leaves of a business context, are not in it; nor are insights and recommendations that are no present ones
    any more, which no table keeps. `locale` is en or zh-Hant."""
    wanted: dict[str, list[str]] = {}
    for ref in dict.fromkeys(refs):
        kind, _, key = ref.partition(":")
        wanted.setdefault(kind, []).append(key)
    found: dict[str, Reference] = {}
    with transaction(pool) as connection, connection.cursor(row_factory=dict_row) as cursor:
        for kind in wanted.keys() & _LOOK_UPS.keys():
            keys = wanted[kind]
            if kind not in _MADE_BY_DBT:
                found |= {f"{kind}:{key}": Reference(f"{kind}:{key}", key, found=False) for key in keys}
            else:
                (there,) = cursor.execute("SELECT to_regclass(%s) AS name", [_MADE_BY_DBT[kind]]).fetchall()
                if there["name"] is None:
                    continue
            values = {
                "keys": keys,
                "numbers": [int(key) for key in keys if key.isascii() and key.isdigit() and len(key) < 19],
                "uuids": [key for key in keys if _UUID.fullmatch(key)],
                "organization": organization,
                "characters": SAMPLE_CHARACTERS,
                "locale": locale,
                "zh": locale == "zh-Hant",
            }
            for row in cursor.execute(_LOOK_UPS[kind], values):
                ref = f"{kind}:{row['key']}"
                # People's texts are told as the report quotes them: short, without personal data.
                label = excerpt(row["label"], LABEL_CHARACTERS)
                found[ref] = Reference(ref, label, excerpt(row["detail"] or "", DETAIL_CHARACTERS), row["link"])
        for key in wanted.get("row", ()):
            table, _, id = key.partition("/")
            name = table.removeprefix("raw.")
            there = False
            if name in TABLES and table.startswith("raw."):
                cursor.execute(
                    sql.SQL("SELECT FROM raw.{} AS t WHERE t.organization_id = %s AND t.{}::text = %s").format(
                        sql.Identifier(name), sql.Identifier(TABLES[name].key[0])
                    ),
                    [organization, id],
                )
                there = cursor.rowcount > 0
            found[f"row:{key}"] = Reference(f"row:{key}", f"{table} {id}", link=key, found=there)
    return found


# --------------------------------------------------------------------------------------------------- settings


def read_user_settings(pool: ConnectionPool, organization: str, user: str = EVERYBODY) -> UserSettings:
    """What a person wants to see; what they did not say is as everybody's settings are."""
    with transaction(pool) as connection:
        rows = connection.execute(
            """
            SELECT s.settings
            FROM ai.ai_user_settings AS s
            WHERE s.organization_id = %s AND s.user_name IN ('', %s)
            ORDER BY s.user_name
            """,
            [organization, user],
        ).fetchall()
    document: dict[str, Any] = {}
    for (said,) in rows:
        document |= said
    return UserSettings.from_document(document)


def save_user_settings(
    pool: ConnectionPool, organization: str, settings: UserSettings, user: str = EVERYBODY
) -> None:
    """Keep what a person wants to see."""
    with transaction(pool) as connection:
        connection.execute(
            """
            INSERT INTO ai.ai_user_settings (organization_id, user_name, settings)
            VALUES (%s, %s, %s)
            ON CONFLICT (organization_id, user_name)
            DO UPDATE SET settings = excluded.settings, updated_at = now()
            """,
            [organization, user, Jsonb(settings.document())],
        )
