"""The levels that comparisons of a claim are decided at, and what an interval says at them.

A claim that is to be wrong with a chance of 1 - confidence at most cannot ask several comparisons at that level
where one of them is enough: to support an `any`, to refute an `all` or a `best`, and either way where arms are
counted. The level is divided there (Bonferroni): by how many there are, or, where u of n arms must gain, by n - u + 1.
Nothing is divided where all must hold. So each verdict on a comparison has a divisor of its own. For `best_gain` nothing
is divided either: its draws hold that the best arm was chosen by the same scores (`evidence.best_of`).

An interval has resamples beyond either end, so a divided level takes more of them (`fewest_draws`). With fewer, the
comparison is left open in that direction however large the effect is, since n resamples tell no p-value below
2 / (n + 1), and the reason says how many it takes. The other direction is not touched.

Sources: R. L. Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24 (1982), for what
needs all (intersection-union tests); Y. Benjamini and R. Heller, "Screening for partial conjunction hypotheses",
Biometrics 64 (2008), for "at least u of n".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from xtransfer.report.evidence import Figure
from xtransfer.statistics.resampling import fewest_draws, interval

Verdict = Literal["supported", "refuted", "not decidable"]
Ends = tuple[float, float]
"""Of an interval."""

HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    "greater_than": lambda value, bound: value > bound,
    "at_least": lambda value, bound: value >= bound,
    "less_than": lambda value, bound: value < bound,
    "at_most": lambda value, bound: value <= bound,
}
"""Comparison of a claim -> whether it holds of a value and a bound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Divisors:
    """What the level of a comparison is divided by, for either verdict on it."""

    support: int = 1
    refute: int = 1

    def times(self, *, support: int = 1, refute: int = 1) -> Divisors:
        """Return the divisors of a part, of which several may be decisive."""
        return Divisors(support=self.support * support, refute=self.refute * refute)

    def swapped(self) -> Divisors:
        """Return those of a part whose refutation supports the whole."""
        return Divisors(support=self.refute, refute=self.support)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What the intervals of a figure say of a comparison."""

    verdict: Verdict
    remark: str = ""
    """To be added to the reason, where the comparison would be decided if it were the only one."""
    shortage: str = ""
    """What resamples were too few for, where that is why."""


def decide(
    figure: Figure, holds: Callable[[float], bool], confidence: float, level: Divisors
) -> Decision:
    """Return the verdict on a comparison by the intervals of a figure, which must have the undivided one.

    An interval of a divided level holds the undivided one, so it can give the same verdict or none.

    Args:
        figure: what is compared.
        holds: value -> whether the comparison holds of it.
        confidence: of the claim.
        level: what 1 - confidence is divided by.
    """
    found = interval_at(figure, confidence)
    assert found is not None
    alone = _verdict_of(found, holds)
    if alone == "not decidable":
        return Decision(verdict=alone)
    divisor = level.support if alone == "supported" else level.refute
    divided = interval_at(figure, confidence, divisor)
    if divided is None:
        needed = fewest_draws(_coverage(confidence, divisor))
        few = (
            f"{too_few(figure, confidence, divisor)}, which takes {needed:,} (statistics.bootstrap)"
        )
        remark = f"; as one of several it needs a wider interval: {few}"
        return Decision(verdict="not decidable", remark=remark, shortage=few)
    if _verdict_of(divided, holds) == alone:
        return Decision(verdict=alone)
    ends = f"{divided[0]:+.2f} to {divided[1]:+.2f}"
    remark = f"; at {_percent(confidence, divisor)}, as one of several: {ends}"
    return Decision(verdict="not decidable", remark=remark)


def interval_at(figure: Figure, confidence: float, divisor: int = 1) -> Ends | None:
    """Return the interval whose level is divided; None where there are too few draws for one, or none."""
    coverage, ends = _coverage(confidence, divisor), figure.ends()
    if ends is None or figure.draws is None or figure.draws.size < fewest_draws(coverage):
        return None
    lower, upper = ends
    return interval(lower, coverage)[0], interval(upper, coverage)[1]


def too_few(figure: Figure, confidence: float, divisor: int = 1) -> str:
    """Say that there are too few draws for an interval; empty where there are none at all."""
    if figure.draws is None or not figure.draws.size:
        return ""
    return f"{figure.draws.size:,} resamples are too few for one of {_percent(confidence, divisor)}"


def divided_by_count(level: Divisors, how: str, wanted: float, arms: int) -> Divisors:
    """Return the divisors of each arm where it is counted how many of them gain.

    "At least u of n gain" needs n - u + 1 for u arms that gain, and u for n - u + 1 that do not.
    """
    least = math.floor(wanted) + 1 if how in ("greater_than", "at_most") else math.ceil(wanted)
    least = min(max(least, 1), max(arms, 1))
    upward = how in ("greater_than", "at_least")
    own = level if upward else level.swapped()
    return own.times(support=max(arms, 1) - least + 1, refute=least)


def _verdict_of(ends: Ends, holds: Callable[[float], bool]) -> Verdict:
    """Return what an interval says: it must be wholly on one side."""
    if all(map(holds, ends)):
        return "supported"
    return "not decidable" if any(map(holds, ends)) else "refuted"


def _percent(confidence: float, divisor: int) -> str:
    return f"{100 * _coverage(confidence, divisor):g} %"


def _coverage(confidence: float, divisor: int) -> float:
    return confidence if divisor == 1 else 1 - (1 - confidence) / divisor
