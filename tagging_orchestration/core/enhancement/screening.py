"""What no answer may hold: links, markup, templates, our own instructions; and which language it is in.

Business data can hold text that strangers wrote, and a model may pass it on. An analysis needs no link, so none is
shown, even one that stands in the data.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence

from tagging_orchestration.core.enhancement.injection import plain
from tagging_orchestration.core.tagging.scripts import HAN, HANGUL, KANA

CANNED_SUMMARY = "系統偵測到需關注的指標異常"
"""What the first design put where an analysis failed; it says nothing and is never shown as AI's."""

_ADDRESS = re.compile(
    r"[a-z][a-z0-9+.-]{1,20}:\s*/\s*/|(?<![a-z0-9])www\d?\.[a-z0-9-]+\.|(?<![\w.])/{2}[a-z0-9-]+\.[a-z]{2,}"
    r"|\b(?:javascript|vbscript|mailto)\s*:\s*\S|\bdata\s*:\s*(?:[a-z]+/[a-z]|;|,)|\btel:\+?\d",
    re.IGNORECASE,
)
_DOMAIN_ENDS = (
    "com|net|org|info|biz|io|ai|app|dev|co|me|xyz|top|ru|cn|tw|hk|jp|site|online|shop|link|click|ly|gl|to"
)
# Lengths are bounded and begin at a border, so that no text makes the search slow.
_NAME = rf"(?<![\w@.-])(?:[a-z0-9-]{{1,63}}\.){{1,8}}(?:{_DOMAIN_ENDS})(?:\.[a-z]{{2}})?"
_DOMAIN_PATH = re.compile(rf"{_NAME}(?::\d{{2,5}})?/[\w%?#-]", re.IGNORECASE)
_DOMAIN = re.compile(rf"{_NAME}(?![\w-])", re.IGNORECASE)
_MAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}\s?(?:@|\[at\]|\(at\))\s?[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}", re.IGNORECASE
)
_NUMBERED_HOST = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?/")
_MARKDOWN_LINK = re.compile(
    r"!?\[[^\]\n]{0,200}\]\s?\((?!\s*\))[^)\n]{1,500}\)|!\[[^\]\n]*\]|^\s*\[[^\]\n]+\]:\s*\S", re.MULTILINE
)
_TAG_NAMES = (
    "a|abbr|address|applet|area|article|aside|audio|base|blink|body|button|canvas|center|code|col|div|embed|font|footer"
    "|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|img|image|input|isindex|label|link|listing|main|map|marquee"
    "|math|meta|nav|noscript|object|option|param|picture|plaintext|pre|script|section|select|source|span|style|svg"
    "|table|tbody|td|template|textarea|th|thead|title|tr|track|video|xml|xmp"
)
_HTML = re.compile(
    rf"<\s*[/!?]?\s*(?:(?:{_TAG_NAMES})(?=[\s/>:]|$)|!--|!doctype|\?xml|\w+\s[^<>]*\bon\w+\s*=)", re.IGNORECASE
)
_HANDLER = re.compile(r"\bon(?:error|load|click|mouse\w+|focus|toggle|begin)\s*=", re.IGNORECASE)
_PLAIN_MARKUP = re.compile(r"</?\s*(?:b|i|u|s|em|strong|br|p|ul|ol|li|small|sub|sup|mark)\s*/?\s*>", re.IGNORECASE)
_TEMPLATE = re.compile(r"\{\{|\}\}|\{%|%\}|\$\{|<%|%>|#\{|\{#")
_CONTROL_TOKEN = re.compile(
    r"<\|[\w/ -]{1,40}\|?>|<\|?/?(?:im_start|im_end|eot_id|endoftext|system|assistant)\|?>|\[/?INST\]|<</?SYS>>"
)
_INSTRUCTION = re.compile(
    r"(?:ignore|disregard|forget|override)\s+(?:all\s+|any\s+)?(?:the\s+|your\s+|these\s+)?"
    r"(?:previous|prior|above|earlier|system)|system\s+(?:prompt|message|instructions?)"
    r"|as an ai (?:language )?model|you are (?:now )?(?:an?|the) (?:ai|assistant|chatbot)"
    r"|(?:忽略|無視|无视|忘記|忘记|不要理會)[^。\n]{0,8}(?:指示|指令|規則|规则|提示)"
    r"|系統(?:提示|訊息|指令)|系统(?:提示|指令)|作為(?:一個)?(?:AI|人工智慧|語言模型)",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"\b(?:sk|pk|ghp|gho|xox[bap])[-_][A-Za-z0-9_-]{16,}|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*KEY"
    r"|\bBearer\s+[A-Za-z0-9._-]{20,}"
)
_HAN = re.compile(f"[{HAN}]")
_KANA = re.compile(f"[{KANA}]")
_HANGUL = re.compile(f"[{HANGUL}]")
_LATIN_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]+")
_OTHER_LETTER = re.compile(r"[\u0370-\u06ff\u0900-\u0eff]")

_LEAK_HAN = 24
_LEAK_LATIN = 60


def unsafe(text: str) -> str | None:
    """Why a text may not be shown (the kind of what it holds), None where it may."""
    for form in {text, html.unescape(text), plain(html.unescape(text))}:
        if _MARKDOWN_LINK.search(form):
            return "link"
        if _ADDRESS.search(form) or _DOMAIN_PATH.search(form) or _NUMBERED_HOST.search(form):
            return "link"
        if _MAIL.search(form):
            return "mail_address"
        if _HTML.search(form) or _HANDLER.search(form):
            return "markup"
        if _TEMPLATE.search(form):
            return "template"
        if _CONTROL_TOKEN.search(form):
            return "control_token"
        if _SECRET.search(form):
            return "secret"
        if _bare(CANNED_SUMMARY) in _bare(form):
            return "canned_text"
    return None


def without_plain_markup(text: str) -> str:
    """The text without marks of bold, lists and line breaks, which do no harm and are not meant to be seen."""
    return _PLAIN_MARKUP.sub(" ", text).strip() if "<" in text else text


def notices(texts: Iterable[str], known_text: str) -> list[str]:
    """Flags for what may be meant well: `domain: …` of a site that stands in no data, `speaks_of_instructions`."""
    flags: list[str] = []
    known = known_text.casefold()
    for text in texts:
        sites = (match[0] for match in _DOMAIN.finditer(text))
        flags += [f"domain: {site[:80]}" for site in sites if site.casefold() not in known]
        if _INSTRUCTION.search(text):
            flags.append("speaks_of_instructions")
    return list(dict.fromkeys(flags))


def repeats(texts: Iterable[str], secret: str, allowed: str) -> bool:
    """Whether texts repeat a long piece of a secret text that does not stand in the allowed one as well."""
    hidden = _bare(secret)
    free = _bare(allowed)
    size = _LEAK_HAN if _HAN.search(secret) else _LEAK_LATIN
    if len(hidden) < size:
        return False
    pieces = {hidden[place : place + size] for place in range(len(hidden) - size + 1)}
    for text in texts:
        bare = _bare(text)
        for place in range(len(bare) - size + 1):
            piece = bare[place : place + size]
            if piece in pieces and piece not in free:
                return True
    return False


def wrong_language(texts: Sequence[str], locale: str) -> str | None:
    """The language of texts that are not in the one asked for (en, zh, zh-CN, ja, ko, other), else None.

    Names and terms in Latin letters are usual in Chinese text. A Simplified character is one that GB 2312 has and
    Big5 has not, a Traditional one the reverse.
    """
    text = " ".join(texts)
    han, kana, hangul = (len(pattern.findall(text)) for pattern in (_HAN, _KANA, _HANGUL))
    words = len(_LATIN_WORD.findall(text))
    other = len(_OTHER_LETTER.findall(text))
    if kana >= 3 and kana * 5 > han:
        return "ja"
    if hangul >= 3 and hangul > han:
        return "ko"
    if other > han + words * 5 and other >= 10:
        return "other"
    if not locale.startswith("zh"):
        return "zh" if han >= 4 and han > words else None
    if words >= 4 and words > han * 2:
        return "en"
    simplified = sum(
        _in(character, "gb2312") and not _in(character, "big5") for character in text if character > "~"
    )
    traditional = sum(
        _in(character, "big5") and not _in(character, "gb2312") for character in text if character > "~"
    )
    return "zh-CN" if simplified >= 3 and simplified > traditional else None


def _in(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())
