from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xtransfer.metrics import score
from xtransfer.metrics.tallies import Formula, score_of, tally
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Task

TEXTS = ("the dog", "a dog", "Der Hund.", "北京 2008", "old tree", "")
EXAMPLES = 40


def chunked(chance: random.Random, task: Task) -> tuple[Any, Any]:
    gold = chance.choices(task.labels, k=chance.randrange(1, 9))
    return gold, [tag if chance.random() < 0.6 else chance.choice(task.labels) for tag in gold]


def answered(chance: random.Random, _: Task) -> tuple[Any, Any]:
    return chance.sample(TEXTS[:-1], k=2), chance.choice(TEXTS)


def labelled(chance: random.Random, task: Task) -> tuple[Any, Any]:
    labels = task.labels or ("0", "1")
    return chance.choice(labels), chance.choice(labels)


def mined(chance: random.Random, _: Task) -> tuple[Any, Any]:
    names = ["a", "b", "c"]
    return chance.sample(names, k=chance.randrange(3)), chance.choice([*names, None])


def found(chance: random.Random, _: Task) -> tuple[Any, Any]:
    names = ["a", "b", "c"]
    return chance.sample(names, k=1), chance.choice(names)


def ranked(chance: random.Random, _: Task) -> tuple[Any, Any]:
    names = [f"q{at}" for at in range(9)]
    return chance.sample(names, k=2), chance.sample(names, k=6)


def perhaps_answered(chance: random.Random, task: Task) -> tuple[Any, Any]:
    gold, text = answered(chance, task)
    found_ = {"text": text or "x", "null_odds": chance.uniform(-1, 1)}
    return ([] if chance.random() < 0.4 else gold), found_


CASES: list[tuple[str, Formula, Callable[[random.Random, Task], tuple[Any, Any]]]] = [
    ("xnli", "mean", labelled),
    ("qqp", "accuracy_and_f1", labelled),
    ("udpos", "f1", chunked),
    ("panx", "f1", chunked),
    ("ccg", "mean", chunked),
    ("xquad", "mean", answered),
    ("mlqa", "mean", answered),
    ("squad_v2", "mean", perhaps_answered),
    ("tatoeba", "mean", found),
    ("bucc2018", "f1", mined),
    ("lareqa", "mean", ranked),
    ("mewslix", "mean", ranked),
]


@pytest.mark.parametrize(("name", "formula", "make"), CASES, ids=[case[0] for case in CASES])
def test_the_score_of_any_resample_follows_from_sums(
    name: str, formula: Formula, make: Callable[[random.Random, Task], tuple[Any, Any]]
) -> None:
    task = TASKS[name]
    if name == "ccg":
        task = task.model_copy(update={"labels": ("N", "NP", "S/NP")})
    chance = random.Random(name)
    gold, predictions = zip(*(make(chance, task) for _ in range(EXAMPLES)), strict=True)
    threshold = 0.1 if name == "squad_v2" else None
    tallies = tally(task, gold, predictions, language="de", null_threshold=threshold)
    assert tallies.formula == formula
    assert len(tallies.values) == EXAMPLES
    for _ in range(20):
        drawn = chance.choices(range(EXAMPLES), k=EXAMPLES)
        again = score(
            task,
            [gold[at] for at in drawn],
            [predictions[at] for at in drawn],
            language="de",
            null_threshold=threshold,
        )
        found_ = float(score_of(formula, tallies.values[drawn].sum(axis=0)))
        assert found_ == pytest.approx(again[task.metric], abs=1e-9)
        assert 0 < found_ < 100


def test_an_undefined_ratio_is_nought() -> None:
    assert score_of("f1", np.zeros((2, 3))).tolist() == [0.0, 0.0]
    assert score_of("mean", np.zeros(2)) == 0.0
