"""Scores of tagged sentences: plain accuracy, and the chunk F1 that XTREME reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from xtransfer.metrics.classification import accuracy, f1_of_counts

Chunk = tuple[str, int, int]
"""Type, first and last position; positions count over all sentences."""


def tag_scores(
    gold: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return `xtreme_f1`, `precision`, `recall` and `accuracy` (a token each), in percent.

    Each sentence is a sequence of tags. XTREME's evaluate.py scores udpos and panx by the chunk F1 of
    seqeval, and on bare parts of speech the result depends on seqeval's version; these are the rules
    of 0.0.12, see `chunks`.
    """
    plain = word_accuracy(gold, predictions)
    wanted, found = set(chunks(gold)), set(chunks(predictions))
    scores = f1_of_counts(len(wanted & found), wanted=len(wanted), found=len(found))
    return {
        "xtreme_f1": scores["f1"],
        "precision": scores["precision"],
        "recall": scores["recall"],
        **plain,
    }


def word_accuracy(
    gold: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return `accuracy`, the percentage of words whose tag is right.

    Raises:
        ValueError: where a sentence and its prediction differ in length.
    """
    for number, (sentence, found) in enumerate(zip(gold, predictions, strict=True)):
        if len(sentence) != len(found):
            raise ValueError(
                f"sentence {number} has {len(sentence)} tags, but {len(found)} predicted"
            )
    return accuracy(list(chain.from_iterable(gold)), list(chain.from_iterable(predictions)))


def chunks(sentences: Sequence[Sequence[str]]) -> Iterator[Chunk]:
    """Yield the chunks that seqeval 0.0.12 sees, which has no notion of tags without B- and I-.

    It reads a tag's first letter as its place in a chunk and what follows the last hyphen (here: the
    whole tag) as its type. So adjacent equal tags are one chunk, but SCONJ and SYM, whose S it takes
    for "single", are one each; INTJ (I) merges like any other. Sentences are joined by an O.
    """
    first = 0
    previous = "O"
    kind = ""
    tags = chain.from_iterable((*sentence, "O") for sentence in sentences)
    for position, tag in enumerate(chain(tags, ("O",))):
        place, type_ = tag[0], tag.rsplit("-", 1)[-1]
        if _ends(previous, place) or (previous not in "O." and kind != type_):
            yield kind, first, position - 1
        if _starts(previous, place) or (place not in "O." and kind != type_):
            first = position
        previous, kind = place, type_


def _ends(previous: str, place: str) -> bool:
    return previous in "ES" or (previous in "BI" and place in "BSO")


def _starts(previous: str, place: str) -> bool:
    return place in "BS" or (previous in "ESO" and place in "EI")
