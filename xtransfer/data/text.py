"""Unlabelled text: a paragraph a line, blank lines between documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xtransfer.data.examples import Rows, TextExample
from xtransfer.data.files import read_lines


def read_paragraphs(paths: Sequence[Path]) -> Rows:
    """Return every line that is not blank, with its number as id (and its file's, from the second on).

    Raises:
        DataError: naming file and line, where a line is not UTF-8 or holds a NUL byte.
    """
    examples: list[TextExample] = []
    blank = 0
    for number, path in enumerate(paths):
        prefix = f"{number}:" if number else ""
        for line, text in read_lines(path):
            if text.strip():
                examples.append(TextExample(id=f"{prefix}{line}", text=text))
            else:
                blank += 1
    return Rows(examples=tuple(examples), skipped={"blank lines": blank} if blank else {})
