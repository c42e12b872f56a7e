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
from xtransfer.errors import DataError, did_you_mean, shown
from xtransfer.tasks.task import FormName, Split, Task

E = TypeVar("E", bound=Example)


def build_examples(task: Task, rows: Iterable[Row], *, split: Split) -> Rows:
    """Turn rows into examples of the task's form.

    An example's id is its column `id` if the task names one, else the 0-based number of its row.
    Labels may be absent from test rows, of all or of none. Of the hub, a question to train on whose
    answer is not where it says is left out and counted: its loading code strips contexts.

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
        fields = _Fields(where=where, row=row, task=task, number=number, split=split)
        skip = task.source.skip_labels
        label = fields.label(required=split != "test" and "" not in skip)
        if label in skip or (label is None and "" in skip):
            skipped[f"label '{label}'" if label else "no label"] += 1
            continue
        if label is None:
            unlabelled.append(where)
        example = build(fields, label)
        if task.source.hub and split == "train" and not _in_place(example):
            skipped["answer elsewhere in its context"] += 1
            continue
        examples.append(example)
    check_labelled(unlabelled, len(examples))
    if split == "test":
        check_answered(examples, task.name)
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


def check_answers(answers: Sequence[tuple[str, int]], context: str, where: str) -> None:
    """Refuse an answer that is not in its context at the character that it names."""
    for text, start in answers:
        if context[start : start + len(text)] != text:
            raise DataError(
                where, f"answer '{shown(text)}' is not at character {start} of its context"
            )


def resolve_label(label: str, task: Task, where: str) -> str:
    """Return the task's label for a label as the file writes it.

    Raises:
        DataError: for a label that the task does not have, with the nearest that it has.
    """
    found = task.source.labels.get(label, label)
    if task.labels and found not in task.labels:
        near = did_you_mean(found, task.labels)
        names = ", ".join(task.labels[:20]) + (", ..." if len(task.labels) > 20 else "")
        raise DataError(
            where, f"unknown label '{shown(found)}'", f"{near} Labels: {names}.".strip()
        )
    return found


class _Fields:
    """One row with its place, read by the names of `Source.columns`."""

    def __init__(
        self, *, where: str, row: Mapping[str, Any], task: Task, number: int, split: Split
    ) -> None:
        self.where = where
        self.split = split
        self.row = row
        self.task = task
        self.number = number

    def label(self, *, required: bool) -> str | None:
        """Return the label as the file writes it; None where there is none, "" where none is due."""
        if self.task.form in {"span", "tagging"}:
            return ""
        value = self.value("label", optional=not required)
        if value in (None, ""):
            if required:
                column = self.task.source.columns.get("label", "label")
                raise DataError(self.where, "has no label", f"Its column is '{column}'.")
            return None
        return self.as_name(value, "label")

    def id(self) -> str:
        if "id" not in self.task.source.columns:
            return str(self.number)
        return self.as_name(self.value("id"), "id")

    def text(self, name: str, *, default: str | None = None) -> str:
        if name not in self.task.source.columns and default is not None:
            return default
        return self.as_text(self.value(name), name)

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self.as_text(item, name) for item in self.items(name))

    def names(self, name: str) -> tuple[str, ...]:
        return tuple(self.as_name(item, name) for item in self.items(name))

    def items(self, name: str) -> Sequence[Any]:
        value = self.value(name)
        if not isinstance(value, list | tuple):
            raise DataError(self.where, f"'{name}' is {_kind(value)}, not a list of texts")
        return cast("Sequence[Any]", value)

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
                f"Its columns: {shown(', '.join(self.row), most=200)}.",
            ) from None

    def as_text(self, value: Any, name: str) -> str:
        if isinstance(value, str):
            return value
        raise DataError(self.where, f"'{name}' is {_kind(value)}, not text")

    def as_name(self, value: Any, name: str) -> str:
        """Return an id or a label, which some publishers write as a number or as true and false."""
        if isinstance(value, bool) and name in ("label", "tags"):
            return "true" if value else "false"
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.as_text(value, name)


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
    names = fields.names("choice_labels") if own else fields.task.labels[: len(choices)]
    if len(names) != len(choices) or len(set(names)) != len(names):
        listed = shown(", ".join(names))
        raise DataError(fields.where, f"has {len(choices)} answers, but named {listed}")
    right: int | None = None
    if label is not None:
        found = resolve_label(label, fields.task, fields.where)
        if found not in names:
            message = f"label '{shown(found)}' is none of its answers' names"
            raise DataError(fields.where, message)
        right = names.index(found)
    return ChoiceExample(
        id=fields.id(),
        context=fields.text("context", default=""),
        question=fields.text("question", default=""),
        choices=choices,
        label=right,
    )


def _tagging(fields: _Fields, _: str | None) -> TaggingExample:
    tokens, tags = fields.texts("tokens"), fields.names("tags")
    if len(tokens) != len(tags):
        raise DataError(fields.where, f"has {len(tokens)} tokens, but {len(tags)} tags")
    found = tuple(resolve_label(tag, fields.task, fields.where) for tag in tags)
    return TaggingExample(id=fields.id(), tokens=tokens, tags=found)


def _span(fields: _Fields, _: str | None) -> SpanExample:
    """Build a question from a flat row.

    Its `answers` holds lists `text` and `answer_start`, as on the hub, or is a list of objects, as in SQuAD's files.
    """
    answers: Any = fields.value("answers")
    if not isinstance(answers, Mapping | list | tuple):
        raise DataError(
            fields.where, f"'answers' is {_kind(answers)}, neither an object nor a list"
        )
    try:
        inside = "" if isinstance(answers, Mapping) else "[]"
        texts, starts = (
            select({"answers": answers}, f"answers{inside}.{name}")
            for name in ("text", "answer_start")
        )
    except Absent:
        texts = starts = None
    if not isinstance(texts, list | tuple) or not isinstance(starts, list | tuple):
        raise DataError(fields.where, "'answers' lacks a list 'text' or 'answer_start'")
    texts, starts = cast("Sequence[Any]", texts), cast("Sequence[Any]", starts)
    if len(texts) != len(starts):
        raise DataError(fields.where, "'text' and 'answer_start' of its 'answers' differ in length")
    for start in starts:
        if not isinstance(start, int) or isinstance(start, bool) or start < 0:
            raise DataError(fields.where, f"an 'answer_start' is {_kind(start)}, not a position")
    found = tuple(
        (fields.as_text(text, "answers"), cast("int", start))
        for text, start in zip(texts, starts, strict=True)
    )
    context = fields.text("context")
    if fields.split != "test" and not fields.task.source.hub:
        check_answers(found, context, fields.where)
    return SpanExample(
        id=fields.as_name(fields.value("id"), "id"),
        question=fields.text("question"),
        context=context,
        answers=found,
    )


def _in_place(example: Example) -> bool:
    """Say whether every answer is where it says; what is no question has none."""
    return not isinstance(example, SpanExample) or all(
        example.context[start : start + len(text)] == text for text, start in example.answers
    )


_BUILDERS: Mapping[FormName, Callable[[_Fields, str | None], Example]] = {
    "classification": _pair,
    "choice": _choice,
    "tagging": _tagging,
    "span": _span,
}


def _kind(value: Any) -> str:
    """Name the kind of a JSON value, a number with what it is."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return f"the {type(value).__name__} {shown(str(value))}"
    return f"a {type(value).__name__}"
