"""Reading people's rules from their YAML file."""

from __future__ import annotations

from pathlib import Path

import yaml

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.tagging.rules import RuleSet, parse_rules


def load_rules(path: Path) -> RuleSet:
    """The rule set in `path`; an empty one when there is no such file.

    Raises ConfigurationError naming the file, and the line or rule, when it cannot be read as rules.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return RuleSet()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot read the rules file ({error})") from None
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise ConfigurationError(f"{where}: not valid YAML ({getattr(error, 'problem', error)})") from None
    return parse_rules(data, str(path))
