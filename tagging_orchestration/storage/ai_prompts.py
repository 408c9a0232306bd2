"""Prompts in the database: synchronised from files, edited by SQL, and every version kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg_pool import ConnectionPool

from tagging_orchestration.core.enhancement.models import PromptLocale, PromptTemplate


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a synchronisation did, each item as `key locale group version`.

    `kept`: versions of which the database holds another text that somebody wrote there; `held_back`: new versions
    that are not in use because their group was switched off, or a newer one was written in the database.
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

    Raises ConfigurationError when a version that came from a file has another content now.
    """
    raise NotImplementedError


def load_template(
    pool: ConnectionPool, key: str, locale: PromptLocale, subject_id: str
) -> tuple[PromptTemplate, str]:
    """The prompt in use for a subject, and the key that was asked for. A variant that is missing or inactive is
    served by its base key; a locale without the key by another one. Raises UnknownName when there is none."""
    raise NotImplementedError


def load_version(
    pool: ConnectionPool, key: str, locale: PromptLocale, ab_group: str, version: str
) -> PromptTemplate:
    """One version, in use or not. Raises UnknownName when there is none."""
    raise NotImplementedError


def list_templates(pool: ConnectionPool) -> list[TemplateSummary]:
    """What is in use, by category and key."""
    raise NotImplementedError


def versions(pool: ConnectionPool, key: str | None = None) -> list[TemplateVersion]:
    """All versions (of a key), by key, locale, group and version. Raises UnknownName for an unknown key."""
    raise NotImplementedError
