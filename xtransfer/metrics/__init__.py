"""Scores: pure functions of gold and predictions, 0 to 100.

classification    accuracy, and the F1 of a two-way task
tagging           accuracy of words, and the chunk F1 that XTREME reports
entities          F1 of named entities that tags mark
qa                exact match and F1 of answers, by the rules of SQuAD and of MLQA
squad_v2          the same where some questions have no answer
retrieval         sentence retrieval, bitext mining and ranking
tallies           what each example adds to a score
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from xtransfer.errors import DataError
from xtransfer.metrics.classification import accuracy, accuracy_and_f1
from xtransfer.metrics.entities import span_f1
from xtransfer.metrics.qa import mlqa, squad
from xtransfer.metrics.retrieval import map20, mining_f1, mrr20, retrieval_accuracy
from xtransfer.metrics.squad_v2 import squad_v2
from xtransfer.metrics.tagging import tag_scores, word_accuracy

if TYPE_CHECKING:
    from xtransfer.tasks.task import FormName, Task

Metric = Callable[[list[Any], list[Any]], dict[str, float]]

METRICS: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "accuracy_and_f1": accuracy_and_f1,
    "f1": mining_f1,
    "map20": map20,
    "mrr20": mrr20,
    "qa": squad,
    "span_f1": span_f1,
    "xtreme_f1": tag_scores,
}
"""Name of the main score -> the function that computes it and its companions."""

METRICS_OF: Mapping[FormName, tuple[str, ...]] = {
    "classification": ("accuracy", "accuracy_and_f1"),
    "choice": ("accuracy",),
    "tagging": ("accuracy", "xtreme_f1", "span_f1"),
    "span": ("qa", "mlqa", "squad_v2"),
    "bitext": ("accuracy", "f1"),
    "retrieval": ("map20", "mrr20"),
    "mlm": ("loss",),
}
"""Form -> the main scores that a task of it may have."""


def score(
    task: Task,
    gold: Sequence[Any],
    predictions: Sequence[Any],
    *,
    language: str,
    null_threshold: float | None = None,
) -> dict[str, float]:
    """Score a task's predictions in one language.

    Args:
        task: its form and metric choose the function; `task.metric` is among the scores returned.
        gold: one entry an example. classification: a label; choice: the index of the right answer;
            tagging: a list of tags; span: a list of acceptable texts; bitext and
            retrieval: a list of ids.
        predictions: in the same order. A label, an index, a list of tags, a text, an id (of mining
            also None), a list of ids with the best first; of squad_v2 a text with the odds that
            there is none.
        language: of the examples; MLQA has rules of its own for each.
        null_threshold: odds over which squad_v2 answers nothing, as chosen on its dev set; None
            chooses them here, so that is for the dev set alone.

    Raises:
        DataError: where examples have no gold label, or there are none.
        ValueError: where the numbers of gold entries and predictions differ, or no function computes
            the task's metric.
    """
    where = f"{task.name} {language}"
    if not gold:
        raise DataError(where, "there is nothing to score")
    missing = sum(entry is None for entry in gold)
    if missing:
        raise DataError(
            where,
            f"{missing} of {len(gold)} examples have no gold label, so they cannot be scored",
            "XTREME's prepared test files carry none: bring the labelled files.",
        )
    if len(gold) != len(predictions):
        raise ValueError(f"{where}: {len(gold)} gold entries, but {len(predictions)} predictions")
    return _metric_of(task, language, null_threshold)(list(gold), list(predictions))


def _metric_of(task: Task, language: str, null_threshold: float | None) -> Metric:
    if task.metric == "mlqa":
        return partial(mlqa, language=language)
    if task.metric == "squad_v2":
        return partial(squad_v2, null_threshold=null_threshold)
    if task.form == "bitext" and task.metric == "accuracy":
        return retrieval_accuracy
    if task.form == "tagging" and task.metric == "accuracy":
        return word_accuracy
    if task.metric not in METRICS:
        raise ValueError(f"{task.name}: no function computes '{task.metric}'")
    return METRICS[task.metric]
