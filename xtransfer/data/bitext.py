"""Bilingual sentences: two line-parallel files (Tatoeba as LASER publishes it), or a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from xtransfer.data.examples import BitextExample, Rows
from xtransfer.data.files import not_empty, read_lines
from xtransfer.data.table import Row
from xtransfer.errors import DataError
from xtransfer.tasks.task import Task


def read_bitext(foreign: Path, english: Path) -> Rows:
    """Return all foreign sentences, then all English ones; line n of one side matches line n.

    XTREME's preparation sorts the English file, so its pair of files is not parallel: give LASER's.

    Raises:
        DataError: where a file is empty, or they have different numbers of lines.
    """
    sides = {
        "foreign": [line for _, line in not_empty(read_lines(foreign), foreign)],
        "english": [line for _, line in not_empty(read_lines(english), english)],
    }
    counts = {side: len(lines) for side, lines in sides.items()}
    if counts["foreign"] != counts["english"]:
        raise DataError(
            str(foreign),
            f"has {counts['foreign']} lines, but {english} has {counts['english']}",
            "Line n of one file must be the translation of line n of the other.",
        )
    return _pair_up(**sides)


def build_bitext(task: Task, rows: Iterable[Row]) -> Rows:
    r"""Return the sentence pairs of a table as `read_bitext` does those of two files.

    The columns are `foreign` and `english`; a line end that a sentence kept of its file is taken off.
    """
    sides: dict[str, list[str]] = {"foreign": [], "english": []}
    for where, row in rows:
        for side, lines in sides.items():
            column = task.source.columns.get(side, side)
            text = row.get(column)
            if not isinstance(text, str):
                raise DataError(where, f"has no text in column '{column}'")
            lines.append(text.removesuffix("\n").removesuffix("\r"))
    return _pair_up(**sides)


def _pair_up(*, foreign: Sequence[str], english: Sequence[str]) -> Rows:
    return Rows(
        examples=tuple(
            BitextExample(id=str(number), side=side, text=line, match=(str(number),))
            for side, lines in (("foreign", foreign), ("english", english))
            for number, line in enumerate(lines)
        )
    )
