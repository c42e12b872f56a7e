"""Least squares with intervals that allow for rows that belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LEAST_CLUSTERS = 5
"""Below this, an interval by clusters means nothing (a choice of ours; more than 40 are comfortable)."""
_NOTHING = 1e-9
"""Share of its size that a predictor must vary by within groups: below it is rounding."""
_MOST_CONDITION = 1e6
"""Condition number of the predictors, each of size 1, beyond which slopes have no digits that mean anything: the
normal equations square it, and numbers have 16 digits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slope:
    """What one unit more of a predictor goes with."""

    name: str
    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """A regression."""

    slopes: tuple[Slope, ...]
    rows: int
    clusters: int
    groups: int
    """Fixed effects: means that were taken out."""
    r2: float
    """Share of the variance within groups that the predictors account for."""


def fit(
    outcome: Sequence[float],
    predictors: Mapping[str, Sequence[float]],
    *,
    clusters: Sequence[str],
    groups: Sequence[str],
    confidence: float = 0.95,
) -> Fit | str:
    """Regress the outcome on the predictors within groups; return why not, in words, where impossible.

    Each group has an intercept of its own (fixed effects, taken out by subtracting its means).
    Standard errors are robust to any dependence within clusters (CR1), intervals Student's with
    clusters - 1 degrees of freedom; with few clusters they are still too narrow.

    Args:
        outcome: one value a row.
        predictors: name -> one value a row.
        clusters: of each row, such as its language, which several rows share.
        groups: of each row, such as its target and arm.
        confidence: coverage of the intervals.

    Source: A. C. Cameron and D. L. Miller, "A practitioner's guide to cluster-robust inference",
    Journal of Human Resources 50 (2015), equations 7, 11 and 12 (no finite-sample factor for the
    fixed effects beyond their count in K).
    """
    from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

    distributions = cast("Any", stats)
    names = list(predictors)
    rows, count = len(outcome), len(set(clusters))
    if count < LEAST_CLUSTERS:
        return f"languages with all values: {count}, too few (at least {LEAST_CLUSTERS})"
    raw = np.column_stack([predictors[name] for name in names]).astype(float)
    x = _within(raw, groups)
    y = _within(np.asarray(outcome, dtype=float)[:, None], groups)[:, 0]
    used = len(names) + len(set(groups))
    if rows <= used:
        return f"{rows} rows are too few for {used} coefficients"
    if _alike(x, raw):
        return f"the predictors do not vary apart from each other: {', '.join(names)}"
    if np.abs(y).max() <= 1e-9 * max(1.0, float(np.abs(outcome).max())):
        return "the outcome does not vary within groups"
    bread = np.linalg.inv(x.T @ x)
    slopes = bread @ x.T @ y
    left = y - x @ slopes
    meat = np.zeros_like(bread)
    labels = np.asarray(clusters)
    for label in sorted(set(clusters)):
        part = x[labels == label].T @ left[labels == label]
        meat += np.outer(part, part)
    factor = count / (count - 1) * (rows - 1) / (rows - used)
    errors = np.sqrt(np.diag(factor * bread @ meat @ bread))
    bound = float(distributions.t.ppf((1 + confidence) / 2, count - 1))
    return Fit(
        slopes=tuple(
            Slope(
                name=name,
                value=float(value),
                low=float(value - bound * error),
                high=float(value + bound * error),
                p=float(2 * distributions.t.sf(abs(value) / error, count - 1)) if error else 0.0,
            )
            for name, value, error in zip(names, slopes, errors, strict=True)
        ),
        rows=rows,
        clusters=count,
        groups=len(set(groups)),
        r2=float(1 - (left @ left) / (y @ y)),
    )


def _alike(within: Array, raw: Array) -> bool:
    """Say whether predictors do not vary within groups, or hardly apart from each other.

    Args:
        within: the predictors less the means of their groups [rows, predictors].
        raw: the same as they were given, which rounding is told by.
    """
    sizes = np.linalg.norm(within, axis=0)
    if (sizes <= _NOTHING * np.linalg.norm(raw, axis=0)).any():
        return True
    return bool(np.linalg.cond(within / sizes) > _MOST_CONDITION)


def _within(values: Array, groups: Sequence[str]) -> Array:
    """Subtract from each row the mean of its group."""
    out = values.copy()
    labels = np.asarray(groups)
    for label in set(groups):
        out[labels == label] -= out[labels == label].mean(axis=0)
    return out
