"""How many seeds it takes to see a gain."""

from __future__ import annotations

import math
from typing import Any, cast

MOST = 10_000
"""Seeds beyond which the answer is "more than that"."""
_FAR = 6.0
"""Noncentrality beyond which the other tail is less than 1e-9; scipy has no number for it there."""


def power_of(seeds: int, *, gain: float, sd: float, alpha: float = 0.05) -> float:
    """Return the power of the two-sided two-sample t-test with `seeds` runs on either side.

    Args:
        seeds: runs of the arm, and of the baseline; at least 2.
        gain: true difference of the means.
        sd: standard deviation over seeds, of both sides.
        alpha: level of the test.

    Source: J. Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), chapter 2: under
    the alternative, t has the noncentral distribution with 2n - 2 degrees of freedom and
    noncentrality gain / sd * sqrt(n / 2).
    """
    from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

    distributions = cast("Any", stats)
    freedom = 2 * seeds - 2
    shift = gain / sd * math.sqrt(seeds / 2)
    bound = float(distributions.t.ppf(1 - alpha / 2, freedom))
    power = float(distributions.nct.sf(bound, freedom, shift))
    if shift < _FAR:
        power += float(distributions.nct.cdf(-bound, freedom, shift))
    return power


def seeds_needed(*, gain: float, sd: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Return the fewest seeds on either side that see a gain with this power; None beyond `MOST`.

    Only the spread over seeds is in it: the sampling of test examples does not shrink with seeds.
    """
    if sd == 0:
        return 2
    for seeds in range(2, MOST + 1):
        # Far from the answer the normal bound is enough, and the noncentral t slow and fragile.
        if gain / sd * math.sqrt(seeds / 2) < 1:
            continue
        if power_of(seeds, gain=gain, sd=sd, alpha=alpha) >= power:
            return seeds
    return None
