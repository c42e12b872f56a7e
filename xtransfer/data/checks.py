"""What readers of every format hold examples to: labels of the task, ids of their own, answers in place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from xtransfer.data.examples import Example, SpanExample
from xtransfer.errors import DataError, did_you_mean, shown
from xtransfer.tasks.task import Split, Task

E = TypeVar("E", bound=Example)


def check_labelled(unlabelled: Sequence[str], total: int) -> None:
    """Refuse a split of which only some rows have a label, naming the first that has none."""
    if unlabelled and len(unlabelled) != total:
        raise DataError(
            unlabelled[0],
            f"has no label, like {len(unlabelled)} of {total} rows",
            "All rows of a test set have a label, or none has.",
        )


def unique_ids(examples: Sequence[E], *, split: Split, where: str) -> tuple[E, ...]:
    """Return the examples with unique ids, as predictions are stored by id.

    TyDiQA repeats ids in its training set: the second `x` there becomes `x#2`. Dev and test ids must
    be unique as they are, or scores by the official evaluator would differ.
    """
    taken = {example.id for example in examples}
    if len(taken) == len(examples):
        return tuple(examples)
    seen: Counter[str] = Counter()
    out: list[E] = []
    for example in examples:
        seen[example.id] += 1
        if seen[example.id] == 1:
            out.append(example)
            continue
        if split != "train":
            name = shown(example.id)
            raise DataError(where, f"two examples of split '{split}' have the id '{name}'")
        while (other := f"{example.id}#{seen[example.id]}") in taken:
            seen[example.id] += 1
        taken.add(other)
        out.append(replace(example, id=other))
    return tuple(out)


def check_answered(examples: Sequence[Example], where: str) -> None:
    """Refuse questions of which none has an answer: scored against them every model would get 0."""
    if examples and all(isinstance(each, SpanExample) and not each.answers for each in examples):
        raise DataError(
            where,
            "no question has an answer",
            "XTREME's preparation strips its test files: take the file as its authors publish it.",
        )


LACKS_ANSWER = (
    "has no answer, but every question of this task has one",
    "SQuAD v2.0 is the task squad_v2.",
)
"""What is wrong with a question where the task's scores know none without an answer, and what to do."""


def check_answers(answers: Sequence[tuple[str, int]], context: str, where: str) -> None:
    """Refuse an answer that is not in its context at the character that it names."""
    for text, start in answers:
        if not in_place(text, start, context):
            raise DataError(
                where, f"answer '{shown(text)}' is not at character {start} of its context"
            )


def in_place(text: str, start: int, context: str) -> bool:
    """Say whether a text stands in its context at character `start`, counted from 0."""
    return context[start : start + len(text)] == text


def resolve_label(label: str, task: Task, where: str) -> str:
    """Return the task's label for a label as the file writes it.

    Raises:
        DataError: for a label that the task does not have, with the nearest that it has.
    """
    found = task.source.labels.get(label, label)
    if task.labels and found not in task.labels:
        near = did_you_mean(found, task.labels)
        names = ", ".join(task.labels[:20]) + (", ..." if len(task.labels) > 20 else "")
        next_ = f"{near} Labels: {names}. What files write for one belongs into source.labels."
        raise DataError(where, f"unknown label '{shown(found)}'", next_.strip())
    return found
