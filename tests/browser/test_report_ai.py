"""The switches of the AI analyses in a real browser (`make browser-test`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tagging_orchestration.clients.report.render import render_html
from tagging_orchestration.core.business.report import build_report
from tests.browser.test_report_page import LOW_CONTRAST, SCREENS, browser, opened
from tests.fakes import enhancements as ai
from tests.fakes import report as fake

__all__ = ["browser"]

pytestmark = pytest.mark.browser

KINDS = ("alerts", "insights", "recommendations", "summaries")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with analyses of every kind."""
    path = tmp_path_factory.mktemp("report") / "ai.html"
    page = render_html(build_report(fake.facts()), "zh-Hant", enhancements=ai.enhancements())
    path.write_text(page, encoding="utf-8")
    return path


def shown(page, kind: str) -> int:
    return page.locator(f".page-zh-Hant .ai-{kind}:visible").count()


def test_each_toggle_hides_its_kind_at_once_and_is_remembered(browser: Browser, page_file: Path):
    page, wrong = opened(browser, page_file)
    base = page.locator(".page-zh-Hant .alerts li").all_inner_texts()
    assert all(shown(page, kind) for kind in KINDS)
    for kind in KINDS:
        page.locator(f".page-zh-Hant label[for=ai-{kind}]").click()
        assert not shown(page, kind)
    page.locator(".page-zh-Hant label[for=ai-alerts]").click()
    assert shown(page, "alerts")
    page.reload()
    assert [bool(shown(page, kind)) for kind in KINDS] == [True, False, False, False]
    kept = page.evaluate("JSON.parse(localStorage.getItem('ai-enhancement-settings'))")
    assert kept == {
        "enabled": True,
        "alerts": True,
        "insights": False,
        "recommendations": False,
        "executiveSummary": False,
    }
    assert page.locator(".page-zh-Hant .alerts li").all_inner_texts() == base
    assert wrong == []


def test_the_switch_hides_everything_of_ai_and_nothing_else(browser: Browser, page_file: Path):
    page, wrong = opened(browser, page_file)
    page.locator(".page-zh-Hant label[for=ai-enabled]").click()
    assert page.locator(".ai:visible").count() == 0
    assert page.locator(".page-zh-Hant .situation:visible").count() == 2
    # With the keyboard, too, and for both languages.
    page.locator("#ai-enabled").focus()
    page.keyboard.press("Space")
    assert page.locator(".page-zh-Hant .ai:visible").count() > 0
    page.locator("#ai-enabled").focus()
    page.keyboard.press("Space")
    page.locator(".page-zh-Hant .switch label[lang=en]").click()
    assert page.locator(".page-en .ai:visible").count() == 0
    assert wrong == []


def test_what_another_program_kept_in_the_settings_stays(browser: Browser, page_file: Path):
    page, _ = opened(browser, page_file)
    page.evaluate(
        "localStorage.setItem('ai-enhancement-settings', JSON.stringify({autoEnhance: false, alerts: false}))"
    )
    page.reload()
    assert not shown(page, "alerts")
    page.locator(".page-zh-Hant label[for=ai-insights]").click()
    kept = page.evaluate("JSON.parse(localStorage.getItem('ai-enhancement-settings'))")
    assert (kept["autoEnhance"], kept["alerts"], kept["insights"]) == (False, False, False)
    page.evaluate("localStorage.setItem('ai-enhancement-settings', 'no json')")
    page.reload()
    assert shown(page, "alerts")


def test_it_needs_no_script(browser: Browser, page_file: Path):
    page, _ = opened(browser, page_file, java_script_enabled=False)
    assert shown(page, "alerts")
    page.locator(".page-zh-Hant label[for=ai-enabled]").click()
    assert page.locator(".page-zh-Hant .ai:visible").count() == 0


def test_evidence_is_one_click_away(browser: Browser, page_file: Path):
    page, wrong = opened(browser, page_file)
    page.locator(".page-zh-Hant a.ai-chip", has_text="no reply").first.click()
    assert page.locator(":target").inner_text().startswith("no reply")
    # A row stands in a folded list, which opens.
    page.locator(".page-zh-Hant a.ai-chip", has_text="TCK-0219").first.click()
    assert page.locator(":target").is_visible()
    assert wrong == []


@pytest.mark.parametrize("language", ["en", "zh-Hant"])
@pytest.mark.parametrize("screen", SCREENS)
def test_it_fits_the_screen_and_can_be_read(browser: Browser, page_file: Path, screen: str, language: str):
    page, wrong = opened(browser, page_file, f"?lang={language}", **SCREENS[screen])
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(LOW_CONTRAST) == []
    assert wrong == []
