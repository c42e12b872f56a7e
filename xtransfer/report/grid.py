"""Tables and numbers as Markdown has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NONE = "–"
"""Stands where there is no number."""


def number(value: float | None) -> str:
    """Return a number with one decimal."""
    return NONE if value is None else f"{value:.1f}"


def signed(value: float | None) -> str:
    """Return a number with its sign and one decimal; zero is never negative."""
    if value is None:
        return NONE
    text = f"{value:+.1f}"
    return "+0.0" if text == "-0.0" else text


def exact(value: float | None) -> str:
    """Return a number with its sign and two decimals, so that an interval shows which side of 0 it is on."""
    return NONE if value is None else f"{value:+.2f}"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], *, text: set[str]) -> list[str]:
    """Return a table; columns named in `text` stand left, the others are numbers."""
    marks = ["---" if name in text else "---:" for name in head]
    return [_row(head), _row(marks), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_in_line(cell) for cell in cells)} |"


def _in_line(cell: str) -> str:
    """Return a cell as it may stand in a row, which a line break in a user's text would end."""
    return " ".join(cell.split()).replace("|", "\\|")
