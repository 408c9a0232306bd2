"""The report's page in a real browser: on a phone, a desktop, in the dark and on paper (`make browser-test`)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tagging_orchestration.clients.report.render import render_html
from tagging_orchestration.core.business.report import Phrase, ReportFacts, build_report
from tests.fakes import report as fake

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
LONG = Phrase("Averyverylongwordwithoutanyplacetobreakit" * 4, "很長的標題" * 30)
REPORTS = {
    "shop": build_report(fake.facts()),
    "quiet": build_report(fake.quiet()),
    "empty": build_report(ReportFacts(fake.BUSINESS, fake.GENERATED_AT)),
    "long": build_report(
        replace(
            fake.facts(),
            alerts=tuple(
                replace(fake.alert(n, evidence=fake.BACKLOG), title=LONG, message=LONG) for n in range(9)
            ),
            incidents=tuple(
                replace(incident, title=LONG, causes=(LONG.en,)) for incident in fake.facts().incidents
            ),
        )
    ),
}
# Contrast of every visible text against what lies behind it, as WCAG 2 defines it; those below AA.
LOW_CONTRAST = """
() => {
  const light = (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const style = getComputedStyle(element);
    if (!own || !element.checkVisibility() || element.closest('.hidden, style, script')) continue;
    const front = parse(style.color);
    if (front[3] === 0) continue;
    const [a, b] = [luminance(front), luminance(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push([element.textContent.trim().slice(0, 40), ratio.toFixed(2)]);
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """An installed Chromium: named by CHROMIUM, or found on the path."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert found, f"no browser found: install Chromium, or name one: make browser-test CHROMIUM=... ({NAMES})"
    with sync_playwright() as playwright:
        # A sandbox needs rights that a container's root does not have; the page is our own.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=sorted(REPORTS))
def page_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one report as a file."""
    path = tmp_path_factory.mktemp("report") / f"{request.param}.html"
    path.write_text(render_html(REPORTS[request.param], "zh-Hant"), encoding="utf-8")
    return path


def opened(browser: Browser, path: Path, query: str = "", **options) -> tuple[Page, list[str]]:
    """The page in a fresh context, and what went wrong while it opened: messages, errors, requests."""
    page = browser.new_context(**options).new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri() + query)
    return page, wrong


SCREENS = {
    "phone": {"viewport": {"width": 360, "height": 740}, "is_mobile": True},
    "tablet": {"viewport": {"width": 768, "height": 1024}},
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}


@pytest.mark.parametrize("language", ["en", "zh-Hant"])
@pytest.mark.parametrize("screen", SCREENS)
def test_it_fits_the_screen_loads_nothing_and_can_be_read(browser, page_file, screen, language):
    page, wrong = opened(browser, page_file, f"?lang={language}", **SCREENS[screen])
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.documentElement.lang") == language
    assert page.evaluate(LOW_CONTRAST) == []
    assert wrong == []


def test_the_language_can_be_switched(browser, page_file):
    page, wrong = opened(browser, page_file)
    assert page.locator(".page-zh-Hant").is_visible()
    assert not page.locator(".page-en").is_visible()
    page.locator(".page-zh-Hant .switch label[lang=en]").click()
    assert page.locator(".page-en").is_visible()
    assert not page.locator(".page-zh-Hant").is_visible()
    assert page.title() == "Lantern & Leaf · Business health report"
    # With the keyboard: the arrow keys move between the two choices.
    page.locator("#language-en").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".page-zh-Hant").is_visible()
    assert page.title() == "燈籠與葉 · 經營健康報告"
    assert wrong == []


def test_it_needs_no_script(browser, page_file):
    page, _ = opened(browser, page_file, java_script_enabled=False)
    assert page.locator(".page-zh-Hant h1").is_visible()
    page.locator(".page-zh-Hant .switch label[lang=en]").click()
    assert page.locator(".page-en h1").is_visible()


def test_on_paper_proofs_are_unfolded_and_lesser_lists_left_out(browser, page_file, tmp_path):
    page, _ = opened(browser, page_file, viewport={"width": 1280, "height": 900})
    page.emulate_media(media="print")
    hidden = page.evaluate(
        """() => [...document.querySelectorAll('.page-zh-Hant .proof > :not(summary)')]
            .filter((element) => !element.getBoundingClientRect().height).length"""
    )
    assert hidden == 0
    assert page.locator(".page-zh-Hant details:not(.proof):visible").count() == 0
    assert not page.locator(".page-zh-Hant .switch").first.is_visible()
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    assert pdf.startswith(b"%PDF")
    # A4, in points.
    assert b"/MediaBox [0 0 594.95996 841.91998]" in pdf


def test_texts_from_outside_run_no_script(browser, tmp_path):
    attack = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
    words = Phrase(attack, attack)
    facts = replace(fake.facts(), alerts=(replace(fake.alert(1), title=words, message=words, notes=attack),))
    path = tmp_path / "attack.html"
    path.write_text(render_html(build_report(facts), "en"), encoding="utf-8")
    page, wrong = opened(browser, path)
    assert page.title() == "Lantern & Leaf · Business health report"
    assert attack in page.locator(".page-en").inner_text()
    assert wrong == []
