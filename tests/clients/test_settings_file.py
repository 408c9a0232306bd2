"""Values change in tagging.yaml; everything else stays as people wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tagging_orchestration.clients.settings_file import change_settings, with_settings
from tagging_orchestration.core.errors import ConfigurationError

SHIPPED = (Path(__file__).resolve().parents[2] / "tagging.yaml").read_text(encoding="utf-8")


def test_a_switched_off_setting_is_switched_on_in_its_place() -> None:
    changed = with_settings(SHIPPED, {"tagger": {"min_confidence": 0.2, "max_tags": 4}, "rules_file": "規則.yaml"})
    data = yaml.safe_load(changed)
    assert data["tagger"] == {"max_tags": 4, "min_confidence": 0.2}
    assert data["rules_file"] == "規則.yaml"
    before, after = SHIPPED.splitlines(), changed.splitlines()
    assert len(after) == len(before)
    assert sum(a != b for a, b in zip(after, before, strict=True)) == 4
    again = with_settings(changed, {"tagger": {"min_confidence": 0.3}})
    assert yaml.safe_load(again)["tagger"] == {"max_tags": 4, "min_confidence": 0.3}


def test_what_is_not_shown_is_added() -> None:
    changed = with_settings("sources: []\n", {"embedding": {"model": "m"}, "ranker_file": Path("w.json")})
    assert yaml.safe_load(changed) == {"sources": [], "embedding": {"model": "m"}, "ranker_file": "w.json"}
    inner = with_settings("tagger:\n  min_tags: 1  # few\nsources: []\n", {"tagger": {"max_tags": 9}})
    assert yaml.safe_load(inner) == {"tagger": {"min_tags": 1, "max_tags": 9}, "sources": []}
    assert "# few" in inner


@pytest.mark.parametrize("text", ["tagger: {min_tags: 1}\n", "tagger:\n    min_tags: 1\n", "- list\n", "a: [\n"])
def test_a_file_that_cannot_be_changed_safely_is_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tagging.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="write this into it yourself:\ntagger:\n  min_tags: 2"):
        change_settings(file, {"tagger": {"min_tags": 2}})
    assert file.read_text() == text


def test_a_missing_file_is_made(tmp_path: Path) -> None:
    change_settings(tmp_path / "tagging.yaml", {"tagger": {"min_tags": 1}})
    assert yaml.safe_load((tmp_path / "tagging.yaml").read_text()) == {"tagger": {"min_tags": 1}}
