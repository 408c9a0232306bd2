"""Rules that people write: IF these words, source, language ... THEN this tag; names allowed and names blocked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from tagging_orchestration.core.errors import ConfigurationError

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Strict):
    """One rule. All stated conditions must hold; a condition that is left out does not restrict.

    Words match whole, in any inflection, and Chinese in either script. `pattern` is a regular expression on the
    text as written. At least one condition must be stated.
    """

    id: Name
    tag: Name
    all: tuple[Name, ...] = ()
    any: tuple[Name, ...] = ()
    none: tuple[Name, ...] = ()
    pattern: str | None = None
    fields: tuple[Literal["title", "body"], ...] = ("title", "body")
    sources: tuple[Name, ...] = ()
    languages: tuple[Name, ...] = ()
    content_types: tuple[Name, ...] = ()
    confidence: float = Field(0.95, gt=0, lt=1)

    @model_validator(mode="after")
    def _conditions(self) -> Rule:
        conditions = (self.all, self.any, self.pattern, self.sources, self.languages, self.content_types)
        if not any(conditions):
            raise ValueError(
                "states no condition; give at least one of all, any, pattern, sources, languages, content_types"
            )
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"pattern {self.pattern!r} is no regular expression: {error}") from None
        return self


class RuleSet(_Strict):
    """Everything in the rules file. `allow` names may be tags whatever they look like, `block` names never."""

    version: Literal[1] = 1
    allow: tuple[Name, ...] = ()
    block: tuple[Name, ...] = ()
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> RuleSet:
        ids = [rule.id for rule in self.rules]
        doubled = sorted({rule_id for rule_id in ids if ids.count(rule_id) > 1})
        if doubled:
            raise ValueError(f"rule ids must differ, doubled: {', '.join(doubled)}")
        both = sorted(set(self.allow) & set(self.block))
        if both:
            raise ValueError(f"both allowed and blocked: {', '.join(both)}")
        return self

    @property
    def fingerprint(self) -> str:
        """Changes when a rule or list changes, not with the file's layout or comments."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


def parse_rules(data: Any, where: str) -> RuleSet:
    """Validate the content of a rules file read from `where`.

    Raises ConfigurationError naming the file, the rule and the key of every mistake.
    """
    if data is None:
        return RuleSet()
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"{where}: the top level must be a mapping with allow, block and rules")
    try:
        return RuleSet.model_validate(data)
    except ValidationError as error:
        lines = [f"  {_place(data, item['loc'])}: {item['msg']}" for item in error.errors()]
        raise ConfigurationError(f"{where}: wrong rules\n" + "\n".join(lines)) from None


def _place(data: Mapping[str, Any], location: tuple[int | str, ...]) -> str:
    """Where a mistake is, in words of the file: `rule 2 (late-delivery), any`."""
    if not location:
        return "file"
    if location[0] != "rules" or len(location) < 2 or not isinstance(location[1], int):
        return ".".join(str(part) for part in location)
    number = location[1]
    rule = data["rules"][number]
    name = rule.get("id") if isinstance(rule, Mapping) else None
    place = f"rule {number + 1}" + (f" ({name})" if name else "")
    rest = ".".join(str(part) for part in location[2:])
    return f"{place}, {rest}" if rest else place
