"""What the file of a task holds: its name, how it is read, and how it is written.

The formats are those that google-research/xtreme, evaluate.py, reads. It reads no file of LAReQA, for
which the form of Mewsli-X is taken: `{question id: [candidate ids, best first]}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtransfer.benchmark.lines import (
    read_choices,
    read_indices,
    read_labels,
    read_pairs,
    read_tags,
    write_choices,
    write_lines,
    write_pairs,
    write_tags,
)
from xtransfer.benchmark.objects import (
    read_answers,
    read_rankings,
    write_object,
    write_questions,
)
from xtransfer.tasks.task import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """One kind of file; entries are written in the order that they are given in."""

    extension: str
    read: Callable[[Task, Path, Path], tuple[list[Any], list[Any]]]
    """Task, label file and prediction file -> gold entries and predictions, for the metrics."""
    write_predictions: Callable[[Sequence[str], Sequence[Any]], str]
    """Ids and predictions, as an evaluate step records them -> text."""
    write_labels: Callable[[Sequence[str], Sequence[Any]], str]
    """Ids and gold entries, as a prepare step records them -> text."""
    sorted_by_text: bool = False
    """Whether XTREME sorts the examples by their text, and labels them in that order."""


def format_of(task: Task) -> Format:
    """Return the format of a task's files."""
    if task.form == "bitext":
        return _PAIRS if task.metric == "f1" else _INDICES
    return _FORMATS[task.form]


def file_name(task: Task, language: str) -> str:
    """Return the name of one language's file below the folder of predictions or of labels."""
    return f"{task.name}/test-{language}.{format_of(task).extension}"


def _mined(ids: Sequence[str], found: Sequence[str | None]) -> str:
    return write_pairs(
        (source, target) for source, target in zip(ids, found, strict=True) if target is not None
    )


def _aligned(ids: Sequence[str], gold: Sequence[Sequence[str]]) -> str:
    return write_pairs(
        (source, target) for source, matches in zip(ids, gold, strict=True) for target in matches
    )


_INDICES = Format(
    extension="tsv",
    read=lambda _, labels, predictions: read_indices(labels, predictions),
    write_predictions=lambda _, found: write_lines(found),
    write_labels=lambda _, gold: write_lines(matches[0] for matches in gold),
    sorted_by_text=True,
)
_PAIRS = Format(
    extension="tsv",
    read=lambda _, labels, predictions: read_pairs(labels, predictions),
    write_predictions=_mined,
    write_labels=_aligned,
)
_FORMATS: Mapping[str, Format] = {
    "classification": Format(
        extension="tsv",
        read=read_labels,
        write_predictions=lambda _, found: write_lines(found),
        write_labels=lambda _, gold: write_lines(gold),
    ),
    "choice": Format(
        extension="jsonl",
        read=read_choices,
        write_predictions=lambda _, found: write_choices(found),
        write_labels=lambda _, gold: write_choices(gold),
    ),
    "tagging": Format(
        extension="tsv",
        read=read_tags,
        write_predictions=lambda _, found: write_tags(found),
        write_labels=lambda _, gold: write_tags(gold),
    ),
    "span": Format(
        extension="json",
        read=lambda _, labels, predictions: read_answers(labels, predictions),
        write_predictions=lambda ids, found: write_object(dict(zip(ids, found, strict=True))),
        write_labels=lambda ids, gold: write_questions(list(zip(ids, gold, strict=True))),
    ),
    "retrieval": Format(
        extension="json",
        read=read_rankings,
        write_predictions=lambda ids, found: write_object(dict(zip(ids, found, strict=True))),
        write_labels=lambda ids, gold: write_object(dict(zip(ids, gold, strict=True))),
    ),
}
