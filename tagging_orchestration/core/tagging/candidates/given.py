"""Given tags: what people already put on the content. They are taken as they are, with confidence 1."""

from __future__ import annotations

from collections.abc import Collection

from tagging_orchestration.core.models import Content, Evidence, Method
from tagging_orchestration.core.tagging.candidates.pool import Pool
from tagging_orchestration.core.tagging.names import is_personal
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.normalise import Normaliser


def propose(
    pool: Pool, content: Content, vocabulary: Vocabulary, normaliser: Normaliser, allowed: Collection[str]
) -> None:
    """Enter the content's given tags. Personal data is no tag, whoever typed it, unless the allow list has it."""
    for written in content.given_tags:
        form = normaliser.normal_form(written)
        if not form or (is_personal(written) and form not in allowed):
            continue
        tag = vocabulary.resolve(form)
        candidate = pool.known(tag) if tag else pool.fresh(form, normaliser.display_form(written))
        candidate.given = True
        candidate.evidence.append(Evidence(Method.GIVEN, 1.0, {"written": written}))
