"""Scores of sentence retrieval, bitext mining and ranking; formulas as in google-research/xtreme."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xtransfer.errors import DataError

CUTOFF = 20
"""Ranks that count in the measures of XTREME-R."""

Ranking = Sequence[str]


def retrieval_accuracy(
    gold: Sequence[Sequence[str]], predictions: Sequence[str]
) -> dict[str, float]:
    """Return `accuracy`, the percentage of sentences for which a translation was found.

    `gold` holds the ids of each query's translations, `predictions` the one id found for it.
    """
    right = sum(found in matches for matches, found in zip(gold, predictions, strict=True))
    return {"accuracy": right / len(gold) * 100}


def mining_f1(gold: Sequence[Sequence[str]], predictions: Sequence[str | None]) -> dict[str, float]:
    """Return `f1`, `precision` and `recall` over sets of sentence pairs (BUCC).

    `gold` holds the ids of each sentence's translations, mostly none; `predictions` the one that was
    mined for it, or None.

    Raises:
        DataError: where there is no gold pair at all.
    """
    pairs = sum(len(set(matches)) for matches in gold)
    if not pairs:
        raise DataError("mining", "there is no gold pair", "Bring the file with the gold pairs.")
    found = sum(prediction is not None for prediction in predictions)
    right = sum(found in matches for matches, found in zip(gold, predictions, strict=True))
    return {
        "f1": 200 * right / (found + pairs),
        "precision": 100 * right / found if found else 0.0,
        "recall": 100 * right / pairs,
    }


def map20(gold: Sequence[Ranking], predictions: Sequence[Ranking]) -> dict[str, float]:
    """Return `map20`, the mean average precision within the first 20 ranks (LAReQA).

    A query's precision is averaged over as many of its gold candidates as could be among 20.
    """
    return {"map20": _mean(_average_precision, gold, predictions)}


def mrr20(gold: Sequence[Ranking], predictions: Sequence[Ranking]) -> dict[str, float]:
    """Return `mrr20`, the mean reciprocal rank of the first gold candidate within 20 (Mewsli-X).

    XTREME-R names it map@20: with one gold candidate a query, the two are the same.
    """
    return {"mrr20": _mean(_reciprocal_rank, gold, predictions)}


def _average_precision(gold: Ranking, ranking: Ranking) -> float:
    wanted, total = set(gold), 0.0
    hits: set[str] = set()
    for rank, name in enumerate(ranking[:CUTOFF], 1):
        if name in wanted and name not in hits:
            hits.add(name)
            total += len(hits) / rank
    return total / min(len(wanted), CUTOFF) if wanted else 0.0


def _reciprocal_rank(gold: Ranking, ranking: Ranking) -> float:
    return next((1 / rank for rank, name in enumerate(ranking[:CUTOFF], 1) if name in gold), 0.0)


def _mean(
    measure: Callable[[Ranking, Ranking], float],
    gold: Sequence[Ranking],
    predictions: Sequence[Ranking],
) -> float:
    values = [measure(wanted, found) for wanted, found in zip(gold, predictions, strict=True)]
    return 100 * sum(values) / len(values)
