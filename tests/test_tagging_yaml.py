"""The shipped tagging.yaml: it loads, its sample source is there, and its switched-off lines tell the truth."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from tagging_orchestration.settings import CONFIG_FILE, BusinessSettings, Settings, SourceSettings, get_settings

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings a process started in the clone gets."""
    monkeypatch.chdir(ROOT)
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


def all_switched_on() -> dict:
    """tagging.yaml with every explanation (##) dropped and every switched-off setting (#) switched on."""
    lines = (ROOT / CONFIG_FILE).read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.lstrip().startswith("##")]
    return yaml.safe_load("\n".join(re.sub(r"^(\s*)# ", r"\1", line) for line in kept))


def test_the_only_source_is_the_packaged_sample(shipped: Settings) -> None:
    (sample,) = shipped.sources
    assert sample.name == "sample"
    assert sample.path is not None
    assert (ROOT / sample.path).samefile(ROOT / "tagging_orchestration/demo/sample_contents.jsonl")


def test_the_sample_mapping_names_every_column_of_the_file(shipped: Settings) -> None:
    (sample,) = shipped.sources
    mapping = sample.columns.model_dump(exclude_none=True)
    mapped = {*mapping.pop("metadata"), *mapping.values()}
    text = (ROOT / "tagging_orchestration/demo/sample_contents.jsonl").read_text(encoding="utf-8")
    assert mapped == {name for line in text.splitlines() for name in json.loads(line)}


def test_examples_of_sources_are_valid_and_cover_every_type() -> None:
    sources = [SourceSettings.model_validate(source) for source in all_switched_on()["sources"]]
    paths = {source.path.suffix for source in sources if source.path}
    assert paths == {".csv", ".jsonl", ".parquet", ""}
    assert {source.type for source in sources} == {None, "folder", "postgres"}
    assert {bool(source.table) for source in sources if source.type == "postgres"} == {True, False}
    assert len({source.name for source in sources}) == len(sources)


def test_switched_off_settings_show_their_true_defaults() -> None:
    shown = all_switched_on()
    del shown["sources"]
    switched_on = yaml.safe_load((ROOT / CONFIG_FILE).read_text(encoding="utf-8"))
    assert len(shown) >= 7
    for section, values in shown.items():
        default = Settings.model_fields[section].default
        if not isinstance(values, dict):
            assert Path(values) == default
            continue
        for key, value in values.items():
            if key in switched_on.get(section, {}):
                continue
            true = getattr(default, key)
            if isinstance(true, BaseModel):
                true = true.model_dump(mode="json")
            assert true == value, f"{section}.{key}"


def test_a_time_zone_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="no time zone: use a name such as Asia/Taipei"):
        BusinessSettings(timezone="Asia/Taipeh")
