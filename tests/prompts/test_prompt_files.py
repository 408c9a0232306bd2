"""The prompts of the project, and how their files are read, checked and locked."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tagging_orchestration.clients.prompt_files import (
    CHECKSUMS,
    checksum_faults,
    lint_prompt_files,
    load_prompt_files,
    lock_prompt_files,
    prompt_folder,
)
from tagging_orchestration.core.enhancement.models import PromptTemplate
from tagging_orchestration.core.enhancement.prompt_examples import EXAMPLES, example_variables
from tagging_orchestration.core.enhancement.prompt_lint import lint, lint_all
from tagging_orchestration.core.enhancement.prompts import VARIANTS, newest, pick_key, placeholders, render
from tagging_orchestration.core.errors import ConfigurationError

PROMPTS = Path(__file__).resolve().parents[2] / "prompts"
FILES = load_prompt_files(PROMPTS)

# key: category, version, max_tokens, temperature, required, optional. People's SQL relies on them.
KEYS = {
    "alert_enhancement": (
        "analysis",
        "1.0",
        400,
        0.3,
        "alert_details current_value threshold_value business_context",
        "",
    ),
    "alert_enhancement_critical": (
        "critical_analysis",
        "1.0",
        450,
        0.2,
        "alert_details current_value threshold_value business_context",
        "affected_areas historical_pattern",
    ),
    "alert_enhancement_trend": (
        "analysis",
        "1.0",
        400,
        0.3,
        "alert_details current_value threshold_value business_context",
        "trend_data historical_comparison",
    ),
    "insight_deepening": ("enhancement", "1.0", 400, 0.4, "insights business_context", "trend_data"),
    "insight_deepening_financial": ("enhancement", "1.0", 450, 0.3, "insights business_context", "trend_data"),
    "insight_deepening_high_impact": ("enhancement", "1.0", 450, 0.4, "insights business_context", "trend_data"),
    "recommendation_optimization": (
        "optimization",
        "1.0",
        350,
        0.3,
        "current_recommendations business_context",
        "resource_constraints",
    ),
    "executive_summary": ("summary", "1.0", 400, 0.3, "unified_content", ""),
    "executive_summary_enhanced": (
        "executive_summary",
        "1.0",
        500,
        0.3,
        "unified_content reporting_period",
        "key_metrics competitive_context",
    ),
    "trend_analysis": (
        "analysis",
        "1.0",
        400,
        0.25,
        "trend_data time_period metric_category",
        "historical_comparison external_factors",
    ),
    "risk_forecasting": (
        "risk_analysis",
        "1.0",
        500,
        0.2,
        "historical_data current_metrics",
        "external_factors warning_signals",
    ),
    "customer_churn_analysis": (
        "customer_analysis",
        "1.0",
        450,
        0.25,
        "customer_profile behavior_changes risk_indicators",
        "transaction_history competitor_analysis",
    ),
    "business_intelligence": (
        "intelligence",
        "2.0",
        600,
        0.25,
        "key_metrics trend_analysis",
        "competitive_data market_context",
    ),
    "customer_segmentation": (
        "customer_analysis",
        "1.5",
        450,
        0.3,
        "customer_data behavior_patterns",
        "transaction_history preference_analysis",
    ),
    "custom_analysis": ("custom", "1.0", 400, 0.3, "core_data analysis_focus", "business_context historical_data"),
}
# Lines that people know from their own templates, and keep.
KNOWN_LINES = {
    "alert_enhancement": """基於以下警示資訊,提供具體的業務影響分析和改善建議:
警示詳情:{{alert_details}}
當前數值:{{current_value}}
閾值:{{threshold_value}}
業務背景:{{business_context}}
請提供:
1. 簡要問題摘要 (50字內)
2. 根本原因分析 (3-5點)
3. 具體改善行動 (3-5點)
4. 預估解決時程""",
    "insight_deepening": """深化以下業務洞察,提供更詳細的分析和潛在機會:
洞察內容:{{insights}}
相關數據:{{business_context}}
趨勢資訊:{{trend_data}}
請提供:
1. 深度分析解說
2. 潛在商業機會
3. 風險警示
4. 具體行動建議""",
    "recommendation_optimization": """基於當前業務狀況,重新評估以下建議的優先級和可行性:
現有建議:{{current_recommendations}}
業務背景:{{business_context}}
資源限制:{{resource_constraints}}
請提供:
1. 調整後的優先級排序
2. 可行性評估
3. 資源需求分析
4. 執行時程建議""",
    "business_intelligence": """基於以下業務數據,提供深度商業洞察和戰略建議:
核心指標:{{key_metrics}}
趨勢數據:{{trend_analysis}}
競爭情報:{{competitive_data}}
市場環境:{{market_context}}
請提供全面的商業智能報告:
1. 市場地位評估 (優勢/劣勢/機會/威脅)
2. 關鍵成功因子識別
3. 戰略建議和行動方案
4. 風險評估和緩解策略
5. ROI 預測和成效評估""",
    "customer_segmentation": """基於客戶行為數據,提供精準分群和個人化建議:
客戶數據:{{customer_data}}
行為模式:{{behavior_patterns}}
交易歷史:{{transaction_history}}
偏好分析:{{preference_analysis}}
請提供:
1. 客戶分群結果 (高價值/成長潛力/流失風險/新客戶)
2. 各群組特徵描述
3. 個人化行銷策略
4. 留存和提升建議""",
    "risk_forecasting": """基於歷史數據和當前趨勢,進行業務風險預測:
歷史數據:{{historical_data}}
當前指標:{{current_metrics}}
外部因素:{{external_factors}}
預警信號:{{warning_signals}}
請提供:
1. 風險等級評估 (極高/高/中/低)
2. 主要風險因子分析
3. 可能影響時間和程度
4. 預防和應對策略
5. 監控指標建議""",
    "custom_analysis": """基於以下資料進行自定義分析:
核心數據:{{core_data}}
分析重點:{{analysis_focus}}
業務背景:{{business_context}}
請提供:
1. 數據洞察
2. 關鍵發現
3. 行動建議
4. 風險評估""",
}


def named(key: str, locale: str) -> PromptTemplate:
    (found,) = [one for one in FILES if (one.template_key, one.locale) == (key, locale)]
    return found


# -------------------------------------------------------------------------------------- the prompts of the project


def test_every_prompt_is_clean_and_locked():
    assert lint_prompt_files(PROMPTS) == []


@pytest.mark.parametrize("locale", ["zh-TW", "en"])
@pytest.mark.parametrize("key", KEYS)
def test_each_key_has_its_parameters_in_both_languages(key: str, locale: str):
    found = named(key, locale)
    category, version, max_tokens, temperature, required, optional = KEYS[key]
    assert (found.category, found.version, found.max_tokens, found.temperature) == (
        category,
        version,
        max_tokens,
        temperature,
    )
    assert set(found.required_variables) == set(required.split())
    assert set(found.optional_variables) == set(optional.split())
    assert "evidence" in placeholders(found.prompt_template)


def test_whatever_is_asked_for_has_a_prompt():
    keys = {one.template_key for one in FILES}
    assert {*VARIANTS, *VARIANTS.values()} <= keys
    assert {
        pick_key(kind) for kind in ("alert", "insight", "recommendation", "summary", "content", "custom")
    } <= keys


@pytest.mark.parametrize("key", KNOWN_LINES)
def test_people_find_their_own_lines_in_order(key: str):
    lines = iter(named(key, "zh-TW").prompt_template.splitlines())
    assert [line for line in KNOWN_LINES[key].splitlines() if line not in lines] == []


def test_languages_do_not_mix():
    for one in FILES:
        chinese = len(re.findall(r"[一-鿿]", one.prompt_template + one.system_message + one.template_name))
        assert (chinese > 60) == (one.locale == "zh-TW"), f"{one.template_key} {one.locale}: {chinese} characters"
        assert chinese == 0 or one.locale == "zh-TW"


@pytest.mark.parametrize("template", FILES, ids=lambda one: f"{one.template_key}-{one.locale}")
def test_each_prompt_renders_in_full_and_in_brief(template: PromptTemplate):
    variables = example_variables(template)
    full = render(template, variables)
    assert full.omitted == ()
    brief = render(template, {name: variables[name] for name in template.required_variables})
    assert set(brief.omitted) == set(template.optional_variables)
    assert len(brief.prompt) < len(full.prompt) or not template.optional_variables
    assert "{{" not in full.prompt + brief.prompt
    for name in template.optional_variables:
        (label,) = re.findall(rf"^(.+[:：])\s*{{{{{name}}}}}", template.prompt_template, re.MULTILINE)
        assert label in full.prompt
        assert label not in brief.prompt


def test_the_examples_are_known_in_both_languages():
    assert EXAMPLES["zh-TW"].keys() == EXAMPLES["en"].keys()


# ------------------------------------------------------------------------------------------------------- linting

GOOD = named("risk_forecasting", "zh-TW")


def changed(**changes: object) -> list[str]:
    return lint(replace(GOOD, **changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt_template": GOOD.prompt_template.replace("{{historical_data}}", "")}, "declared but not used"),
        ({"optional_variables": ("external_factors",)}, "warning_signals is not declared"),
        ({"prompt_template": GOOD.prompt_template + "{{Bad}}"}, "braces that are no placeholder"),
        ({"required_variables": (*GOOD.required_variables, "historical_data")}, "declared twice"),
        ({"required_variables": ("historicalData",)}, "historicalData is not in snake_case"),
        ({"prompt_template": GOOD.prompt_template + "贅" * 700}, "characters long"),
        ({"prompt_template": "{{historical_data}}"}, "characters long"),
        ({"prompt_template": GOOD.prompt_template + "\n```\n{{evidence}}\n```"}, "fences of its own"),
        ({"prompt_template": GOOD.prompt_template.replace('"riskLevel"', '"level"')}, "does not fit"),
        (
            {"prompt_template": GOOD.prompt_template.replace('{"riskLevel"', '"riskLevel"')},
            "no example of the answer",
        ),
        ({"output_schema": None}, "no output_schema"),
        ({"output_schema": "no_such.v1"}, "no_such.v1"),
        ({"system_message": "你是分析師。"}, "does not explain the label of data"),
        ({"system_message": GOOD.system_message + "{{severity}}"}, "has placeholders"),
        ({"max_tokens": 5000}, "max_tokens is 5000"),
        ({"max_tokens": 4000}, "does not fit 4096"),
        ({"temperature": 2.5}, "temperature is 2.5"),
    ],
)
def test_each_fault_is_found(changes: dict[str, object], said: str):
    assert changed() == []
    assert any(said in fault for fault in changed(**changes)), changed(**changes)


def test_faults_of_prompts_that_belong_together():
    english = named("risk_forecasting", "en")
    assert lint_all([GOOD, english]) == {}
    assert "no version 1.0 in en" in str(lint_all([GOOD]))
    assert "there are 2 of this version" in str(lint_all([GOOD, GOOD, english]))
    assert "of group A" in str(lint_all([replace(GOOD, ab_group="B"), replace(english, ab_group="B")]))
    for field, value in (("max_tokens", 100), ("temperature", 0.9), ("category", "other"), ("weight", 3)):
        assert f"{field} differs" in str(lint_all([replace(GOOD, **{field: value}), english]))


def test_only_the_newest_version_is_looked_at():
    old = replace(GOOD, version="0.9", prompt_template="{{x}}")
    assert [one.version for one in newest([GOOD, old])] == ["1.0"]


# --------------------------------------------------------------------------------------------- reading the files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for locale in ("zh-TW", "en"):
        (tmp_path / locale / "system").mkdir(parents=True)
        for name in ("risk_forecasting.v1.0.md", "system/analyst.v1.0.md"):
            shutil.copy(PROMPTS / locale / name, tmp_path / locale / name)
    return tmp_path


def edit(folder: Path, old: str, new: str, name: str = "risk_forecasting.v1.0.md") -> None:
    file = folder / "zh-TW" / name
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("---\nkey", "key", r"line 1: begin with a line ---"),
        ("key: risk_forecasting", "key: [", r"line \d+: not valid YAML"),
        ("ab_group: A", "ab_group: A\nab_group: B", r"line 9: not valid YAML \(ab_group stands twice\)"),
        ("weight: 100", "weight: 101", r"line 9, weight: .*less than or equal to 100"),
        ("weight: 100", "weigth: 100", r"line 9, weigth: "),
        ("category: risk_analysis\n", "", r"category: Field required"),
        ('version: "1.0"', "version: 1.0", r"line 5, version: .*write versions in quotes"),
        ('version: "1.0"', 'version: "1.1"', r"version is '1.1', but the file's name says '1.0'"),
        ("key: risk_forecasting", "key: other", r"key is 'other', but"),
        ("temperature: 0.2", "temperature: 0.255", r"temperature: .*multiple of 0.01"),
        ("temperature: 0.2", "temperature: .nan", r"temperature: "),
        ("max_tokens: 500", "max_tokens: 0", r"max_tokens: .*greater than 0"),
        ("[historical_data, ", "[historicalData, ", r"required_variables.0: "),
        ("system: analyst.v1.0", "system: analyst.v9.9", r"field system: there is no file .*analyst\.v9\.9\.md"),
        ("system: analyst.v1.0", "system: ../x", r"system: "),
    ],
)
def test_a_wrong_file_is_named_with_line_and_remedy(folder: Path, old: str, new: str, said: str):
    edit(folder, old, new)
    with pytest.raises(ConfigurationError, match=rf"(?s)risk_forecasting\.v1\.0\.md.*{said}"):
        load_prompt_files(folder)


def test_other_wrong_files(folder: Path, tmp_path: Path):
    for name in ("notes.md", "risk_forecasting.md", "risk_forecasting.v1.00.md", "Risk.v1.0.md"):
        (folder / "en" / name).write_text("x")
        with pytest.raises(ConfigurationError, match=rf"{name}: call it <template_key>\.v<version>\.md"):
            load_prompt_files(folder)
        (folder / "en" / name).unlink()
    file = folder / "en" / "risk_forecasting.v1.0.md"
    file.write_bytes(b"---\nkey: \xff\n---\nx")
    with pytest.raises(ConfigurationError, match=r"not UTF-8 .* at byte 9"):
        load_prompt_files(folder)
    file.write_text("---\n- key\n---\nx")
    with pytest.raises(ConfigurationError, match="line 2: write the fields"):
        load_prompt_files(folder)
    file.write_text("---\nkey: x\n---\na\0b")
    with pytest.raises(ConfigurationError, match="NUL"):
        load_prompt_files(folder)
    with pytest.raises(ConfigurationError, match="no folder of prompts"):
        load_prompt_files(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="no prompts"):
        load_prompt_files(tmp_path / "empty")


def test_whatever_changes_the_prompt_changes_its_hash(folder: Path):
    before = load_prompt_files(folder)[0].content_sha256
    edit(folder, "weight: 100", "weight: 50")
    edit(folder, "name: 風險預測分析", "name: 風險預測")
    assert load_prompt_files(folder)[0].content_sha256 == before
    seen = {before}
    for old, new, name in (
        ("預防和應對策略", "預防策略", "risk_forecasting.v1.0.md"),
        ("max_tokens: 500", "max_tokens: 501", "risk_forecasting.v1.0.md"),
        ("temperature: 0.2", "temperature: 0.21", "risk_forecasting.v1.0.md"),
        ("output_schema: risk_forecasting.v1", "output_schema: custom_analysis.v1", "risk_forecasting.v1.0.md"),
        ("[historical_data, current_metrics]", "[current_metrics]", "risk_forecasting.v1.0.md"),
        ("編造", "杜撰", "system/analyst.v1.0.md"),
    ):
        edit(folder, old, new, name)
        seen.add(load_prompt_files(folder)[0].content_sha256)
    assert len(seen) == 7


def test_a_projects_own_folder_comes_first(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    project = tmp_path / "project"
    project.mkdir()
    (project / "tagging.yaml").touch()
    monkeypatch.chdir(project)
    assert prompt_folder() == PROMPTS
    shutil.copytree(folder / "en", project / "prompts" / "en")
    assert prompt_folder() == project / "prompts"
    assert [one.locale for one in load_prompt_files()] == ["en"]


# --------------------------------------------------------------------------------------------------------- locks


def test_the_checksums_are_those_sha256sum_writes():
    for line in (PROMPTS / CHECKSUMS).read_text("utf-8").splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((PROMPTS / name).read_bytes()).hexdigest() == digest


def test_a_locked_file_cannot_change(folder: Path):
    assert [fault for fault in checksum_faults(folder) if "not locked yet" not in fault] == []
    assert len(lock_prompt_files(folder)) == 4
    assert checksum_faults(folder) == []
    assert lock_prompt_files(folder) == []
    before = (folder / CHECKSUMS).read_text()
    edit(folder, "預防", "預先防範")
    (folder / "en" / "system" / "analyst.v1.0.md").unlink()
    faults = checksum_faults(folder)
    assert "zh-TW/risk_forecasting.v1.0.md: changed; restore it" in str(faults)
    assert "en/system/analyst.v1.0.md: gone; restore it" in str(faults)
    with pytest.raises(ConfigurationError, match=r"(?s)stays as it is:\n.*new version"):
        lock_prompt_files(folder)
    assert (folder / CHECKSUMS).read_text() == before


def test_a_new_version_is_a_new_file(folder: Path):
    lock_prompt_files(folder)
    before = (folder / CHECKSUMS).read_text().splitlines()
    for locale in ("zh-TW", "en"):
        text = (folder / locale / "risk_forecasting.v1.0.md").read_text("utf-8")
        (folder / locale / "risk_forecasting.v1.1.md").write_text(text.replace('"1.0"', '"1.1"'), "utf-8")
    assert {fault.split(":")[0] for fault in lint_prompt_files(folder)} == {
        "zh-TW/risk_forecasting.v1.1.md",
        "en/risk_forecasting.v1.1.md",
    }
    assert lock_prompt_files(folder) == ["en/risk_forecasting.v1.1.md", "zh-TW/risk_forecasting.v1.1.md"]
    assert lint_prompt_files(folder) == []
    assert set(before) < set((folder / CHECKSUMS).read_text().splitlines())


def test_a_wrong_list_of_checksums_is_named(folder: Path):
    (folder / CHECKSUMS).write_text("zh-TW/x.md\n")
    with pytest.raises(ConfigurationError, match=r"checksums\.txt, line 1: write"):
        checksum_faults(folder)
