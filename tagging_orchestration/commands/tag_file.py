"""`tagging tag-file`: the pipeline's tagger on a file, without a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagging_orchestration.commands.options import verbose_option
from tagging_orchestration.commands.output import note

if TYPE_CHECKING:
    from tagging_orchestration.core.tagging.corpus_tagger import KnownTag

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("tag-file")
@click.argument("source", metavar="IN.jsonl", type=_FILE)
@click.argument("target", metavar="OUT.jsonl", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--train", metavar="LABELLED.jsonl", type=_FILE, help="Learn from these texts and people's tags.")
@click.option("--vocabulary", metavar="V.csv", type=_FILE, help="Tags to use, as exported.")
@click.option("--closed", is_flag=True, help="Only tags of the vocabulary and of the labelled texts.")
@verbose_option
def tag_file(source: Path, target: Path, train: Path | None, vocabulary: Path | None, closed: bool) -> None:
    """Tag the texts of a file with the tagger of the pipeline; no database is touched.

    IN.jsonl holds {"id", "title"?, "text"} a line, LABELLED.jsonl "tags" besides. OUT.jsonl gets, a line for each
    line and in the same order, {"id", "tags", "confidences"}: the tags it would assign, best first. How common a
    word is, is counted in IN.jsonl and LABELLED.jsonl. New tags need no second text here.
    """
    from tagging_orchestration.clients.json_lines import write_rows
    from tagging_orchestration.clients.texts_file import read_texts
    from tagging_orchestration.core.tagging.corpus_tagger import CorpusTagger
    from tagging_orchestration.wiring import Project

    if closed and train is None and vocabulary is None:
        raise click.UsageError("--closed needs the tags to choose from: give --train or --vocabulary")
    texts = read_texts(source)
    labelled = read_texts(train, labelled=True) if train else []
    known = _known_tags(vocabulary) if vocabulary else []
    with Project() as project:
        tagger = CorpusTagger(project.models, project.normaliser, project.settings.tagger)
        tagger.fit(labelled, known, closed=closed)
        assigned = tagger.tag(texts)
    write_rows(
        target,
        (
            {
                "id": text.id,
                "tags": [assignment.name for assignment in assignments],
                "confidences": [assignment.confidence for assignment in assignments],
            }
            for text, assignments in zip(texts, assigned, strict=True)
        ),
    )
    note(f"{len(texts):,} texts, {sum(map(len, assigned)):,} tags: {target}")


def _known_tags(file: Path) -> list[KnownTag]:
    """The active tags of a vocabulary table. Raises VocabularyError with every mistake in it."""
    from tagging_orchestration.core.errors import VocabularyError
    from tagging_orchestration.core.models import TagStatus
    from tagging_orchestration.core.tagging.corpus_tagger import KnownTag
    from tagging_orchestration.core.vocabulary.table import read_table

    rows, issues = read_table(file.read_text("utf-8-sig"))
    if issues:
        raise VocabularyError("\n  ".join([f"{file} cannot be used:", *map(str, issues)]))
    return [
        KnownTag(row.name, row.aliases or (), row.description or "")
        for row in rows
        if row.status in (None, TagStatus.ACTIVE)
    ]
