"""Exact match and F1 of answers to questions, by the rules of SQuAD and of MLQA."""

from __future__ import annotations

import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial

Normalise = Callable[[str], str]


def squad(gold: Sequence[Sequence[str]], predictions: Sequence[str]) -> dict[str, float]:
    """Return `em`, `f1` and their mean `qa`, in percent, by SQuAD's rules for English.

    XTREME scores XQuAD and TyDiQA so in every language. `gold` holds the acceptable answers of each
    question; the best match counts. A question without any (TyDiQA's Russian test set has one) is scored
    as if its answer were empty, as it is written for evaluate-v1.1.py, which fails on an empty list: an
    empty prediction is an exact match with an F1 of 0.
    """
    return _score(gold, predictions, normalise_english)


def mlqa(
    gold: Sequence[Sequence[str]], predictions: Sequence[str], *, language: str
) -> dict[str, float]:
    """Return `em`, `f1` and their mean `mlqa`, in percent, by mlqa_evaluation_v1.py.

    Raises:
        ValueError: for a language that is not one of `MLQA_LANGUAGES`.
    """
    if language not in _ARTICLES:
        raise ValueError(f"MLQA has no rules for language '{language}'")
    scores = _score(gold, predictions, partial(normalise, language=language))
    return {"em": scores["em"], "f1": scores["f1"], "mlqa": scores["qa"]}


def normalise_english(text: str) -> str:
    """Lower the case, drop ASCII punctuation, then English articles, and squeeze white space."""
    bare = text.lower().translate(_ASCII_PUNCTUATION)
    return " ".join(_ARTICLES["en"].sub(" ", bare).split())


def normalise(text: str, *, language: str) -> str:
    """Lower the case, drop Unicode punctuation, then the language's articles, and part the words.

    Words are parted at white space, in Chinese around every ideograph too.
    """
    bare = "".join(character for character in text.lower() if character not in _punctuation())
    bare = _ARTICLES[language].sub(" ", bare)
    if language == "zh":
        bare = _IDEOGRAPH.sub(r" \g<0> ", bare)
    return " ".join(bare.split())


def _score(
    gold: Sequence[Sequence[str]], predictions: Sequence[str], normal: Normalise
) -> dict[str, float]:
    exact = overlap = 0.0
    for answers, prediction in zip(gold, predictions, strict=True):
        found = normal(prediction)
        wanted = [normal(answer) for answer in answers] or [""]
        exact += max(found == answer for answer in wanted)
        overlap += max(_token_f1(found.split(), answer.split()) for answer in wanted)
    em, f1 = 100.0 * exact / len(gold), 100.0 * overlap / len(gold)
    return {"em": em, "f1": f1, "qa": (em + f1) / 2}


def _token_f1(found: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the F1 of two bags of words; 0 where both are empty, as evaluate-v1.1.py has it."""
    same = (Counter(found) & Counter(wanted)).total()
    if same == 0:
        return 0.0
    precision, recall = same / len(found), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
_IDEOGRAPH = re.compile("[\u4e00-\u9fa5]")

# What mlqa_evaluation_v1.py takes for articles; never matching where a language has none. The Arabic
# pattern is as published: its first branch can match nothing, the second takes every "al", inside
# words too.
_ARTICLES = {
    "en": re.compile(r"\b(a|an|the)\b"),
    "es": re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "hi": re.compile(r"(?!)"),
    "vi": re.compile(r"\b(của|là|cái|chiếc|những)\b"),
    "de": re.compile(r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "ar": re.compile(r"\sال^|ال"),
    "zh": re.compile(r"(?!)"),
}
MLQA_LANGUAGES = tuple(_ARTICLES)
"""The seven that MLQA has rules for."""


@cache
def _punctuation() -> frozenset[str]:
    """Return every character of a Unicode punctuation category, and ASCII's."""
    points = map(chr, range(sys.maxunicode + 1))
    unicode = {point for point in points if unicodedata.category(point).startswith("P")}
    return frozenset(unicode.union(string.punctuation))
