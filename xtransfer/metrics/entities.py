"""Scores of named entities that tags in IOB2 mark: B- begins one, I- goes on with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from xtransfer.metrics.classification import f1_of_counts
from xtransfer.metrics.tagging import word_accuracy

Entity = tuple[int, str, int, int]
"""Number of the sentence, type, first and last word."""


def span_f1(
    gold: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return `span_f1`, its `precision` and `recall`, and `accuracy` (a word each), in percent.

    An entity is found if type, first and last word are right; counts are over all sentences (micro).
    XTREME's evaluate.py scores panx so, by the f1_score of seqeval, whose versions 0.0.12 and 1.2.2
    agree on such tags (as they do not on bare parts of speech, see `metrics.tagging`).

    Raises:
        ValueError: where a sentence and its prediction differ in length, or for a tag that is not O,
            B-type or I-type.
    """
    plain = word_accuracy(gold, predictions)
    wanted, found = set(_numbered(gold)), set(_numbered(predictions))
    scores = f1_of_counts(len(wanted & found), wanted=len(wanted), found=len(found))
    return {
        "span_f1": scores["f1"],
        "precision": scores["precision"],
        "recall": scores["recall"],
        **plain,
    }


def entities(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yield type, first and last word of each entity of a sentence.

    A model may predict what IOB2 does not allow. An I- that goes on with nothing, after an O or an
    entity of another type, begins an entity as a B- does (conlleval's reading, and seqeval's).
    """
    inside = ""
    first = 0
    for position, tag in enumerate(chain(tags, ("O",))):
        mark, kind = _parse(tag)
        if inside and (mark != "I" or kind != inside):
            yield inside, first, position - 1
        if mark == "B" or (mark == "I" and kind != inside):
            first = position
        inside = kind


def _numbered(sentences: Sequence[Sequence[str]]) -> Iterator[Entity]:
    for number, tags in enumerate(sentences):
        for kind, first, last in entities(tags):
            yield number, kind, first, last


def _parse(tag: str) -> tuple[str, str]:
    """Return the tag's mark (B, I, or O with an empty type) and its type."""
    mark, _, kind = tag.partition("-")
    if tag != "O" and (mark not in {"B", "I"} or not kind):
        raise ValueError(f"tag '{tag}' is not O, B-type or I-type")
    return mark, kind
