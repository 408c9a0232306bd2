"""Which strings may never name a tag: personal data, numbers, dates, addresses and debris of markup."""

from __future__ import annotations

import re

EMAIL = r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
PHONE = (
    r"(?<![\w.])(?:\+\d{1,3}[\s.-]?)?(?:\(\d{2,4}\)[\s.-]?|\d{2,4}[\s.-])\d{3,4}[\s.-]?\d{3,4}(?![\w.]\d)"
    r"|\+\d[\d\s.-]{6,18}\d"
)
CARD = r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)"
# Social security number, Taiwanese and mainland identity numbers, Spanish-style letters around long digit strings.
IDENTITY = (
    r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)|\b[A-Za-z][12]\d{8}\b|(?<!\d)\d{17}[\dXx]\b|\b[A-Za-z]{0,3}\d{7,}[A-Za-z]?\b"
)
PERSONAL = re.compile(f"{EMAIL}|{CARD}|{IDENTITY}|{PHONE}")

URL = r"(?:https?|ftp|file)://[^\s<>\"'）」]+|\bwww\.[^\s<>\"']+|\b[\w-]+\.(?:com|org|net|gov|edu|io)/[^\s<>\"']*"
MARKUP = (
    r"</?[A-Za-z!][^<>]{0,300}>|&(?:[A-Za-z]{2,8}|#x?[0-9A-Fa-f]{1,6});|#\d{1,5};|\b(?:quot|nbsp|lt|gt|amp|apos);"
)
REDACTION = (
    r"\b[Xx]{2}(?:[/-][Xx]{2,4})+\b|\bX{2,}(?:[/-]?X+)*\b|\[(?:redacted|removed|deleted)\]|\*{3,}|[●█■]{2,}"
)
CODE = r"\b[A-Za-z]*(?:\d[A-Za-z-]*){5,}\b|\b[0-9a-f]{8}-[0-9a-f-]{20,}\b|\b\d{1,4}([-/.])\d{1,2}\1\d{1,4}\b"
DEBRIS = re.compile(f"{URL}|{MARKUP}|{REDACTION}|{CODE}", re.IGNORECASE)
_REDACTION = re.compile(REDACTION)
_SUSPECT = re.compile(r"[@<&#*●█■\[]|\d{2}|://|www\.|\.(?:com|org|net|gov|edu|io)/|XX|xx/|;", re.IGNORECASE)

# "LOS ANGELES (Reuters) -", "AP -", "BAGHDAD, Iraq --" before a report say where it was filed, not what it is of.
_AGENCY = r"(?:AP|AFP|UPI|Reuters|REUTERS|Xinhua|Bloomberg|[A-Z]\w+\.com)"
_DATELINE = re.compile(
    rf"\A\s*(?:{_AGENCY} - )?"
    r"(?:(?:[A-Z][A-Z.' -]{4,30}|[A-Z][a-z]+(?: [A-Z][a-z]+)?(?=[ ,(-]+[^-]{0,30}--))(?:, [A-Z][\w. ]{1,20})?\s*"
    rf"(?:\({_AGENCY}\)\s*)?(?:--?|–|—)\s)?"
)
_BYLINE = re.compile(rf"\({_AGENCY}\)\s*\Z")
_LETTER = re.compile(r"[^\W\d_]")
_DATE = re.compile(
    r"(?:民國)?\d{1,4}\s?[年/.-]\s?\d{1,2}(?:\s?[月/.-]\s?\d{1,4}\s?日?)?"
    r"|\d{1,2}\s?月(?:\s?\d{1,2}\s?[日號号]?)?|\d{1,2}\s?[日號号點点時时]",
    re.IGNORECASE,
)

# What is left of "did n't" or "it 's" in tokenised text, and whole contractions.
_CONTRACTION = re.compile(r"\w*n['’]t|\w{0,4}['’](?:s|re|ve|ll|d|m)", re.IGNORECASE)

_HIDDEN = "\x00"


def mask_debris(text: str) -> str:
    """The text with personal data, addresses, markup and redactions blanked, all places unchanged.

    Blanked places hold NUL characters, which part phrases and are part of none.
    """
    if not _SUSPECT.search(text):
        return text
    text = PERSONAL.sub(_blank, text)
    text = DEBRIS.sub(_blank, text)
    return text


def mask_filing(text: str, *, title: bool) -> str:
    """The text without a news agency's byline (of a title) or dateline (of the text under a title)."""
    return (_BYLINE if title else _DATELINE).sub(_blank, text)


def _blank(found: re.Match[str]) -> str:
    return _HIDDEN * (found.end() - found.start())


def is_personal(name: str) -> bool:
    """Whether the name holds an e-mail address, a phone, card or identity number."""
    return PERSONAL.search(name) is not None


def may_name_tag(name: str) -> bool:
    """Whether a machine may make this a tag: it has letters, is one readable line and no debris of any kind."""
    return (
        len(name) >= 2
        and _LETTER.search(name) is not None
        and not is_personal(name)
        and DEBRIS.search(name) is None
        and _DATE.fullmatch(name) is None
        and _CONTRACTION.fullmatch(name) is None
    )
