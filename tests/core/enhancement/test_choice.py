"""Parameters people write for a provider, and the settings of the system."""

from __future__ import annotations

import logging

import pytest

from tagging_orchestration.ai.sync import load_seed
from tagging_orchestration.core.enhancement.choice import Adapter, CallParameters, parse_params
from tagging_orchestration.core.enhancement.seed import parse_seed
from tagging_orchestration.core.enhancement.system_settings import SystemSettings, parse_system_settings
from tagging_orchestration.core.errors import ConfigurationError

DOCUMENT = {
    "model": "gpt-4o-mini",
    "temperature": 0.2,
    "max_tokens": 350,
    "openai_specific": {"top_p": 0.9, "presence_penalty": 0.1, "response_format": {"type": "text"}},
    "claude_specific": {"stop_sequences": ["---"], "system_prompt_prefix": "你是專業分析師。"},
    "ollama_specific": {"num_ctx": 4096, "mirostat": 2, "repeat_penalty": 1.1},
}


@pytest.mark.parametrize(
    ("adapter", "options", "prefix"),
    [
        ("openai", {"top_p": 0.9, "presence_penalty": 0.1, "response_format": {"type": "text"}}, ""),
        ("anthropic", {"stop_sequences": ["---"]}, "你是專業分析師。"),
        ("ollama", {"num_ctx": 4096, "repeat_penalty": 1.1}, ""),
    ],
)
def test_only_the_adapters_own_block_is_used(adapter, options, prefix) -> None:
    assert parse_params(DOCUMENT, adapter) == CallParameters("gpt-4o-mini", 0.2, 350, options, prefix)


def test_an_empty_document_leaves_everything_to_the_template() -> None:
    assert parse_params({}, "ollama") == CallParameters()


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"top_k": 1}, "top_k"),
        ({"temperature": 2.1}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"ollama_specific": {"num_context": 1}}, r"ollama_specific\.num_context"),
        ({"openai_specific": {"response_format": {"kind": "x"}}}, r"openai_specific\.response_format\.kind"),
        ({"claude_specific": {"stop_sequences": [""]}}, r"claude_specific\.stop_sequences\.0"),
    ],
)
def test_wrong_keys_are_named_whichever_provider_is_chosen(document, path) -> None:
    with pytest.raises(ConfigurationError, match=path):
        parse_params(document, "ollama")


def test_mirostat_is_warned_about_and_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert "mirostat" not in parse_params(DOCUMENT, "ollama").options
        parse_params(DOCUMENT, "openai")
    assert [record.getMessage().count("mirostat") for record in caplog.records] == [1]


def test_system_settings_know_all_keys_and_no_others() -> None:
    assert parse_system_settings({}, "development") == SystemSettings()
    with pytest.raises(ConfigurationError, match=r"production: quality_control\.confidence: "):
        parse_system_settings({"quality_control": {"confidence": 0.7}}, "production")
    with pytest.raises(ConfigurationError, match="enhancement_timeout_ms"):
        parse_system_settings({"enhancement_timeout_ms": 0}, "production")


def test_strategies() -> None:
    said = {
        name: SystemSettings(prompt_selection_strategy=name).strategy for name in ("provider_optimized", "cost")
    }
    assert said == {"provider_optimized": "balanced", "cost": "cost"}


def test_the_seed_is_whole() -> None:
    seed = load_seed()
    adapters: dict[str, Adapter] = {provider.name: provider.adapter for provider in seed.providers}
    assert {provider.name for provider in seed.providers if provider.is_active} == {"local"}
    assert {system.name for system in seed.systems} == {"development", "staging", "production"}
    production = next(system.settings for system in seed.systems if system.name == "production")
    assert production.enhancement_timeout_ms == 45_000
    for config in seed.configs:
        parse_params(config.params, adapters[config.provider])
    everywhere = [config.provider for config in seed.configs if config.template == "*"]
    assert everywhere == ["local"]


def test_a_wrong_key_in_a_seed_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"providers\.0\.nam"):
        parse_seed({"providers": [{"nam": "x"}], "systems": [], "configs": []})
