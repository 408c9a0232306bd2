"""Normal forms: the one key under which all spellings of a tag meet, and the form people see."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from tagging_orchestration.core.ports import LanguageTools
from tagging_orchestration.core.tagging.scripts import HAN, KANA

MAX_NAME_LENGTH = 200

# English number inflection as (plural ending, singular ending). The language library says which word is a
# plural; this table keeps its other lemmas out, because "running" is no spelling of "run", nor "media" of
# "medium".
_PLURALS = (
    ("s", ""),
    ("es", ""),
    ("ies", "y"),
    ("ves", "f"),
    ("ves", "fe"),
    ("ses", "sis"),
    ("ices", "ix"),
    ("ices", "ex"),
    ("men", "man"),
    ("children", "child"),
    ("feet", "foot"),
    ("teeth", "tooth"),
    ("geese", "goose"),
    ("mice", "mouse"),
    ("criteria", "criterion"),
    ("phenomena", "phenomenon"),
)
# Names that only look like a plural the dictionary knows.
_NOT_PLURAL = frozenset({"aws", "ios", "mars", "pandas", "windows"})

_PLURAL_ACRONYM = re.compile(r"\b([A-Z]{2,})s\b")
_POINTED_ACRONYM = re.compile(r"(?<![\w.])[^\W\d_](?:\.[^\W\d_])+\.?(?!\w)")
_POSSESSIVE = re.compile(r"(?<=\w)'s(?!\w)")
_JOINED_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
# What stays of the punctuation: .net and node.js, c++ and 1+1, c#, r&d, 50%. The rest separates words.
_SEPARATORS = re.compile(
    r"(?!(?<![\w.])\.(?=[^\W\d_])|(?<=\w)\.(?=\w)"
    r"|(?<=[\w+])\+(?![^\W\d_])"
    r"|(?<=[^\W\d_])\#(?!\w)"
    r"|(?<=\w)&(?=\w)|(?<=\s)&(?=\s)"
    r"|(?<=\d)%)"
    r"[^\w\s]|_"
)
_PLAIN = re.compile(r"[a-z0-9]+(?: [a-z0-9]+)*")
_UNSPACED = f"[{HAN}{KANA}\u3005\u3007]"
_SPACE_BY_UNSPACED = re.compile(rf"(?<={_UNSPACED})\s+|\s+(?={_UNSPACED})")
_HAN_CHARACTER = re.compile(f"[{HAN}]")
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\uff07": "'"})
_MAX_PASSES = 8


class Normaliser:
    """Brings the spellings of one tag to one form. Answers are cached; instances hold no other state.

    The form is for matching, not for showing: "#Machine-Learning" and "machine learning" are both
    "machine learning", "AI 代理" is "ai代理", and with `fold_chinese_script` "機器學習" is "机器学习". Names that
    live by their punctuation keep it: C, C++ and C# stay three tags, as do .NET and net.
    """

    def __init__(self, language: LanguageTools, fold_chinese_script: bool = True) -> None:
        self._language = language
        self._fold_chinese_script = fold_chinese_script
        self._cached_form = lru_cache(maxsize=500_000)(self._form)
        self._cached_singular = lru_cache(maxsize=100_000)(self._singular)

    def normal_form(self, name: str) -> str:
        """The key of `name`; idempotent. Empty where nothing is left that could name a tag."""
        return self._cached_form(name)

    def display_form(self, name: str) -> str:
        """What people wrote, fit to be shown: trimmed, one line, without the hash of a hashtag."""
        text = "".join(c for c in unicodedata.normalize("NFC", name) if c.isspace() or not _is_invisible(c))
        return " ".join(text.strip().lstrip("#＃").split())[:MAX_NAME_LENGTH].strip()

    def _form(self, name: str) -> str:
        form = self._pass(_PLURAL_ACRONYM.sub(r"\1", unicodedata.normalize("NFKC", name)))
        # One pass can uncover work for the next (a case fold that composes, an ending under an ending).
        for _ in range(_MAX_PASSES):
            again = self._pass(form)
            if again == form:
                break
            form = again
        return form

    def _pass(self, text: str) -> str:
        if not _PLAIN.fullmatch(text):
            text = self._clean(text)
        return " ".join(self._cached_singular(word) for word in text.split())

    def _clean(self, text: str) -> str:
        text = unicodedata.normalize("NFKC", text).casefold().translate(_QUOTES)
        text = "".join(c for c in text if c.isspace() or not _is_invisible(c))
        text = _POINTED_ACRONYM.sub(lambda found: found.group().replace(".", ""), text)
        text = _JOINED_APOSTROPHE.sub("", _POSSESSIVE.sub("", text))
        text = _SEPARATORS.sub(_space_unless_part_of_word, text)
        text = " ".join("and" if word == "&" else word for word in text.split())
        text = _SPACE_BY_UNSPACED.sub("", text)
        if self._fold_chinese_script and _HAN_CHARACTER.search(text):
            text = self._language.to_simplified(text)
        return text if any(c.isalnum() or unicodedata.category(c) == "So" for c in text) else ""

    def _singular(self, word: str) -> str:
        if len(word) < 4 or not (word.isascii() and word.isalpha()) or word in _NOT_PLURAL:
            return word
        lemma = self._language.lemma(word, "en").casefold()
        inflected = any(
            word.endswith(plural) and lemma == word.removesuffix(plural) + singular
            for plural, singular in _PLURALS
        )
        return lemma if inflected else word


def _is_invisible(character: str) -> bool:
    """Control, format and unassigned characters, and the variation selectors of emoji."""
    return unicodedata.category(character)[0] == "C" or "\ufe00" <= character <= "\ufe0f"


def _space_unless_part_of_word(found: re.Match[str]) -> str:
    """Accents and vowel signs, currency and emoji belong to words; punctuation and operators part them."""
    character = found.group()
    return character if unicodedata.category(character) in ("Mn", "Mc", "Me", "Sc", "So") else " "
