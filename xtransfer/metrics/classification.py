"""Accuracy, and the F1 of a two-way task."""

from __future__ import annotations

from collections.abc import Sequence

POSITIVE = "1"
"""The label whose F1 `accuracy_and_f1` takes."""


def accuracy(gold: Sequence[object], predictions: Sequence[object]) -> dict[str, float]:
    """Return `accuracy`, the percentage of predictions that equal their gold label."""
    right = sum(label == found for label, found in zip(gold, predictions, strict=True))
    return {"accuracy": right / len(gold) * 100}


def accuracy_and_f1(
    gold: Sequence[str], predictions: Sequence[str], *, positive: str = POSITIVE
) -> dict[str, float]:
    """Return `accuracy_and_f1` and what it is the mean of, `accuracy` and `f1`, in percent.

    F1 is of the label `positive`, as are `precision` and `recall`. GLUE reports accuracy and F1 of
    QQP and takes their mean where a task must have one score. Where nothing is found or nothing is to
    be found, the undefined ratio counts as 0 (scikit-learn's convention).
    """
    pairs = list(zip(gold, predictions, strict=True))
    hits = sum(label == found == positive for label, found in pairs)
    scores = {
        **accuracy(gold, predictions),
        **f1_of_counts(hits, wanted=gold.count(positive), found=predictions.count(positive)),
    }
    return {"accuracy_and_f1": (scores["accuracy"] + scores["f1"]) / 2, **scores}


def f1_of_counts(hits: int, *, wanted: int, found: int) -> dict[str, float]:
    """Return `f1`, `precision` and `recall`, in percent, from numbers of items; 0 where undefined."""
    precision = hits / found if found else 0.0
    recall = hits / wanted if wanted else 0.0
    score = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"f1": 100 * score, "precision": 100 * precision, "recall": 100 * recall}
