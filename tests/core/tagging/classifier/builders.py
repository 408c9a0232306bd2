"""Small labelled corpora in two languages for tests of the classifier."""

from __future__ import annotations

import random

import numpy as np

from tagging_orchestration.core.tagging.classifier.bases import TagProfile
from tagging_orchestration.core.tagging.classifier.model import Example
from tagging_orchestration.core.tagging.classifier.texts import ClassifierText

# Words that speak for each tag; the tag's own name is not among them.
TOPICS = {
    "refunds": "money back return paid reimbursed charged card",
    "glazing": "kiln glaze firing bisque cone matte shiny",
    "shipping": "parcel courier late delivery tracking address warehouse",
}
CHINESE_TOPICS = {"退貨": "退款 客服 錢 還", "陶藝": "陶器 燒製 釉 窯", "資料庫": "資料 查詢 索引 軟體"}
FILLER = "we the our and then today shop about with very some people said please thank"
MODEL = "toy"


def corpus(
    texts: int, topics: dict[str, str] | None = None, seed: int = 1, *, named: bool = False
) -> tuple[list[Example], list[set[str]]]:
    """Texts of one or two topics each, without vectors, and their labels; half of them name these when `named`."""
    draw = random.Random(seed)
    topics = topics or TOPICS
    examples, labels = [], []
    for _ in range(texts):
        wanted = set(draw.sample(sorted(topics), draw.choice([1, 1, 2])))
        words = [word for topic in sorted(wanted) for word in draw.sample(topics[topic].split(), 3)]
        if topics is TOPICS:
            words += draw.sample(FILLER.split(), 6)
        if named and draw.random() < 0.5:
            words += sorted(wanted)
        draw.shuffle(words)
        separator = " " if topics is TOPICS else ""
        examples.append(Example(ClassifierText("", separator.join(words))))
        labels.append(wanted)
    return examples, labels


def profiles(*keys: str) -> list[TagProfile]:
    """Tags known by their name alone."""
    return [TagProfile(key, (key,), {}) for key in keys]


def with_vectors(
    examples: list[Example], labels: list[set[str]], keys: list[str]
) -> tuple[list[Example], list[TagProfile]]:
    """The examples with a vector that leans towards their tags, and the tags with theirs."""
    random_state = np.random.RandomState(0)
    directions = {key: np.eye(8, dtype=np.float32)[number] for number, key in enumerate(keys)}
    seen = []
    for example, wanted in zip(examples, labels, strict=True):
        vector = sum((directions[key] for key in sorted(wanted)), np.zeros(8)) + 0.2 * random_state.randn(8)
        seen.append(Example(example.text, (vector / np.linalg.norm(vector)).astype(np.float32), MODEL))
    return seen, [TagProfile(key, (key,), {MODEL: directions[key]}) for key in keys]
