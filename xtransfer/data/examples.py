"""The kinds of example, one per form, as readers return them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PairExample:
    """One or two texts and a label (classification)."""

    id: str
    text_a: str
    text_b: str | None
    label: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceExample:
    """A context, a question and candidate answers of which one is right (choice)."""

    id: str
    context: str
    question: str
    choices: tuple[str, ...]
    label: int | None
    """0-based index into `choices`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggingExample:
    """A sentence as words with one tag a word (tagging)."""

    id: str
    tokens: tuple[str, ...]
    tags: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanExample:
    """A question on a paragraph; each answer is a text and its first character (span)."""

    id: str
    question: str
    context: str
    answers: tuple[tuple[str, int], ...]
    """Empty: the question has no answer in the context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BitextExample:
    """A sentence of one side of a bilingual corpus (bitext)."""

    id: str
    """Unique on its side. Tatoeba: the 0-based line number."""
    side: str
    """"foreign" or "english"."""
    text: str
    match: tuple[str, ...] = ()
    """Ids of its translations on the other side."""
    same_as: str | None = None
    """Where other sentences of its side have the same text: the id of the first of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextExample:
    """A paragraph without any label (masked language modelling)."""

    id: str
    """The 1-based number of its line."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingExample:
    """A query, a candidate answer, or a pair of both to train on (retrieval)."""

    id: str
    query: str | None = None
    candidate: str | None = None
    candidate_id: str = ""
    """Unique among different candidates; of pairs with the same candidate, the same."""
    context: str = ""
    """Text that the candidate stands in; it is read together with it."""
    match: tuple[str, ...] = ()
    """Names of what is asked for, or answered: where a query and a candidate share one, the candidate
    is an answer. Empty: a query without a label, a candidate that answers nothing."""


Example = (
    PairExample
    | ChoiceExample
    | TaggingExample
    | SpanExample
    | BitextExample
    | RankingExample
    | TextExample
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a reader found in the files of one split and language."""

    examples: tuple[Example, ...]
    skipped: dict[str, int] = field(default_factory=dict[str, int])
    """Reason -> number of rows left out for it; rows are never left out without a reason."""
