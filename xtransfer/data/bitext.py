"""Bilingual sentences in two line-parallel files (Tatoeba as LASER publishes it)."""

from __future__ import annotations

from pathlib import Path

from xtransfer.data.examples import BitextExample, Rows
from xtransfer.data.files import not_empty, read_lines
from xtransfer.errors import DataError


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
    return Rows(
        examples=tuple(
            BitextExample(id=str(number), side=side, text=line, match=(str(number),))
            for side, lines in sides.items()
            for number, line in enumerate(lines)
        )
    )
