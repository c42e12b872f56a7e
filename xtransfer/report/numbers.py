"""Numbers as text: the same digits in report.md, report.html, drawings and model cards."""

from __future__ import annotations

NONE = "–"
"""Stands where there is no number."""
MARK = "*"
"""Stands behind a gain that is significant."""


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


def interval_text(low: float | None, high: float | None) -> str:
    """Return an interval with signs."""
    return NONE if low is None or high is None else f"{exact(low)} to {exact(high)}"


def p_text(value: float | None) -> str:
    """Return a p-value with three decimals."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
