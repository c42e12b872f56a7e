"""The paired bootstrap over test examples, exact for any metric that is a function of sums.

Every score here follows from sums over examples (`metrics.tallies`): right answers and their number,
or hits, wanted and found. So a resample is a vector of weights, how often each example was drawn, and
all resamples of all systems together are one product of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_BLOCK = 2**22
"""Most weights in memory at once: 32 MiB."""


def resample(
    tallies: Array,
    score: Callable[[Array], Array],
    *,
    draws: int,
    seed: Sequence[int],
) -> Array:
    """Return the scores of all systems in each bootstrap resample of the examples.

    The systems are scored on the same resamples, so that differences between them are paired. The
    same `seed` and number of examples give the same resamples, so that parallel test sets, whose
    examples are translations of each other, are resampled together. An example that is not in all of
    them has a row of zeros where it is not.

    Args:
        tallies: what each example adds to each system's sums [examples, systems, sums].
        score: sums [..., sums] -> scores [...].
        draws: number of resamples.
        seed: of the resamples, any integers.

    Returns:
        Scores [systems, draws].

    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 8, and for
    test sets P. Koehn, "Statistical significance tests for machine translation evaluation" (2004).
    """
    examples, systems, sums = tallies.shape
    flat = tallies.reshape(examples, systems * sums)
    chance = np.random.default_rng([*seed, examples])
    block = max(1, _BLOCK // examples)
    parts: list[Array] = []
    for first in range(0, draws, block):
        count = min(block, draws - first)
        drawn = chance.integers(0, examples, size=(count, examples))
        drawn += np.arange(count)[:, None] * examples
        weights = np.bincount(drawn.ravel(), minlength=count * examples)
        totals = weights.reshape(count, examples).astype(np.float64) @ flat
        parts.append(score(totals.reshape(count, systems, sums)))
    return np.concatenate(parts).T


def interval(draws: Array, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of bootstrap draws."""
    tail = 50 * (1 - confidence)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def fewest_draws(confidence: float) -> int:
    """Return how many draws it takes for any to lie beyond an interval, as its tails are to hold some.

    Then the smallest p-value, 2 / (draws + 1), is at most 1 - confidence.
    """
    return math.ceil(2 / (1 - confidence) - 1 - 1e-6)


def p_value(draws: Array) -> float:
    """Return the two-sided p-value of "the difference is 0" by inverting the percentile interval.

    Twice the smaller tail, with one added to both counts so that it is never 0: the smallest value
    is 2 / (draws + 1). Source: Davison and Hinkley, Bootstrap Methods and their Application (1997),
    equation 4.11.
    """
    tail = min(int(np.sum(draws <= 0)), int(np.sum(draws >= 0)))
    return min(1.0, 2 * (tail + 1) / (draws.size + 1))


def seed_noise(
    scores: Sequence[Array],
    sums: Sequence[int],
    *,
    draws: int,
    seed: Sequence[int],
    runs: Sequence[Sequence[int]] | None = None,
    counted: Sequence[bool] | None = None,
) -> list[Array] | None:
    """Return, for each system, draws of the error that its mean over few seeds has.

    With two or three seeds, to resample them would give intervals far too narrow. Seeds enter as in
    the analysis of variance instead: the systems are taken to have one spread, estimated over all of
    them with sum(n - 1) degrees of freedom, so that a difference between two systems has Student's t
    with these degrees as its distribution. All systems share the draw of the spread.

    Each error is made of the runs' own deviations from their systems' means, by weights that depend on
    the runs' numbers and not on their scores. So runs that are scored in two places, two test sets or two
    languages, have errors there that go together as their deviations do, and a mean of the two places has
    the Student's t that its own scores would give it.

    Args:
        scores: the runs of each system [runs].
        sums: numbers that name each system, for draws of its own that do not depend on the others.
        draws: number of draws.
        seed: any integers.
        runs: numbers that name each system's runs; None: their places.
        counted: whether a system's runs tell of the spread; None: all do. Those that were made of other
            systems' runs tell nothing new.

    Returns:
        Draws [draws] for each system, or None where no counted system has a second run.

    Source: for one-way layouts, G. Box and G. Tiao, Bayesian Inference in Statistical Analysis
    (1973), section 2.11 (flat prior: the posterior intervals are Student's); the weighted sums have the
    multivariate t whose scale is the pooled covariance.
    """
    names = runs or [
        [number_of(own, at) for at in range(len(of))] for own, of in zip(sums, scores, strict=True)
    ]
    told = [
        (name, float(deviation))
        for at, of in enumerate(scores)
        if len(of) > 1 and (counted is None or counted[at])
        for name, deviation in zip(names[at], of - of.mean(), strict=True)
    ]
    if not told:
        return None
    freedom = sum(len(of) - 1 for at, of in enumerate(scores) if counted is None or counted[at])
    drawn = [name for name, _ in told]
    scale = 1 / np.sqrt(np.random.default_rng([*seed, *drawn]).chisquare(freedom, size=draws))
    noises: list[Array] = []
    for own, of in zip(sums, scores, strict=True):
        total = np.zeros(draws)
        for name, deviation in told:
            total += deviation * np.random.default_rng([*seed, own, name]).standard_normal(draws)
        noises.append(scale * total / np.sqrt(len(of)))
    return noises


def number_of(*names: Any) -> int:
    """Return a number for names, the same on every machine, to seed draws with."""
    return crc32("\0".join(map(str, names)).encode())
