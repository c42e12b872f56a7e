"""When two texts are the same, and which texts an example consists of."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import fields
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from xtransfer.data.examples import (
    BitextExample,
    ChoiceExample,
    Example,
    PairExample,
    RankingExample,
    SpanExample,
    TaggingExample,
)

WHOLE = "input"
"""Name of the part that is all texts of an example together, where it has more than one."""
_NO_TEXT = {"id", "label", "side", "match"}


def exact(text: str) -> str:
    """Return the form in which duplicates are equal: NFKC, case folded, white space squeezed.

    Punctuation counts: "5" and "-5" may well have different labels.
    """
    return " ".join(_folded(text).split())


def loose(text: str) -> str:
    """Return the form in which overlaps are equal: NFKC, case folded, letters, digits and symbols.

    White space, punctuation and invisible characters are left out, for the same text is tokenised
    in one data set and not in another, or has lost its full stop. A text of nothing else is kept.
    """
    letters = folded = _folded(text)
    for mark in _marks().intersection(folded):  # six times as fast as a regular expression
        letters = letters.replace(mark, "")
    return letters or exact(text)


def is_empty(text: str) -> bool:
    """Say whether a text has nothing to read: white space, zero-width and other invisible characters alone."""
    return not text.strip() or all(_is_invisible(letter) for letter in text)


def digest(text: str) -> int:
    """Return 64 bits that stand for a text: among 10 million, two are mistaken once in 400,000 runs."""
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def parts(example: Example) -> list[tuple[str, str]]:
    """Return (name, text) of everything in an example that is text of its data set.

    A question of a choice that has a context is left out: "What was the cause?" is in every row.
    """
    match example:
        case PairExample():
            texts = (
                (example.text_a,) if example.text_b is None else (example.text_a, example.text_b)
            )
            return [("sentence", text) for text in texts]
        case ChoiceExample():
            prompt = example.context or example.question
            return [("prompt", prompt), *(("answer", text) for text in example.choices)]
        case SpanExample():
            return [("passage", example.context), ("question", example.question)]
        case TaggingExample():
            return [("sentence", " ".join(example.tokens))]
        case BitextExample():
            return [("sentence", example.text)]
        case RankingExample():
            named = (
                ("question", example.query),
                ("answer", example.candidate),
                ("passage", example.context or None),
            )
            return [(name, text) for name, text in named if text is not None]
        case _:
            return list(_any_parts(example))


def whole(texts: Iterable[str]) -> str:
    """Return one text for all texts of an example, in whatever order they stand."""
    return "\x1f".join(sorted(texts))


def _any_parts(example: Any) -> Iterable[tuple[str, str]]:
    """Yield the texts of an example of a kind that this module does not know."""
    for field in fields(example):
        value = getattr(example, field.name)
        if field.name in _NO_TEXT:
            continue
        if isinstance(value, str):
            yield field.name, value
        elif isinstance(value, tuple):
            yield from ((field.name, item) for item in value if isinstance(item, str))


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text).casefold()


@lru_cache(maxsize=1)
def _marks() -> frozenset[str]:
    """Return punctuation, white space, control and format characters."""
    return frozenset(
        letter
        for letter in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(letter)[0] == "P" or _is_invisible(letter)
    )


def _is_invisible(letter: str) -> bool:
    category = unicodedata.category(letter)
    return category[0] == "Z" or category in ("Cc", "Cf")
