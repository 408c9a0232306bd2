"""Running an experiment: a candidate configuration beside the present one, on a sample, in a sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.experiments import Judged, Side, compare_sides
from tagging_orchestration.core.models import ChangeContext, Content, LlmProposals
from tagging_orchestration.settings import CONFIG_FILE, AiSettings, Settings, get_settings, project_root

if TYPE_CHECKING:
    from tagging_orchestration.core.engine import Suggestion, TaggingEngine
    from tagging_orchestration.storage.experiments import Experiment
    from tagging_orchestration.wiring import Project

# What a candidate may change: the settings that make a tagger version.
SECTIONS = ("tagger", "embedding")
FILES = ("rules_file", "ranker_file")
# Of the language model: whether and how it proposes tags, and by which model.
AI_SECTIONS = ("tags", "providers")

Proposer = Callable[[Settings, Sequence[Content]], Mapping[int, LlmProposals]]
"""What a language model proposes for contents under some settings, by id (`ai/tag_experiments.py`)."""


def run_experiment(
    project: Project,
    overrides: Mapping[str, Any],
    *,
    name: str,
    sample: int,
    context: ChangeContext,
    propose: Proposer | None = None,
) -> Experiment:
    """Tag a sample under both configurations, compare, and keep the report. No other table is written, but the log
    of calls where a side asks a language model: both sides that have one ask `propose`.

    People's tags on the sampled contents are hidden from both sides and serve as gold. Raises ConfigurationError
    for settings that a candidate cannot have.
    """
    from tagging_orchestration.storage import experiments as storage
    from tagging_orchestration.wiring import proposes_tags

    organization_id = project.settings.organization_id
    candidate = candidate_settings(project.settings, overrides)
    contents = [
        replace(content, given_tags=())
        for content in project.stores.contents.load(storage.sample_contents(project.pool, organization_id, sample))
    ]
    gold = storage.load_gold(project.pool, [content.id for content in contents])
    engines = {"current": project.sandbox(project.settings), "candidate": project.sandbox(candidate)}
    llm: dict[str, Mapping[int, LlmProposals]] = {
        side: propose(settings, contents) if propose and proposes_tags(settings) else {}
        for side, settings in (("current", project.settings), ("candidate", candidate))
    }
    sides = _sides(project, engines, contents, llm)
    report = compare_sides(sides["current"], sides["candidate"], gold)
    plain = {key: _plain(value) for key, value in overrides.items()}
    return storage.save_experiment(project.pool, organization_id, name, plain, report, sides, context)


def adopt(project: Project, experiment: Experiment, context: ChangeContext) -> Path:
    """Write an experiment's settings into tagging.yaml, so that the next run uses them; returns the file."""
    from tagging_orchestration.clients.settings_file import change_settings
    from tagging_orchestration.storage.experiments import mark_adopted

    changed = candidate_settings(project.settings, experiment.overrides)
    path = project_root() / CONFIG_FILE
    values = dict(experiment.overrides)
    if "ai" in values:
        # A block inside a block is written whole.
        stated = changed.ai.model_dump(mode="json", exclude_unset=True)
        values["ai"] = {key: stated[key] for key in values["ai"]}
    change_settings(path, values)
    get_settings.cache_clear()
    mark_adopted(project.pool, experiment.id, context)
    return path


def candidate_settings(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """The settings with these overrides, checked. Raises ConfigurationError naming what is wrong."""
    if not overrides:
        raise ConfigurationError("the candidate changes nothing: name at least one setting")
    changed: dict[str, Any] = {}
    for key, value in overrides.items():
        if key in SECTIONS and isinstance(value, Mapping):
            block: BaseModel = getattr(settings, key)
            try:
                changed[key] = type(block).model_validate({**block.model_dump(exclude_unset=True), **value})
            except ValidationError as error:
                raise ConfigurationError(f"the candidate's settings are wrong: {_wrong(key, error)}") from None
        elif key == "ai" and isinstance(value, Mapping) and set(value) <= set(AI_SECTIONS):
            merged = _merged(settings.ai.model_dump(mode="json", exclude_unset=True), value)
            try:
                changed[key] = AiSettings.model_validate(merged)
            except ValidationError as error:
                raise ConfigurationError(f"the candidate's settings are wrong: {_wrong(key, error)}") from None
        elif key in FILES and isinstance(value, str | Path):
            path = Path(value).expanduser()
            changed[key] = path if path.is_absolute() else project_root() / path
            if not changed[key].is_file():
                raise ConfigurationError(f"{key}: there is no file {changed[key]}")
        else:
            known = ", ".join((*SECTIONS, *FILES, *(f"ai.{section}" for section in AI_SECTIONS)))
            raise ConfigurationError(f"{key} cannot be tried: an experiment changes {known}")
    return settings.model_copy(update=changed)


def _wrong(section: str, error: ValidationError) -> str:
    return "; ".join(f"{'.'.join([section, *map(str, item['loc'])])}: {item['msg']}" for item in error.errors())


def _merged(stated: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with these values, blocks inside blocks merged."""
    merged = dict(stated)
    for name, value in values.items():
        merged[name] = _merged(merged.get(name) or {}, value) if isinstance(value, Mapping) else value
    return merged


def _sides(
    project: Project,
    engines: Mapping[str, TaggingEngine],
    contents: Sequence[Content],
    llm: Mapping[str, Mapping[int, LlmProposals]],
) -> dict[str, Side]:
    """Both sides' results. Each goes first on half of the contents, because the second one finds caches filled."""
    suggestions: dict[str, list[Suggestion]] = {name: [] for name in engines}
    seconds = dict.fromkeys(engines, 0.0)
    for engine in engines.values():
        # Loading models is no cost of tagging.
        engine.suggest_all(contents[:1], {})
    middle = (len(contents) + 1) // 2
    for part, order in ((contents[:middle], list(engines)), (contents[middle:], list(engines)[::-1])):
        for name in order:
            started = time.process_time()
            suggestions[name] += engines[name].suggest_all(part, llm[name])
            seconds[name] += time.process_time() - started
    return {
        name: _side(project, engine, contents, suggestions[name], seconds[name], llm[name])
        for name, engine in engines.items()
    }


def _side(
    project: Project,
    engine: TaggingEngine,
    contents: Sequence[Content],
    suggestions: Sequence[Suggestion],
    seconds: float,
    llm: Mapping[int, LlmProposals],
) -> Side:
    from tagging_orchestration.storage.experiments import events_to_write

    vocabulary = engine.stores.vocabulary.load(project.settings.organization_id)
    proposals: dict[int, dict[str, Judged]] = {}
    decided: dict[int, dict[int, float]] = {}
    for content, suggestion in zip(contents, suggestions, strict=True):
        found: dict[str, Judged] = {}
        for proposal in suggestion.generated.proposals:
            tag = vocabulary.resolve(proposal.normal_form)
            form, name = (tag.normal_form, tag.name) if tag else (proposal.normal_form, proposal.name)
            if form not in found or found[form].confidence < proposal.confidence:
                found[form] = Judged(name, proposal.confidence, False)
        for assignment in suggestion.assignments:
            tag = vocabulary.tags.get(assignment.tag_id)
            form = tag.normal_form if tag else project.normaliser.normal_form(assignment.name)
            found[form] = Judged(assignment.name, assignment.confidence, True)
        proposals[content.id] = found
        # Tags to be made have no id yet; each counts.
        decided[content.id] = {
            item.tag_id or -number: item.confidence for number, item in enumerate(suggestion.assignments, start=1)
        }
    events = events_to_write(project.pool, decided)
    return Side(
        proposals,
        1000 * seconds / len(contents) if contents else 0.0,
        events,
        sum(row.tokens for row in llm.values()),
        sum(row.cost_usd for row in llm.values()),
        sum(not row.heard for row in llm.values()),
    )


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
