"""Rows of a table become examples, by the columns and labels that the task names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from xtransfer.data.columns import Absent, select
from xtransfer.data.examples import (
    ChoiceExample,
    Example,
    PairExample,
    Rows,
    SpanExample,
    TaggingExample,
)
from xtransfer.data.table import Row
from xtransfer.errors import DataError, did_you_mean
from xtransfer.tasks.task import FormName, Split, Task

E = TypeVar("E", bound=Example)


def build_examples(task: Task, rows: Iterable[Row], *, split: Split) -> Rows:
    """Turn rows into examples of the task's form.

    An example's id is its column `id` if the task names one, else the 0-based number of its row.
    Labels may be absent from test rows, of all or of none.

    Raises:
        DataError: naming file and line, for a missing column, a value of the wrong kind, or a label
            that is not the task's.
    """
    build = _BUILDERS.get(task.form)
    if build is None:
        raise DataError(task.name, f"form '{task.form}' cannot be read from a table")
    examples: list[Example] = []
    unlabelled: list[str] = []
    skipped: Counter[str] = Counter()
    for number, (where, row) in enumerate(rows):
        fields = _Fields(where=where, row=row, task=task, number=number)
        label = fields.label(required=split != "test")
        if label in task.source.skip_labels:
            skipped[f"label '{label}'"] += 1
            continue
        if label is None:
            unlabelled.append(where)
        examples.append(build(fields, label))
    check_labelled(unlabelled, len(examples))
    return Rows(examples=unique_ids(examples, split=split, where=task.name), skipped=dict(skipped))


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
    seen: Counter[str] = Counter()
    out: list[E] = []
    for example in examples:
        seen[example.id] += 1
        count = seen[example.id]
        if count > 1 and split != "train":
            raise DataError(where, f"two examples of split '{split}' have the id '{example.id}'")
        out.append(example if count == 1 else replace(example, id=f"{example.id}#{count}"))
    return tuple(out)


def resolve_label(label: str, task: Task, where: str) -> str:
    """Return the task's label for a label as the file writes it.

    Raises:
        DataError: for a label that the task does not have, with the nearest that it has.
    """
    found = task.source.labels.get(label, label)
    if task.labels and found not in task.labels:
        near = did_you_mean(found, task.labels)
        shown = ", ".join(task.labels[:20]) + (", ..." if len(task.labels) > 20 else "")
        raise DataError(where, f"unknown label '{found}'", f"{near} Labels: {shown}.".strip())
    return found


class _Fields:
    """One row with its place, read by the names of `Source.columns`."""

    def __init__(self, *, where: str, row: Mapping[str, Any], task: Task, number: int) -> None:
        self.where = where
        self.row = row
        self.task = task
        self.number = number

    def label(self, *, required: bool) -> str | None:
        """Return the label as the file writes it; None where there is none, "" where none is due."""
        if self.task.form in {"span", "tagging"}:
            return ""
        column = self.task.source.columns.get("label")
        value = None if column is None else self.value("label", optional=not required)
        if value is None and required:
            raise DataError(self.where, "has no label", f"Its column is '{column}'.")
        return None if value is None else self.as_text(value, "label")

    def id(self) -> str:
        return self.text("id", default=str(self.number))

    def text(self, name: str, *, default: str | None = None) -> str:
        if name not in self.task.source.columns and default is not None:
            return default
        return self.as_text(self.value(name), name)

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.value(name)
        if not isinstance(value, list | tuple):
            raise DataError(self.where, f"'{name}' is {_shown(value)}, not a list of texts")
        return tuple(self.as_text(item, name) for item in cast("Sequence[Any]", value))

    def value(self, name: str, *, optional: bool = False) -> Any:
        column = self.task.source.columns.get(name, name)
        try:
            return select(self.row, column)
        except Absent as absent:
            if optional:
                return None
            raise DataError(
                self.where,
                f"has no column '{absent}' (for '{name}' of task '{self.task.name}')",
                f"Its columns: {', '.join(self.row)}.",
            ) from None

    def as_text(self, value: Any, name: str) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise DataError(self.where, f"'{name}' is {_shown(value)}, not text")


def _pair(fields: _Fields, label: str | None) -> PairExample:
    task = fields.task
    return PairExample(
        id=fields.id(),
        text_a=fields.text("text_a"),
        text_b=fields.text("text_b") if "text_b" in task.source.columns else None,
        label=None if label is None else resolve_label(label, task, fields.where),
    )


def _choice(fields: _Fields, label: str | None) -> ChoiceExample:
    """Build a choice; the label names an answer by the row's own names of them, or the task's."""
    choices = fields.texts("choices")
    if len(choices) < 2:
        raise DataError(fields.where, f"has {len(choices)} answers to choose from, not 2 or more")
    own = "choice_labels" in fields.task.source.columns
    names = fields.texts("choice_labels") if own else fields.task.labels[: len(choices)]
    if len(names) != len(choices) or len(set(names)) != len(names):
        raise DataError(fields.where, f"{len(choices)} answers, but named {', '.join(names)}")
    right: int | None = None
    if label is not None:
        found = resolve_label(label, fields.task, fields.where)
        if found not in names:
            raise DataError(fields.where, f"label '{found}' is none of its answers' names")
        right = names.index(found)
    return ChoiceExample(
        id=fields.id(),
        context=fields.text("context", default=""),
        question=fields.text("question", default=""),
        choices=choices,
        label=right,
    )


def _tagging(fields: _Fields, _: str | None) -> TaggingExample:
    tokens, tags = fields.texts("tokens"), fields.texts("tags")
    if len(tokens) != len(tags):
        raise DataError(fields.where, f"has {len(tokens)} tokens, but {len(tags)} tags")
    found = tuple(resolve_label(tag, fields.task, fields.where) for tag in tags)
    return TaggingExample(id=fields.id(), tokens=tokens, tags=found)


def _span(fields: _Fields, _: str | None) -> SpanExample:
    """Build a question from a flat row whose `answers` holds lists `text` and `answer_start`."""
    answers = fields.value("answers")
    if not isinstance(answers, Mapping):
        raise DataError(fields.where, f"'answers' is {_shown(answers)}, not an object")
    lists = cast("Mapping[str, Sequence[Any]]", answers)
    texts, starts = lists.get("text"), lists.get("answer_start")
    if texts is None or starts is None or len(texts) != len(starts):
        raise DataError(fields.where, "'answers' lacks 'text' or 'answer_start', or they differ")
    return SpanExample(
        id=fields.text("id"),
        question=fields.text("question"),
        context=fields.text("context"),
        answers=tuple((str(text), int(start)) for text, start in zip(texts, starts, strict=True)),
    )


_BUILDERS: Mapping[FormName, Callable[[_Fields, str | None], Example]] = {
    "classification": _pair,
    "choice": _choice,
    "tagging": _tagging,
    "span": _span,
}


def _shown(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
