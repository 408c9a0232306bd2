"""The vocabulary as a CSV table: writing it, reading it, and planning what a table changes. Pure text in and out.

Columns: name, status, description, parent, aliases, pinned, language, origin, usage_count. Aliases are separated
by |; inside one, | and \\ have a \\ before them. A table need not have all columns: what is not there is not
touched, and neither are tags that the table does not name. usage_count is for reading only.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tagging_orchestration.core.models import Origin, TagStatus
from tagging_orchestration.core.vocabulary.normalise import MAX_NAME_LENGTH, Normaliser

COLUMNS = ("name", "status", "description", "parent", "aliases", "pinned", "language", "origin", "usage_count")

_YES = frozenset(("1", "true", "yes", "y", "t"))
_NO = frozenset(("0", "false", "no", "n", "f", ""))
_STATUSES = (TagStatus.ACTIVE, TagStatus.RETIRED, TagStatus.BLOCKED)
# A spreadsheet runs a cell that begins like this. A quote before it makes it text, and is taken off on reading.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_ALIAS = re.compile(r"(?:[^|\\]|\\.|\\$)+", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class TagRow:
    """One tag as the database holds it and the table shows it. `aliases` are (alias, normal form) pairs."""

    tag_id: int
    name: str
    normal_form: str
    status: TagStatus = TagStatus.ACTIVE
    description: str | None = None
    parent_id: int | None = None
    aliases: tuple[tuple[str, str], ...] = ()
    pinned: bool = False
    language: str | None = None
    origin: Origin = Origin.HUMAN
    usage_count: int = 0


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of a table. None: the table says nothing about it. An empty text clears the value."""

    row_number: int
    name: str
    status: TagStatus | None = None
    description: str | None = None
    parent: str | None = None
    aliases: tuple[str, ...] | None = None
    pinned: bool | None = None
    language: str | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class TableIssue:
    """One mistake in a table. `row_number` counts lines of data from 2, as a spreadsheet does; 1 is the header."""

    row_number: int
    column: str
    message: str

    def __str__(self) -> str:
        return f"row {self.row_number}, {self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that a table changes, as text for people."""

    column: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class TagChange:
    """What a table makes of one tag: all its values after the change. `tag_id` None: a new tag."""

    row_number: int
    tag_id: int | None
    name: str
    normal_form: str
    status: TagStatus
    description: str | None
    parent_form: str | None
    pinned: bool
    language: str | None
    origin: Origin
    added_aliases: tuple[tuple[str, str], ...]
    removed_aliases: tuple[str, ...]
    differences: tuple[Difference, ...]

    @property
    def is_new(self) -> bool:
        """Whether the tag is created."""
        return self.tag_id is None

    @property
    def says_more_about_texts(self) -> bool:
        """Whether contents may carry the tag now that did not before: it is new, or has words it had not."""
        told = {difference.column for difference in self.differences}
        return self.status is TagStatus.ACTIVE and (
            self.is_new or bool(self.added_aliases) or not told.isdisjoint(("description", "status"))
        )


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What a table would change, in the table's order. With issues, nothing may be applied."""

    changes: tuple[TagChange, ...] = ()
    issues: tuple[TableIssue, ...] = ()


def write_table(tags: Iterable[TagRow]) -> str:
    """CSV text of the tags, sorted by name; merged tags are shown as aliases of what they were merged into."""
    tags = [tag for tag in tags if tag.status is not TagStatus.MERGED]
    name_of = {tag.tag_id: tag.name for tag in tags}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for tag in sorted(tags, key=lambda tag: (tag.name.casefold(), tag.tag_id)):
        cells = (
            tag.name,
            tag.status,
            tag.description or "",
            name_of.get(tag.parent_id, "") if tag.parent_id is not None else "",
            "|".join(re.sub(r"([|\\])", r"\\\1", alias) for alias, _ in tag.aliases),
            "true" if tag.pinned else "false",
            tag.language or "",
            tag.origin,
            tag.usage_count,
        )
        writer.writerow([guard(str(cell)) for cell in cells])
    return buffer.getvalue()


def read_table(text: str) -> tuple[list[TableRow], list[TableIssue]]:
    """Lines of a CSV text and every mistake of form in it."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    rows: list[TableRow] = []
    issues: list[TableIssue] = []
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        issues += _header_issues(header)
        if issues:
            return [], issues
        for number, cells in enumerate(reader, start=2):
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                message = f"{len(cells)} cells, the header has {len(header)} (quote cells that hold commas)"
                issues.append(TableIssue(number, "(row)", message))
                continue
            values = {column: unguard(cell).strip() for column, cell in zip(header, cells, strict=True)}
            row, found = _table_row(number, values)
            rows.append(row)
            issues += found
    except csv.Error as error:
        issues.append(TableIssue(reader.line_num, "(row)", f"is no CSV: {error}"))
    return rows, issues


def plan_table(rows: Sequence[TableRow], tags: Sequence[TagRow], normaliser: Normaliser) -> TablePlan:
    """What the table changes about the tags there are, judged as a whole: names that clash, aliases that are tags,
    parents that do not exist or make a circle."""
    return _Planner(tags, normaliser).plan(rows)


class _Planner:
    def __init__(self, tags: Sequence[TagRow], normaliser: Normaliser) -> None:
        self._form = normaliser.normal_form
        self._shown = normaliser.display_form
        self._tags = {tag.normal_form: tag for tag in tags}
        self._form_of = {tag.tag_id: tag.normal_form for tag in tags}
        self._alias_owner = {form: tag.normal_form for tag in tags for _, form in tag.aliases}
        self._issues: list[TableIssue] = []

    def plan(self, rows: Sequence[TableRow]) -> TablePlan:
        named = self._named(rows)
        owners = self._alias_owners(named)
        changes = [
            change for form, row in named.items() if (change := self._change(form, row, named, owners)) is not None
        ]
        self._refuse_circles(changes)
        if self._issues:
            return TablePlan(issues=tuple(sorted(self._issues, key=lambda issue: issue.row_number)))
        return TablePlan(tuple(change for change in changes if change.is_new or change.differences))

    def _issue(self, row: TableRow, column: str, message: str) -> None:
        self._issues.append(TableIssue(row.row_number, column, message))

    def _named(self, rows: Sequence[TableRow]) -> dict[str, TableRow]:
        """Rows by normal form."""
        named: dict[str, TableRow] = {}
        for row in rows:
            form = self._form(row.name)
            if not form:
                self._issue(row, "name", f"{row.name!r} holds nothing that could name a tag")
            elif form in named:
                first = named[form]
                self._issue(
                    row, "name", f"{row.name!r} is the tag of row {first.row_number} ({first.name!r}) again"
                )
            else:
                named[form] = row
        return named

    def _alias_owners(self, named: Mapping[str, TableRow]) -> dict[str, str]:
        """Normal form of the tag that each alias leads to once the table is applied."""
        rewritten = {form for form, row in named.items() if row.aliases is not None}
        owners = {alias: form for alias, form in self._alias_owner.items() if form not in rewritten}
        for form, row in named.items():
            for alias in row.aliases or ():
                alias_form = self._form(alias)
                known = self._tags.get(alias_form)
                is_tag = alias_form in named or (known is not None and known.status is not TagStatus.MERGED)
                if not alias_form:
                    self._issue(row, "aliases", f"{alias!r} holds nothing that could name a tag")
                elif alias_form == form:
                    continue
                elif is_tag:
                    self._issue(row, "aliases", f"{alias!r} is a tag of its own: merge it into {row.name!r}")
                elif owners.setdefault(alias_form, form) != form:
                    owner = self._name(owners[alias_form], named)
                    self._issue(row, "aliases", f"{alias!r} already leads to {owner!r}")
        return owners

    def _change(
        self, form: str, row: TableRow, named: Mapping[str, TableRow], owners: Mapping[str, str]
    ) -> TagChange | None:
        before = self._tags.get(form)
        if before is not None and before.status is TagStatus.MERGED:
            self._issue(row, "name", f"{row.name!r} was merged into another tag: undo that merge, or leave it out")
            return None
        if form in owners:
            self._issue(row, "name", f"{row.name!r} is an alias of {self._name(owners[form], named)!r}")
            return None
        known = before or TagRow(tag_id=0, name="", normal_form=form)
        after = replace(
            known,
            name=known.name if row.name == known.name.strip() else self._shown(row.name),
            status=_given(row.status, known.status),
            description=_given_text(row.description, known.description),
            pinned=_given(row.pinned, known.pinned),
            language=_given_text(row.language, known.language),
            origin=_given(row.origin, known.origin),
            aliases=self._aliases(form, row, known),
        )
        parent_before = self._form_of.get(known.parent_id) if known.parent_id is not None else None
        parent = parent_before if row.parent is None else self._parent(row, named, owners)
        kept = {alias_form for _, alias_form in after.aliases}
        had = {alias_form for _, alias_form in known.aliases}
        return TagChange(
            row_number=row.row_number,
            tag_id=before.tag_id if before else None,
            name=after.name,
            normal_form=form,
            status=after.status,
            description=after.description,
            parent_form=parent,
            pinned=after.pinned,
            language=after.language,
            origin=after.origin,
            added_aliases=tuple(alias for alias in after.aliases if alias[1] not in had),
            removed_aliases=tuple(sorted(had - kept)),
            differences=tuple(
                Difference(column, old, new)
                for column, old, new in (
                    *((name, _text(getattr(known, name)), _text(getattr(after, name))) for name in _PLAIN_COLUMNS),
                    ("parent", self._name(parent_before, named), self._name(parent, named)),
                    ("aliases", _joined(known.aliases), _joined(after.aliases)),
                )
                if old != new
            ),
        )

    def _aliases(self, form: str, row: TableRow, known: TagRow) -> tuple[tuple[str, str], ...]:
        if row.aliases is None:
            return known.aliases
        spelled = {alias_form: alias for alias, alias_form in known.aliases}
        wanted = {self._form(alias): self._shown(alias) for alias in row.aliases}
        return tuple(
            sorted((spelled.get(key, alias), key) for key, alias in wanted.items() if key and key != form)
        )

    def _parent(self, row: TableRow, named: Mapping[str, TableRow], owners: Mapping[str, str]) -> str | None:
        form = self._form(row.parent or "")
        if not form:
            return None
        form = owners.get(form, form)
        if form in named or (form in self._tags and self._tags[form].status is TagStatus.ACTIVE):
            return form
        self._issue(row, "parent", f"there is no tag {row.parent!r}, neither in the table nor in the vocabulary")
        return None

    def _refuse_circles(self, changes: Sequence[TagChange]) -> None:
        parents = {
            tag.normal_form: self._form_of.get(tag.parent_id)
            for tag in self._tags.values()
            if tag.parent_id is not None
        }
        parents |= {change.normal_form: change.parent_form for change in changes}
        for change in changes:
            seen: set[str] = set()
            at = parents.get(change.normal_form)
            while at is not None and at not in seen and at != change.normal_form:
                seen.add(at)
                at = parents.get(at)
            if at == change.normal_form:
                self._issues.append(
                    TableIssue(change.row_number, "parent", f"{change.name!r} would be its own ancestor")
                )

    def _name(self, form: str | None, named: Mapping[str, TableRow]) -> str:
        if form is None:
            return ""
        return named[form].name if form in named else self._tags[form].name


_PLAIN_COLUMNS = ("name", "status", "description", "pinned", "language", "origin")


def _header_issues(header: Sequence[str]) -> list[TableIssue]:
    known = ", ".join(COLUMNS)
    wrong = [(column or "(empty)", f"is no column; columns are {known}") for column in set(header) - set(COLUMNS)]
    wrong += [(column, "is there twice") for column in set(header) if header.count(column) > 1]
    if "name" not in header:
        wrong.append(("name", f"is missing; columns are {known}"))
    return [TableIssue(1, column, message) for column, message in sorted(wrong)]


def _table_row(number: int, values: Mapping[str, str]) -> tuple[TableRow, list[TableIssue]]:
    issues: list[TableIssue] = []

    def parsed(column: str, parse: Callable[[str], Value], expected: str) -> Value | None:
        text = values.get(column, "")
        if not text and column != "pinned":
            return None
        try:
            return parse(text.lower()) if column in values else None
        except ValueError:
            issues.append(TableIssue(number, column, f"is {text!r}; it must be {expected}"))
            return None

    name = values["name"]
    if len(name) > MAX_NAME_LENGTH:
        issues.append(
            TableIssue(number, "name", f"has {len(name)} characters, at most {MAX_NAME_LENGTH} are allowed")
        )
    aliases = values.get("aliases")
    row = TableRow(
        row_number=number,
        name=name,
        status=parsed("status", _parse_status, "active, retired or blocked"),
        description=values.get("description"),
        parent=values.get("parent"),
        aliases=None if aliases is None else tuple(_split_aliases(aliases)),
        pinned=parsed("pinned", _parse_flag, "true or false"),
        language=values.get("language"),
        origin=parsed("origin", Origin, "human or machine"),
    )
    return row, issues


def _parse_status(text: str) -> TagStatus:
    status = TagStatus(text)
    if status not in _STATUSES:
        raise ValueError(text)
    return status


def _parse_flag(text: str) -> bool:
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise ValueError(text)


def _split_aliases(cell: str) -> Iterable[str]:
    return (_ESCAPED.sub(r"\1", alias).strip() for alias in _ALIAS.findall(cell) if alias.strip())


def guard(cell: str) -> str:
    """The cell with a quote before what a spreadsheet would run."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unguard(cell: str) -> str:
    """The cell without the quote that `guard` put there."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _given(new: Value | None, old: Value) -> Value:
    return old if new is None else new


def _given_text(new: str | None, old: str | None) -> str | None:
    # Cells are read without the spaces around them; a text that differs in nothing else is left as it is.
    return old if new is None or new == (old or "").strip() else new or None


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _joined(aliases: Sequence[tuple[str, str]]) -> str:
    return "|".join(alias for alias, _ in sorted(aliases))
