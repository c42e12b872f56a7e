"""Means over a few runs, with the interval that their spread gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """A mean, and how sure it is; a single value has neither spread nor interval."""

    mean: float
    count: int
    sd: float | None
    """Of the values, with count - 1 in the denominator."""
    low: float | None
    high: float | None


def mean_with_interval(values: Sequence[float], confidence: float = 0.95) -> Mean:
    """Return the mean of one or more values with Student's t interval, n - 1 degrees of freedom.

    Source: W. S. Gosset ("Student"), "The probable error of a mean", Biometrika 6 (1908).
    """
    mean, count = fmean(values), len(values)
    if count == 1:
        return Mean(mean=mean, count=1, sd=None, low=None, high=None)
    from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

    sd = stdev(values)
    quantile = float(stats.t.ppf((1 + confidence) / 2, count - 1))  # pyright: ignore[reportUnknownMemberType]
    half = quantile * sd / math.sqrt(count)
    return Mean(mean=mean, count=count, sd=sd, low=mean - half, high=mean + half)
