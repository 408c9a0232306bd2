"""The shipped ranker weights load, and wrong files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagging_orchestration.clients.ranker import load_ranker_weights
from tagging_orchestration.core.errors import ConfigurationError


def test_the_shipped_weights_load() -> None:
    weights = load_ranker_weights()
    assert weights.version
    assert weights.formal
    assert weights.conversational


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 1}'])
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "weights.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"weights\.json"):
        load_ranker_weights(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.json"):
        load_ranker_weights(tmp_path / "none.json")
