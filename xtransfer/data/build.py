"""Rows of a table become examples, by the columns and labels that the task names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from xtransfer.data.checks import (
    LACKS_ANSWER,
    check_answers,
    check_labelled,
    in_place,
    resolve_label,
    unique_ids,
)
from xtransfer.data.columns import Absent, select
from xtransfer.data.examples import (
    ChoiceExample,
    Example,
    PairExample,
    Rows,
    SpanExample,
    TaggingExample,
)
from xtransfer.data.fields import Fields, kind_of
from xtransfer.data.table import Row
from xtransfer.errors import DataError, shown
from xtransfer.tasks.task import NO_ANSWER, FormName, Split, Task


def build_examples(task: Task, rows: Iterable[Row], *, split: Split) -> Rows:
    """Turn rows into examples of the task's form.

    An example's id is its column `id` if the task names one, else the 0-based number of its row.
    Labels may be absent from test rows, of all or of none. Of the hub, a question to train on whose
    answer is not where it says is left out and counted: its loading code strips contexts.

    Raises:
        DataError: naming file and line, for a missing column, a value of the wrong kind, or a label
            that is not the task's.
    """
    if task.form == "tagging":
        return _build_sentences(task, rows, split=split)
    build = _BUILDERS.get(task.form)
    if build is None:
        raise DataError(task.name, f"form '{task.form}' cannot be read from a table")
    examples: list[Example] = []
    unlabelled: list[str] = []
    skipped: Counter[str] = Counter()
    for number, (where, row) in enumerate(rows):
        fields = Fields(where=where, row=row, task=task, number=number, split=split)
        skip = task.source.skip_labels
        label = fields.label(required=split != "test" and "" not in skip)
        if label in skip or (label is None and "" in skip):
            skipped[f"label '{label}'" if label else "no label"] += 1
            continue
        if label is None:
            unlabelled.append(where)
        example = build(fields, label)
        if task.source.hub and split == "train" and not _answers_in_place(example):
            skipped["answer elsewhere in its context"] += 1
            continue
        examples.append(example)
    check_labelled(unlabelled, len(examples))
    return Rows(examples=unique_ids(examples, split=split, where=task.name), skipped=dict(skipped))


def _build_sentences(task: Task, rows: Iterable[Row], *, split: Split) -> Rows:
    """Turn rows into tagged sentences; tokens that the task leaves out are counted, as in CoNLL files."""
    examples: list[TaggingExample] = []
    skipped: Counter[str] = Counter()
    skip = task.source.skip_labels
    for number, (where, row) in enumerate(rows):
        fields = Fields(where=where, row=row, task=task, number=number, split=split)
        tokens, tags = fields.texts("tokens"), fields.names("tags")
        if len(tokens) != len(tags):
            raise DataError(where, f"has {len(tokens)} tokens, but {len(tags)} tags")
        skipped.update(f"token tagged '{tag}'" for tag in tags if tag in skip)
        kept = [(token, tag) for token, tag in zip(tokens, tags, strict=True) if tag not in skip]
        if not kept:
            skipped["sentence without tokens"] += 1
            continue
        examples.append(
            TaggingExample(
                id=fields.id(),
                tokens=tuple(token for token, _ in kept),
                tags=tuple(resolve_label(tag, task, where) for _, tag in kept),
            )
        )
    return Rows(examples=unique_ids(examples, split=split, where=task.name), skipped=dict(skipped))


def _pair(fields: Fields, label: str | None) -> PairExample:
    task = fields.task
    return PairExample(
        id=fields.id(),
        text_a=fields.text("text_a"),
        text_b=fields.text("text_b") if fields.names_column("text_b") else None,
        label=None if label is None else resolve_label(label, task, fields.where),
    )


def _choice(fields: Fields, label: str | None) -> ChoiceExample:
    """Build a choice; the label names an answer by the row's own names of them, or the task's."""
    choices = fields.texts("choices")
    if len(choices) < 2:
        raise DataError(fields.where, f"has {len(choices)} answers to choose from, not 2 or more")
    own = fields.names_column("choice_labels")
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


def _span(fields: Fields, _: str | None) -> SpanExample:
    """Build a question from a flat row.

    Its `answers` holds lists `text` and `answer_start`, as on the hub, or is a list of objects, as in SQuAD's files.
    """
    answers: Any = fields.value("answers")
    if not isinstance(answers, Mapping | list | tuple):
        raise DataError(
            fields.where, f"'answers' is {kind_of(answers)}, neither an object nor a list"
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
            raise DataError(fields.where, f"an 'answer_start' is {kind_of(start)}, not a position")
    given = tuple(
        (fields.as_text(text, "answers"), cast("int", start))
        for text, start in zip(texts, starts, strict=True)
    )
    found = tuple(pair for pair in given if pair[0])  # an empty answer is none, as in SQuAD's JSON
    if not found and fields.split != "test" and NO_ANSWER not in fields.task.labels:
        raise DataError(fields.where, *LACKS_ANSWER)
    context = fields.text("context")
    if fields.split != "test" and not fields.task.source.hub:
        check_answers(found, context, fields.where)
    return SpanExample(
        id=fields.as_name(fields.value("id"), "id"),
        question=fields.text("question"),
        context=context,
        answers=found,
    )


def _answers_in_place(example: Example) -> bool:
    """Say whether every answer is where it says; what is no question has none."""
    return not isinstance(example, SpanExample) or all(
        in_place(text, start, example.context) for text, start in example.answers
    )


_BUILDERS: Mapping[FormName, Callable[[Fields, str | None], Example]] = {
    "classification": _pair,
    "choice": _choice,
    "span": _span,
}
