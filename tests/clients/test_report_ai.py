"""The report with what AI adds: beside the base, never inside it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from tagging_orchestration.clients.report.render import MARKDOWN_BYTES, render_html, render_markdown
from tagging_orchestration.core.business.report import build_report
from tagging_orchestration.core.enhancement.shown import Citation, ReportEnhancements
from tagging_orchestration.core.enhancement.switches import UserSettings
from tests.fakes import enhancements as ai
from tests.fakes import report as fake

REPORT = build_report(fake.facts())
PAGE = render_html(REPORT, "zh-Hant", enhancements=ai.enhancements())
VOID = {"meta", "link", "br", "input", "img"}


class Base(HTMLParser):
    """Tags and texts of a page without what AI added: elements whose class begins with `ai`, ids of evidence."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.added = 0
        self._open: list[tuple[str, bool]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = (dict(attrs).get("class") or "").split()
        added = self._inside or any(name == "ai" or name.startswith("ai-") for name in classes)
        self.added += added
        if not added:
            own = {
                name: value
                for name, value in attrs
                if not (name == "id" and (value or "").startswith("evidence-"))
            }
            # The policy names the script by its hash.
            own.pop("content", None)
            self.parts.append(f"{tag} {sorted(own.items(), key=str)}")
        if tag not in VOID:
            self._open.append((tag, added))

    @property
    def _inside(self) -> bool:
        return bool(self._open) and self._open[-1][1]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open and not self._open[-1][1] and self._open[-1][0] not in ("script", "style") and data.strip():
            self.parts.append(data.strip())


def test_without_enhancements_the_page_is_the_base_page():
    for locale in ("en", "zh-Hant"):
        base = render_html(REPORT, locale)
        assert render_html(REPORT, locale, enhancements=None) == base
        assert render_html(REPORT, locale, enhancements=ReportEnhancements()) == base
        assert "ai-" not in base.replace("mail-", "")
        assert render_markdown(REPORT, locale, ReportEnhancements()) == render_markdown(REPORT, locale)


def test_with_them_the_base_is_all_there_and_unchanged():
    with_ai, base = Base(PAGE), Base(render_html(REPORT, "zh-Hant"))
    assert with_ai.added > 50
    assert base.added == 0
    # Only who wrote what is told differently.
    different = [(ours, theirs) for ours, theirs in zip(with_ai.parts, base.parts, strict=True) if ours != theirs]
    assert [theirs for _, theirs in different if "AI" not in theirs] == [
        "預測與建議",
        "Forecasts and recommendations",
    ]
    assert len(different) == 4


def test_each_analysis_is_marked_with_confidence_and_source():
    assert PAGE.count("AI 深化分析") >= 5
    assert re.search(r'ai-sure high">信心度 <b>85%</b>', PAGE)
    assert "local · phi4-mini · 提示 alert_prompt 1.0 · 2026/11/1 09:00 (Asia/Taipei)" in PAGE
    for heading in ("根因分析", "建議行動", "預估時程", "建議的優先順序", "執行摘要（日報）", "執行摘要（週報）"):
        assert heading in PAGE
    assert "AI analysis" in PAGE
    assert "沒有任何內容由 AI 撰寫" not in PAGE


def test_evidence_leads_to_what_is_on_the_page():
    page = Base(PAGE)
    assert page.parts
    links = re.findall(r'class="ai-chip" href="#([^"]+)"', PAGE)
    assert len(links) >= 6
    ids = re.findall(r' id="([^"]+)"', PAGE)
    assert len(ids) == len(set(ids))
    assert set(links) <= set(ids)


def test_a_number_that_is_in_no_data_is_flagged():
    assert "⚠ 資料中沒有 99999" in PAGE
    assert "⚠ 99999 is not in the data" in PAGE
    assert "⚠ 資料中沒有 99999" in render_markdown(REPORT, "zh-Hant", ai.enhancements())


def test_what_the_model_is_unsure_of_is_folded():
    assert re.search(r'<details class="ai ai-insights more"><summary>.*50%.*信心不足，點開閱讀', PAGE)
    assert "Slow answers keep customers" not in render_markdown(REPORT, "zh-Hant", ai.enhancements())


def test_the_policy_allows_the_one_script_that_is_there():
    (script,) = re.findall(r"<script>(.*?)</script>", PAGE, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in PAGE
    assert "ai-enhancement-settings" in script
    one = render_html(REPORT, "en", ["en"], ai.enhancements())
    assert "ai-enhancement-settings" in one
    assert 'name="language"' not in one


def test_toggles_stand_as_the_server_has_them():
    page = render_html(REPORT, "en", enhancements=ai.enhancements(settings=UserSettings(insights=False)))
    assert re.search(r'id="ai-alerts" name="alerts"[^>]* checked>', page)
    assert re.search(r'id="ai-insights" name="insights" aria-label="Insights">', page)
    assert re.search(r'id="ai-summaries" name="executiveSummary"[^>]* checked>', page)


def test_health_and_running_calls_are_told():
    page = render_html(REPORT, "zh-Hant", enhancements=ai.enhancements(healthy=False, loading=2))
    assert "目前無法連線至語言模型" in page
    assert "AI 正在分析... (2)" in page


def test_texts_of_a_model_run_no_script():
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)> [link](javascript:alert(3)) | `code`"
    hostile = ai.made(
        "alert",
        "alert-1",
        {**ai.ALERT, "summary": attack, "rootCauseAnalysis": [attack] * 3, "timelineEstimate": attack},
        evidence=((0, "tag:11"),),
    )
    evil = Citation("tag:11", attack, attack + '" onmouseover="alert(4)')
    first, second = hostile.parts
    hostile = type(hostile)(
        **{
            name: getattr(hostile, name)
            for name in hostile.__dataclass_fields__
            if name not in ("parts", "provider")
        },
        provider=attack,
        parts=(type(first)(first.word, (type(first.claims[0])(attack, (evil,)),)), second),
    )
    made = ai.enhancements(alerts={"alert-1": hostile})
    page = render_html(REPORT, "en", enhancements=made)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert 'onmouseover="alert' not in page
    markdown = render_markdown(REPORT, "en", made)
    assert "<script>" not in markdown
    assert "[link](javascript" not in markdown


@pytest.mark.parametrize("locale", ["en", "zh-Hant"])
def test_markdown_has_claims_with_their_evidence_and_keeps_its_size(locale):
    markdown = render_markdown(REPORT, locale, ai.enhancements())
    assert "  - 客服人力不足，案件積壓 (raw.support\\_tickets TCK-0219)" in markdown
    assert "85%" in markdown
    many = {alert.id: ai.alert(alert.id) for situation in REPORT.situations for alert in situation.alerts}
    assert len(render_markdown(REPORT, locale, ai.enhancements(alerts=many)).encode()) <= MARKDOWN_BYTES
