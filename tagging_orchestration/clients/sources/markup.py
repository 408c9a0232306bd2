"""HTML to plain text. Content may be any soup: nothing here fails on it."""

from __future__ import annotations

import html
import re
import warnings
from dataclasses import dataclass

BLOCKS = (
    *("address", "article", "aside", "blockquote", "br", "caption", "dd", "div", "dl", "dt", "fieldset"),
    *("figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main"),
    *("nav", "ol", "option", "p", "pre", "section", "table", "td", "th", "tr", "ul"),
)
UNREAD = ("script", "style", "noscript", "template", "iframe", "object", "svg", "head")

_INLINE = (
    "a|abbr|b|big|body|center|cite|code|em|font|html|i|img|input|label|mark|meta|q|s|script|small|span|strike"
)
_TAG = rf"(?:{_INLINE}|strong|style|sub|sup|tbody|tfoot|thead|title|u|{'|'.join(BLOCKS)})"
_OPENING = re.compile(rf"\s*(?:<!doctype\s|<!--|<\?xml|</?{_TAG}(?:\s[^<>]*)?/?>)", re.IGNORECASE)
_ANY_TAG = re.compile(rf"<(/?){_TAG}(?:\s[^<>]{{0,2000}})?/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """What is read from an HTML file."""

    title: str
    text: str
    language: str | None
    keywords: str | None


def is_markup(text: str) -> bool:
    """Whether a text is clearly HTML: it begins with a tag, or holds three tags of which one is closing.

    A plain text that speaks about `<div>` is not.
    """
    if "<" not in text:
        return False
    if _OPENING.match(text):
        return True
    tags = [match[1] for match, _ in zip(_ANY_TAG.finditer(text), range(50), strict=False)]
    return len(tags) >= 3 and "/" in tags


def plain_text(text: str) -> str:
    """The text without markup and with its entities resolved; a plain text comes back as it is."""
    if "&" in text and not is_markup(text):
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return read_page(text).text if is_markup(text) else text


def read_page(source: str) -> HtmlPage:
    """Title, text, language and keywords of an HTML page or fragment; blocks become lines."""
    from bs4 import BeautifulSoup, Comment

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "this looks like a URL", "this looks like XML": it may
        # lxml: the parser of Python before 3.13.6 takes hours for a megabyte of "<a <a <a".
        soup = BeautifulSoup(source, "lxml")
    title = _SPACE.sub(" ", soup.title.get_text()).strip() if soup.title else ""
    root = soup.find("html")
    language = str(root.get("lang") or "") or None if root else None
    meta = soup.find("meta", attrs={"name": re.compile("^keywords$", re.IGNORECASE)})
    keywords = str(meta.get("content") or "") or None if meta else None
    for unread in soup.find_all(UNREAD):
        unread.decompose()
    for string in soup.find_all(string=True):
        if isinstance(string, Comment):
            string.extract()
        else:
            string.replace_with(_SPACE.sub(" ", string))
    for block in soup.find_all(BLOCKS):
        block.insert_before("\n")
        block.insert_after("\n")
    lines = (_SPACE.sub(" ", line).strip() for line in soup.get_text().split("\n"))
    return HtmlPage(title, "\n".join(line for line in lines if line), language, keywords)
