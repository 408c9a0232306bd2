"""CPU seconds of one look for merges over a large made-up vocabulary.

    python -m benchmarks.merging_speed [--tags 50000]

Names are made of 4,000 made-up words, one in five with Chinese characters, and a tenth of them are variants of
others (a letter changed, words swapped or joined). Vectors of 384 numbers stand ready, as they do in the
database: encoding 50,000 names is the embedding step's work and is done once. One thread of linear algebra: set
OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from tagging_orchestration.clients.language import LibraryLanguageTools
from tagging_orchestration.clients.pair_model import load_pair_model
from tagging_orchestration.core.models import Tag
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.core.vocabulary.index import TagVectors, Vocabulary
from tagging_orchestration.core.vocabulary.merge import Matcher, find_merges
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.core.vocabulary.usage import CoUsage

WORDS = 4_000
SYLLABLES = [consonant + vowel for consonant in "bcdfghklmnprstvw" for vowel in "aeiou"]
CHARACTERS = "資料學習機器電腦網路軟體開發測試設計管理分析系統服務安全金融市場經濟教育醫療健康食品咖啡茶葉旅遊交通"


def made_up_names(count: int, random: np.random.Generator) -> list[str]:
    """Distinct names of one to four words."""
    words = ["".join(random.choice(SYLLABLES, random.integers(2, 5))) for _ in range(WORDS)]
    # As in real vocabularies a few words are in many names.
    chance = 1 / np.arange(10, WORDS + 10)
    chance /= chance.sum()
    names: set[str] = set()
    made: list[str] = []
    while len(names) < count:
        kind = random.random()
        if kind < 0.2:
            name = "".join(random.choice(list(CHARACTERS), random.integers(2, 7)))
        elif kind < 0.9 or not names:
            name = " ".join(words[place] for place in random.choice(WORDS, random.integers(1, 5), p=chance))
        else:
            name = _variant(made[int(random.integers(len(made)))], random)
        if name and name not in names:
            made.append(name)
            names.add(name)
    return made


def _variant(name: str, random: np.random.Generator) -> str:
    words = name.split()
    if len(words) > 1 and random.random() < 0.5:
        return " ".join(reversed(words)) if random.random() < 0.5 else "".join(words)
    place = int(random.integers(len(name)))
    return name[:place] + name[place + 1 :]


def made_up_vectors(names: Sequence[str], random: np.random.Generator) -> np.ndarray:
    """Unit vectors near those of the names that share words, as a sentence model gives them."""
    of_word: dict[str, np.ndarray] = {}
    rows = np.empty((len(names), 384), dtype=np.float32)
    for place, name in enumerate(names):
        for word in name.split():
            if word not in of_word:
                of_word[word] = random.normal(size=384).astype(np.float32)
        rows[place] = sum(of_word[word] for word in name.split()) + 0.5 * random.normal(size=384)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main() -> None:
    """Print CPU seconds and what was found, for a look at everything and one at ten tags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tags", type=int, default=50_000)
    count = parser.parse_args().tags
    random = np.random.default_rng(0)
    language = LibraryLanguageTools()
    normaliser = Normaliser(language)
    forms = {normaliser.normal_form(name): name for name in made_up_names(count, random)}
    tags = [Tag(number, "o", name, form) for number, (form, name) in enumerate(forms.items(), 1)]
    vectors = TagVectors(np.arange(1, len(tags) + 1), made_up_vectors([tag.name for tag in tags], random))
    vocabulary = Vocabulary("o", tags, vectors={"made-up": vectors})
    matcher = Matcher(load_pair_model(), language)
    for said, focus in (("everything", None), ("ten tags", list(range(1, 11)))):
        started = time.process_time(), time.perf_counter()
        plan = find_merges(vocabulary, CoUsage(), (), VocabularySettings(), matcher, focus)
        spent = time.process_time() - started[0], time.perf_counter() - started[1]
        print(
            f"{len(tags):,} tags, {said}: {spent[0]:.1f} s CPU ({spent[1]:.1f} s on the clock),"
            f" {len(plan.automatic):,} merges, {len(plan.candidates):,} questions"
        )


if __name__ == "__main__":
    main()
