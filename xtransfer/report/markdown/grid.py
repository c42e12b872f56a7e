"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], *, text: set[str]) -> list[str]:
    """Return a table; columns named in `text` stand left, the others are numbers."""
    marks = ["---" if name in text else "---:" for name in head]
    return [_row(head), _row(marks), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_in_line(cell) for cell in cells)} |"


def _in_line(cell: str) -> str:
    """Return a cell as it may stand in a row, which a line break in a user's text would end."""
    return " ".join(cell.split()).replace("|", "\\|")
