"""Files with one entry a line: labels, indices, tags, choices and pairs.

Every reader takes the label file and the prediction file of one language and returns gold entries and
predictions as `xtransfer.metrics.score` takes them. White space around a line does not count, as in
the official evaluate.py, nor does the kind of line end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from xtransfer.data.files import read_lines
from xtransfer.errors import DataError, did_you_mean, shown
from xtransfer.tasks.task import Task

Line = tuple[str, str]
"""Where it is, as `file:number`, and what it says."""


def read_labels(task: Task, labels: Path, predictions: Path) -> tuple[list[str], list[str]]:
    """Read files of one label a line.

    Raises:
        DataError: naming file and line, for a label that the task does not have; naming the file
            where the numbers of lines differ.
    """
    gold, found = _lines(labels), _lines(predictions)
    _same_count(gold, found, labels, predictions, "lines")
    return [_label(line, task) for line in gold], [_label(line, task) for line in found]


def read_indices(labels: Path, predictions: Path) -> tuple[list[list[str]], list[str]]:
    """Read files of one 0-based index of a foreign sentence a line (Tatoeba); raises as above."""
    gold, found = _lines(labels), _lines(predictions)
    _same_count(gold, found, labels, predictions, "lines")
    return [[_index(line)] for line in gold], [_index(line) for line in found]


def read_choices(task: Task, labels: Path, predictions: Path) -> tuple[list[int], list[int]]:
    """Read JSON lines whose `label` is the 0-based index of an answer (XCOPA); raises as above."""
    gold, found = _lines(labels), _lines(predictions)
    _same_count(gold, found, labels, predictions, "lines")
    return [_choice(line, task) for line in gold], [_choice(line, task) for line in found]


def read_tags(
    task: Task, labels: Path, predictions: Path
) -> tuple[list[list[str]], list[list[str]]]:
    """Read files of one tag a line, an empty line after each sentence.

    Raises:
        DataError: naming file and line, for a tag that the task does not have or a sentence of
            another length; naming the file where the numbers of sentences differ.
    """
    gold, found = _sentences(labels), _sentences(predictions)
    _same_count(gold, found, labels, predictions, "sentences")
    for (right, tags), (where, others) in zip(gold, found, strict=True):
        if len(tags) != len(others):
            raise DataError(
                where,
                f"its sentence has {len(others)} tags, but that of {right} has {len(tags)}",
                "Write one tag for each word, and one empty line between two sentences.",
            )
    return (
        [[_label(tag, task) for tag in tags] for _, tags in gold],
        [[_label(tag, task) for tag in tags] for _, tags in found],
    )


def read_pairs(labels: Path, predictions: Path) -> tuple[list[list[str]], list[str | None]]:
    """Read files of `foreign id<TAB>English id` (BUCC), of which the prediction file may be empty.

    Returns an entry for each pair that either file has, once, however often it is repeated.

    Raises:
        DataError: naming file and line, for a line that is no such pair; naming the label file where
            it is empty.
    """
    gold = dict.fromkeys(_pair(line) for line in _lines(labels))
    found = dict.fromkeys(_pair(line) for line in _lines(predictions))
    if not gold:
        raise DataError(str(labels), "holds no pairs", "It must hold the gold alignment.")
    every = gold | found
    return (
        [[pair[1]] if pair in gold else [] for pair in every],
        [pair[1] if pair in found else None for pair in every],
    )


def write_lines(entries: Iterable[str]) -> str:
    """Return one entry a line."""
    return "".join(f"{entry}\n" for entry in entries)


def write_tags(sentences: Sequence[Sequence[str]]) -> str:
    """Return one tag a line and an empty line between two sentences."""
    return "\n".join(write_lines(tags) for tags in sentences)


def write_choices(labels: Sequence[int]) -> str:
    """Return JSON lines `{"label": index}`."""
    return write_lines(json.dumps({"label": label}) for label in labels)


def write_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """Return one `foreign id<TAB>English id` a line."""
    return write_lines("\t".join(pair) for pair in pairs)


def _lines(path: Path) -> list[Line]:
    lines = list(read_lines(path))
    if len(lines) == 1:  # lines may end with a carriage return alone, too
        lines = list(enumerate(lines[0][1].split("\r"), 1))
    return [(f"{path}:{number}", text.strip()) for number, text in lines]


def _same_count(
    gold: Sequence[tuple[str, Any]],
    found: Sequence[tuple[str, Any]],
    labels: Path,
    predictions: Path,
    what: str,
) -> None:
    if not gold:
        raise DataError(str(labels), "is empty", "It must hold the gold labels.")
    if len(gold) != len(found):
        last = found[-1][0] if found else str(predictions)
        raise DataError(
            last,
            f"the last of {len(found):,} {what}, but {labels} has {len(gold):,}",
            "Predict every example of the test set once, in its order.",
        )


def _label(line: Line, task: Task) -> str:
    where, text = line
    if text in task.labels:
        return text
    what = f"unknown label '{shown(text)}'" if text else "the line is empty"
    near = did_you_mean(text, task.labels)
    known = ", ".join(task.labels)
    raise DataError(where, what, f"{near} Write one of: {known}.".strip())


def _index(line: Line) -> str:
    where, text = line
    if text.isascii() and text.isdecimal():
        return text
    raise DataError(
        where,
        f"'{shown(text)}' is no line number",
        "Write the 0-based line of the foreign sentence that was found.",
    )


def _choice(line: Line, task: Task) -> int:
    where, text = line
    known = range(len(task.labels))
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(where, f"not valid JSON ({error})", 'Write {"label": 0}.') from None
    label = cast("dict[str, Any]", row).get("label") if isinstance(row, dict) else None
    if type(label) is not int or label not in known:
        either = " or ".join(map(str, known))
        raise DataError(where, f"has no 'label' that is {either}", 'Write {"label": 0}.')
    return label


def _sentences(path: Path) -> list[tuple[str, list[Line]]]:
    """Return each sentence with where it begins.

    Two empty lines in a row are a sentence without words, as the official evaluate.py has it: what
    follows would otherwise be compared with its neighbour.
    """
    sentences: list[tuple[str, list[Line]]] = []
    tags: list[Line] = []
    for line in _lines(path):
        if line[1]:
            tags.append(line)
            continue
        sentences.append((tags[0][0] if tags else line[0], tags))
        tags = []
    if tags:
        sentences.append((tags[0][0], tags))
    return sentences


def _pair(line: Line) -> tuple[str, str]:
    where, text = line
    source, tab, target = text.partition("\t")
    if not (source and tab and target) or "\t" in target:
        raise DataError(
            where, f"'{shown(text)}' is not `foreign id<TAB>English id`", "Write such a pair."
        )
    if source.startswith("en-") and not target.startswith("en-"):
        raise DataError(where, "the English id stands first", "Write the foreign id first.")
    return source, target
