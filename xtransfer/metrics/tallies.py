"""What each example adds to a score: numbers whose sums over examples give it.

The score of any set of examples, a bootstrap resample too, then follows from sums alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from xtransfer.metrics import score
from xtransfer.metrics.classification import POSITIVE
from xtransfer.metrics.entities import entities
from xtransfer.metrics.tagging import chunks

if TYPE_CHECKING:
    from xtransfer.tasks.task import Task

Array = npt.NDArray[np.float64]
Formula = Literal["mean", "f1", "accuracy_and_f1"]


@dataclass(frozen=True, kw_only=True)
class Tallies:
    """What the examples of one test set add to the main score of one system."""

    values: Array
    """[examples, sums]"""
    formula: Formula
    """mean: points and count; f1: hits, wanted, found; accuracy_and_f1: both, points first."""


def tally(
    task: Task,
    gold: Sequence[Any],
    predictions: Sequence[Any],
    *,
    language: str,
    null_threshold: float | None = None,
) -> Tallies:
    """Return what each example adds to the task's main score; arguments are those of `score`.

    Raises:
        DataError: as `score` does.
    """
    pairs = list(zip(gold, predictions, strict=True))
    if task.metric == "f1":
        return Tallies(values=_mined(pairs), formula="f1")
    if task.metric == "accuracy_and_f1":
        return Tallies(values=_two_way(pairs), formula="accuracy_and_f1")
    if task.metric in ("xtreme_f1", "span_f1"):
        return Tallies(values=_spans(task.metric, pairs), formula="f1")
    if task.form == "tagging":
        words = [
            (sum(tag == found for tag, found in zip(tags, other, strict=True)), len(tags))
            for tags, other in pairs
        ]
        return Tallies(values=np.array(words, dtype=float), formula="mean")
    # The mean of what each example scores by itself.
    points = [
        score(task, [right], [found], language=language, null_threshold=null_threshold)[task.metric]
        for right, found in pairs
    ]
    values = np.column_stack([np.array(points) / 100, np.ones(len(points))])
    return Tallies(values=values, formula="mean")


def score_of(formula: Formula, sums: Array) -> Array:
    """Return the scores, 0 to 100, that follow from sums [..., sums]; 0 where undefined."""
    if formula == "mean":
        return 100 * _ratio(sums[..., 0], sums[..., 1])
    if formula == "f1":
        return 200 * _ratio(sums[..., 0], sums[..., 1] + sums[..., 2])
    return (score_of("mean", sums[..., :2]) + score_of("f1", sums[..., 2:])) / 2


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _mined(pairs: Sequence[tuple[Any, Any]]) -> Array:
    rows = [(found in right, len(set(right)), found is not None) for right, found in pairs]
    return np.array(rows, dtype=float)


def _two_way(pairs: Sequence[tuple[Any, Any]], positive: str = POSITIVE) -> Array:
    rows = [
        (right == found, 1, right == found == positive, right == positive, found == positive)
        for right, found in pairs
    ]
    return np.array(rows, dtype=float)


def _spans(metric: str, pairs: Sequence[tuple[Any, Any]]) -> Array:
    """Count spans sentence by sentence: none crosses the end of one."""
    rows: list[tuple[int, int, int]] = []
    for right, found in pairs:
        if metric == "xtreme_f1":
            wanted, other = set(chunks([right])), set(chunks([found]))
        else:
            wanted, other = set(entities(right)), set(entities(found))
        rows.append((len(wanted & other), len(wanted), len(other)))
    return np.array(rows, dtype=float)
