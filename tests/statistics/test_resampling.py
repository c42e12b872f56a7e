from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from xtransfer.metrics.tallies import score_of
from xtransfer.statistics.resampling import (
    fewest_draws,
    interval,
    number_of,
    p_value,
    resample,
    seed_noise,
)

Array = npt.NDArray[np.float64]


def mean_score(sums: Array) -> Array:
    return score_of("mean", sums)


def points(values: Array) -> Array:
    """Return tallies [examples, systems, 2] of right answers [examples, systems]."""
    return np.stack([values, np.ones_like(values)], axis=2)


def right_answers(seed: int, examples: int, shares: tuple[float, ...]) -> Array:
    """Return answers of systems that find the same examples hard."""
    chance = np.random.default_rng(seed)
    hardness = chance.normal(size=(examples, 1))
    own = chance.normal(size=(examples, len(shares)))
    bounds = stats.norm.ppf(shares) * np.sqrt(2)
    return ((hardness + own) < bounds).astype(float)


def test_the_interval_is_scipys() -> None:
    values = right_answers(1, 300, (0.5, 0.6))
    draws = resample(points(values), mean_score, draws=9999, seed=[0])
    ours = interval(draws[1] - draws[0])
    for method in ("percentile", "BCa"):
        theirs = stats.bootstrap(
            (values[:, 0], values[:, 1]),
            lambda a, b, axis: 100 * (b.mean(axis=axis) - a.mean(axis=axis)),
            paired=True,
            vectorized=True,
            n_resamples=9999,
            method=method,
            rng=np.random.default_rng(2),
        ).confidence_interval
        assert ours == pytest.approx((theirs.low, theirs.high), abs=0.35)


def test_of_f1_too() -> None:
    chance = np.random.default_rng(3)
    wanted, found = chance.integers(1, 6, size=(2, 200)).astype(float)
    hits = np.minimum(chance.binomial(wanted.astype(int), 0.7), found)
    tallies = np.stack([hits, wanted, found], axis=1)[:, None]
    draws = resample(tallies, lambda sums: score_of("f1", sums), draws=9999, seed=[0])[0]
    theirs = stats.bootstrap(
        (hits, wanted, found),
        lambda h, w, f, axis: 200 * h.sum(axis=axis) / (w.sum(axis=axis) + f.sum(axis=axis)),
        paired=True,
        vectorized=True,
        n_resamples=9999,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert interval(draws) == pytest.approx((theirs.low, theirs.high), abs=0.25)


def test_systems_share_their_resamples() -> None:
    values = right_answers(5, 50, (0.5,))
    draws = resample(points(np.hstack([values, values])), mean_score, draws=200, seed=[1])
    assert np.array_equal(draws[0], draws[1])
    assert draws[0].std() > 0


def test_the_same_seed_gives_the_same_resamples_in_any_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tallies = points(right_answers(6, 40, (0.5, 0.7)))
    whole = resample(tallies, mean_score, draws=30, seed=[1, 2])
    assert np.array_equal(whole, resample(tallies, mean_score, draws=30, seed=[1, 2]))
    monkeypatch.setattr("xtransfer.statistics.resampling._BLOCK", 7 * 40)
    assert np.array_equal(whole, resample(tallies, mean_score, draws=30, seed=[1, 2]))
    assert not np.array_equal(whole, resample(tallies, mean_score, draws=30, seed=[1, 3]))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    # 400 simulations of two systems with true shares of 55 % and 60 %, 200 test examples: the interval
    # of 95 % must hold the true gain of 5 points in 92 to 98 % of them.
    covered = rejected = 0
    for seed in range(400):
        values = right_answers(1000 + seed, 200, (0.55, 0.60))
        draws = resample(points(values), mean_score, draws=500, seed=[seed])
        low, high = interval(draws[1] - draws[0])
        covered += low <= 5.0 <= high
        rejected += p_value(draws[1] - draws[0]) <= 0.05
    assert 0.92 * 400 <= covered <= 0.98 * 400
    assert rejected < 400


def test_no_difference_is_found_significant_as_seldom_as_it_says() -> None:
    found = 0
    for seed in range(400):
        values = right_answers(5000 + seed, 200, (0.6, 0.6))
        draws = resample(points(values), mean_score, draws=500, seed=[seed])
        found += p_value(draws[1] - draws[0]) <= 0.05
    assert 0.02 * 400 <= found <= 0.08 * 400


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_it_covers_with_few_seeds_too(seeds: int) -> None:
    # As above, with a spread over seeds of 2 points in each of four arms. What another seed does to
    # each example is in the examples' part as well, so that it covers rather too often.
    covered = 0
    for number in range(400):
        chance = np.random.default_rng([seeds, number])
        shares = 0.6 + 0.02 * chance.normal(size=(4, seeds))
        values = right_answers(9000 + number, 200, tuple(shares.ravel()))
        draws = resample(points(values), mean_score, draws=500, seed=[number])
        arms = draws.reshape(4, seeds, -1).mean(axis=1)
        noise = seed_noise(
            list(100 * values.mean(axis=0).reshape(4, seeds)), range(4), draws=500, seed=[number]
        )
        assert noise is not None
        low, high = interval(arms[1] + noise[1] - arms[0] - noise[0])
        covered += low <= 0.0 <= high
    assert covered >= 0.92 * 400


def test_the_error_of_a_mean_over_seeds_is_students() -> None:
    runs = [np.array([50.0, 52.0]), np.array([60.0, 61.0, 65.0])]
    noise = seed_noise(runs, [1, 2], draws=200_000, seed=[0])
    assert noise is not None
    freedom = 3
    spread = np.sqrt((2.0 + 14.0) / freedom)
    scale = spread * np.sqrt(1 / 2 + 1 / 3)
    low, high = np.percentile(noise[1] - noise[0], [2.5, 97.5])
    assert high == pytest.approx(stats.t.ppf(0.975, freedom) * scale, rel=0.03)
    assert low == pytest.approx(-high, rel=0.05)


@pytest.mark.parametrize("likeness", [1.0, 0.5, -1.0])
def test_the_same_runs_on_two_test_sets_err_as_their_mean_does(likeness: float) -> None:
    """The mean of two sets has the error that its own scores over the runs would give it."""
    one = [np.array([50.0, 52.0, 51.5]), np.array([60.0, 61.0, 65.0])]
    other = [likeness * each + (1 - abs(likeness)) * each[::-1] for each in one]
    names = [[11, 12, 13], [21, 22, 23]]
    first, second, both = (
        seed_noise(runs, [1, 2], draws=100_000, seed=[0], runs=names)
        for runs in (one, other, [(a + b) / 2 for a, b in zip(one, other, strict=True)])
    )
    assert first is not None
    assert second is not None
    assert both is not None
    for at in range(2):
        assert (first[at] + second[at]) / 2 == pytest.approx(both[at], abs=1e-9)
    freedom = 4
    spread = np.sqrt(
        sum(((a + b).var() * 3 / 4 for a, b in zip(one, other, strict=True))) / freedom
    )
    high = np.percentile(both[1] - both[0], 97.5)
    assert high == pytest.approx(
        stats.t.ppf(0.975, freedom) * spread * np.sqrt(2 / 3), rel=0.03, abs=1e-9
    )


def test_other_runs_err_by_themselves() -> None:
    runs = [np.array([50.0, 52.0, 51.5]), np.array([60.0, 61.0, 65.0])]
    one = seed_noise(runs, [1, 2], draws=4000, seed=[0], runs=[[11, 12, 13], [21, 22, 23]])
    other = seed_noise(runs, [1, 2], draws=4000, seed=[0], runs=[[31, 32, 33], [41, 42, 43]])
    assert one is not None
    assert other is not None
    for a, b in zip(one, other, strict=True):
        assert abs(np.corrcoef(np.sign(a), np.sign(b)).min()) < 0.06


def test_without_a_second_run_the_spread_over_seeds_is_not_known() -> None:
    assert seed_noise([np.array([1.0]), np.array([2.0])], [1, 2], draws=10, seed=[0]) is None


def test_a_p_value_is_never_nought_and_never_above_one() -> None:
    assert p_value(np.full(999, 3.0)) == pytest.approx(2 / 1000)
    assert p_value(-np.arange(1.0, 1000.0)) == pytest.approx(2 / 1000)
    assert p_value(np.zeros(999)) == 1.0
    assert p_value(np.array([-1.0, 1.0] * 500)) == 1.0


@pytest.mark.parametrize(("confidence", "fewest"), [(0.95, 39), (0.9, 19), (0.99, 199), (0.5, 3)])
def test_the_fewest_draws_are_those_that_a_p_value_can_be_low_with(
    confidence: float, fewest: int
) -> None:
    assert fewest_draws(confidence) == fewest
    assert p_value(np.ones(fewest)) <= 1 - confidence + 1e-9
    assert p_value(np.ones(fewest - 1)) > 1 - confidence


def test_a_number_of_names_is_the_same_everywhere() -> None:
    assert number_of("xnli", "seeds") == 1070879022
    assert number_of("ab", "c") != number_of("a", "bc")


def test_systems_that_are_not_counted_change_nothing_for_the_others() -> None:
    one, other, made = np.array([50.0, 52.0]), np.array([55.0, 55.5]), np.array([51.0, 80.0])
    alone = seed_noise([one, other], [1, 2], draws=50, seed=[3])
    beside = seed_noise(
        [one, other, made], [1, 2, 4], draws=50, seed=[3], counted=[True, True, False]
    )
    assert alone is not None
    assert beside is not None
    assert all(np.array_equal(a, b) for a, b in zip(alone, beside, strict=False))
    assert len(beside) == 3
    assert seed_noise([one], [1], draws=5, seed=[3], counted=[False]) is None
