"""Pure planning of embeddings: scripts of a text, whether a tokenizer knows them, batches of like length."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# Characters of a text that decide who judges it; models read little more themselves.
JUDGED_CHARACTERS = 2_000
# Letters a model may not know before the text is too much for it; the language detector draws the same line.
FOREIGN_SHARE = 0.15

# Scripts whose letters are whole words or syllables; all others are taken for alphabets.
_DENSE = frozenset({"CJK", "KANA", "HANGUL", "THAI", "DEVANAGARI"})
_JOINED = {
    "HIRAGANA": "KANA",
    "KATAKANA": "KANA",
    "KATAKANA-HIRAGANA": "KANA",
    "IDEOGRAPHIC": "CJK",
    "BOPOMOFO": "CJK",
}

# Article 1 of the Universal Declaration of Human Rights: ordinary words of each script, so that a tokenizer
# shows whether it knows the script's words and not only a few of its letters.
SCRIPT_SAMPLES: Mapping[str, str] = {
    "LATIN": "All human beings are born free and equal in dignity and rights. They are endowed with reason and "
    "conscience and should act towards one another in a spirit of brotherhood.",
    "CJK": "人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心，並應以兄弟關係的精神相對待。"
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "KANA": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "HANGUL": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "CYRILLIC": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и "
    "совестью и должны поступать в отношении друг друга в духе братства.",
    "GREEK": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "ARABIC": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا وعليهم أن يعامل بعضهم "
    "بعضا بروح الإخاء.",
    "HEBREW": "כל בני אדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון.",
    "THAI": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม",
    "DEVANAGARI": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
}


@dataclass(frozen=True, slots=True)
class TokenizerView:
    """How a tokenizer sees a text: its letters, those lost in unknown tokens, and the tokens that hold letters."""

    letters: int
    unknown_letters: int
    tokens: int

    def judges(self, script: str) -> bool:
        """Whether a model with this view of a script's words can judge texts in it.

        Known scripts lose at most a tenth of their letters. Alphabets must come in pieces longer than single
        letters, others in at most about one token a letter (byte tokenizers need two or three). Measured: the
        English all-MiniLM-L6-v2 loses 64 % of Chinese letters and spells Russian in 0.98 tokens a letter
        (English 0.22, Vietnamese 0.51).
        """
        if not self.letters:
            return False
        limit = 1.1 if script in _DENSE else 0.8
        return self.unknown_letters <= 0.1 * self.letters and self.tokens <= limit * self.letters


def letters_by_script(text: str) -> Counter[str]:
    """Number of letters of each script in the leading characters of a text; other characters do not count."""
    if text.isascii():
        letters = sum(map(str.isalpha, text[:JUDGED_CHARACTERS]))
        return Counter({"LATIN": letters}) if letters else Counter()
    counts: Counter[str] = Counter()
    for character, number in Counter(unicodedata.normalize("NFKC", text[:JUDGED_CHARACTERS])).items():
        script = script_of(character)
        if script:
            counts[script] += number
    return counts


# Name of the vectors that are made of a text's letters without a model: likeness there is likeness of spelling.
STATISTICAL_MODEL = "char-ngrams-384"


def is_statistical(model: str) -> bool:
    """Whether vectors stored under this name hold spelling, not meaning."""
    return model == STATISTICAL_MODEL


@lru_cache(maxsize=20_000)
def script_of(character: str) -> str:
    """Script of a letter by its Unicode name ('LATIN', 'CJK', 'KANA', ...); '' for other characters."""
    if not character.isalpha():
        return ""
    first = unicodedata.name(character, "").partition(" ")[0]
    return _JOINED.get(first, first)


def length_batches(lengths: Sequence[int], window: int, batch_size: int) -> Iterator[np.ndarray]:
    """Indices of texts in batches of like length, so that little is computed on padding.

    Texts are sorted by length inside each window of the given order; a batch never spans two windows.
    """
    for start in range(0, len(lengths), window):
        order = start + np.argsort(lengths[start : start + window], kind="stable")
        for first in range(0, len(order), batch_size):
            yield order[first : first + batch_size]
