"""Prompts in the database: synchronised from files, edited by SQL, and every version kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import Connection
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.enhancement.models import PromptLocale, PromptTemplate
from tagging_orchestration.core.enhancement.prompts import VARIANTS, pick_group, version_order
from tagging_orchestration.core.errors import ConfigurationError, UnknownName
from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.storage.connection import transaction

ACTOR = "prompt files"
LOCK = 7_416_735


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a synchronisation did, each item as `key locale group version`.

    `kept`: versions of which the database holds another text that somebody wrote there; `held_back`: new versions
    that are not in use because their group was switched off, or a newer one was known.
    """

    inserted: tuple[str, ...] = ()
    activated: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    held_back: tuple[str, ...] = ()
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class TemplateSummary:
    """One row of `ai_prompt_templates`: what is in use."""

    template_key: str
    template_name: str
    category: str
    version: str
    locale: PromptLocale
    is_active: bool
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TemplateVersion:
    """One version of a prompt with what the database says about it."""

    template: PromptTemplate
    is_active: bool
    source: Literal["file", "database"]
    created_at: datetime
    created_by: str


def sync_prompts(pool: ConnectionPool, templates: Sequence[PromptTemplate], locale: PromptLocale) -> SyncReport:
    """Bring the versions of the files into the database; `locale` is the business's.

    Per key, language and group the newest version becomes active when it is new and newer than all that were
    known, unless people switched the group off. Raises ConfigurationError when a version that came from a file has
    another content now.
    """
    with transaction(pool, ChangeContext(actor=ACTOR)) as connection:
        connection.execute(
            "SELECT pg_advisory_xact_lock(%s), set_config('tagging.prompt_source', 'file', true)", [LOCK]
        )
        # Serves all: some tens of keys with a few versions each.
        known = {
            (key, of_locale, group, version): (digest, source, is_active)
            for key, of_locale, group, version, digest, source, is_active in connection.execute(
                """
                SELECT v.template_key, v.locale, v.ab_group, v.version, v.content_sha256, v.source, v.is_active
                FROM ai.ai_prompt_template_versions AS v
                """
            )
        }
        new, kept, changed = [], [], []
        for template in sorted(templates, key=lambda one: version_order(one.version)):
            digest, source, _ = known.get(_identity(template), (None, "file", False))
            if digest is None:
                new.append(template)
            elif digest != template.content_sha256:
                (changed if source == "file" else kept).append(template)
        if changed:
            raise ConfigurationError(
                "prompts changed without a new version: give each a new version, in a file of its own, and leave "
                f"the old file as it was: {', '.join(map(_name, changed))}"
            )
        activated = _to_activate(new, known)
        _insert_keys(connection, sorted(activated, key=lambda one: (one.ab_group, one.locale != locale)))
        _insert_versions(connection, new, activated)
        connection.execute(
            """
            UPDATE ai.ai_prompt_templates AS t
            SET locale = v.locale
            FROM ai.ai_prompt_template_versions AS v
            WHERE
                v.template_key = t.template_key AND v.locale = %(locale)s AND v.ab_group = t.ab_group
                AND v.is_active AND t.locale <> v.locale
            """,
            {"locale": locale},
        )
    newest = {_identity(template)[:3]: template for template in new}
    return SyncReport(
        inserted=tuple(map(_name, new)),
        activated=tuple(map(_name, activated)),
        kept=tuple(map(_name, kept)),
        held_back=tuple(_name(template) for template in newest.values() if template not in activated),
        unchanged=len(templates) - len(new) - len(kept),
    )


def _to_activate(
    new: Sequence[PromptTemplate], known: Mapping[tuple[str, str, str, str], tuple[str, str, bool]]
) -> list[PromptTemplate]:
    """Of the new versions (oldest first) those that are to be used: the newest of each language and group."""
    chosen: dict[tuple[str, ...], PromptTemplate] = {}
    for template in new:
        *group, _ = _identity(template)
        before = {version: is_active for (*of, version), (_, _, is_active) in known.items() if of == group}
        newest = max(map(version_order, before), default=())
        if not before or (any(before.values()) and version_order(template.version) > newest):
            chosen[tuple(group)] = template
    return list(chosen.values())


def _insert_keys(connection: Connection, templates: Sequence[PromptTemplate]) -> None:
    """Rows for keys that have none, each of the first template of its key. Their trigger writes the version."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO ai.ai_prompt_templates (
                template_key, locale, ab_group, version, template_name, category, description, prompt_template,
                system_message, max_tokens, temperature, required_variables, optional_variables, output_schema
            )
            VALUES (
                %(template_key)s, %(locale)s, %(ab_group)s, %(version)s, %(template_name)s, %(category)s,
                %(description)s, %(prompt_template)s, %(system_message)s, %(max_tokens)s, %(temperature)s,
                %(required_variables)s, %(optional_variables)s, %(output_schema)s
            )
            ON CONFLICT (template_key) DO NOTHING
            """,
            [_row(template) for template in templates],
        )


def _insert_versions(
    connection: Connection, templates: Sequence[PromptTemplate], activated: Sequence[PromptTemplate]
) -> None:
    """The versions that are not there yet."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO ai.ai_prompt_template_versions (
                template_key, locale, ab_group, version, template_name, category, description, prompt_template,
                system_message, max_tokens, temperature, required_variables, optional_variables, output_schema,
                content_sha256, weight, source, is_active, created_by
            )
            VALUES (
                %(template_key)s, %(locale)s, %(ab_group)s, %(version)s, %(template_name)s, %(category)s,
                %(description)s, %(prompt_template)s, %(system_message)s, %(max_tokens)s, %(temperature)s,
                %(required_variables)s, %(optional_variables)s, %(output_schema)s,
                %(content_sha256)s, %(weight)s, 'file', %(is_active)s, %(actor)s
            )
            ON CONFLICT (template_key, locale, ab_group, version) DO UPDATE SET weight = excluded.weight
            """,
            [_row(template) | {"is_active": template in activated, "actor": ACTOR} for template in templates],
        )


def load_template(
    pool: ConnectionPool, key: str, locale: PromptLocale, subject_id: str
) -> tuple[PromptTemplate, str]:
    """The prompt in use for a subject, and the key that was asked for.

    A variant that is missing or inactive is served by its base key, a language that lacks the key by another one.
    Raises UnknownName when there is none.
    """
    wanted = [key, VARIANTS[key]] if key in VARIANTS else [key]
    found = [row.template for row in _read(pool, wanted, in_use=True)]
    for name in wanted:
        of_key = [template for template in found if template.template_key == name]
        if of_key:
            served = locale if any(template.locale == locale for template in of_key) else of_key[0].locale
            return pick_group([template for template in of_key if template.locale == served], subject_id), key
    raise UnknownName(
        f"no active prompt is called {key}: tagging prompts list shows what there is, tagging prompts sync brings "
        "in the files"
    )


def load_version(
    pool: ConnectionPool, key: str, locale: PromptLocale, ab_group: str, version: str
) -> PromptTemplate:
    """One version, in use or not. Raises UnknownName when there is none."""
    found = _read(pool, [key], locale=locale, ab_group=ab_group, version=version)
    if not found:
        raise UnknownName(
            f"the prompt {key} has no version {version} in {locale} and group {ab_group}: tagging prompts list "
            "--all shows what there is"
        )
    return found[0].template


def list_templates(pool: ConnectionPool) -> list[TemplateSummary]:
    """What is in use, by category and key."""
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(TemplateSummary)) as cursor:
        return cursor.execute(
            """
            SELECT t.template_key, t.template_name, t.category, t.version, t.locale, t.is_active, t.updated_at
            FROM ai.ai_prompt_templates AS t
            ORDER BY t.category, t.template_key
            """
        ).fetchall()


def versions(pool: ConnectionPool, key: str | None = None) -> list[TemplateVersion]:
    """All versions (of a key), by key, locale, group and version. Raises UnknownName for an unknown key."""
    found = _read(pool, None if key is None else [key])
    if key is not None and not found:
        raise UnknownName(f"no prompt is called {key}: tagging prompts list shows them")
    return found


def _read(
    pool: ConnectionPool,
    keys: Sequence[str] | None = None,
    *,
    in_use: bool = False,
    locale: str | None = None,
    ab_group: str | None = None,
    version: str | None = None,
) -> list[TemplateVersion]:
    # Indexes: the unique one of (template_key, locale, ab_group, version), prompt_template_versions_one_active.
    query = """
        SELECT
            v.template_key, v.locale, v.version, v.template_name, v.category, v.prompt_template, v.system_message,
            v.required_variables, v.optional_variables, v.max_tokens, v.temperature, v.output_schema,
            v.content_sha256, v.ab_group, v.weight, v.description, v.is_active AND t.is_active AS in_use, v.source,
            v.created_at, v.created_by
        FROM ai.ai_prompt_template_versions AS v
        JOIN ai.ai_prompt_templates AS t ON t.template_key = v.template_key
        WHERE
            (%(keys)s::text[] IS NULL OR v.template_key = ANY(%(keys)s))
            AND (v.is_active AND t.is_active OR NOT %(in_use)s)
            AND (%(locale)s::text IS NULL OR v.locale = %(locale)s)
            AND (%(group)s::text IS NULL OR v.ab_group = %(group)s)
            AND (%(version)s::text IS NULL OR v.version = %(version)s)
        ORDER BY v.template_key, v.locale DESC, v.ab_group, ai.version_order(v.version)
    """
    parameters = {
        "keys": keys if keys is None else list(keys),
        "in_use": in_use,
        "locale": locale,
        "group": ab_group,
        "version": version,
    }
    with transaction(pool) as connection, connection.cursor(row_factory=dict_row) as cursor:
        return [_version(row) for row in cursor.execute(query, parameters)]


def _version(row: dict[str, Any]) -> TemplateVersion:
    about = {name: row.pop(name) for name in ("in_use", "source", "created_at", "created_by")}
    template = PromptTemplate(
        **row
        | {
            "required_variables": tuple(row["required_variables"]),
            "optional_variables": tuple(row["optional_variables"]),
            "temperature": float(row["temperature"]),
        }
    )
    return TemplateVersion(template, about["in_use"], about["source"], about["created_at"], about["created_by"])


def _row(template: PromptTemplate) -> dict[str, Any]:
    return asdict(template) | {
        "required_variables": Jsonb(template.required_variables),
        "optional_variables": Jsonb(template.optional_variables),
    }


def _identity(template: PromptTemplate) -> tuple[str, str, str, str]:
    return template.template_key, template.locale, template.ab_group, template.version


def _name(template: PromptTemplate) -> str:
    return " ".join(_identity(template))
