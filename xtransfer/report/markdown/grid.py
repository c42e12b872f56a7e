"""Tables in Markdown, and texts in it that mean nothing but themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(
    r"\\(?=[!-/:-@\[-`{-~])"  # an escape
    r"|[`*$]|~(?=~)"  # code, emphasis, a formula, struck out
    r"|(?<![^\W_])_|_(?![^\W_])"  # emphasis, too, but not within a word
    r"|<(?=[a-zA-Z/!?])|&(?=#?\w+;)"  # HTML
    r"|\[(?=[^\]]*\][(\[:])"  # a link
    r"|^(?:#(?=#{0,5}(?: |$))|[-+>](?= |$|-)|=(?==))"  # a heading, an item, a quotation, a rule
)
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?= |$)")


def plain(text: str) -> str:
    """Return a text on one line that reads in Markdown as it is written here, whatever is in it.

    Source: CommonMark 0.31, sections 2.4 (backslash escapes) and 6 (inlines).
    """
    line = " ".join(text.split())
    return _NUMBERED.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", line))


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], *, text: set[str]) -> list[str]:
    """Return a table; columns named in `text` stand left, the others are numbers."""
    marks = ["---" if name in text else "---:" for name in head]
    return [_row(head), _row(marks), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_in_line(cell) for cell in cells)} |"


def _in_line(cell: str) -> str:
    """Return a cell as it may stand in a row, which a line break in a user's text would end."""
    return " ".join(cell.split()).replace("|", "\\|")
