"""The arms as drawings tell them apart: each has a number, and the number a colour, a mark and a line."""

from __future__ import annotations

from xtransfer.config.averaging import is_average
from xtransfer.plan import BASELINE
from xtransfer.report.answer import Answer
from xtransfer.report.study import Study

COLOURS = 9
"""Colours that there are; beyond as many arms they come again, with other marks and lines."""


def series_of(answer: Answer, study: Study) -> dict[str, int]:
    """Return arm -> number: the baseline's is the first, and those without a score yet have one, too.

    Averages of weights come last: they stand in no drawing but that of seeds, where each row has its name.
    """
    own = [arm for arm in answer.arms if not is_average(arm)]
    learned = [curve.arm for curve in study.curves]
    analysed = [
        each.after for each in (*answer.analysed.alignment, *answer.analysed.shots)
    ]  # fmt: skip
    names = sorted({*own, *learned, *analysed}, key=lambda arm: (arm != BASELINE, arm))
    return {
        arm: at
        for at, arm in enumerate(dict.fromkeys((BASELINE, *names, *answer.arms)))
    }  # fmt: skip


def colour(series: int) -> int:
    """Return the number of a series' colour, 0 to 8."""
    return series % COLOURS


def pattern(series: int, patterns: int) -> int:
    """Return the number of a series' mark or line among so many.

    Series of one colour have different ones: of 6 patterns for 54 series, of 9 for 81.
    """
    return (series + 2 * (series // COLOURS)) % patterns
