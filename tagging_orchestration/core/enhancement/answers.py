"""What a language model answered, read, checked and cleaned before anybody sees it.

Steps: `parsing` finds the JSON, or `headings` reads text; `shaping` brings it to its form; `screening` refuses
what may not be shown; `citations` keeps the claims whose references resolve; `numbers` flags what the data do not
hold. docs/answers.md tells the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tagging_orchestration.core.enhancement import injection, screening
from tagging_orchestration.core.enhancement.citations import (
    References,
    counted_from_one,
    references_inside,
    written_evidence,
)
from tagging_orchestration.core.enhancement.faults import fault_text, repair_prompt
from tagging_orchestration.core.enhancement.forms import (
    Form,
    enum_words,
    form_of,
    key_form,
    output_schema,
    schema_file,
    texts_of,
)
from tagging_orchestration.core.enhancement.headings import CONFIDENCE_UNSAID, read_headings, title_form
from tagging_orchestration.core.enhancement.models import (
    AnswerRejected,
    ErrorSubtype,
    EvidenceItem,
    ParsedAnswer,
    ParseLevel,
)
from tagging_orchestration.core.enhancement.numbers import KnownNumbers, unsupported_numbers
from tagging_orchestration.core.enhancement.parsing import read_object, unwrapped, without_thinking
from tagging_orchestration.core.enhancement.shaping import Fault, Shaping, says_nothing, tidy

__all__ = ["MOST_CONFIDENCE_OF_TEXT", "output_schema", "parse_answer", "repair_prompt"]

MOST_CONFIDENCE_OF_TEXT = 0.5
"""The confidence of an answer that is not JSON is at most this: what belongs where was guessed."""

_MOST_FLAGS = 60
_MOST_TEXT = 6000


def parse_answer(
    text: str,
    finish: str,
    *,
    schema_name: str | None,
    evidence: Sequence[EvidenceItem],
    variables: Mapping[str, Any],
    locale: str,
    expected: Mapping[str, Any] = {},
) -> ParsedAnswer:
    """The answer in a reply.

    `variables` are what the prompt was rendered from, `evidence` what may be cited. `expected` may hold `titles`
    (of the recommendations to order) and `system_message` (which an answer must not repeat). Without a schema the
    answer is text: {"text": …} with a confidence of 0.5. Raises AnswerRejected and nothing else; FileNotFoundError
    for a schema that does not exist.
    """
    schema = None if schema_name is None else schema_file(schema_name)
    try:
        if schema is None or schema_name is None:
            return _text_answer(text, finish, evidence, variables, locale, expected)
        return _Reader(schema, form_of(schema_name), evidence, variables, locale, expected).read(text, finish)
    except AnswerRejected:
        raise
    except Exception as error:  # A reply is anybody's text: whatever it breaks, the answer is refused.
        raise AnswerRejected(
            f"the reply cannot be read ({type(error).__name__})",
            ErrorSubtype.INVALID_JSON,
            (fault_text(Fault("not_json"), locale),),
        ) from error


class _Reader:
    """Reads one reply."""

    def __init__(
        self,
        schema: Mapping[str, Any],
        form: Form,
        evidence: Sequence[EvidenceItem],
        variables: Mapping[str, Any],
        locale: str,
        expected: Mapping[str, Any],
    ) -> None:
        self.schema = schema
        self.form = form
        self.evidence = evidence
        self.variables = variables
        self.locale = locale
        self.expected = expected
        self.titles = [str(title) for title in expected.get("titles") or ()]
        self.evidence_valid = True

    def read(self, text: str, finish: str) -> ParsedAnswer:
        raw, level = self._raw(text, finish)
        shaping = Shaping(self.form, self.locale, lenient=level == "headings")
        document = shaping.document(raw, self.schema)
        self._cleaned(document, shaping)
        _refuse_unsafe(document, self.variables, self.expected, self.locale)
        if not shaping.faults:
            self._ordered(document, shaping)
            self._distinct(document, shaping)
        faults = shaping.faults or self._schema_faults(document)
        if faults:
            raise self._rejected(ErrorSubtype.SCHEMA_MISMATCH, "the answer does not keep to its form", faults)
        cited = self._cited(document, shaping)
        confidence = self._confidence(document, level)
        shaping.flags += _content_flags(
            document, self.form, self.evidence, self.variables, self.locale, self.expected
        )
        degraded = level in ("repaired", "headings")
        if degraded:
            shaping.flag("degraded")
        return ParsedAnswer(
            document=document,
            level=level,
            confidence=confidence,
            degraded=degraded,
            flags=tuple(dict.fromkeys(shaping.flags))[:_MOST_FLAGS],
            evidence=tuple(cited),
            evidence_valid=self.evidence_valid,
        )

    def _rejected(self, subtype: ErrorSubtype, message: str, faults: Sequence[Fault]) -> AnswerRejected:
        texts = tuple(dict.fromkeys(fault_text(fault, self.locale) for fault in faults))[:10]
        where = ", ".join(dict.fromkeys(f"{fault.path or 'answer'}: {fault.kind}" for fault in faults))
        return AnswerRejected(f"{message} ({where[:300]})", subtype, texts)

    # --------------------------------------------------------------------------------------------------- form

    def _raw(self, text: str, finish: str) -> tuple[Mapping[str, Any], ParseLevel]:
        properties = self.schema["properties"]
        names = {*properties, *(label for name in properties for label in self.form.labels.get(name, ()))}
        try:
            reading = read_object(text, finish, names, self.schema.get("required", ()))
        except AnswerRejected as error:
            kind = "cut" if error.subtype == ErrorSubtype.TRUNCATED else "not_json"
            raise AnswerRejected(str(error), error.subtype, (fault_text(Fault(kind), self.locale),)) from None
        if reading is not None:
            return unwrapped(reading.value, {key_form(name) for name in names}), reading.level
        if finish == "length":
            raise self._rejected(ErrorSubtype.TRUNCATED, "the answer is cut off", [Fault("cut")])
        plain = without_thinking(text, finish)
        found = read_headings(plain, self.schema, self.form, self.variables, self.titles)
        if found is None:
            raise self._rejected(ErrorSubtype.INVALID_JSON, "the reply holds no answer", [Fault("not_json")])
        return found, "headings"

    def _cleaned(self, document: dict[str, Any], shaping: Shaping) -> None:
        """Harmless markup taken out of the texts, in place."""

        def clean(value: Any) -> Any:
            if isinstance(value, str):
                cleaned = screening.without_plain_markup(value)
                if cleaned != value:
                    shaping.flag("removed: markup")
                return cleaned
            if isinstance(value, dict):
                return {key: clean(inner) for key, inner in value.items()}
            return [clean(inner) for inner in value] if isinstance(value, list) else value

        for key in document:
            document[key] = clean(document[key])

    def _ordered(self, document: dict[str, Any], shaping: Shaping) -> None:
        """The recommendations under their own titles, each once, numbered by their order."""
        items = document.get("ordered")
        if not isinstance(items, list) or not self.titles:
            return
        known = {title_form(title): title for title in self.titles}
        taken: list[str] = []
        for item in items:
            title = known.get(title_form(item["title"]))
            if title is None:
                shaping.fault("unknown_title", "ordered.title", item["title"][:80])
                continue
            if title in taken:
                shaping.fault("title_twice", "ordered.title", title)
            if title != item["title"]:
                shaping.flag("reworded: ordered.title")
            item["title"] = title
            taken.append(title)
        for title in self.titles:
            if title not in taken:
                shaping.fault("title_missing", "ordered.title", title)
        if shaping.faults:
            return
        ranks = [item["newPriority"] for item in items]
        if ranks != list(range(1, len(items) + 1)):
            # Ranks out of order: they say more than the order. Scores, and anything else, do not.
            if sorted(ranks) == list(range(1, len(items) + 1)):
                order = sorted(range(len(items)), key=lambda place: ranks[place])
                document["ordered"] = [items[place] for place in order]
                shaping.positions["ordered"] = [shaping.positions["ordered"][place] for place in order]
            for rank, item in enumerate(document["ordered"], start=1):
                item["newPriority"] = rank
            shaping.flag("renumbered: ordered.newPriority")

    def _distinct(self, document: dict[str, Any], shaping: Shaping) -> None:
        name, _, key = self.form.distinct.rpartition(".")
        values = [item[key] for item in document.get(name, [])] if name else []
        if len(set(values)) < len(values):
            shaping.fault("twice", self.form.distinct)

    def _schema_faults(self, document: Mapping[str, Any]) -> list[Fault]:
        """Whatever shaping let through and the JSON Schema does not."""
        from jsonschema import Draft202012Validator

        properties = {key: part for key, part in self.schema["properties"].items() if key != "evidence"}
        required = [key for key in self.schema.get("required", ()) if key != "evidence"]
        schema = {**self.schema, "properties": properties, "required": required}
        faults = []
        for error in Draft202012Validator(schema).iter_errors(document):
            path = ".".join(str(part) for part in error.absolute_path if isinstance(part, str))
            faults.append(Fault("form", path))
        return faults

    def _confidence(self, document: dict[str, Any], level: ParseLevel) -> float:
        """The stated confidence, rounded as it is kept; of a form without one the mean of its items'."""
        if "confidence" in self.schema["properties"]:
            value = round(float(document["confidence"]), 2)
        else:
            said = [
                float(item["confidence"])
                for items in document.values()
                if isinstance(items, list)
                for item in items
                if isinstance(item, Mapping) and isinstance(item.get("confidence"), (int, float))
            ]
            value = round(sum(said) / len(said), 2) if said else CONFIDENCE_UNSAID
            value = min(max(value, 0.0), 1.0)
        if level == "headings":
            value = min(value, MOST_CONFIDENCE_OF_TEXT)
        if "confidence" in document:
            document["confidence"] = value
        return value

    # ----------------------------------------------------------------------------------------------- evidence

    def _cited(self, document: dict[str, Any], shaping: Shaping) -> list[dict[str, Any]]:
        """The evidence of the claims that stay. Claims without any leave the document; where a group of claims
        would be empty, or none may leave, the answer is refused."""
        if not self.form.claims:
            return []
        places = self._places(shaping)
        refs = self._references(shaping, places)
        bare = [number for number in places if not refs.get(number)]
        for number in bare:
            shaping.flag(f"claim_without_evidence: {number}")
        if bare:
            self.evidence_valid = False
        emptied = [
            group
            for group in self.form.claims
            if not any(refs.get(number) for number, (path, _) in places.items() if path in group)
        ]
        if emptied or (bare and self.form.all_claims):
            faults = [Fault("uncited", places[number][0], str(number)) for number in bare]
            faults += [Fault("group_uncited", group[0]) for group in emptied if not bare]
            raise self._rejected(ErrorSubtype.UNSUPPORTED, "claims rest on no evidence that was given", faults)
        pairs: list[dict[str, Any]] = []
        index = 0
        for path in self.form.claim_paths:
            items = _at(document, path)
            kept = []
            numbers = [number for number, (other, _) in places.items() if other == path]
            # `places` is in the model's order, the items may have been put in another.
            order = shaping.positions.get(path, [])
            for item, position in zip(items, order, strict=True):
                number = next(n for n in numbers if places[n][1] == position)
                if not refs.get(number):
                    continue
                kept.append(item)
                pairs += [{"claim_index": index, "ref": ref} for ref in refs[number]]
                index += 1
            items[:] = kept
        document["evidence"] = [dict(pair) for pair in pairs]
        return pairs

    def _places(self, shaping: Shaping) -> dict[int, tuple[str, int]]:
        """The list and the place in it of each claim number, as the model counted."""
        places: dict[int, tuple[str, int]] = {}
        first = 0
        for path in self.form.claim_paths:
            for position in sorted(shaping.positions.get(path, [])):
                places[first + position] = (path, position)
            first += shaping.lengths.get(path, 0)
        return places

    def _references(self, shaping: Shaping, places: Mapping[int, tuple[str, int]]) -> dict[int, list[str]]:
        """The references of each claim that resolve."""
        references = References(self.evidence)
        pairs, loose = written_evidence(shaping.raw_evidence)
        total = sum(shaping.lengths.values())
        if pairs and counted_from_one([claim for claim, _ in pairs], total):
            pairs = [(claim - 1, written) for claim, written in pairs]
            shaping.flag("claims_counted_from_one")
        numbers = {place: number for number, place in places.items()}
        for place, written_texts in shaping.beside.items():
            if place in numbers:
                pairs += [(numbers[place], written) for written in written_texts]
        found: dict[int, list[str]] = {}
        for claim, written in pairs:
            known, unknown = references.resolve(written)
            for text in unknown:
                self._bad(shaping, f"unknown_reference: {_shown(text)}")
            if not 0 <= claim < total:
                self._bad(shaping, f"unknown_claim: {claim}")
                continue
            for ref in known:
                if ref not in found.setdefault(claim, []):
                    found[claim].append(ref)
        for written in loose:
            known, unknown = references.resolve(written)
            for text in unknown:
                self._bad(shaping, f"unknown_reference: {_shown(text)}")
            if known:
                self._bad(shaping, f"reference_without_claim: {known[0]}")
        return found

    def _bad(self, shaping: Shaping, flag: str) -> None:
        self.evidence_valid = False
        shaping.flag(flag)


def _text_answer(
    text: str,
    finish: str,
    evidence: Sequence[EvidenceItem],
    variables: Mapping[str, Any],
    locale: str,
    expected: Mapping[str, Any],
) -> ParsedAnswer:
    """An answer without a form. Its references are those in brackets that resolve; nobody can say which sentence
    they carry, so its confidence is that of text."""
    answer = tidy(without_thinking(text, finish))
    if finish == "length":
        raise AnswerRejected("the answer is cut off", ErrorSubtype.TRUNCATED, (fault_text(Fault("cut"), locale),))
    answer, written = references_inside(screening.without_plain_markup(answer))
    if says_nothing(answer) or len(answer) > _MOST_TEXT:
        raise AnswerRejected(
            "the answer is empty or too long", ErrorSubtype.SCHEMA_MISMATCH, (fault_text(Fault("empty"), locale),)
        )
    document: dict[str, Any] = {"text": answer}
    _refuse_unsafe(document, variables, expected, locale)
    references = References(evidence)
    flags = ["degraded"]
    known: list[str] = []
    unknown: list[str] = []
    for item in written:
        good, bad = references.resolve(item)
        known += good
        unknown += bad
    flags += [f"unknown_reference: {_shown(item)}" for item in unknown]
    flags += [] if known else ["uncited"]
    flags += _content_flags(document, Form(), evidence, variables, locale, expected)
    return ParsedAnswer(
        document=document,
        level="headings",
        confidence=MOST_CONFIDENCE_OF_TEXT,
        degraded=True,
        flags=tuple(dict.fromkeys(flags))[:_MOST_FLAGS],
        evidence=tuple({"claim_index": 0, "ref": ref} for ref in dict.fromkeys(known)),
        evidence_valid=bool(known) and not unknown,
    )


def _refuse_unsafe(
    document: Mapping[str, Any], variables: Mapping[str, Any], expected: Mapping[str, Any], locale: str
) -> None:
    # Titles are our own words, and restored from the input.
    own = {title_form(str(title)) for title in expected.get("titles") or ()}
    texts = [(path, text) for path, text in texts_of(document) if title_form(text) not in own]
    for path, text in texts:
        kind = screening.unsafe(text)
        if kind:
            raise AnswerRejected(
                f"the answer holds what may not be shown ({path}: {kind})",
                ErrorSubtype.CONTENT_FILTERED,
                (fault_text(Fault(f"unsafe_{kind}", path), locale),),
            )
    secret = str(expected.get("system_message") or "")
    if secret and screening.repeats((text for _, text in texts), secret, _data_text(variables)):
        raise AnswerRejected(
            "the answer repeats the system message",
            ErrorSubtype.CONTENT_FILTERED,
            (fault_text(Fault("unsafe_instructions"), locale),),
        )
    if injection.repeats_orders((text for _, text in texts), _data_text(variables)):
        raise AnswerRejected(
            "the answer passes on an order that stands in the data",
            ErrorSubtype.CONTENT_FILTERED,
            (fault_text(Fault("unsafe_instructions"), locale),),
        )


def _content_flags(
    document: Mapping[str, Any],
    form: Form,
    evidence: Sequence[EvidenceItem],
    variables: Mapping[str, Any],
    locale: str,
    expected: Mapping[str, Any],
) -> list[str]:
    known = KnownNumbers(
        variables, *(f"{item.ref} {item.label}" for item in evidence), *map(str, expected.get("titles") or ())
    )
    flags = [
        f"unsupported_number: {written}"
        for written in unsupported_numbers(document, form, known, skipped={"ordered.title"})
    ]
    texts = [text for _, text in texts_of(_without_enums(document)) if text]
    flags += screening.notices(texts, _data_text(variables))
    language = screening.wrong_language(texts, locale)
    return [*flags, f"language: {language}"] if language else flags


def _without_enums(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without what is one of our own words."""
    words = enum_words(("low", "medium", "high", "critical", "good", "watch", "alert"))

    def kept(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: kept(inner) for key, inner in value.items() if key != "title"}
        if isinstance(value, list):
            return [kept(inner) for inner in value]
        return "" if isinstance(value, str) and key_form(value) in words else value

    return {key: kept(value) for key, value in document.items()}


def _data_text(variables: Mapping[str, Any]) -> str:
    return "\n".join(text for _, text in texts_of({"": dict(variables)}))[:400_000]


def _at(document: Mapping[str, Any], path: str) -> list[Any]:
    value: Any = document
    for name in path.split("."):
        value = value[name]
    return value


def _shown(text: str) -> str:
    """A short piece of a model's text for a flag."""
    return " ".join(tidy(text, one_line=True).split())[:80]
