"""Unlabelled text: a paragraph a line, blank lines between documents."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from xtransfer.data.examples import Rows, TextExample
from xtransfer.data.files import read_lines
from xtransfer.errors import DataError


def read_paragraphs(paths: Sequence[Path], *, first: int | None = None) -> Rows:
    """Return every line that is not blank, with its number as id (and its file's, from the second on).

    `first` is the number of lines to read of each file, None for all.

    Raises:
        DataError: naming file and line, where a line is not UTF-8 or holds a NUL byte, and naming the
            file where none of its lines holds anything.
    """
    examples: list[TextExample] = []
    blank = 0
    for number, path in enumerate(paths):
        prefix = f"{number}:" if number else ""
        before = len(examples)
        for line, text in islice(read_lines(path), first):
            if text.strip():
                examples.append(TextExample(id=f"{prefix}{line}", text=text))
            else:
                blank += 1
        if len(examples) == before:
            raise DataError(str(path), "holds no text", "Write a paragraph a line.")
    return Rows(examples=tuple(examples), skipped={"blank lines": blank} if blank else {})
