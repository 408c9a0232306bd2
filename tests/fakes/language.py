"""A small deterministic `LanguageTools` over word lists, for tests of the pure core."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_TOKEN = re.compile(r"[\u4e00-\u9fff]+|[^\W\u4e00-\u9fff]+")
_HAN = re.compile(r"[\u4e00-\u9fff]")

TRADITIONAL = (
    "機器學習資料庫軟體體驗臺灣陶藝燒製紅電腦網絡訂單退貨壞貴買賣書筆記問題優質價格運費點讚劃變頭髮後經濟會議國際"
)
SIMPLIFIED = (
    "机器学习资料库软体体验台湾陶艺烧制红电脑网络订单退货坏贵买卖书笔记问题优质价格运费点赞划变头发后经济会议国际"
)
WORDS = (
    "機器學習",
    "深度學習",
    "資料庫",
    "資料",
    "軟體",
    "陶藝",
    "陶器",
    "退貨",
    "運費",
    "電腦",
    "台灣",
    "經濟",
    "退款",
    "品質",
    "客服",
)
STOP_WORDS = {
    "en": "a an and are for in is it of on the this to with",
    "zh": "的 了 和 是 在 我 也 很 這",
}
LEMMAS = {
    "children": "child",
    "companies": "company",
    "databases": "database",
    "glazes": "glaze",
    "media": "medium",
    "models": "model",
    "mugs": "mug",
    "networks": "network",
    "refunds": "refund",
    "reviews": "review",
    "running": "run",
    "tags": "tag",
    "windows": "window",
    "women": "woman",
}

# Parts of speech (Penn Treebank); every other word is a noun.
PARTS = {
    **dict.fromkeys(("a", "the", "this"), "DT"),
    **dict.fromkeys(("for", "in", "of", "on", "with"), "IN"),
    **dict.fromkeys(("is", "runs"), "VBZ"),
    **dict.fromkeys(("deep", "new", "slow"), "JJ"),
    "and": "CC",
    "to": "TO",
}

# Taiwan's word and the mainland's, both in Traditional characters.
WORDINGS = {"資料庫": "數據庫", "軟體": "軟件", "運費": "郵費"}
SOUNDS = {"桑": "sang", "尚": "shang", "坦": "tan", "尼": "ni", "亚": "ya"}


class FakeLanguageTools:
    """Knows the words it is given. A text with a Chinese character is Chinese; any other is English.

    `detected` scripts the answer of `detect` for whole texts.
    """

    def __init__(
        self,
        words: tuple[str, ...] = WORDS,
        lemmas: Mapping[str, str] = LEMMAS,
        stop_words: Mapping[str, frozenset[str]] | None = None,
        detected: Mapping[str, str] | None = None,
    ) -> None:
        self.words = sorted({*words, *map(self.to_simplified, words)}, key=len, reverse=True)
        self.lemmas = lemmas
        self.detected = detected or {}
        self._stop_words = stop_words or {
            language: frozenset(listed.split()) for language, listed in STOP_WORDS.items()
        }

    def detect(self, text: str) -> str:
        """Scripted answer, else by script."""
        if text in self.detected:
            return self.detected[text]
        han = "".join(_HAN.findall(text))
        if han:
            return (
                "zh-Hant"
                if any(character in TRADITIONAL and character not in SIMPLIFIED for character in han)
                else "zh-Hans"
            )
        return "en" if re.search(r"[^\W\d_]", text) else "und"

    def segment(self, text: str) -> list[tuple[str, int, int]]:
        """Longest known word first, else single characters; Latin words whole."""
        found = []
        for token in _TOKEN.finditer(text):
            if not _HAN.match(token.group()):
                found.append((token.group(), token.start(), token.end()))
                continue
            start = token.start()
            while start < token.end():
                word = next((word for word in self.words if text.startswith(word, start)), text[start])
                found.append((word, start, start + len(word)))
                start += len(word)
        return found

    def lemma(self, word: str, language: str) -> str:
        """The listed lemma of an English word."""
        return self.lemmas.get(word, word) if language == "en" else word

    def stop_words(self, language: str) -> frozenset[str]:
        """The listed function words."""
        return self._stop_words.get(language.partition("-")[0], frozenset())

    def parts_of_speech(self, words: Sequence[str], language: str) -> list[str]:
        """The listed tags of English words, else noun; punctuation is its own tag."""
        if language != "en":
            return []
        return [PARTS.get(word.lower(), "NN") if word.isalnum() else word for word in words]

    def to_simplified(self, text: str) -> str:
        """Character by character."""
        return text.translate(str.maketrans(TRADITIONAL, SIMPLIFIED))

    def to_traditional(self, text: str) -> str:
        """Character by character, back."""
        return text.translate(str.maketrans(SIMPLIFIED, TRADITIONAL))

    def to_mainland(self, text: str) -> str:
        """Listed words of Taiwan replaced, then Simplified."""
        for taiwan, mainland in WORDINGS.items():
            text = text.replace(taiwan, mainland)
        return self.to_simplified(text)

    def to_taiwan(self, text: str) -> str:
        """Traditional, then listed words of the mainland replaced."""
        text = self.to_traditional(text)
        for taiwan, mainland in WORDINGS.items():
            text = text.replace(mainland, taiwan)
        return text

    def pronunciation(self, text: str) -> str:
        """The listed sounds, one word a character; other letters as they are."""
        return " ".join("".join(f" {SOUNDS[c]} " if c in SOUNDS else c for c in self.to_simplified(text)).split())
