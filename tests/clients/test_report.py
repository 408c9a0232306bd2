"""The report as an HTML page and as Markdown."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tagging_orchestration.clients.report import charts
from tagging_orchestration.clients.report.formats import Formats
from tagging_orchestration.clients.report.plot import draw_key_metrics
from tagging_orchestration.clients.report.render import FOLDER, MARKDOWN_BYTES, render_html, render_markdown
from tagging_orchestration.core.business.report import (
    Evidence,
    EvidenceTag,
    Phrase,
    ReportFacts,
    SampleText,
    build_report,
)
from tagging_orchestration.core.enhancement import shown
from tests.fakes import report as fake

REPORT = build_report(fake.facts())
ATTACK = '"><script>alert(1)</script><img src=x onerror=alert(2)> [link](javascript:alert(3)) | `code` {{ 7 * 7 }}'


class Page(HTMLParser):
    """What a page is made of: start tags with attributes, and its text."""

    VOID = frozenset({"meta", "link", "br", "input", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in {"style", "script"}:
            self.text += data


def hostile():
    """A report in which every text from outside tries to break out."""
    attack = Phrase(ATTACK, ATTACK)
    facts = fake.facts()
    evidence = Evidence(tags=(EvidenceTag(1, ATTACK, 3, 2.0, 0.01, (1,)),), rows=fake.BACKLOG.rows)
    return build_report(
        replace(
            facts,
            business=replace(facts.business, name=attack),
            alerts=(replace(fake.alert(1, evidence=evidence, title=attack, message=attack), notes=ATTACK),),
            incidents=(replace(facts.incidents[0], title=attack, causes=(ATTACK,)),),
            samples={1: SampleText(1, "sample", ATTACK, "ticket", "hello", "x < y & z " + ATTACK, fake.AS_OF)},
            insights=(replace(facts.insights[0], title=attack, category=ATTACK),),
            stock=(replace(facts.stock[0], name=ATTACK),),
            tags=(replace(facts.tags[0], name=ATTACK),),
        )
    )


@pytest.mark.parametrize("locale", ["en", "zh-Hant"])
def test_the_page_has_every_section_in_its_language(locale):
    page = Page(render_html(REPORT, locale, [locale]))
    words = yaml.safe_load((FOLDER / "words.yaml").read_text(encoding="utf-8"))
    for key in (
        "risk_centre",
        "key_metrics",
        "history",
        "insights",
        "recommendations",
        "outlook",
        "customers",
        "inventory",
        "tag_movements",
        "quality",
        "how_to_read",
    ):
        assert words[key][locale] in page.text
    assert ("html", {"lang": locale}) in page.elements
    assert "no reply" in page.text
    assert ("客服應接不暇" in page.text) == (locale == "zh-Hant")
    assert ("Support does not keep up" in page.text) == (locale == "en")


def test_chinese_sections_carry_the_names_of_the_document():
    text = Page(render_html(REPORT, "zh-Hant", ["zh-Hant"])).text
    assert all(name in text for name in ("風險預警中心", "關鍵業務洞察", "戰略行動建議"))


def test_both_languages_lie_in_one_page_and_the_wanted_one_is_chosen():
    for locale in ("en", "zh-Hant"):
        page = Page(render_html(REPORT, locale))
        choices = [attributes for tag, attributes in page.elements if tag == "input"]
        assert [choice["value"] for choice in choices if "checked" in choice] == [locale]
        assert {attributes["lang"] for tag, attributes in page.elements if tag == "main"} == {"en", "zh-Hant"}
        ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
        assert len(ids) == len(set(ids))


def test_links_inside_the_page_lead_somewhere():
    page = Page(render_html(REPORT, "en"))
    ids = {attributes.get("id") for _, attributes in page.elements}
    targets = [attributes["href"] for tag, attributes in page.elements if tag in {"a", "use"}]
    assert len(targets) > 20
    for target in targets:
        assert target is not None
        assert target.startswith("#")
        assert target[1:] in ids


@pytest.mark.parametrize("report", [REPORT, hostile()], ids=["shop", "hostile"])
def test_nothing_is_loaded_from_outside(report):
    html = render_html(report, "en")
    page = Page(html)
    for tag, attributes in page.elements:
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert tag not in {"img", "iframe", "object", "embed", "form", "base"}
        if tag == "link":
            assert attributes["href"] == "data:,"
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert "@import" not in html
    assert not re.search(r"url\(\s*['\"]?(?!data:)", html)
    assert "default-src 'none'" in html


def test_texts_from_outside_are_only_text():
    page = Page(render_html(hostile(), "en", ["en"]))
    assert ATTACK in page.text
    assert "script" not in [tag for tag, _ in page.elements]
    assert "x < y & z" in page.text
    markdown = render_markdown(hostile(), "en")
    assert "<script" not in markdown
    assert "[link](" not in markdown.replace("\\[link\\](", "")
    assert "49" not in markdown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Lantern & Leaf &copy; <b>", "Lantern & Leaf &amp;copy; &lt;b&gt;"),
        ("- a list? *no* | nor `code`", "\\- a list? \\*no\\* \\| nor \\`code\\`"),
        ("12. of many [x](y)", "12\\. of many \\[x\\](y)"),
        ("# 標題\n\n> 引言", "\\# 標題 &gt; 引言"),
    ],
)
def test_markdown_shows_texts_as_they_are(text, told):
    report = build_report(replace(fake.facts(), business=replace(fake.BUSINESS, name=Phrase(text, text))))
    assert render_markdown(report, "en").splitlines()[0].removeprefix("# Business health report · ") == told


def test_severity_is_said_in_words_not_only_in_colour():
    page = Page(render_html(REPORT, "en", ["en"]))
    assert "Critical" in page.text
    assert "alert open" in page.text
    pictures = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert all(picture.get("aria-label") or picture.get("aria-hidden") == "true" for picture in pictures)


def test_headings_step_down_one_at_a_time():
    levels = [
        int(tag[1]) for tag, _ in Page(render_html(REPORT, "en", ["en"])).elements if re.fullmatch("h[1-6]", tag)
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("locale", ["en", "zh-Hant"])
def test_empty_states_are_friendly(locale):
    nothing = build_report(ReportFacts(fake.BUSINESS, fake.GENERATED_AT))
    loaded = build_report(replace(fake.facts(), computed=False))
    quiet = build_report(fake.quiet())
    past = build_report(replace(fake.quiet(), past=True))
    said = {
        "en": ("No business data yet", "not computed yet", "No alert is open", "Only the present state"),
        "zh-Hant": ("還沒有營運資料", "指標尚未計算", "目前沒有未解除的警示", "只保留現況"),
    }[locale]
    for report, words in zip((nothing, loaded, quiet, past), said, strict=True):
        assert words in Page(render_html(report, locale, [locale])).text
        assert words in render_markdown(report, locale)


@pytest.mark.parametrize("locale", ["en", "zh-Hant"])
def test_markdown_has_the_same_without_html(locale):
    markdown = render_markdown(REPORT, locale)
    assert "<" not in markdown
    assert "no reply" in markdown
    assert re.search("[▁▂▃▄▅▆▇█]{20}", markdown)
    assert "■■■" in markdown
    assert "mei.lin@mail.example" not in markdown
    headings = [line for line in markdown.splitlines() if line.startswith("## ")]
    assert len(headings) == 8
    rows = [line.count("|") for line in markdown.splitlines() if line.startswith("|")]
    assert set(rows) == {6}


def test_markdown_stays_small_whatever_happens():
    alerts = tuple(
        replace(fake.alert(number, incident=None, evidence=fake.BACKLOG), message=Phrase("x" * 400, "長" * 400))
        for number in range(400)
    )
    incidents = tuple(
        replace(fake.facts().incidents[0], id=f"i{n}", title=Phrase("t" * 200, "題" * 200)) for n in range(300)
    )
    insights = tuple(
        replace(fake.facts().insights[0], id=str(n), description=Phrase("d" * 900, "述" * 900)) for n in range(200)
    )
    report = build_report(replace(fake.facts(), alerts=alerts, incidents=incidents, insights=insights))
    for locale in ("en", "zh-Hant"):
        markdown = render_markdown(report, locale)
        assert len(markdown.encode()) <= MARKDOWN_BYTES
        assert "… + " in markdown


def test_every_word_is_in_both_languages():
    words = yaml.safe_load((FOLDER / "words.yaml").read_text(encoding="utf-8"))
    reading = [*words.pop("reading"), words.pop("reading_ai")]
    assert all(set(item) == {"en", "zh-Hant", "text_en", "text_zh"} for item in reading)
    for key, said in words.items():
        assert set(said) == {"en", "zh-Hant"}, key
        assert set(re.findall(r"{(\w+)}", said["en"])) == set(re.findall(r"{(\w+)}", said["zh-Hant"])), key


def test_every_word_is_used():
    words = set(yaml.safe_load((FOLDER / "words.yaml").read_text(encoding="utf-8"))) - {"reading", "reading_ai"}
    templates = "".join(path.read_text(encoding="utf-8") for path in (FOLDER / "templates").iterdir())
    # What AI adds is shown under words that its parts name.
    templates += Path(shown.__file__).read_text(encoding="utf-8")
    made = ("level_", "severity_", "open_", "degree_", "risk_", "stock_", "category_", "quality_", "no_")
    made += ("ai_toggle_", "ai_summary_")
    assert {word for word in words if f'"{word}"' not in templates and not word.startswith(made)} == set()


@pytest.mark.parametrize(
    ("value", "unit", "english", "chinese"),
    [
        (96400.4, "money", "NT$96,400", "NT$96,400"),
        (12.5, "money", "NT$12.50", "NT$12.50"),
        (-1500, "money", "-NT$1,500", "-NT$1,500"),
        (0.0312, "share", "3.1%", "3.1%"),
        (0.0, "share", "0%", "0%"),
        (1.0, "share", "100%", "100%"),
        (412.0, "minutes", "412 min", "412 分鐘"),
        (3.456, "days", "3.46 days", "3.46 天"),
        (182.25, "ms", "182 ms", "182 毫秒"),
        (1410, "visits", "1,410", "1,410"),
        (-3.14, "pct", "-3.1%", "-3.1%"),
        (7.25, "ratio", "7.3×", "7.3×"),
        (None, "money", "–", "–"),
    ],
)
def test_values_are_written_as_people_write_them(value, unit, english, chinese):
    assert Formats("en", fake.BUSINESS).value(value, unit) == english
    assert Formats("zh-Hant", fake.BUSINESS).value(value, unit) == chinese


def test_money_days_and_changes():
    english, chinese = (Formats(locale, fake.BUSINESS) for locale in ("en", "zh-Hant"))
    swiss = Formats("en", replace(fake.BUSINESS, currency="CHF"))
    assert swiss.money(1234567.8) == "CHF 1,234,568"
    assert Formats("zh-Hant", replace(fake.BUSINESS, currency="BRL")).money(99.9) == "R$99.90"
    assert english.day(date(2026, 10, 31)) == "Saturday 31 October 2026"
    assert chinese.day(date(2026, 10, 31)) == "2026年10月31日 星期六"
    assert chinese.moment(fake.GENERATED_AT) == "2026/11/1 09:05 (Asia/Taipei)"
    assert [english.change(value) for value in (212.4, -3.14, 0.0, None)] == ["+212%", "−3.1%", "±0%", "–"]
    assert [english.rate(value) for value in (0.0, 0.04, 0.06, 7.26, None)] == ["0", "< 0.1", "0.1", "7.3", "–"]
    assert [english.probability(value) for value in (0.0, 0.004, 0.35, 1.0)] == ["< 1%", "< 1%", "35%", "> 99%"]


def test_sparklines_break_where_a_value_is_missing():
    shape = charts.sparkline([1.0, 2.0, None, 4.0], [0, 1, 3])
    assert shape.line.count("M") == 2
    assert len(shape.bands) == 2
    assert len(shape.marks) == 2
    assert shape.last == (charts.WIDTH - charts.MARGIN, charts.MARGIN)
    assert charts.sparkline([None, None]).last is None
    assert charts.sparkline([5.0, 5.0]).marks == ()


def test_blocks_rise_and_fall_with_the_values():
    assert charts.blocks([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert charts.blocks([1, None, 8]) == "▁ █"
    assert charts.blocks([3, 3, 3]) == "▄▄▄"
    assert charts.blocks([]) == charts.blocks([None]) == ""
    assert len(charts.blocks(list(range(365)))) == 30


def test_key_metrics_are_drawn_with_their_alert_days():
    from matplotlib.figure import Figure

    figure = Figure()
    draw_key_metrics(figure, REPORT, "zh-Hant")
    titles = [axes.get_title() for axes in figure.axes if axes.lines]
    assert len(titles) == len(REPORT.key_metrics)
    assert titles[0] == "每日營收  NT$96,400"
    drawn = {axes.get_title().split()[0]: len(axes.patches) for axes in figure.axes if axes.lines}
    assert (drawn["平均回應時間"], drawn["每日營收"]) == (6, 0)
    empty = Figure()
    draw_key_metrics(empty, build_report(ReportFacts(fake.BUSINESS, fake.GENERATED_AT)), "en")
    assert empty.axes == []


def test_months_lie_where_they_begin():
    first = date(2025, 11, 1)
    found = charts.months(first, first + timedelta(days=364))
    assert len(found) == 12
    assert found[0] == (0.0, first)
    assert found[-1][1] == date(2026, 10, 1)
