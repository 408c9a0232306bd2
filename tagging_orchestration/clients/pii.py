"""Personal data in texts, found by presidio's pattern recognisers and ours, and replaced by marks of their kind.

The recognisers run on a plain copy of the text: full-width letters, foreign digits and all kinds of dashes become
ASCII, invisible characters are left out, and what is not ASCII becomes a line break, so that a number beside
Chinese characters stands alone. Whether a number is what it looks like is told by its checksum, its form, or the
nearest word before it in the text itself. Presidio's own way with such words needs a model's lemmas, which Chinese
does not have; so its recognisers are called one by one, without its engine.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from ipaddress import ip_interface
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagging_orchestration.core.errors import ConfigurationError

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

# Part of the fingerprint: raise it with every change that can mask a text differently.
RULES_VERSION = "2"

MARK = re.compile(r"<[A-Z]+(?:_[A-Z]+)*_\d+>")

# Importing presidio takes seconds (it imports torch where that is installed): only texts with something like this
# in them are worth it. Four digits, an at sign, an address, or the name of a messenger.
_SUSPECT = re.compile(
    r"[@＠]|(?:\d[^\d]*){4}|:/?/|::|[\[(]\s*at\s*[\])]|line|wechat|telegram|微信|passw|密碼|密码|口令|eyJ|\b[a-z]{2,3}[-_]",
    re.IGNORECASE,
)
_INVISIBLE = frozenset("\u00ad\u034f\u061c\u180e\ufeff") | {
    chr(code) for code in (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070))
}

_WINDOW = 28
# What a number is called right before it. The nearest word decides.
_NO_PERSON = re.compile(
    r"order|ticket|case\b|invoice|tracking|parcel|shipment|serial|\bsku\b|\bitem|product|part n|model|version"
    r"|firmware|\bref\b|reference|receipt|transaction|barcode|\bisbn|\bean\b|\bupc\b|\bbatch|\blot\b|build|\bv$"
    r"|訂單|订单|單號|单号|編號|编号|工單|工单|發票|发票|貨號|货号|物流|包裹|序號|序号|型號|型号|版本|韌體|固件|條碼|条码|批號|批号|案號|統編",
    re.IGNORECASE,
)
_PHONE_WORDS = re.compile(
    r"phone|\btel\b|\btel[.:]|mobile|\bcell|\bcall|\bfax|whats ?app|contact|reach me|text me|ring me|\bsms\b"
    r"|電話|电话|手機|手机|行動|聯絡|联系|聯繫|傳真|撥打|打給|致電|市話|簡訊",
    re.IGNORECASE,
)
_CARD_WORDS = re.compile(
    r"\bcard|credit|debit|visa|master|amex|\bjcb\b|信用卡|卡號|卡号|金融卡|刷卡|簽帳", re.IGNORECASE
)
_IDENTITY_WORDS = re.compile(
    r"\bssn\b|social security|national id|identity|\bid (?:no|number|card)|resident|\barc\b|\bitin\b"
    r"|身分證|身份證|身份证|居留證|居留证|統一證號|證號",
    re.IGNORECASE,
)
_PASSPORT_WORDS = re.compile(r"passport|護照|护照", re.IGNORECASE)
_BANK_WORDS = re.compile(
    r"bank|account (?:no|number)|remit|transfer to|銀行|银行|郵局|匯款|汇款|轉帳|转账|帳戶|账户|戶頭|入帳",
    re.IGNORECASE,
)
_HEALTH_CARD_WORDS = re.compile(r"health (?:insurance )?card|健保卡|健保ic卡", re.IGNORECASE)
# These must stand directly before it: 密碼錯誤代碼 E102 is no password.
_PASSWORD_WORDS = re.compile(r"(?:密碼|密码|口令)[是為为:：=\s]{0,3}$")
_CHAT_WORDS = re.compile(r"微信(?:帳號|账号|號|号|ID)?[是為为:：=\s]{0,3}$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Found:
    """A datum at a place of the plain copy; `key` is equal for equal data."""

    kind: str
    start: int
    end: int
    key: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """One recogniser and what its finds are called. `says` are words that name such a datum, `needs_word`: it
    counts only after one of them; `certain`: not even the word "order" before it speaks against it."""

    kind: str
    recogniser: EntityRecognizer
    says: re.Pattern[str] | None = None
    needs_word: bool = False
    certain: bool = False


class PresidioMasker:
    """`Masker` (core/enhancement/models.py). The recognisers are loaded when a text first needs them.

    `person_names_model` names an installed spaCy model whose PERSON entities are masked too, in texts of its
    language. Raises ConfigurationError when it is not installed.
    """

    def __init__(self, person_names_model: str | None = None) -> None:
        if person_names_model and find_spec(person_names_model) is None and not Path(person_names_model).is_dir():
            raise ConfigurationError(
                f"ai.person_names_model: there is no spaCy model {person_names_model!r} in this environment; "
                "install its package with pip (spaCy's list of models has the address), or leave the setting out"
            )
        self._model_name = person_names_model
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        """Changes when the same text could be masked differently."""
        parts = [f"rules {RULES_VERSION}", f"presidio {version('presidio-analyzer')}"]
        return ", ".join([*parts, f"names {self._model_name}"] if self._model_name else parts)

    def mask(self, text: str, language: str | None = None) -> str:
        """The text with each personal datum replaced by its kind and number, such as `<EMAIL_1>`."""
        if not self._model_name and not _SUSPECT.search(unicodedata.normalize("NFKC", text)):
            return text
        plain, places = _plain(text)
        shielded = MARK.sub(lambda mark: "\n" * len(mark.group()), plain)
        with self._lock:
            found = list(self._find(shielded, plain))
            found += self._names(shielded, language)
        return _replace(text, places, _without_overlaps(found))

    def _find(self, shielded: str, plain: str) -> Iterable[_Found]:
        ascii_text = "".join(char if char.isascii() else "\n" for char in shielded)
        for rule in self._rules:
            for result in rule.recogniser.analyze(ascii_text, rule.recogniser.supported_entities, None):  # pyright: ignore[reportArgumentType]
                if _holds(rule, plain, result.start):
                    value = ascii_text[result.start : result.end]
                    yield _Found(rule.kind, result.start, result.end, _key(rule.kind, value))

    def _names(self, text: str, language: str | None) -> list[_Found]:
        if not self._model_name:
            return []
        speaks = self._names_model.lang
        if language is not None and language.split("-")[0].lower() != speaks:
            return []
        people = [entity for entity in self._names_model(text).ents if entity.label_ in {"PERSON", "PER"}]
        return [
            _Found("PERSON", entity.start_char, entity.end_char, entity.text.casefold())
            for entity in people
            if "\n" not in entity.text
        ]

    @cached_property
    def _names_model(self) -> Any:
        import spacy

        return spacy.load(self._model_name or "", exclude=["parser", "tagger", "lemmatizer", "attribute_ruler"])

    @cached_property
    def _rules(self) -> tuple[_Rule, ...]:
        """Every recogniser, the surest first: where two find the same place the earlier one names it."""
        from presidio_analyzer import Pattern, PatternRecognizer
        from presidio_analyzer.predefined_recognizers import CreditCardRecognizer, IbanRecognizer, IpRecognizer

        class Checked(PatternRecognizer):
            """A pattern whose finds must pass a check."""

            def __init__(self, kind: str, patterns: Iterable[str], check: Callable[[str], bool]) -> None:
                named = [Pattern(kind, pattern, 0.5) for pattern in patterns]
                super().__init__(supported_entity=kind, patterns=named)
                self._check = check

            def validate_result(self, pattern_text: str) -> bool:
                return self._check(pattern_text)

        class Addresses(IpRecognizer):
            """Addresses somebody has; `10::20` and `::1` are none."""

            def invalidate_result(self, pattern_text: str) -> bool:
                return super().invalidate_result(pattern_text) or not _is_somebodys_address(pattern_text)

        def checked(kind: str, *patterns: str, check: Callable[[str], bool] = bool) -> PatternRecognizer:
            return Checked(kind, patterns, check)

        def cards(*patterns: str) -> PatternRecognizer:
            return CreditCardRecognizer(patterns=[Pattern("card", pattern, 0.5) for pattern in patterns])

        return (
            _Rule("URL", checked("URL", *_SECRET_URLS), certain=True),
            _Rule("SECRET", checked("SECRET", *_SECRETS), certain=True),
            _Rule("EMAIL", checked("EMAIL", *_EMAILS), certain=True),
            _Rule("LINE_ID", checked("LINE_ID", *_LINE_IDS), certain=True),
            _Rule("CHAT_ID", checked("CHAT_ID", *_CHAT_IDS), certain=True),
            _Rule("CHAT_ID", checked("CHAT_ID", _LONE_HANDLE), _CHAT_WORDS, needs_word=True),
            _Rule("SECRET", checked("SECRET", _AFTER_WORD), _PASSWORD_WORDS, needs_word=True),
            _Rule("NATIONAL_ID", checked("ID", _HEALTH_CARD), _HEALTH_CARD_WORDS, needs_word=True),
            _Rule("IBAN", IbanRecognizer(), certain=True),
            _Rule("CARD", cards(*_GROUPED_CARDS), certain=True),
            _Rule("CARD", cards(_PLAIN_CARD), _CARD_WORDS),
            _Rule("NATIONAL_ID", checked("ID", _CHINA_ID, check=_is_china_id), certain=True),
            _Rule("NATIONAL_ID", checked("ID", *_TAIWAN_IDS, check=_is_taiwan_id), _IDENTITY_WORDS),
            _Rule("NATIONAL_ID", checked("ID", _US_NUMBER, check=_is_us_number), _IDENTITY_WORDS),
            _Rule("NATIONAL_ID", checked("ID", _PLAIN_US_NUMBER, check=_is_us_number), _IDENTITY_WORDS, True),
            _Rule("PHONE", checked("PHONE", *_PHONES), certain=True),
            _Rule("PHONE", _international_phones(), certain=True),
            _Rule("PHONE", checked("PHONE", *_PLAIN_PHONES), _PHONE_WORDS),
            _Rule("PHONE", _national_phones(), _PHONE_WORDS, needs_word=True),
            _Rule("PASSPORT", checked("PASSPORT", _PASSPORT), _PASSPORT_WORDS, needs_word=True),
            _Rule("BANK_ACCOUNT", checked("BANK", _BANK_ACCOUNT, check=_is_account), _BANK_WORDS, True),
            _Rule("IP", Addresses()),
        )


# ------------------------------------------------------------------------------------------------- patterns

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAILS = (
    rf"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+'-]{{0,63}}@{_HOST}(?:\.{_HOST}){{0,5}}\.[A-Za-z]{{2,24}}(?![A-Za-z0-9])",
    rf"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{{0,63}} ?[\[(] ?at ?[\])] ?{_HOST}"
    rf"(?: ?(?:\.|[\[(] ?dot ?[\])]) ?{_HOST}){{1,5}}",
)
_SECRET_URLS = (
    r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s/@:<>\"']+:[^\s/@<>\"']+@[^\s<>\"']+",
    r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s<>\"'?#]+[^\s<>\"']*[?&#](?:[a-z_-]*(?:token|secret|passw\w*|api[_-]?key"
    r"|apikey|auth|signature|session|credential)[a-z_-]*|key|sig|pwd|code|sid|jwt)=[^\s<>\"']{6,}",
)
_SECRETS = (
    r"(?<![A-Za-z0-9])(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}",
    r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16})(?![A-Za-z0-9])",
    r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*",
    r"(?<=(?:password|passwd|passcode|pwd)(?: is)? ?[:=]? ?)(?=[!-~]*\d)[!-~]{6,}",
)
_HANDLE = r"@?[A-Za-z0-9][A-Za-z0-9._-]{3,19}(?![A-Za-z0-9@])"
_TELLING_HANDLE = rf"(?=[^\s]*[\d._@]){_HANDLE}"
# Not ASCII became line breaks: "LINE 帳號：" is LINE, a break for each character, the handle.
_LINE_IDS = (
    rf"(?<=(?<![A-Za-z])LINE ?-?ID(?: is)?[ :=\n]{{1,6}}){_HANDLE}",
    rf"(?<=(?<![A-Za-z])(?-i:LINE|Line)[ :=\n]{{1,8}}){_TELLING_HANDLE}",
    rf"(?<=(?<=\n)line[ :=\n]{{1,8}}){_TELLING_HANDLE}",
)
_CHAT_IDS = (
    rf"(?<=(?<![A-Za-z])(?:wechat|weixin|telegram)(?: ?id| ?handle)?(?: is)?[ :=\n]{{1,6}}){_TELLING_HANDLE}",
)

# What follows a Chinese word for it: 微信號：wang88, 密碼是 abc12345.
_LONE_HANDLE = rf"(?<=\n[ :=]{{0,3}})(?=[^\s]*\d){_HANDLE}"
_AFTER_WORD = r"(?<=\n[ :=]{0,3})(?=[!-~]*\d)(?=[!-~]*[A-Za-z])[!-~]{6,}"
_HEALTH_CARD = r"(?<![\w-])\d{4}[ -]?\d{4}[ -]?\d{4}(?![\w-])"

_GROUPED_CARDS = (
    r"(?<![\w-])(?:[2-6]\d{3})([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?(?![\d])",
    r"(?<![\w-])3[47]\d{2}([ -])\d{6}\1\d{5}(?!\d)",
    r"(?<![\w-])3(?:0[0-5]|[689]\d)\d([ -])\d{6}\1\d{4}(?!\d)",
)
_PLAIN_CARD = (
    r"(?<![\w.-])(?:4\d{12}(?:\d{3}){0,2}|5[0-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|2720\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|35\d{14}|6(?:011|[245]\d\d)\d{12}(?:\d{3})?)(?!\w)"
)
_CHINA_ID = r"(?<![\w])[1-9]\d{5}[ -]?(?:19|20)\d{6}[ -]?\d{3}[\dXx](?![\w])"
_TAIWAN_IDS = (
    r"(?<![\w-])[A-Za-z][ -]?[1289]\d{2}[ -]?\d{3}[ -]?\d{3}(?![\w-])",
    r"(?<![\w-])[A-Za-z][A-Da-d]\d{8}(?![\w-])",
)
_US_NUMBER = r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"
_PLAIN_US_NUMBER = r"(?<![\w-])\d{3} ?\d{2} ?\d{4}(?![\w-])"
_PASSPORT = r"(?<![\w-])[A-Z]{0,2}\d{6,9}(?![\w-])"
_BANK_ACCOUNT = r"(?<![\w-])\d[\d -]{6,20}\d(?![\w-])"

# Written as people write phones of Taiwan, North America and mobile phones of China; nothing else looks like them.
_PHONES = (
    r"(?<![\w+.-])09\d{2}([ -])\d{3}\1?\d{3}(?![\w]|-\d)",
    r"(?<![\w+.-])09\d{2}-\d{6}(?![\w]|-\d)",
    r"(?<![\w+.-])886[ -]?9\d{2}([ -])\d{3}\1?\d{3}(?![\w]|-\d)",
    r"(?<![\w+.-])(?:\(0(?:2|3|37|4|49|5|6|7|8|82|826|836|89)\) ?|0(?:2|3|37|4|49|5|6|7|8|82|826|836|89)[ -])"
    r"[2-9]\d{2,3}[ -]?\d{3,4}(?: ?(?:#|ext\.?) ?\d{1,5})?(?![\w]|-\d)",
    r"(?<![\w+.-])080[09][ -]\d{3}[ -]?\d{3}(?![\w]|-\d)",
    r"(?<![\w+.-])(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}([ .-]))[2-9]\d{2}[ .-]\d{4}"
    r"(?: ?(?:x|ext\.?) ?\d{1,5})?(?![\w]|[.-]\d)",
    r"(?<![\w+.-])1[3-9]\d([ -])\d{4}\1\d{4}(?![\w]|-\d)",
)
_PLAIN_PHONES = (r"(?<![\w+.-])09\d{8}(?![\w.-])", r"(?<![\w+.-])1[3-9]\d{9}(?![\w.-])")
_REGIONS = ("TW", "US", "GB", "CN", "HK", "JP", "KR", "SG", "AU", "IN", "DE", "FR")


def _international_phones() -> EntityRecognizer:
    """Numbers with a plus and the code of a country; valid ones only."""
    from phonenumbers import Leniency
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    # "ZZ" is the library's unknown region: without a code nothing matches.
    return PhoneRecognizer(supported_regions=("ZZ",), leniency=Leniency.POSSIBLE)  # pyright: ignore[reportArgumentType]


def _national_phones() -> EntityRecognizer:
    """Numbers without one, as some countries dial them."""
    from phonenumbers import Leniency
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    return PhoneRecognizer(supported_regions=_REGIONS, leniency=Leniency.VALID)  # pyright: ignore[reportArgumentType]


# --------------------------------------------------------------------------------------------------- checks

# Values of the letters of a Taiwanese identity number, by the Ministry of the Interior's table.
_TAIWAN_LETTERS = {letter: 10 + number for number, letter in enumerate("ABCDEFGHJKLMNPQRSTUVXYWZIO")}
_CHINA_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _is_taiwan_id(value: str) -> bool:
    """National identity numbers and both kinds of resident certificate numbers, by their check digit."""
    value = re.sub(r"[ -]", "", value).upper()
    first = _TAIWAN_LETTERS[value[0]]
    second = _TAIWAN_LETTERS[value[1]] % 10 if value[1].isalpha() else int(value[1])
    digits = [first // 10, first % 10, second, *map(int, value[2:])]
    return (
        sum(digit * weight for digit, weight in zip(digits, (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1), strict=True)) % 10
        == 0
    )


def _is_china_id(value: str) -> bool:
    """Resident identity numbers of mainland China: a possible day of birth and the check digit of GB 11643."""
    value = re.sub(r"[ -]", "", value).upper()
    if not ("01" <= value[10:12] <= "12" and "01" <= value[12:14] <= "31"):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(value, _CHINA_WEIGHTS, strict=False))
    return "10X98765432"[total % 11] == value[17]


def _is_us_number(value: str) -> bool:
    """Social security and taxpayer numbers that could have been issued."""
    digits = re.sub(r"\D", "", value)
    return digits[:3] not in {"000", "666"} and digits[3:5] != "00" and digits[5:] != "0000"


def _is_account(value: str) -> bool:
    """Numbers of bank accounts have 8 to 16 digits."""
    return 8 <= len(re.sub(r"\D", "", value)) <= 16


def _is_somebodys_address(value: str) -> bool:
    """Whether an IP address is of a host: of IPv6 only the ranges that are given to any."""
    address = ip_interface(value).ip
    return address.version == 4 or int(address) >> 112 >= 0x2000


# ------------------------------------------------------------------------------------------------- the text


def _holds(rule: _Rule, text: str, start: int) -> bool:
    """Whether the words before a find let it be what the rule says."""
    if rule.certain:
        return True
    before = text[max(0, start - _WINDOW) : start].rpartition("\ue000")[2]
    for_it = _last(rule.says, before) if rule.says else -1
    if rule.needs_word and for_it < 0:
        return False
    return for_it >= _last(_NO_PERSON, before)


def _last(words: re.Pattern[str], text: str) -> int:
    """Where the last of these words ends in the text; -1 where there is none."""
    return max((match.end() for match in words.finditer(text)), default=-1)


def _plain(text: str) -> tuple[str, list[int]]:
    """The text in the simplest characters that mean the same, and the place of each in the text."""
    characters, places = [], []
    for place, character in enumerate(text):
        if character in _INVISIBLE:
            continue
        if not character.isascii():
            folded = unicodedata.normalize("NFKC", character)
            if unicodedata.category(character) == "Pd" or character == "\u2212":
                folded = "-"
            elif character.isdecimal():
                folded = str(unicodedata.decimal(character))
            character = folded if len(folded) == 1 else character
        characters.append(character)
        places.append(place)
    places.append(len(text))
    return "".join(characters), places


def _key(kind: str, value: str) -> str:
    """Equal for the same datum however it is written."""
    if kind == "PHONE":
        digits = re.sub(r"\D", "", re.sub(r"^(?:\+1|1[ .-])(?=\D*[2-9])", "", value))
        return re.sub(r"^8860?", "0", digits)
    if kind in {"EMAIL", "URL", "SECRET", "LINE_ID", "CHAT_ID"}:
        return value.casefold()
    return re.sub(r"[^0-9A-Z.:]", "", value.upper())


def _without_overlaps(found: Iterable[_Found]) -> list[_Found]:
    """The longest finds, in order of place; of equally long ones the first."""
    chosen: list[_Found] = []
    for item in sorted(found, key=lambda item: item.start - item.end):
        if all(item.end <= other.start or item.start >= other.end for other in chosen):
            chosen.append(item)
    return sorted(chosen, key=lambda item: item.start)


def _replace(text: str, places: list[int], found: Iterable[_Found]) -> str:
    """The text with marks; those that it has already keep their numbers to themselves."""
    highest: dict[str, int] = {}
    for mark in MARK.findall(text):
        kind, _, number = mark[1:-1].rpartition("_")
        highest[kind] = max(highest.get(kind, 0), int(number))
    marks: dict[tuple[str, str], str] = {}
    parts, done = [], 0
    for item in found:
        identity = (item.kind, item.key)
        if identity not in marks:
            highest[item.kind] = highest.get(item.kind, 0) + 1
            marks[identity] = f"<{item.kind}_{highest[item.kind]}>"
        start, end = places[item.start], places[item.end - 1] + 1
        parts += [text[done:start], marks[identity]]
        done = end
    return "".join([*parts, text[done:]])
