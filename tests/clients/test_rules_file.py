"""The rules file is read, or its mistake is named with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagging_orchestration.clients.rules_file import load_rules
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.tagging.rules import RuleSet


def test_the_projects_own_example_is_valid() -> None:
    rules = load_rules(Path(__file__).parents[2] / "rules.yaml")
    assert "其他" in rules.block
    assert {rule.id for rule in rules.rules} >= {"late-delivery"}


def test_no_file_means_no_rules(tmp_path: Path) -> None:
    assert load_rules(tmp_path / "rules.yaml") == RuleSet()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rules: [", "line"),
        ("rules:\n  - id: a\n    tag: x\n", "rule 1 (a)"),
        ("- a\n", "top level"),
    ],
)
def test_a_mistake_names_the_file(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "my-rules.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_rules(path)
    assert "my-rules.yaml" in str(caught.value)
    assert expected in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_bytes(b"\xff\xfe\x00rules")
    with pytest.raises(ConfigurationError, match=r"rules\.yaml"):
        load_rules(path)
