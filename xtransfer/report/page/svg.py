"""Drawing in SVG: an area with axes, and marks in it. Colours are the style sheet's, by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from markupsafe import Markup

from xtransfer.report.page.cells import nice
from xtransfer.report.series import colour, pattern

DASHES = 9
"""Classes d0 to d8 of the style sheet."""
FLAT = 0.05
"""Room on either side of values that are all the same, as a share of them or of 1."""
SHAPES = (
    '<circle r="3.2"/>',
    '<path d="M-3-3H3V3H-3Z"/>',
    '<path d="M0-4 3.8 3H-3.8Z"/>',
    '<path d="M0-4.2 4.2 0 0 4.2-4.2 0Z"/>',
    '<path d="M0 4 3.8-3H-3.8Z"/>',
    '<path d="M-1.3-4H1.3V-1.3H4V1.3H1.3V4H-1.3V1.3H-4V-1.3H-1.3Z"/>',
)


def definitions() -> str:
    """Return the shapes that marks refer to; once a page."""
    shapes = "".join(f'<g id="shape{at}">{shape}</g>' for at, shape in enumerate(SHAPES))
    return f'<svg class="definitions" aria-hidden="true" width="0" height="0"><defs>{shapes}</defs></svg>'


def mark(x: float, y: float, series: int, title: str, extra: str = "") -> str:
    """Return a mark of a series that says `title` when pointed at."""
    return (
        f'<use href="#shape{pattern(series, len(SHAPES))}" x="{x:.1f}" y="{y:.1f}" '
        f'class="s{colour(series)}"{extra}><title>{escape(title)}</title></use>'
    )


def line_class(series: int) -> str:
    """Return the classes of a series' line."""
    return f"curve l{colour(series)} d{pattern(series, DASHES)}"


def sample(series: int) -> Markup:
    """Return a drawing of a series' mark and line, for a legend."""
    return Markup(  # noqa: S704 (made of numbers alone)
        '<svg viewBox="-6 -6 46 12" width="46" height="12" aria-hidden="true">'
        f'<path d="M8 0H38" class="{line_class(series)}"/>'
        f'<use href="#shape{pattern(series, len(SHAPES))}" class="s{colour(series)}"/></svg>'
    )


@dataclass(kw_only=True)
class Area:
    """A drawing with an area inside it that has a scale each way."""

    width: float = 340
    height: float = 220
    left: float = 40
    right: float = 10
    top: float = 8
    bottom: float = 34
    x: tuple[float, float] = (0.0, 1.0)
    """Values at the left and the right end."""
    y: tuple[float, float] = (0.0, 1.0)
    """Values at the lower and the upper end."""
    parts: list[str] = field(default_factory=list[str])

    def at_x(self, value: float) -> float:
        """Return where a value is, in the drawing's units."""
        low, high = self.x
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def at_y(self, value: float) -> float:
        """Return where a value is, in the drawing's units."""
        low, high = self.y
        return (
            self.height - self.bottom - (value - low) / (high - low) * (self.height - self.top - self.bottom)
        )  # fmt: skip

    def add(self, part: str) -> None:
        """Draw one more part above the others."""
        self.parts.append(part)

    def line(self, ends: Sequence[tuple[float, float]], name: str) -> None:
        """Draw a line through values, of a class."""
        points = " ".join(f"{self.at_x(x):.1f},{self.at_y(y):.1f}" for x, y in ends)
        self.add(f'<polyline points="{points}" class="{name}"/>')

    def text(self, x: float, y: float, text: str, name: str = "") -> None:
        """Write at a place of the drawing."""
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" class="{name}">{escape(text)}</text>')

    def axis_x(self, label: str, *, whole: bool = False) -> None:
        """Draw grid lines, numbers (`whole`: no fractions) and a label for the horizontal scale."""
        floor = self.height - self.bottom
        for value in ticks(*self.x, least=1.0 if whole else 0.0):
            at = self.at_x(value)
            self.add(f'<path d="M{at:.1f} {self.top:.1f}V{floor:.1f}" class="grid"/>')
            self.text(at, floor + 13, tick_text(value), "tick middle")
        self.text((self.left + self.width - self.right) / 2, self.height - 4, label, "label middle")

    def axis_y(self) -> None:
        """Draw grid lines and numbers for the vertical scale."""
        for value in ticks(*self.y):
            at = self.at_y(value)
            name = "zero" if value == 0 else "grid"
            self.add(
                f'<path d="M{self.left:.1f} {at:.1f}H{self.width - self.right:.1f}" class="{name}"/>'
            )
            self.text(self.left - 5, at + 3.5, tick_text(value), "tick end")

    def drawing(self, title: str) -> str:
        """Return the SVG element; `title` is what it is called for those who cannot see it."""
        return (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{escape(title)}">{"".join(self.parts)}</svg>'
        )


def ticks(low: float, high: float, about: int = 5, *, least: float = 0.0) -> list[float]:
    """Return round values between two ends, about so many, at least so far apart."""
    step = max(nice((high - low) / about), least)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(at * step, 10) + 0.0 for at in range(first, last + 1)]


def tick_text(value: float) -> str:
    """Return a tick's number, thousands as k."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:g}".replace("-", "−")


def spread(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """Return ends that hold all values with some room; never the same twice."""
    low, high = min(values), max(values)
    room = (high - low) * share if high > low else FLAT * max(1.0, abs(high))
    return low - room, high + room
