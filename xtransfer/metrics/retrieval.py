"""Scores of sentence retrieval."""

from __future__ import annotations

from collections.abc import Sequence


def retrieval_accuracy(
    gold: Sequence[Sequence[str]], predictions: Sequence[str]
) -> dict[str, float]:
    """Return `accuracy`, the percentage of sentences for which a translation was found.

    `gold` holds the ids of each query's translations, `predictions` the one id found for it.
    """
    right = sum(found in matches for matches, found in zip(gold, predictions, strict=True))
    return {"accuracy": right / len(gold) * 100}
