"""Open-source taggers a user could pick instead: each takes texts and gives ranked tags.

KeyBERT and YAKE are their own packages; TF-IDF is scikit-learn's; TextRank (Mihalcea and Tarau 2004) and
MultipartiteRank (Boudin 2018) follow their papers over noun phrases of a part-of-speech tagger, and "phrases by
vector" ranks the same noun phrases by the sentence model, as EmbedRank does (Bennani-Smires et al. 2018). Chinese
is cut by jieba for all of them.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any, cast

import numpy as np

from benchmarks.keyphrases import LANGUAGE, Labelled, build_embedder, stemmed
from tagging_orchestration.core.tagging.scripts import has_han

Tags = list[list[str]]
KEPT = 10
_TOKEN = re.compile(r"\w+(?:[-'’]\w+)*|[^\w\s]")
_NOUNS = frozenset({"NN", "NNS", "NNP", "NNPS"})
_MODIFIERS = _NOUNS | {"JJ", "JJR", "VBN", "VBG"}
# Longer texts are cut for the graph methods, whose cost grows with the square of the candidates.
_GRAPH_WORDS = 2_000
_CLUSTER_DISTANCE = 0.74
_FIRST_OCCURRENCE_BOOST = 1.1


def tfidf(rows: Sequence[Labelled]) -> Tags:
    """One to three words by TF-IDF over the texts themselves."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    chinese = _is_chinese(rows)
    vectorizer = TfidfVectorizer(
        analyzer="word",
        token_pattern=r"(?u)\b\w\w+\b",
        stop_words=None if chinese else "english",
        ngram_range=(1, 2) if chinese else (1, 3),
        sublinear_tf=True,
    )
    matrix = vectorizer.fit_transform([_cut(text) if chinese else text for text in map(_whole, rows)]).tocsr()
    names = [str(name) for name in vectorizer.get_feature_names_out()]
    result = []
    for number in range(len(rows)):
        row = matrix[number]
        best = np.argsort(-row.data, kind="stable")[: 3 * KEPT]
        result.append(_distinct(names[row.indices[i]].replace(" ", "" if chinese else " ") for i in best))
    return result


def yake(rows: Sequence[Labelled]) -> Tags:
    """YAKE with its defaults (up to three words)."""
    from yake import KeywordExtractor

    chinese = _is_chinese(rows)
    extractor = KeywordExtractor(lan="zh" if chinese else "en", n=3, top=KEPT)
    texts = (_cut(_whole(row)) if chinese else _whole(row) for row in rows)
    return [
        [name.replace(" ", "") if chinese else name for name, _ in extractor.extract_keywords(text)]
        for text in texts
    ]


def keybert_words(rows: Sequence[Labelled]) -> Tags:
    """KeyBERT, single words, with the packaged sentence model."""
    return _keybert(rows, (1, 1))


def keybert_phrases(rows: Sequence[Labelled]) -> Tags:
    """KeyBERT, one to three words."""
    return _keybert(rows, (1, 3))


def textrank(rows: Sequence[Labelled]) -> Tags:
    """PageRank over nouns and adjectives that stand within two words; phrases by their words' mean."""
    import networkx as nx

    result = []
    for row in rows:
        words = _tagged(_whole(row))
        graph: Any = nx.Graph()
        content = [(place, word.lower()) for place, (word, tag) in enumerate(words) if tag in _MODIFIERS]
        for (place, word), (other_place, other) in combinations(content, 2):
            if other_place - place > 2:
                continue
            if word != other:
                graph.add_edge(word, other)
        ranks = nx.pagerank(graph) if graph.number_of_nodes() else {}
        phrases = _noun_phrases(words)
        scores = {name: sum(ranks.get(word, 0.0) for word in name.split()) / len(name.split()) for name in phrases}
        result.append(_distinct(sorted(scores, key=lambda name: -scores[name])))
    return result


def multipartite_rank(rows: Sequence[Labelled]) -> Tags:
    """Noun phrases as nodes of topics, edges between topics by distance, first occurrences boosted."""
    import networkx as nx

    result = []
    for row in rows:
        phrases = _noun_phrases(_tagged(_whole(row)))
        names = list(phrases)[:150]
        topic = _topics(names)
        graph: Any = nx.DiGraph()
        graph.add_nodes_from(names)
        for a, b in combinations(names, 2):
            if topic[a] == topic[b]:
                continue
            weight = sum(1 / abs(i - j) for i in phrases[a] for j in phrases[b] if i != j)
            graph.add_edge(a, b, weight=weight)
            graph.add_edge(b, a, weight=weight)
        members: dict[int, list[str]] = defaultdict(list)
        for name in names:
            members[topic[name]].append(name)
        boosts = {}
        for group in members.values():
            first = min(group, key=lambda name: phrases[name][0])
            for source in graph.predecessors(first):
                others = sum(graph[other][source]["weight"] for other in group if graph.has_edge(other, source))
                boosts[source, first] = (
                    others * _FIRST_OCCURRENCE_BOOST * math.exp(1 / (1 + phrases[first][0])) - others
                )
        for (source, target), boost in boosts.items():
            graph[source][target]["weight"] += max(0.0, boost)
        ranks = nx.pagerank(graph, weight="weight") if names else {}
        result.append(_distinct(sorted(names, key=lambda name: -ranks[name])))
    return result


def phrases_by_vector(rows: Sequence[Labelled]) -> Tags:
    """Noun phrases by the cosine of their vector and the text's."""
    embedder = build_embedder()
    model = embedder.model_for(rows[0].text)
    texts = embedder.encode(model, [_whole(row) for row in rows])
    phrases = [list(_noun_phrases(_tagged(_whole(row)))) for row in rows]
    names = list(dict.fromkeys(name for found in phrases for name in found))
    vectors = dict(zip(names, embedder.encode(model, names), strict=True)) if names else {}
    return [
        _distinct(sorted(found, key=lambda name, text=text: -float(vectors[name] @ text)))
        for found, text in zip(phrases, texts, strict=True)
    ]


ENGLISH: Mapping[str, Callable[[Sequence[Labelled]], Tags]] = {
    "TF-IDF": tfidf,
    "YAKE": yake,
    "TextRank": textrank,
    "MultipartiteRank": multipartite_rank,
    "KeyBERT 1 word": keybert_words,
    "KeyBERT 1-3 words": keybert_phrases,
    "phrases by vector": phrases_by_vector,
}
# The others need an English model or tagger and find nothing sensible in Chinese.
CHINESE: Mapping[str, Callable[[Sequence[Labelled]], Tags]] = {"TF-IDF": tfidf, "YAKE": yake}
# What takes seconds a text on whole papers.
TOO_SLOW_FOR_PAPERS = frozenset({"KeyBERT 1 word", "KeyBERT 1-3 words", "MultipartiteRank"})


def _keybert(rows: Sequence[Labelled], size: tuple[int, int]) -> Tags:
    model = _keybert_model()
    texts = [_whole(row) for row in rows]
    return [
        [name for name, _ in model.extract_keywords(text, keyphrase_ngram_range=size, top_n=KEPT)]
        for text in texts
    ]


@cache
def _keybert_model() -> Any:
    from keybert import KeyBERT
    from keybert.backend import SentenceTransformerBackend
    from sentence_transformers import SentenceTransformer

    from tagging_orchestration.clients.sentence_model import PACKAGED_MODEL, find_model

    model = SentenceTransformer(str(find_model(PACKAGED_MODEL)), device="cpu", local_files_only=True)
    return KeyBERT(cast("Any", SentenceTransformerBackend(model)))


def _whole(row: Labelled) -> str:
    return f"{row.title}. {row.text}" if row.title else row.text


def _is_chinese(rows: Sequence[Labelled]) -> bool:
    return has_han(rows[0].text[:200])


def _cut(text: str) -> str:
    return " ".join(word for word, _, _ in LANGUAGE.segment(text))


def _tagged(text: str) -> list[tuple[str, str]]:
    words = _TOKEN.findall(text)[:_GRAPH_WORDS]
    return list(zip(words, LANGUAGE.parts_of_speech(words, "en"), strict=True))


def _noun_phrases(words: Sequence[tuple[str, str]]) -> dict[str, list[int]]:
    """Longest runs of adjectives and nouns that end in a noun, with the places they begin at."""
    found: dict[str, list[int]] = {}
    run: list[tuple[int, str, str]] = []
    for place, (word, tag) in enumerate([*words, (".", ".")]):
        if tag in _MODIFIERS and word[0].isalnum():
            run.append((place, word, tag))
            continue
        while run and run[-1][2] not in _NOUNS:
            run.pop()
        if run and len(run) <= 5:
            found.setdefault(" ".join(word.lower() for _, word, _ in run), []).append(run[0][0])
        run = []
    return found


def _topics(names: Sequence[str]) -> dict[str, int]:
    """Topics: average-link clusters of phrases by shared stems, as TopicRank has them."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(names) < 2:
        return dict.fromkeys(names, 0)
    stems = [set(stemmed(name).split()) for name in names]
    distances = np.array([1 - len(a & b) / max(1, len(a | b)) for a, b in combinations(stems, 2)])
    labels = fcluster(linkage(distances, "average"), _CLUSTER_DISTANCE, "distance")
    return {name: int(label) for name, label in zip(names, labels, strict=True)}


def _distinct(names: Any) -> list[str]:
    """The first KEPT names that differ as scorers compare."""
    kept: dict[str, str] = {}
    for name in names:
        kept.setdefault(stemmed(name), name)
        if len(kept) == KEPT:
            break
    return list(kept.values())


def soft_f1(predicted: Sequence[str], gold: Sequence[str], k: int = 5) -> float:
    """Partial credit: the mean best word overlap of the first k predictions and the gold tags, both ways."""
    first = list(dict.fromkeys(map(stemmed, predicted)))[:k]
    wanted = list(dict.fromkeys(map(stemmed, gold)))
    if not first or not wanted:
        return 0.0
    precision = sum(max(_overlap(a, b) for b in wanted) for a in first) / len(first)
    recall = sum(max(_overlap(a, b) for a in first) for b in wanted) / len(wanted)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _overlap(a: str, b: str) -> float:
    x, y = (Counter(list(name) if has_han(name) else name.split()) for name in (a, b))
    shared = (x & y).total()
    return 2 * shared / (x.total() + y.total()) if shared else 0.0
