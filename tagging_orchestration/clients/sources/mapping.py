"""Which column of a source feeds which field of `contents`: as stated, or guessed from common names."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.settings import ColumnMapping

FIELDS = (
    "id",
    "body",
    "title",
    "url",
    "language",
    "created_at",
    "updated_at",
    "tags",
    "organization",
    "content_type",
)

# Best name first; compared without case, spaces and punctuation. A column serves one field only, and the body
# is chosen before the title, so that a table of mere headlines has a body.
COMMON_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": (
        "id", "external_id", "uuid", "guid", "_id", "key", "doc_id", "document_id", "content_id", "item_id",
        "article_id", "post_id", "review_id", "ticket_id", "complaint_id", "question_id", "record_id",
        "編號", "编号", "識別碼",
    ),
    "body": (
        "body", "text", "content", "contents", "full_text", "description", "narrative",
        "consumer_complaint_narrative", "message", "review", "review_text", "review_body", "comment", "abstract",
        "summary", "question", "內容", "内容", "內文", "正文", "全文", "描述", "評論", "评论", "摘要",
        "title", "headline", "subject",
    ),
    "title": ("title", "headline", "subject", "summary", "name", "標題", "标题", "主旨", "名稱", "名称"),
    "url": ("url", "link", "permalink", "href", "連結", "链接", "網址", "网址"),
    "language": ("language", "lang", "locale", "語言", "语言"),
    "created_at": (
        "created_at", "created", "creation_date", "created_on", "created_time", "date_created", "published_at",
        "published", "publication_date", "pub_date", "date_published", "posted_at", "date_received", "date",
        "datetime", "timestamp", "time",
        "建立時間", "創建時間", "创建时间", "發布日期", "发布日期", "日期", "時間", "时间",
    ),
    "updated_at": (
        "updated_at", "updated", "modified", "modified_at", "last_modified", "date_modified", "date_updated",
        "更新時間", "更新时间", "更新日期",
    ),
    "tags": (
        "tags", "labels", "keywords", "categories", "tag", "keyword", "category", "topics",
        "標籤", "标签", "關鍵字", "关键字", "關鍵詞", "关键词", "分類", "分类",
    ),
    # "organization" alone is more often a fact about the text than the owner of the row: never a guess.
    "organization": ("organization_id", "organisation_id"),
    "content_type": ("content_type",),
}  # fmt: skip

# "review_comment_message" holds a message, "order_created_at" a creation time: the last words decide where no
# whole name is known. ("user_name" is no title, and "order_id" need not be the row's own id.)
LAST_WORDS: Mapping[str, tuple[str, ...]] = {
    "body": tuple(name for name in COMMON_NAMES["body"] if name.isascii()),
    "title": ("title", "headline", "subject"),
    "created_at": tuple(name for name in COMMON_NAMES["created_at"] if "_" in name),
    "updated_at": tuple(name for name in COMMON_NAMES["updated_at"] if "_" in name),
}


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row's values by field, not yet checked. `id` is None only where the source's column is empty."""

    id: Any = None
    title: Any = None
    body: Any = None
    url: Any = None
    language: Any = None
    created_at: Any = None
    updated_at: Any = None
    tags: Any = None
    organization: Any = None
    content_type: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that feed each field. `metadata` None stands for all others."""

    by_field: Mapping[str, str]
    guessed: frozenset[str]
    metadata: tuple[str, ...] | None

    def pick(self, record: Mapping[str, Any]) -> RawRow:
        """The record's values by field. Without an id column a hash of the whole record is the id."""
        values = {name: record.get(column) for name, column in self.by_field.items()}
        if not self.has_id:
            values["id"] = record_hash(record)
        if self.metadata is None:
            used = set(self.by_field.values())
            metadata = {name: value for name, value in record.items() if name not in used}
        else:
            metadata = {name: record.get(name) for name in self.metadata}
        return RawRow(**values, metadata=metadata)

    @property
    def has_id(self) -> bool:
        """Whether rows say who they are. If not, a row that is edited is another content."""
        return "id" in self.by_field

    def without(self, field_name: str) -> Columns:
        """The same columns with one field left empty."""
        by_field = {name: column for name, column in self.by_field.items() if name != field_name}
        return replace(self, by_field=by_field, guessed=self.guessed - {field_name})

    def describe(self) -> str:
        """One line a field, for people."""
        lines = []
        for field_name in FIELDS:
            column = self.by_field.get(field_name)
            if column is not None:
                lines.append(f"{field_name} <- {column}{' (guessed)' if field_name in self.guessed else ''}")
            elif field_name == "id":
                lines.append("id <- a hash of the whole row (no id column: an edited row is another content)")
        metadata = "all other columns" if self.metadata is None else ", ".join(self.metadata) or "none"
        return "\n".join([*lines, f"metadata <- {metadata}"])


def resolve_columns(found: Sequence[str], wanted: ColumnMapping, location: str) -> Columns:
    """Columns for each field out of those found.

    A stated column must be there (an empty string stands for "none, do not guess"). Raises SourceError for one
    that is not, for a doubled one, and when nothing holds the text.
    """
    columns = guess_columns(found, wanted)
    stated = [*columns.by_field.items(), *(("metadata", name) for name in columns.metadata or ())]
    for field_name, column in stated:
        if column not in found:
            raise missing_column(field_name, column, found, location)
        if found.count(column) > 1:
            raise SourceError(f"{location}: two columns are named {column!r}; rename one")
    if "body" not in columns.by_field:
        raise SourceError(
            f"{location}: no column is known to hold the text. Columns found: {_listed(found)}. Name it in the "
            "source's entry in tagging.yaml, like columns: {body: <column>} (and id, title, created_at, tags, ... "
            "where they have uncommon names)"
        )
    return columns


def guess_columns(found: Sequence[str], wanted: ColumnMapping) -> Columns:
    """The stated columns, completed by guesses among those found; nothing is checked."""
    by_field = {name: column for name in FIELDS if (column := getattr(wanted, name))}
    free = {}
    for column in found:
        if column not in by_field.values():
            free.setdefault(_folded(column), column)
    guessed = set()
    for field_name in FIELDS:
        if getattr(wanted, field_name) is not None:
            continue
        column = _guess(field_name, free)
        if column is not None:
            by_field[field_name] = column
            guessed.add(field_name)
            del free[_folded(column)]
    metadata = None if wanted.metadata is None else tuple(wanted.metadata)
    return Columns(by_field, frozenset(guessed), metadata)


def missing_column(field_name: str, column: str, found: Sequence[str], location: str) -> SourceError:
    """The error for a stated column that is not there, with the likeliest slip of the pen."""
    close = get_close_matches(column, found, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return SourceError(
        f"{location}: there is no column {column!r} (columns.{field_name} in tagging.yaml).{hint} "
        f"Columns found: {_listed(found)}"
    )


def record_hash(record: Mapping[str, Any]) -> str:
    """A stable id of a record that has none: a hash of all its columns and values."""
    text = json.dumps(record, sort_keys=True, default=str)
    return f"row-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _guess(field_name: str, free: Mapping[str, str]) -> str | None:
    names = [_folded(name) for name in COMMON_NAMES[field_name]]
    for name in names:
        if name in free:
            return free[name]
    words = {column: _words(column) for column in free.values()}
    for name in LAST_WORDS.get(field_name, ()):
        ending = name.split("_")
        for column, found in words.items():
            if found[-len(ending) :] == ending:
                return column
    return None


def _words(column: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", column).lower())


def _folded(column: str) -> str:
    return re.sub(r"[\W_]+", "", column).casefold()


def _listed(columns: Sequence[str], limit: int = 40) -> str:
    more = f", ... ({len(columns) - limit} more)" if len(columns) > limit else ""
    return (", ".join(repr(column) for column in columns[:limit]) or "none") + more
