"""What `tagging doctor` looks at while AI is on: its providers, prompts, configs and limits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tagging_orchestration.commands.doctor import Finding, State
from tagging_orchestration.core.errors import ConfigurationError

if TYPE_CHECKING:
    from tagging_orchestration.ai.health import ProbeResult
    from tagging_orchestration.core.enhancement.choice import ProviderRow
    from tagging_orchestration.wiring import Project

NEARLY = 0.8
SHOWN = 3
WHAT = {"day": "today's tokens", "cost": "today's USD", "hour": "this hour's requests"}


def ai_looks(project: Project) -> Iterator[tuple[str, Callable[[], Finding]]]:
    """Name and look of everything the AI stands on; nothing while AI is off."""
    from tagging_orchestration.ai.switch import read_switch

    if not read_switch(project.pool, project.settings).configured:
        return
    yield "ai providers", lambda: providers(project)
    yield "ai prompts", prompts
    yield "ai configs", lambda: configs(project)
    yield "ai limits", lambda: limits(project)


def providers(project: Project) -> Finding:
    """Whether each active provider is reachable and has its key and model. A base that works needs none of it, so
    that nothing here is worse than a warning."""
    from tagging_orchestration.ai.health import probe_providers
    from tagging_orchestration.storage.ai_providers import list_providers

    active = {row.name: row for row in list_providers(project.pool) if row.is_active}
    if not active:
        return Finding(
            "ai providers",
            State.WARNING,
            "AI is on and no provider is active",
            "tagging ai providers enable local",
        )
    bad = [result for result in probe_providers(project.pool, project.settings) if result.status != "healthy"]
    if bad:
        return Finding(
            "ai providers",
            State.WARNING,
            "; ".join(f"{result.name}: {result.detail}" for result in bad),
            "; ".join(dict.fromkeys(_advice(active[result.name], result) for result in bad)),
        )
    said = ", ".join(f"{name} with {row.default_model}" for name, row in active.items())
    return Finding("ai providers", State.OK, said)


def _advice(provider: ProviderRow, result: ProbeResult) -> str:
    if provider.api_key_env and not os.environ.get(provider.api_key_env):
        return f"set the environment variable {provider.api_key_env}"
    if not provider.default_model:
        return f"tagging ai providers enable {provider.name} --model MODEL"
    if provider.adapter == "ollama":
        is_there = result.status == "degraded"
        return f"ollama pull {provider.default_model}" if is_there else "start Ollama: ollama serve"
    return f"tagging ai providers disable {provider.name}, or see docs/ai-operations.md"


def prompts() -> Finding:
    """Whether the prompts in use keep to their rules."""
    from tagging_orchestration.clients.prompt_files import lint_prompt_files

    faults = lint_prompt_files()
    more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return Finding(
        "ai prompts",
        State.WARNING if faults else State.OK,
        "; ".join(faults[:SHOWN]) + more if faults else "all keep to their rules",
        "correct them in a new version: docs/prompts.md" if faults else "",
    )


def configs(project: Project) -> Finding:
    """Whether the parameters that people may have written for prompts and providers are understood."""
    from tagging_orchestration.core.enhancement.choice import parse_params
    from tagging_orchestration.storage.ai_providers import list_configs, list_providers

    providers = {row.name: row for row in list_providers(project.pool) if row.is_active}
    active = [row for row in list_configs(project.pool) if row.is_active and row.provider_name in providers]
    faults = []
    for row in active:
        try:
            parse_params(row.params, providers[row.provider_name].adapter)
        except ConfigurationError as error:
            faults.append(f"{row.template_key} of {row.provider_name}: {error}")
    more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return Finding(
        "ai configs",
        State.WARNING if faults else State.OK,
        "; ".join(faults[:SHOWN]) + more if faults else f"{len(active)} in use",
        "correct provider_specific_params of ai_prompt_provider_configs: docs/providers.md" if faults else "",
    )


def limits(project: Project) -> Finding:
    """What is left of today's limits."""
    from tagging_orchestration.storage.ai_figures import budget_use

    budgets = budget_use(project.pool, project.settings.ai, datetime.now(UTC))
    said = ", ".join(f"{budget.share:.0%} of {WHAT[budget.scope]}" for budget in budgets)
    nearly = any(budget.share >= NEARLY for budget in budgets)
    return Finding(
        "ai limits",
        State.WARNING if nearly else State.OK,
        f"used: {said}",
        "wait for the next day (UTC), or raise the limits of the section ai in tagging.yaml" if nearly else "",
    )
