"""The executive health report as one self-contained HTML page and as Markdown."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagging_orchestration.clients.report import charts
from tagging_orchestration.clients.report.formats import Formats
from tagging_orchestration.core.business.report import HealthReport, Locale

if TYPE_CHECKING:
    from jinja2 import Environment

    from tagging_orchestration.core.business.report import Situation
    from tagging_orchestration.core.enhancement.shown import Citation, ReportEnhancements

FOLDER = Path(__file__).parent
LOCALES: tuple[Locale, ...] = ("zh-Hant", "en")
# What the Dagster UI shows of one metadata entry without trouble.
MARKDOWN_BYTES = 20_000
# How many situations, past incidents and rows of a table Markdown has; the first that fits is taken.
_MARKDOWN_SIZES = (20, 10, 5, 2)
# Alerts of a situation that the page has elements for.
ALERTS_SHOWN = 40
_MARKDOWN_SIGNS = re.compile(r"[\\`*_\[\]#|~$]|^[-+=](?=\s)")
# An ampersand only where it would begin an entity.
_MARKDOWN_ENTITIES = (
    (re.compile(r"&(?=#?\w+;)"), "&amp;"),
    (re.compile("<"), "&lt;"),
    (re.compile(">"), "&gt;"),
)
_MARKDOWN_NUMBER = re.compile(r"^(\d{1,9})([.)])(?=\s)")


def render_html(
    report: HealthReport,
    locale: Locale,
    languages: Sequence[Locale] = LOCALES,
    enhancements: ReportEnhancements | None = None,
) -> str:
    """One HTML page without anything from outside: style, charts and script are in it.

    It holds the report in each of `languages` and opens in `locale` (`?lang=` chooses, too); a page without
    script, or on paper, has the language chosen last. Everything not written by this project is escaped, and the
    page's policy lets no other script run. `enhancements` stand beside what the report says; without any the page
    is the same as if there were no AI.
    """
    environment = _html()
    languages = tuple(dict.fromkeys((locale, *languages))) if locale in languages else tuple(languages)
    scripts = ["report.js"] if len(languages) > 1 else []
    styles = ["report.css"]
    if enhancements:
        scripts.append("ai.js")
        styles.append("ai.css")
    script = "\n".join(_read(f"templates/{name}").strip() for name in scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(
        views=[_view(report, language, enhancements) for language in languages],
        report=report,
        months=charts.months(report.history_from, report.as_of) if report.history_from and report.as_of else [],
        style=_markup("".join(_read(f"templates/{name}") for name in styles)),
        script=_markup(script),
        script_digest=digest,
    )


def render_markdown(report: HealthReport, locale: Locale, enhancements: ReportEnhancements | None = None) -> str:
    """The same as Markdown without HTML, at most `MARKDOWN_BYTES` long: long lists are cut, and say so."""
    template = _markdown().get_template("report.md.j2")
    text = ""
    for size in _MARKDOWN_SIZES:
        text = (
            re.sub(r"\n{3,}", "\n\n", template.render(size=size, **_view(report, locale, enhancements))).strip()
            + "\n"
        )
        if len(text.encode()) <= MARKDOWN_BYTES:
            break
    return text


def words(locale: Locale) -> Callable[..., str]:
    """The report's own words: `words(locale)(key, **values)`. Raises KeyError for a key that does not exist."""
    catalogue = _catalogue()

    def say(key: str, **values: object) -> str:
        return catalogue[key][locale].format_map(values)

    return say


@lru_cache(maxsize=1)
def _catalogue() -> Mapping[str, Any]:
    import yaml

    return yaml.safe_load(_read("words.yaml"))


# Toggles of the page: the name in the document ai-enhancement-settings, and ours.
_TOGGLES = [
    ("alerts", "alerts"),
    ("insights", "insights"),
    ("recommendations", "recommendations"),
    ("executiveSummary", "summaries"),
]


def _view(report: HealthReport, locale: Locale, enhancements: ReportEnhancements | None) -> dict[str, Any]:
    """What the templates read, for one language."""
    say = words(locale)
    known = _catalogue()
    reading = known["reading"]
    if enhancements:
        reading = [*reading[:-1], known["reading_ai"]]
    places = _places(report, locale)

    def anchor(kind: str, key: object, situation: Situation) -> str:
        """The id of a piece of evidence, where AI may refer to it."""
        ref = f"{kind}:{key}"
        if not enhancements or places.get(ref) != (situation.id, _anchor(locale, ref)):
            return ""
        return _markup(f' id="{places[ref][1]}"')

    def place(citation: Citation) -> str | None:
        """The id of the element that a reference leads to, if it is on the page."""
        found = places.get(citation.ref)
        return found[1] if found else None

    return {
        "report": report,
        "locale": locale,
        "t": say,
        "f": Formats(locale, report.business),
        "p": lambda phrase: phrase.of(locale),
        "category": lambda name: say(f"category_{name}") if f"category_{name}" in known else name,
        "degree": lambda name: say(f"degree_{name}") if f"degree_{name}" in known else name,
        "reading": [(item[locale], item["text_zh" if locale == "zh-Hant" else "text_en"]) for item in reading],
        "label": lambda name: report.labels[name].of(locale) if name in report.labels else name,
        "shown_alerts": {alert.id: alert for situation in report.situations for alert in situation.alerts},
        "separator": "、" if locale == "zh-Hant" else ", ",
        "ai": enhancements or None,
        "ai_toggles": _TOGGLES,
        "ai_default": lambda name: bool(enhancements) and enhancements.settings.document()[name],
        "ai_anchor": anchor,
        "ai_place": place,
    }


def _places(report: HealthReport, locale: Locale) -> dict[str, tuple[str, str]]:
    """Where on the page the evidence of situations stands: the situation and the id of its element, by reference.
    What is in several situations is found in the first."""
    places: dict[str, tuple[str, str]] = {}
    for situation in report.situations:
        refs = [f"tag:{tag.tag_id}" for tag in situation.tags]
        refs += [f"content:{quote.content_id}" for quote in situation.quotes]
        refs += [f"row:{row.table}/{row.id}" for row in situation.rows]
        for ref in refs:
            places.setdefault(ref, (situation.id, _anchor(locale, ref)))
        for alert in situation.alerts[:ALERTS_SHOWN]:
            places.setdefault(f"alert:{alert.id}", (situation.id, f"alert-{locale}-{alert.id}"))
    for card in report.key_metrics:
        places.setdefault(f"metric:{card.metric.metric_name}", ("", f"key_metrics-{locale}"))
    return places


def _anchor(locale: Locale, ref: str) -> str:
    """An id of letters, digits and signs that need no escaping, whatever the reference holds."""
    return f"evidence-{locale}-{hashlib.sha256(ref.encode()).hexdigest()[:12]}"


@lru_cache(maxsize=1)
def _html() -> Environment:
    environment = _environment()
    environment.globals["box"] = (charts.WIDTH, charts.HEIGHT)
    environment.globals["sparkline"] = charts.sparkline
    return environment


@lru_cache(maxsize=1)
def _markdown() -> Environment:
    environment = _environment()
    # Markdown has other signs than HTML. Whatever a template prints is escaped here, so that none is forgotten.
    environment.autoescape = False
    environment.finalize = _escaped
    environment.globals["blocks"] = lambda values: _markup(charts.blocks(values))
    return environment


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )


def _escaped(value: object) -> object:
    from markupsafe import Markup

    if isinstance(value, Markup):
        return value
    line = " ".join(str(value).split())
    for sign, entity in _MARKDOWN_ENTITIES:
        line = sign.sub(entity, line)
    return _MARKDOWN_NUMBER.sub(r"\1\\\2", _MARKDOWN_SIGNS.sub(r"\\\g<0>", line))


def _markup(text: str) -> str:
    """Text of this project's own, which needs no escaping."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 (never called with a value from outside)


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
