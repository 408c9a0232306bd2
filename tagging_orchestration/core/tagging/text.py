"""A text as the tagger sees it: words with their places, normal forms and grades, cut into phrase runs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from tagging_orchestration.core.ports import LanguageTools
from tagging_orchestration.core.tagging import lexicon
from tagging_orchestration.core.tagging.names import mask_debris, mask_filing
from tagging_orchestration.core.tagging.scripts import HAN, KANA, has_han
from tagging_orchestration.core.vocabulary.normalise import Normaliser

TITLE = "title"
BODY = "body"
# Longer texts are judged by their beginning: tags of a book are in its first hundred pages.
MAX_CHARACTERS = 200_000

_UNSPACED = f"{HAN}{KANA}"
_WORD = re.compile(
    rf"(?P<han>[{HAN}]+)"
    rf"|(?P<kana>[{KANA}]+)"
    r"|(?P<pointed>(?<![\w.])(?:[A-Za-z]\.){2,}(?:[A-Za-z](?!\w))?)"
    r"|(?P<word>(?:(?<![\w.])\.(?=[A-Za-z]))?"
    rf"[^\W_{_UNSPACED}]+(?:(?:[-‐‑.&+]|['’](?!s\b))[^\W_{_UNSPACED}]+)*(?:\+\+|\#(?!\d))?)"
)
_SENTENCE_END = re.compile(r"[.!?。！？\n\r]")
_UNIT = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_NUMBER = re.compile(r"[\d.,:+-]+(?:st|nd|rd|th|s|pm|am|k|m|bn|x|%|px|kg|g|mg|ml|l|cm|mm|km|oz|lb|lbs|ft|in|c|f)?")
_CHINESE_COUNT = re.compile(
    "[第每前後后近]?[零〇一二三四五六七八九十百千萬万億亿兩两幾几半數数多]+"
    "[個个組组支天次步段只隻件年月日週周位種种項项條条張张杯歲岁元塊块分秒時时點点度倍家名層层台頁页字遍度校公里克斤]{0,2}"
)
# "很細", "有點苦", "太重": a degree word with what it grades says how something is, not what it is.
_CHINESE_DEGREE = re.compile("很.{1,2}|有[點点].{1,2}|太(?![陽阳太空極极]).")
_CASED = re.compile(r"[^\W\d_]")
# At one word about people in 20 a text is wholly conversational: abstracts have a share of .00, news .01 to .03,
# product reviews .06, questions .10.
_SPEAKING_GAIN = 20
# The formal weights were learned on abstracts. Long texts get words as tags from some people (readers) and phrases
# from others (authors): from 300 words up they are judged between both styles. On long papers and news half-way
# was the best compromise: F1@10 .19 against readers' tags (.13 at a quarter) and .20 against authors' (.22).
_ABSTRACT_WORDS = 300
_LONG_TEXT_STYLE = 0.5
# Gaps between two words that do not part a phrase for matching known names ("TCP/IP", "machine-learning").
_SOFT_GAPS = frozenset({"", " ", "/", "·", "-", "_", "\u3000", "\xa0"})


class Grade(IntEnum):
    """What a word is good for; see `lexicon`."""

    BREAK = 0
    NUMBER = 1
    NEVER = 2
    WEAK = 3
    PARTICIPLE = 4
    PLAIN = 5


class Word(NamedTuple):
    """What is known of a spelling, whatever its place."""

    form: str
    lemma: str
    units: tuple[str, ...]
    lemma_units: tuple[str, ...]
    grade: Grade
    speaking: bool
    unspaced: bool


class Token(NamedTuple):
    """One word at its place. `start` and `end` count characters of its field, `sentence` counts over the text.

    `breaks` says that the gap before it parts phrases; `opens` that it is the first word of its sentence.
    """

    text: str
    start: int
    end: int
    field: str
    sentence: int
    word: Word
    breaks: bool
    opens: bool


class Occurrence(NamedTuple):
    """Tokens `first` up to `last` (inclusive) of a text; `whole` when they fill their phrase run."""

    first: int
    last: int
    whole: bool


@dataclass(frozen=True, slots=True)
class AnalysedText:
    """Title and body cut into tokens; runs are half-open token ranges without a parting word in them.

    `conversational` is 0 for formal prose and 1 where people speak (reviews, questions, complaints), judged by
    their pronouns and question marks; news and long texts lie between. It is always 0 for Chinese, for want of
    labelled Chinese conversation. `parts` holds the Penn Treebank tag of each token where they are known, else
    nothing. `cased` is False where capitals say nothing (all lower or all upper case), `title_cased` is True
    where those of the title say nothing.
    """

    title: str
    body: str
    language: str
    tokens: tuple[Token, ...]
    parts: tuple[str, ...]
    runs: tuple[tuple[int, int], ...]
    title_tokens: int
    conversational: float
    cased: bool
    title_cased: bool

    def field_text(self, field: str) -> str:
        """The original characters of a field."""
        return self.title if field == TITLE else self.body

    def joined(self, index: int) -> bool:
        """Whether a known name may run from the token before `index` into it."""
        before, token = self.tokens[index - 1], self.tokens[index]
        if before.field != token.field:
            return False
        return not token.breaks or self.field_text(token.field)[before.end : token.start] in _SOFT_GAPS

    def surface(self, first: int, last: int) -> str:
        """The characters from token `first` to token `last`, as written."""
        start, end = self.tokens[first], self.tokens[last]
        return self.field_text(start.field)[start.start : end.end]


class TextAnalyser:
    """Cuts texts into graded words. What it learns of a spelling is cached; it holds no other state."""

    def __init__(self, language: LanguageTools, normaliser: Normaliser) -> None:
        self.language = language
        self.normaliser = normaliser
        self._words: dict[str, dict[str, Word]] = {}

    def analyse(self, title: str, body: str, language: str | None = None) -> AnalysedText:
        """Tokens and phrase runs of a text in `language` (BCP 47; detected when None)."""
        title, body = title[:MAX_CHARACTERS], body[:MAX_CHARACTERS]
        # The title is often repeated as the first line; counting it twice would double its words.
        body_start = len(title) if title and body.startswith(title) else 0
        language = language or self.language.detect(f"{title}\n{body}")
        tokens: list[Token] = []
        sentence = self._tokenise(title, TITLE, 0, language, 0, tokens)
        title_tokens = len(tokens)
        self._tokenise(body, BODY, body_start, language, sentence + bool(title_tokens), tokens)
        questions = title.count("?") + body.count("?") + title.count("？") + body.count("？")
        letters = "".join(token.text for token in tokens[: min(len(tokens), 400)])
        upper = sum(character.isupper() for character in letters)
        cased = bool(upper) and upper < 0.6 * max(1, len(_CASED.findall(letters)))
        title_cased = _is_title_cased(tokens[:title_tokens])
        return AnalysedText(
            title=title,
            body=body,
            language=language,
            tokens=tuple(tokens),
            parts=self._parts(tokens, language, title_cased),
            runs=tuple(_runs(tokens)),
            title_tokens=title_tokens,
            conversational=0.0 if language.startswith("zh") else _conversational(tokens, questions),
            cased=cased,
            title_cased=title_cased,
        )

    def units(self, normal_form: str) -> tuple[str, ...]:
        """What a normal form is matched by: its words, and single characters of unspaced scripts."""
        return tuple(_UNIT.findall(normal_form))

    def lemma_units(self, normal_form: str, language: str) -> tuple[str, ...]:
        """`units` with each word brought to its dictionary form."""
        return tuple(self._lemma(unit, language) for unit in _UNIT.findall(normal_form))

    def word(self, text: str, language: str) -> Word:
        """What is known of one spelling in a language."""
        known = self._words.setdefault(language, {})
        word = known.get(text)
        if word is None:
            if len(known) > 300_000:
                known.clear()
            word = known[text] = self._look_up(text, language)
        return word

    def _tokenise(
        self, text: str, field: str, start: int, language: str, sentence: int, tokens: list[Token]
    ) -> int:
        masked = mask_debris(text)
        if field == TITLE or tokens:
            masked = mask_filing(masked, title=field == TITLE)
        chinese = language.startswith("zh")
        latin = "en" if chinese or language in ("und", "ja", "ko") else language
        end_before = start
        opens = True
        for found in _WORD.finditer(masked, start):
            kind = found.lastgroup
            begin, end = found.span()
            gap = masked[end_before:begin]
            breaks = bool(gap) and not gap.isspace() and not _is_initial(gap, tokens)
            if gap and (breaks or "\n" in gap or "\r" in gap) and _SENTENCE_END.search(gap):
                breaks = True
                if not opens:
                    sentence += 1
                    opens = True
            if kind == "han" and language != "ja":
                for text_of_word, from_, to in self.language.segment(found.group()):
                    word = self.word(text_of_word, "zh")
                    tokens.append(
                        Token(text_of_word, begin + from_, begin + to, field, sentence, word, breaks, opens)
                    )
                    breaks = opens = False
            else:
                word = self.word(found.group(), latin)
                tokens.append(Token(found.group(), begin, end, field, sentence, word, breaks, opens))
                opens = False
            end_before = end
        return sentence

    def _parts(self, tokens: Sequence[Token], language: str, title_cased: bool) -> tuple[str, ...]:
        """Part of speech of each token; capitals that say nothing are lowered first."""
        words: list[str] = []
        places: list[int] = []
        for token in tokens:
            if token.breaks and words:
                words.append(",")
            says_nothing = token.opens or (title_cased and token.field == TITLE)
            places.append(len(words))
            words.append(token.text.lower() if says_nothing and token.text.istitle() else token.text)
        tags = self.language.parts_of_speech(words, language)
        return tuple(tags[place] for place in places) if tags else ()

    def _look_up(self, text: str, language: str) -> Word:
        form = self.normaliser.normal_form(text)
        lower = text.lower().replace("’", "'")
        units = self.units(form)
        return Word(
            form=form,
            lemma=self._lemma(form, language),
            units=units,
            lemma_units=tuple(self._lemma(unit, language) for unit in units),
            grade=self._grade(text, lower, language),
            speaking=lower in lexicon.ENGLISH_SPEAKING,
            unspaced=has_han(text[:1]) or has_han(text[-1:]),
        )

    def _lemma(self, unit: str, language: str) -> str:
        return self.language.lemma(unit, language) if len(unit) > 2 and unit.isalpha() else unit

    def _grade(self, text: str, lower: str, language: str) -> Grade:
        if _NUMBER.fullmatch(lower):
            return Grade.NUMBER
        if language == "zh":
            return self._chinese_grade(text)
        if language == "en":
            return self._english_grade(text, lower)
        if lower in self.language.stop_words(language):
            return Grade.BREAK
        return Grade.WEAK if len(text) < 3 and not text.isupper() else Grade.PLAIN

    def _chinese_grade(self, text: str) -> Grade:
        if text in lexicon.CHINESE_BREAK or _CHINESE_DEGREE.fullmatch(text):
            return Grade.BREAK
        if _CHINESE_COUNT.fullmatch(text):
            return Grade.NUMBER
        return Grade.WEAK if len(text) < 2 or text in lexicon.CHINESE_WEAK else Grade.PLAIN

    def _english_grade(self, text: str, lower: str) -> Grade:
        acronym = len(text) > 1 and text.isupper()
        if "." in lower and len(lower) <= 5:
            lower = lower.replace(".", "")
        if lower in lexicon.ENGLISH_FUNCTION and not (acronym and lower in ("it", "us")):
            return Grade.BREAK
        if lower in lexicon.ENGLISH_NEVER and not (lower == "may" and text == "may"):
            return Grade.NEVER
        if len(text) == 1:
            return Grade.WEAK
        lemma = self._lemma(lower, "en")
        if lemma in lexicon.ENGLISH_VERBS:
            if lemma not in lexicon.ENGLISH_NOUN_VERBS:
                return Grade.BREAK if not lower.endswith("ing") else Grade.WEAK
            if lower.endswith("ed") and lower != lemma:
                return Grade.BREAK
            return Grade.WEAK
        if lower.endswith("ly") and len(lower) > 4 and lower not in lexicon.ENGLISH_LY_NOUNS:
            return Grade.BREAK
        general = lower in lexicon.ENGLISH_WEAK or lemma in lexicon.ENGLISH_WEAK
        if general and lower not in lexicon.ENGLISH_PLAIN_NOUNS:
            return Grade.WEAK
        if lower.endswith("ed") and len(lower) > 4 and lemma != lower:
            return Grade.PARTICIPLE
        return Grade.PLAIN


def _conversational(tokens: list[Token], questions: int) -> float:
    people = sum(token.word.speaking for token in tokens)
    speaking = _SPEAKING_GAIN * (people + questions) / max(20, len(tokens))
    length = min(1.0, math.log10(max(len(tokens), _ABSTRACT_WORDS) / _ABSTRACT_WORDS))
    return round(min(1.0, max(speaking, _LONG_TEXT_STYLE * length)), 4)


def _is_initial(gap: str, tokens: list[Token]) -> bool:
    """Whether the gap is the point of an initial: "George W. Bush"."""
    return gap == ". " and bool(tokens) and len(tokens[-1].text) == 1 and tokens[-1].text.isupper()


def _runs(tokens: list[Token]) -> list[tuple[int, int]]:
    """Maximal half-open ranges of tokens that no parting word, punctuation or field border interrupts."""
    runs = []
    begin = 0
    for index, token in enumerate(tokens):
        parts = token.word.grade is Grade.BREAK or not token.word.form
        border = token.breaks or (index and tokens[index - 1].field != token.field)
        if (parts or border) and index > begin:
            runs.append((begin, index))
        if parts:
            begin = index + 1
        elif border:
            begin = index
    if len(tokens) > begin:
        runs.append((begin, len(tokens)))
    return runs


def _is_title_cased(tokens: list[Token]) -> bool:
    """Whether a headline writes most of its words with a capital, so that capitals say little in it."""
    words = [
        token
        for token in tokens
        if not token.opens and token.word.grade >= Grade.NEVER and token.text[:1].isalpha()
    ]
    capitals = sum(token.text[0].isupper() for token in words)
    return len(words) > 1 and capitals > 0.6 * len(words)
