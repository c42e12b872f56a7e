"""What is in one data set, in a memory that does not grow with the length of its texts."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from xtransfer.data.examples import (
    BitextExample,
    ChoiceExample,
    PairExample,
    Rows,
    SpanExample,
    TaggingExample,
)
from xtransfer.doctor.needs import DataSet
from xtransfer.doctor.texts import WHOLE, digest, exact, is_empty, loose, parts, whole

Digests = npt.NDArray[np.uint64]

SHORTEST_ID = 8
"""Characters. A shorter id of a file may be a running number, which meets others by chance."""
_NOT_COMPARED = "answer"
_DAMAGED = "\ufffd"


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Lengths of inputs, all texts of an example together."""

    median: int
    p99: int
    longest: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """The texts of one kind in a data set, as digests."""

    digests: Digests
    rows: npt.NDArray[np.int64]
    """Of each digest, the number of its row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """One data set in numbers."""

    data: DataSet
    rows: int
    used: int
    """Rows that the experiment's limits leave."""
    skipped: Mapping[str, int]
    labels: Mapping[str, int]
    """Label -> rows, of tagged sentences words."""
    unlabelled: int
    characters: Lengths
    words: Lengths
    """Of white space: a sentence in Chinese, Japanese or Thai is about one."""
    duplicates: int
    """Rows whose input an earlier row has."""
    conflicts: int
    """Rows whose input another row has with another label."""
    empty: int
    """Rows with a text of nothing but white space and invisible characters."""
    damaged: int
    """Rows with U+FFFD, which stands for what could not be decoded."""
    absent: int
    """Questions of which no answer stands in its passage."""
    prefixed: bool
    """Every word begins with the language's code, as in WikiANN's own files."""
    ascending: float
    """Share of English sentences that do not come before the one above them in the alphabet."""
    parts: Mapping[str, Part]
    in_use: npt.NDArray[np.bool_]
    """Of each row, whether the limits leave it."""

    def to_json(self) -> dict[str, Any]:
        """Return what `xtransfer data check --json` prints of the data set."""
        return {
            "task": self.data.name,
            "split": self.data.role,
            "language": self.data.language,
            "files": list(self.data.task.source.files.get(self.data.split, ())),
            "file_split": self.data.split,
            "rows": self.rows,
            "used": self.used,
            "skipped": dict(self.skipped),
            "labels": dict(self.labels),
            "unlabelled": self.unlabelled,
            "characters": vars(self.characters),
            "words": vars(self.words),
            "duplicates": self.duplicates,
            "conflicts": self.conflicts,
            "empty": self.empty,
            "damaged": self.damaged,
            "absent_answers": self.absent,
        }


@dataclass(kw_only=True)
class _Tally:
    characters: array[int] = field(default_factory=lambda: array("Q"))
    words: array[int] = field(default_factory=lambda: array("Q"))
    inputs: array[int] = field(default_factory=lambda: array("Q"))
    golds: array[int] = field(default_factory=lambda: array("Q"))
    digests: dict[str, array[int]] = field(default_factory=dict)
    rows: dict[str, array[int]] = field(default_factory=dict)
    labels: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0
    empty: int = 0
    damaged: int = 0
    absent: int = 0
    bare: int = 0
    """Sentences of which a word does not begin with the language's code."""
    english: list[str] = field(default_factory=list)

    def add(self, part: str, text: str, row: int) -> None:
        self.digests.setdefault(part, array("Q")).append(digest(text))
        self.rows.setdefault(part, array("Q")).append(row)


def survey(data: DataSet, read: Rows) -> Survey:
    """Count what a data set has of the rows that were read from its files.

    Raises:
        DataError: where the rows do not suffice for a held-out dev set.
    """
    available = data.available(read)
    kept = {id(example) for example in data.used(available).examples}
    tally = _Tally()
    for row, example in enumerate(available.examples):
        _add(tally, example, row, data)
    inputs, golds = _array(tally.inputs), _array(tally.golds)
    in_use = np.array([id(example) in kept for example in available.examples], dtype=np.bool_)
    return Survey(
        data=data,
        rows=len(available.examples),
        used=int(in_use.sum()),
        skipped=dict(available.skipped),
        labels=dict(sorted(tally.labels.items())),
        unlabelled=tally.unlabelled,
        characters=_lengths(tally.characters),
        words=_lengths(tally.words),
        duplicates=len(inputs) - len(np.unique(inputs)),
        conflicts=_conflicts(inputs, golds),
        empty=tally.empty,
        damaged=tally.damaged,
        absent=tally.absent,
        prefixed=bool(available.examples) and data.task.form == "tagging" and not tally.bare,
        ascending=_ascending(tally.english),
        parts={
            name: Part(digests=_array(values), rows=_array(tally.rows[name]).astype(np.int64))
            for name, values in tally.digests.items()
        },
        in_use=in_use,
    )


def _add(tally: _Tally, example: Any, row: int, data: DataSet) -> None:
    texts = parts(example)
    plain = [loose(text) for _, text in texts]
    tally.characters.append(sum(len(text) for _, text in texts))
    tally.words.append(sum(len(text.split()) for _, text in texts))
    tally.empty += any(is_empty(text) for _, text in texts)
    tally.damaged += any(_DAMAGED in text for _, text in texts)
    tally.inputs.append(digest(_input(example, texts)))
    for (name, _), text in zip(texts, plain, strict=True):
        if name != _NOT_COMPARED:
            tally.add(name, text, row)
    if len(texts) > 1:
        tally.add(WHOLE, whole(plain), row)
    if ("id" in data.task.source.columns or data.task.form == "span") and (
        len(example.id) >= SHORTEST_ID
    ):
        tally.add("id", example.id, row)
    labels, gold = _gold(example, data)
    tally.labels.update(labels)
    tally.unlabelled += gold is None
    tally.golds.append(digest(gold or ""))
    if isinstance(example, SpanExample) and example.answers:
        tally.absent += not any(text in example.context for text, _ in example.answers)
    if isinstance(example, TaggingExample):
        tally.bare += any(not token.startswith(f"{data.language}:") for token in example.tokens)
    if isinstance(example, BitextExample) and example.side == "english":
        tally.english.append(plain[0])


def _input(example: Any, texts: Sequence[tuple[str, str]]) -> str:
    """Return what two rows that are duplicates have in common; of bitext, the side belongs to it."""
    side = getattr(example, "side", "")
    question = getattr(example, "question", "")
    return "\x1f".join([side, exact(question), *(exact(text) for _, text in texts)])


def _gold(example: Any, data: DataSet) -> tuple[list[str], str | None]:
    """Return the labels to count, and what two duplicates must agree in; None without a label."""
    match example:
        case PairExample():
            return [example.label] if example.label is not None else [], example.label
        case ChoiceExample():
            if example.label is None:
                return [], None
            names = data.task.labels
            named = names[example.label] if example.label < len(names) else str(example.label)
            return [named], exact(example.choices[example.label])
        case TaggingExample():
            tags = example.tags
            return list(tags or ()), None if tags is None else "\t".join(tags)
        case SpanExample():
            answers = "\x1f".join(sorted({exact(text) for text, _ in example.answers}))
            return ["answered" if example.answers else "no answer"], answers
        case _:
            return [], ""


def _conflicts(inputs: Digests, golds: Digests) -> int:
    """Return the number of rows whose input stands elsewhere with another label."""
    if not len(inputs):
        return 0
    pairs = np.unique(np.stack([inputs, golds], axis=1), axis=0)
    several, counts = np.unique(pairs[:, 0], return_counts=True)
    return int(np.isin(inputs, several[counts > 1]).sum())


def _lengths(values: array[int]) -> Lengths:
    if not values:
        return Lengths(median=0, p99=0, longest=0)
    numbers = np.asarray(_array(values), dtype=np.int64)
    median, p99 = np.percentile(numbers, (50, 99), method="inverted_cdf")
    return Lengths(median=int(median), p99=int(p99), longest=int(numbers.max()))


def _ascending(sentences: Sequence[str]) -> float:
    if len(sentences) < 2:
        return 0.0
    return sum(first <= second for first, second in pairwise(sentences)) / (len(sentences) - 1)


def _array(values: array[int]) -> Digests:
    return np.frombuffer(values, dtype=np.uint64) if values else np.zeros(0, dtype=np.uint64)
