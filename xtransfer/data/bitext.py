"""Bilingual sentences in two line-parallel files (Tatoeba as LASER publishes it)."""

from __future__ import annotations

from pathlib import Path

from xtransfer.data.examples import BitextExample, Rows
from xtransfer.data.files import read_lines
from xtransfer.errors import DataError


def read_bitext(foreign: Path, english: Path) -> Rows:
    """Return all foreign sentences, then all English ones; line n of one side matches line n.

    XTREME's preparation sorts the English file, so its pair of files is not parallel: give LASER's.

    Raises:
        DataError: where the files have different numbers of lines.
    """
    sides = {
        "foreign": [line for _, line in read_lines(foreign)],
        "english": [line for _, line in read_lines(english)],
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
