from __future__ import annotations

import pytest

from xtransfer.statistics.power import power_of, seeds_needed


@pytest.mark.parametrize(
    # Cohen (1988), table 2.4.1: n of each sample, two-sided at 0.05, power 0.80.
    ("effect", "seeds"),
    [(0.2, 393), (0.5, 64), (0.8, 26)],
)
def test_it_is_cohens_table(effect: float, seeds: int) -> None:
    assert seeds_needed(gain=effect, sd=1.0) == pytest.approx(seeds, abs=1)


@pytest.mark.parametrize("effect", [0.3, 0.9, 2.0, 4.0])
@pytest.mark.parametrize("seeds", [2, 3, 5, 40])
def test_the_power_is_that_of_statsmodels(effect: float, seeds: int) -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    theirs = power.TTestIndPower().power(effect_size=effect, nobs1=seeds, alpha=0.05)
    assert power_of(seeds, gain=2 * effect, sd=2.0) == pytest.approx(theirs, abs=1e-6)


def test_the_fewest_seeds_are_the_fewest() -> None:
    seeds = seeds_needed(gain=1.0, sd=0.7)
    assert seeds is not None
    assert power_of(seeds, gain=1.0, sd=0.7) >= 0.8 > power_of(seeds - 1, gain=1.0, sd=0.7)


def test_without_spread_two_do_and_some_gains_are_out_of_reach() -> None:
    assert seeds_needed(gain=1.0, sd=0.0) == 2
    assert seeds_needed(gain=1.0, sd=1e-4) == 2
    assert seeds_needed(gain=0.01, sd=10.0) is None
