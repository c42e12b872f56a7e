"""Tables as the page shows them: every cell that holds a number says where the number is from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xtransfer.report.numbers import NONE

LEVELS = 4
"""Shades on either side of zero."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A cell with a number."""

    text: str
    keys: tuple[str, ...] = ()
    """Of the steps behind it, where they are others than those of its row."""
    source: str = ""
    """Where it is from, if not from steps of this plan."""
    gain: str = ""
    """Second line."""
    mark: str = ""
    """Stands behind the number; read out as "significant"."""
    shade: str = ""
    """Class of its colour."""
    note: str = ""
    """Said where its records are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of a table."""

    label: str
    cells: tuple[Number | str, ...]
    kind: str = ""
    """`total` sets a row apart."""
    keys: tuple[str, ...] = ()
    """Of the steps behind its numbers: said once, they make a page of many numbers much smaller."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """A table."""

    name: str
    """Its id on the page."""
    caption: str
    head: tuple[str, ...]
    """That of the row labels first."""
    rows: tuple[Row, ...]
    text: frozenset[str] = frozenset()
    """Columns of words; the others are numbers."""
    wide: bool = False
    """Whether columns are many and narrow."""
    most: int = 20
    """Columns that fit a sheet of paper; with more of them a table is printed small, on its side."""

    @property
    def many(self) -> bool:
        """Whether there are more columns than fit."""
        return len(self.head) > self.most


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Gains -> shades, the same on both sides of zero."""

    most: float
    """Points at and above which the shade is the strongest."""

    def shade(self, gain: float | None) -> str:
        """Return the class of a gain's shade: g-4 to g4; none without a gain."""
        if gain is None:
            return ""
        level = min(LEVELS, round(abs(gain) / self.most * LEVELS))
        return "g0" if not level else f"g{'-' if gain < 0 else ''}{level}"

    def legend(self) -> list[tuple[str, str]]:
        """Return (class, gain in the middle of it as text) for every shade, losses first."""
        return [
            (f"g{level}", f"{level / LEVELS * self.most:+g}" if level else "0")
            for level in range(-LEVELS, LEVELS + 1)
        ]


def scale_of(gains: Iterable[float | None]) -> Scale:
    """Return a scale for these gains, up to a round number of points.

    A tenth of the gains may lie beyond it, so that one wild language does not pale all others.
    """
    sizes = sorted(abs(gain) for gain in gains if gain is not None)
    most = sizes[min(len(sizes) - 1, math.ceil(0.9 * len(sizes)))] if sizes else 1.0
    return Scale(most=nice(max(most, 0.1), (1, 2, 3, 4, 6, 8)))


def nice(value: float, factors: Sequence[int] = (1, 2, 5)) -> float:
    """Return the smallest of `factors` times a power of ten that is at least `value`, above 0."""
    power = 10.0 ** math.floor(math.log10(value))
    for factor in factors:
        if factor * power >= value * (1 - 1e-9):
            return factor * power
    return 10 * power


def cell(text: str, keys: Sequence[str] = ()) -> Number | str:
    """Return a number that is text already, or the sign for none."""
    return NONE if text == NONE else Number(text=text, keys=tuple(keys))
