"""Keyphrase generator: fresh tags from the words of the text itself, in any language the analyser cuts.

A candidate is every short sequence of words inside a phrase run (see `text`) whose ends can stand for a subject.
It is not judged here: the ranker weighs it by its place, frequency, corpus statistics and shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from tagging_orchestration.core.tagging.candidates.pool import Pool
from tagging_orchestration.core.tagging.scripts import has_han
from tagging_orchestration.core.tagging.text import TITLE, AnalysedText, Grade, Occurrence, Token
from tagging_orchestration.core.vocabulary.index import Vocabulary

# A Chinese keyword of more characters is a clause; measured on author keywords, 99 % have at most 12.
MAX_CHINESE_CHARACTERS = 12
MAX_CHINESE_WORDS = 5


def propose(
    pool: Pool, text: AnalysedText, vocabulary: Vocabulary, max_words: int, admits: Callable[[str], bool]
) -> None:
    """Enter the text's phrases. One that names an existing tag adds its places to that tag's entry.

    `admits` says of a written phrase whether it may become a tag here (its language, its look).
    """
    for form, occurrences in phrase_occurrences(text, max_words).items():
        tag = vocabulary.lookup(form)
        if tag is not None:
            if vocabulary.resolve(form) is not None:
                candidate = pool.known(tag)
                places = {occurrence[:2]: occurrence for occurrence in (*candidate.occurrences, *occurrences)}
                candidate.occurrences = sorted(places.values())
            continue
        name = written_name(text, occurrences)
        if admits(name):
            candidate = pool.fresh(form, name)
            candidate.occurrences = occurrences


def written_name(text: AnalysedText, occurrences: list[Occurrence]) -> str:
    """The phrase as people write it in this text: its most frequent spelling where spelling tells.

    Capitals of a headline or at the start of a sentence are used only where there is no other place to learn from.
    A vocabulary sees many texts and keeps the spelling most of them use.
    """
    telling: Counter[str] = Counter()
    other: Counter[str] = Counter()
    for first, last, _ in occurrences:
        token = text.tokens[first]
        written = " ".join(text.surface(first, last).split())
        unsure = (token.field == TITLE and text.title_cased) or (token.opens and first == last)
        (other if unsure or (written.isupper() and len(written) > 5) else telling)[written] += 1
    best = (telling or other).most_common(1)[0][0]
    return best if text.cased or has_han(best) else best.lower()


def phrase_occurrences(text: AnalysedText, max_words: int) -> dict[str, list[Occurrence]]:
    """Candidate phrases by normal form with all their places, in order of first appearance."""
    tokens = text.tokens
    found: dict[str, list[Occurrence]] = {}
    for begin, end in text.runs:
        for first in range(begin, end):
            if not _may_start(tokens[first]):
                continue
            key = ""
            unspaced = False
            for last in range(first, end):
                token = tokens[last]
                words = last - first + 1
                if token.word.grade is Grade.NUMBER and not _is_model_number(token, tokens[last - 1]):
                    break
                form = token.word.form
                key = f"{key} {form}" if key and not (unspaced or token.word.unspaced) else key + form
                unspaced = token.word.unspaced
                if unspaced or has_han(key):
                    if words > MAX_CHINESE_WORDS or len(key) > MAX_CHINESE_CHARACTERS:
                        break
                elif words > max_words:
                    break
                if _may_end(token, words, last + 1 == end):
                    whole = first == begin and last + 1 == end
                    found.setdefault(key, []).append(Occurrence(first, last, whole))
    return found


def corpus_terms(text: AnalysedText, max_words: int) -> Iterable[str]:
    """The terms whose document frequency is counted: candidate phrases and all single words that part nothing."""
    terms = set(phrase_occurrences(text, max_words))
    terms.update(token.word.form for token in text.tokens if token.word.grade is not Grade.BREAK)
    return terms


def _may_start(token: Token) -> bool:
    return token.word.grade not in (Grade.NUMBER, Grade.NEVER, Grade.BREAK)


def _is_model_number(token: Token, before: Token) -> bool:
    """Whether a number belongs to the name before it: "Windows 10", not "page 12" or "the 2024 figures"."""
    return len(token.text) <= 4 and before.word.grade is Grade.PLAIN and before.text[:1].isupper()


def _may_end(token: Token, words: int, at_end: bool) -> bool:
    grade = token.word.grade
    if words == 1:
        return grade is Grade.PLAIN and len(token.text) > 1
    if len(token.text) == 1 and token.text.isalpha() and not token.word.unspaced:
        # "vitamin C" where the phrase ends there, but not "George W" of "George W. Bush".
        return at_end
    return grade in (Grade.PLAIN, Grade.WEAK, Grade.NUMBER)
