"""Language knowledge from well-kept libraries: py3langid, jieba, simplemma, TextBlob, OpenCC and stop-words.

Each library is loaded at its first use. All answers depend on the text alone, so the same text is always
treated alike, whichever process asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any, cast

from tagging_orchestration.core.tagging.scripts import HAN, HANGUL, KANA

_HAN = re.compile(f"[{HAN}]")
_KANA = re.compile(f"[{KANA}]")
_HANGUL = re.compile(f"[{HANGUL}]")
_LETTER = re.compile(r"[^\W\d_]")

# A Chinese word says as much as about two Latin letters' worth of text; below this share of Han characters
# a text is judged by its other letters.
_HAN_SHARE = 0.15
_DETECT_CHARACTERS = 2_000
# Languages told apart: py3langid knows 97 and takes short English titles for Walloon or Nigerian Pidgin.
_CODES = """
ar bg ca cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv ms nl no pl pt ro ru sk sl sq sv sw th tl tr
uk vi zh
"""
LANGUAGES = tuple(_CODES.split())
# Below this probability a text in plain ASCII is taken for English. Measured on 5,000 English news titles: 20 of
# them are judged another language at 0.45, 300 without a bound; Portuguese reviews lose 1 in 8.
_SURE = 0.45
_SIMPLEMMA_CODES = {"no": "nb", "hr": "hbs", "sr": "hbs"}


class LibraryLanguageTools:
    """`LanguageTools` over installed libraries. One instance a process is enough; it only caches."""

    def detect(self, text: str) -> str:
        """BCP 47 code of the text's main language; 'und' for texts without letters."""
        sample = text[:_DETECT_CHARACTERS]
        letters = len(_LETTER.findall(sample))
        if not letters:
            return "und"
        han = len(_HAN.findall(sample))
        if len(_HANGUL.findall(sample)) > _HAN_SHARE * letters:
            return "ko"
        if len(_KANA.findall(sample)) > 0.1 * letters:
            return "ja"
        if han > _HAN_SHARE * letters:
            return self._chinese_script(sample)
        language, probability = self._identifier.classify(sample)
        if probability < _SURE and sample.isascii():
            return "en"
        return self._chinese_script(sample) if language == "zh" else str(language)

    def segment(self, text: str) -> list[tuple[str, int, int]]:
        """Words of a Chinese text with their places; the dictionary is asked in Simplified characters."""
        simplified = self.to_simplified(text)
        return [(text[start:end], start, end) for _, start, end in self._jieba.tokenize(simplified)]

    def lemma(self, word: str, language: str) -> str:
        """Dictionary form of one lower-case word, or the word itself."""
        return _lemma(word, language)

    def stop_words(self, language: str) -> frozenset[str]:
        """Function words of a language; empty where the library has none."""
        return _stop_words(language)

    def parts_of_speech(self, words: Sequence[str], language: str) -> list[str]:
        """Penn Treebank tags of an English sentence, by lexicon and suffix rules; empty for other languages."""
        return [tag for _, tag in self._english.find_tags(list(words))] if language == "en" else []

    def to_simplified(self, text: str) -> str:
        """Simplified form, character by character, so that places in the text stay the same."""
        return _same_length(self._to_simplified, text)

    def to_traditional(self, text: str) -> str:
        """Traditional form with Taiwan's standard characters."""
        return self._to_traditional(text)

    def to_mainland(self, text: str) -> str:
        """Taiwan's words replaced by the mainland's, in Simplified characters."""
        return self._to_mainland(text)

    def to_taiwan(self, text: str) -> str:
        """The mainland's words replaced by Taiwan's, in Traditional characters."""
        return self._to_taiwan(self._to_simplified(text))

    def pronunciation(self, text: str) -> str:
        """Pinyin of Chinese characters without tones, one syllable a word; other letters as they are."""
        from pypinyin import lazy_pinyin

        return " ".join(lazy_pinyin(text, errors=cast("Any", str.split)))

    def _chinese_script(self, text: str) -> str:
        han = "".join(_HAN.findall(text))
        traditional = sum(a != b for a, b in zip(han, self.to_simplified(han), strict=True))
        simplified = sum(a != b for a, b in zip(han, _same_length(self._to_traditional, han), strict=True))
        return "zh-Hans" if simplified > traditional else "zh-Hant"

    @cached_property
    def _identifier(self) -> Any:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        identifier.set_languages(LANGUAGES)
        return identifier

    @cached_property
    def _jieba(self) -> Any:
        import jieba

        # jieba would keep its parsed dictionary as a marshal file in the shared temporary folder, where anybody
        # may put another one; reading the text dictionary costs half a second a process and writes nothing.
        tokenizer = jieba.Tokenizer()
        tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
        tokenizer.initialized = True
        return tokenizer

    @cached_property
    def _english(self) -> Any:
        from textblob.en import parser

        return parser

    @cached_property
    def _to_simplified(self) -> Callable[[str], str]:
        import opencc

        return opencc.OpenCC("t2s").convert

    @cached_property
    def _to_traditional(self) -> Callable[[str], str]:
        import opencc

        return opencc.OpenCC("s2tw").convert

    @cached_property
    def _to_mainland(self) -> Callable[[str], str]:
        import opencc

        return opencc.OpenCC("tw2sp").convert

    @cached_property
    def _to_taiwan(self) -> Callable[[str], str]:
        import opencc

        return opencc.OpenCC("s2twp").convert


def _same_length(convert: Callable[[str], str], text: str) -> str:
    """`convert(text)`; character by character in the rare case that a whole-text conversion changes its length."""
    converted = convert(text)
    if len(converted) == len(text):
        return converted
    return "".join(changed if len(changed := convert(character)) == 1 else character for character in text)


@lru_cache(maxsize=100_000)
def _lemma(word: str, language: str) -> str:
    import simplemma
    from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES

    language = _SIMPLEMMA_CODES.get(language, language.partition("-")[0])
    return simplemma.lemmatize(word, lang=language) if language in SUPPORTED_LANGUAGES else word


@lru_cache(maxsize=64)
def _stop_words(language: str) -> frozenset[str]:
    import stop_words

    return frozenset(stop_words.safe_get_stop_words(language.partition("-")[0]))
