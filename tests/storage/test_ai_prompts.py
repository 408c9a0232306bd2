"""Prompts in the database: files come in, people edit by SQL, and no version is ever lost."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.clients.prompt_files import load_prompt_files
from tagging_orchestration.core.enhancement.models import PromptTemplate
from tagging_orchestration.core.enhancement.prompts import (
    content_sha256,
    normalise_variables,
    render,
    version_order,
)
from tagging_orchestration.core.errors import ConfigurationError, UnknownName
from tagging_orchestration.storage.ai_prompts import (
    list_templates,
    load_template,
    load_version,
    sync_prompts,
    versions,
)

PROMPTS = Path(__file__).resolve().parents[2] / "prompts"


def template(version: str = "1.0", text: str = "警示:{{alert_details}}", **changes) -> PromptTemplate:
    made = PromptTemplate(
        template_key="alert_enhancement",
        locale="zh-TW",
        version=version,
        template_name="警示深化分析",
        category="analysis",
        prompt_template=text,
        system_message="你是分析師。",
        required_variables=("alert_details",),
        optional_variables=(),
        max_tokens=400,
        temperature=0.3,
        output_schema="alert_enhancement.v1",
        content_sha256="",
        description="…",
    )
    made = replace(made, **changes)
    return replace(
        made,
        content_sha256=content_sha256(
            made.prompt_template,
            made.system_message,
            made.required_variables,
            made.optional_variables,
            made.max_tokens,
            made.temperature,
            made.output_schema,
        ),
    )


def run(pool: ConnectionPool, statement: str, *parameters: object) -> list[tuple]:
    with pool.connection() as connection:
        cursor = connection.execute(statement, parameters)  # pyright: ignore[reportArgumentType]
        return cursor.fetchall() if cursor.description else []


def row(pool: ConnectionPool, key: str = "alert_enhancement") -> tuple:
    (found,) = run(
        pool,
        "SELECT version, prompt_template, locale, is_active FROM ai_prompt_templates WHERE template_key = %s",
        key,
    )
    return found


def in_use(pool: ConnectionPool, key: str = "alert_enhancement") -> list[tuple[str, str, str]]:
    return [
        (one.template.locale, one.template.ab_group, one.template.version)
        for one in versions(pool, key)
        if one.is_active
    ]


def served(pool: ConnectionPool, key: str = "alert_enhancement", subject: str = "x") -> PromptTemplate:
    return load_template(pool, key, "zh-TW", subject)[0]


# ------------------------------------------------------------------------------------------------- files come in


def test_the_prompts_of_the_project_come_in_once(pool: ConnectionPool):
    files = load_prompt_files(PROMPTS)
    report = sync_prompts(pool, files, "zh-TW")
    assert len(report.inserted) == len(files)
    assert sync_prompts(pool, files, "zh-TW").unchanged == len(files)
    stored = {
        (one.template.template_key, one.template.locale, one.template.version): one.template
        for one in versions(pool)
    }
    assert stored == {(file.template_key, file.locale, file.version): file for file in files}
    assert {one.locale for one in list_templates(pool)} == {"zh-TW"}
    assert not sync_prompts(pool, files, "en").inserted
    assert {one.locale for one in list_templates(pool)} == {"en"}
    assert load_template(pool, "alert_enhancement", "en", "1")[0].system_message.startswith("You are")


def test_a_new_version_replaces_the_old_one_which_stays(pool: ConnectionPool):
    sync_prompts(pool, [template("1.9")], "zh-TW")
    report = sync_prompts(pool, [template("1.9"), template("1.10", "新:{{alert_details}}")], "zh-TW")
    assert report.inserted == report.activated == ("alert_enhancement zh-TW A 1.10",)
    assert row(pool) == ("1.10", "新:{{alert_details}}", "zh-TW", True)
    assert served(pool).version == "1.10"
    assert load_version(pool, "alert_enhancement", "zh-TW", "A", "1.9") == template("1.9")


def test_of_several_new_versions_the_newest_is_in_use(pool: ConnectionPool):
    sync_prompts(pool, [template("1.10"), template("1.2", "b{{alert_details}}"), template("1.9")], "zh-TW")
    assert in_use(pool) == [("zh-TW", "A", "1.10")]
    assert [one.template.version for one in versions(pool, "alert_enhancement")] == ["1.2", "1.9", "1.10"]


def test_a_text_that_changed_without_a_version_is_refused_as_a_whole(pool: ConnectionPool):
    sync_prompts(pool, [template()], "zh-TW")
    other = template("3.0", template_key="trend_analysis")
    for changed in (
        template(text="改:{{alert_details}}"),
        template(system_message="…"),
        template(max_tokens=401),
        template(temperature=0.31),
        template(output_schema=None),
        template(required_variables=(), optional_variables=("alert_details",)),
    ):
        with pytest.raises(ConfigurationError, match=r"new version.*alert_enhancement zh-TW A 1\.0"):
            sync_prompts(pool, [changed, other], "zh-TW")
    assert [one.template_key for one in list_templates(pool)] == ["alert_enhancement"]


def test_languages_and_groups_have_versions_of_their_own(pool: ConnectionPool):
    english = template("1.0", "Alert: {{alert_details}}", locale="en")
    other = template("1.1", "乙:{{alert_details}}", ab_group="B", weight=30)
    sync_prompts(pool, [english, template(), other], "zh-TW")
    assert in_use(pool) == [("zh-TW", "A", "1.0"), ("zh-TW", "B", "1.1"), ("en", "A", "1.0")]
    assert row(pool)[:3] == ("1.0", "警示:{{alert_details}}", "zh-TW")
    groups = [served(pool, subject=str(number)).ab_group for number in range(300)]
    assert groups == [served(pool, subject=str(number)).ab_group for number in range(300)]
    # 30 of 130 subjects: 69 of 300 expected, with a deviation of 7.
    assert 40 < groups.count("B") < 100


def test_a_language_without_the_key_is_served_by_another(pool: ConnectionPool):
    sync_prompts(pool, [template()], "en")
    assert row(pool)[2] == "zh-TW"
    assert load_template(pool, "alert_enhancement", "en", "1")[0].locale == "zh-TW"


def test_a_variant_that_is_missing_or_off_is_served_by_its_base(pool: ConnectionPool):
    sync_prompts(pool, [template()], "zh-TW")
    found, asked = load_template(pool, "alert_enhancement_critical", "zh-TW", "1")
    assert (found.template_key, asked) == ("alert_enhancement", "alert_enhancement_critical")
    critical = template(template_key="alert_enhancement_critical")
    sync_prompts(pool, [template(), critical], "zh-TW")
    assert served(pool, "alert_enhancement_critical") == critical
    run(pool, "UPDATE ai_prompt_templates SET is_active = FALSE WHERE template_key = 'alert_enhancement_critical'")
    assert served(pool, "alert_enhancement_critical") == template()
    with pytest.raises(UnknownName, match="no_such"):
        load_template(pool, "no_such", "zh-TW", "1")
    with pytest.raises(UnknownName, match=r"no version 7"):
        load_version(pool, "alert_enhancement", "zh-TW", "A", "7")
    with pytest.raises(UnknownName, match="no_such"):
        versions(pool, "no_such")


# ---------------------------------------------------------------------------------------------- people edit by SQL


def test_the_documents_own_statements_run_and_keep_history(pool: ConnectionPool):
    run(
        pool,
        """
        INSERT INTO ai_prompt_templates (
        template_key, template_name, category, prompt_template, max_tokens, temperature,
        required_variables, optional_variables, description, version
        ) VALUES (
        'my_analysis', '自定義業務分析', 'custom',
        '基於以下資料進行自定義分析:
核心數據:{{core_data}}
請提供:
1. 數據洞察', 400, 0.3, '["core_data", "analysis_focus"]', '["business_context", "historical_data"]',
        '用於客製化業務分析的通用模板', '1.0')
        """,
    )
    run(
        pool,
        """
        INSERT INTO ai_prompt_provider_configs (template_id, provider_id, provider_specific_params) VALUES
        ((SELECT id FROM ai_prompt_templates WHERE template_key = 'my_analysis'),
        (INSERT_PROVIDER), '{"model": "gpt-4o-mini"}')
        """.replace("(INSERT_PROVIDER)", "%s"),
        run(
            pool,
            "INSERT INTO ai_providers (name, display_name, provider_type) VALUES ('mine', 'Mine', 'local')"
            " RETURNING id",
        )[0][0],
    )
    first = served(pool, "my_analysis")
    assert (first.version, first.required_variables) == ("1.0", ("core_data", "analysis_focus"))
    assert first.system_message == (PROMPTS / "zh-TW/system/analyst.v1.0.md").read_text().strip()
    assert first.output_schema is None
    run(
        pool,
        """
        UPDATE ai_prompt_templates
        SET prompt_template = '改進後的模板內容...',
        version = '1.1',
        updated_at = NOW()
        WHERE template_key = 'my_analysis'
        """,
    )
    assert served(pool, "my_analysis").prompt_template == "改進後的模板內容..."
    assert load_version(pool, "my_analysis", "zh-TW", "A", "1.0") == first
    (old, new) = versions(pool, "my_analysis")
    assert (old.is_active, new.is_active, new.source) == (False, True, "database")
    assert new.created_by.startswith("db:")
    listed = run(
        pool,
        """
        SELECT template_key, template_name, category, version, is_active
        FROM ai_prompt_templates
        ORDER BY category, template_key
        """,
    )
    assert listed == [("my_analysis", "自定義業務分析", "custom", "1.1", True)]
    run(pool, "UPDATE ai_prompt_templates SET is_active = FALSE WHERE template_key = 'my_analysis'")
    with pytest.raises(UnknownName):
        served(pool, "my_analysis")


def test_the_general_system_message_is_that_of_the_files(pool: ConnectionPool):
    for locale in ("zh-TW", "en"):
        ((said,),) = run(pool, "SELECT ai.general_system_message(%s)", locale)
        assert said == (PROMPTS / locale / "system/analyst.v1.0.md").read_text().strip()


@pytest.mark.parametrize(
    "change",
    [
        "prompt_template = 'x'",
        "max_tokens = 300",
        "temperature = 0.5",
        "required_variables = '[]'",
        "system_message = 'x'",
        "output_schema = NULL",
        "prompt_template = 'x', version = '0.9'",
    ],
)
def test_a_change_without_a_new_version_is_refused_with_a_hint(pool: ConnectionPool, change: str):
    sync_prompts(pool, [template("0.9"), template("1.0", "新:{{alert_details}}")], "zh-TW")
    with pytest.raises(psycopg.errors.IntegrityError, match=r"version") as refused:
        run(pool, f"UPDATE ai_prompt_templates SET {change} WHERE template_key = 'alert_enhancement'")
    assert "version" in str(refused.value.diag.message_hint)
    assert row(pool)[:2] == ("1.0", "新:{{alert_details}}")
    assert len(versions(pool, "alert_enhancement")) == 2


def test_naming_an_older_version_goes_back_to_its_text(pool: ConnectionPool):
    newer = template("1.1", "新:{{alert_details}}")
    sync_prompts(pool, [template(), newer], "zh-TW")
    run(pool, "UPDATE ai_prompt_templates SET version = '1.0' WHERE template_key = 'alert_enhancement'")
    assert row(pool)[:2] == ("1.0", template().prompt_template)
    assert served(pool) == template()
    # What people went back to stays until there is something new.
    sync_prompts(pool, [template(), newer], "zh-TW")
    assert served(pool) == template()
    sync_prompts(pool, [template("1.2", "更新:{{alert_details}}")], "zh-TW")
    assert served(pool).version == row(pool)[0] == "1.2"


def test_activating_a_version_shows_in_the_templates_row(pool: ConnectionPool):
    sync_prompts(pool, [template(), template("1.1", "新:{{alert_details}}")], "zh-TW")
    run(pool, "UPDATE ai_prompt_template_versions SET is_active = TRUE WHERE version = '1.0'")
    assert in_use(pool) == [("zh-TW", "A", "1.0")]
    assert row(pool)[:2] == ("1.0", template().prompt_template)


def test_files_do_not_undo_what_people_decided(pool: ConnectionPool):
    sync_prompts(pool, [template(), template("1.1", "乙:{{alert_details}}", ab_group="B")], "zh-TW")
    run(pool, "UPDATE ai_prompt_template_versions SET is_active = FALSE WHERE ab_group = 'B'")
    run(
        pool,
        "UPDATE ai_prompt_templates SET prompt_template = '人:{{alert_details}}', version = '1.5',"
        " is_active = FALSE",
    )
    report = sync_prompts(
        pool,
        [template("1.4", "檔:{{alert_details}}"), template("1.2", "丙:{{alert_details}}", ab_group="B")],
        "zh-TW",
    )
    assert not report.activated
    assert set(report.held_back) == {"alert_enhancement zh-TW A 1.4", "alert_enhancement zh-TW B 1.2"}
    assert row(pool) == ("1.5", "人:{{alert_details}}", "zh-TW", False)
    run(pool, "UPDATE ai_prompt_templates SET is_active = TRUE")
    assert served(pool).version == "1.5"
    report = sync_prompts(pool, [template("1.5", "檔:{{alert_details}}")], "zh-TW")
    assert report.kept == ("alert_enhancement zh-TW A 1.5",)
    assert served(pool).prompt_template == "人:{{alert_details}}"


def test_versions_are_append_only(pool: ConnectionPool):
    sync_prompts(pool, [template()], "zh-TW")
    for statement in (
        "UPDATE ai_prompt_template_versions SET prompt_template = 'x'",
        "UPDATE ai_prompt_template_versions SET description = 'x', weight = 5",
        "DELETE FROM ai_prompt_template_versions",
        "TRUNCATE ai_prompt_template_versions",
        "DELETE FROM ai_prompt_templates",
        "UPDATE ai_prompt_templates SET template_key = 'other'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
            run(pool, statement)
        assert refused.value.diag.message_hint
    run(pool, "UPDATE ai_prompt_template_versions SET weight = 5")
    assert versions(pool, "alert_enhancement")[0].template == template(weight=5)


def test_names_may_change_without_a_version(pool: ConnectionPool):
    sync_prompts(pool, [template()], "zh-TW")
    run(pool, "UPDATE ai_prompt_templates SET template_name = '警示', description = 'x'")
    assert list_templates(pool)[0].template_name == "警示"


def test_both_sides_compute_the_same_hash(pool: ConnectionPool):
    for made in (
        template(text="多行\n'引號' \\ {{alert_details}}", temperature=1.0),
        template(required_variables=(), optional_variables=("a", "b"), output_schema=None, max_tokens=4096),
    ):
        found = run(
            pool,
            "SELECT ai.prompt_content_sha256("
            "%s, %s, to_jsonb(%s::text[]), to_jsonb(%s::text[]), %s, %s::numeric, %s)",
            made.prompt_template,
            made.system_message,
            list(made.required_variables),
            list(made.optional_variables),
            made.max_tokens,
            made.temperature,
            made.output_schema,
        )
        assert found == [(made.content_sha256,)]


def test_versions_are_ordered_by_number_on_both_sides(pool: ConnectionPool):
    said = ["1.10", "1.9", "2", "1.9.1", "0.1", "10.0"]
    ((ordered,),) = run(
        pool, "SELECT array_agg(v ORDER BY ai.version_order(v)) FROM unnest(%s::text[]) AS u (v)", said
    )
    assert ordered == sorted(said, key=version_order) == ["0.1", "1.9", "1.9.1", "1.10", "2", "10.0"]


def test_processes_that_synchronise_at_once_wait_for_one_another(pool: ConnectionPool):
    files = load_prompt_files(PROMPTS)
    with ThreadPoolExecutor(3) as threads:
        reports = list(threads.map(lambda _: sync_prompts(pool, files, "zh-TW"), range(3)))
    assert sorted(len(report.inserted) for report in reports) == [0, 0, len(files)]
    assert len(versions(pool)) == len(files)


def test_the_examples_of_the_manual_run(pool: ConnectionPool):
    sync_prompts(pool, [template(), template("1.1", "乙:{{alert_details}}", ab_group="B")], "zh-TW")
    examples = re.findall(
        r"```sql\n(.*?)```", (PROMPTS.parent / "docs" / "prompts.md").read_text("utf-8"), re.DOTALL
    )
    assert len(examples) == 2
    for example in examples:
        for statement in example.split(";"):
            run(pool, statement)
    assert row(pool, "my_analysis") == ("1.0", "數據:{{core_data}}", "zh-TW", False)
    assert [one.template.version for one in versions(pool, "my_analysis")] == ["1.0", "1.1"]
    assert [one.template.weight for one in versions(pool, "alert_enhancement")] == [100, 20]


def test_variables_that_were_stored_render_to_the_same_bytes(pool: ConnectionPool):
    made = template(text="甲:{{alert_details}}\n乙:{{current_value}}\n丙:{{insights}}")
    document = {
        "較長的鍵": 1e-7,
        "b": [1e16, 1.5e300, 0.1, -0.0, 120.0, Decimal("120.5000"), True, None, "{{x}} ` \x00\ud800"],
        "aa": {"z": datetime(2026, 3, 31, 16, tzinfo=UTC), "a": UUID(int=5), "": [[], {}]},
    }
    for value in (0, 5e-7, 1e22, Decimal("99.10"), "daily_revenue", "text\r\nwith lines"):
        variables = {"alert_details": document, "current_value": value, "insights": [document, "x"]}
        kept = normalise_variables(variables, "Asia/Taipei")
        ((stored,),) = run(pool, "SELECT %s::jsonb", Jsonb(kept))
        assert list(stored["alert_details"]) != list(document)
        assert render(made, stored, "Asia/Taipei") == render(made, variables, "Asia/Taipei")
