from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.errors import StepError
from xtransfer.selection import RULES, mean_scores, means_with_intervals, select


def candidate(key: str, score: float, *, rate: float = 1e-5, seed: int = 1) -> dict[str, Any]:
    return {"key": key, "score": score, "learning_rate": rate, "seed": seed}


SCORES = (("a", 70.1), ("b", 70.2), ("c", -1.0))


def test_the_highest_score_wins() -> None:
    pool = [candidate(key, score, seed=at) for at, (key, score) in enumerate(SCORES)]
    assert select("best_dev", pool)["key"] == "b"
    assert select("target_dev", pool)["key"] == "b"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (candidate("b", 50.0, rate=1e-5), candidate("a", 50.0, rate=2e-5)),
        (candidate("b", 50.0, seed=1), candidate("a", 50.0, seed=2)),
        (candidate("a", 50.0), candidate("b", 50.0)),
        (candidate("b", 50.0, rate=1e-5, seed=2), candidate("a", 50.0, rate=2e-5, seed=1)),
    ],
)
def test_a_tie_goes_to_the_lower_rate_then_seed_then_key(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert select("best_dev", [one, other], incomplete="allow") is one
    assert select("best_dev", [other, one], incomplete="allow") is one


@given(st.data())
def test_the_order_of_candidates_does_not_matter(data: st.DataObject) -> None:
    scores = st.sampled_from([10.0, 20.0])
    pool = [
        candidate(f"{at}", data.draw(scores), rate=data.draw(scores), seed=at % 2)
        for at in range(data.draw(st.integers(1, 8)))
    ]
    shuffled = data.draw(st.permutations(pool))
    for rule in RULES:
        first = select(rule, pool, incomplete="allow")
        assert select(rule, shuffled, incomplete="allow") == first


def test_an_unknown_rule_and_no_candidates_are_errors() -> None:
    with pytest.raises(StepError, match="no rule 'luck'"):
        select("luck", [candidate("a", 1.0)])
    with pytest.raises(StepError, match="no candidate"):
        select("best_dev", [])


GRID = [
    candidate("lucky", 90.0, rate=1e-5, seed=1),
    candidate("poor", 50.0, rate=1e-5, seed=2),
    candidate("steady", 75.0, rate=2e-5, seed=1),
    candidate("steadier", 76.0, rate=2e-5, seed=2),
]


def test_the_mean_over_seeds_chooses_the_rate_and_then_the_best_seed() -> None:
    assert mean_scores(GRID) == {1e-5: (70.0, 2), 2e-5: (75.5, 2)}
    assert select("best_dev", GRID)["key"] == "lucky"
    assert select("mean_over_seeds", GRID)["key"] == "steadier"
    assert select("mean_over_seeds", GRID, seed=1)["key"] == "steady"
    assert select("mean_over_seeds", GRID, seed=2)["key"] == "steadier"


def test_a_tie_of_means_goes_to_the_lower_rate() -> None:
    pool = [candidate("high", 50.0, rate=2e-5), candidate("low", 50.0, rate=1e-5)]
    assert select("mean_over_seeds", pool)["key"] == "low"


def test_rates_in_the_interval_of_the_best_are_tied() -> None:
    """Of 76, 77 and 78 the mean is 77 with 74.52 to 79.48: Student's t with 2 degrees of freedom is 4.303."""
    scores = {1e-5: (70.0, 78.0, 71.0), 2e-5: (74.5, 74.5, 74.6), 3e-5: (76.0, 77.0, 78.0)}
    pool = [
        candidate(f"{rate:g}-{seed}", score, rate=rate, seed=seed)
        for rate, own in scores.items()
        for seed, score in enumerate(own)
    ]
    found = means_with_intervals(pool)[3e-5]
    assert (found.mean, found.count, found.sd) == (77.0, 3, 1.0)
    assert (found.low, found.high) == pytest.approx((77 - 2.48414, 77 + 2.48414), abs=1e-4)
    assert select("mean_over_seeds", pool)["key"] == "3e-05-2"
    assert select("tied_over_seeds", pool)["key"] == "2e-05-2"
    assert select("tied_over_seeds", pool, seed=1)["key"] == "2e-05-1"
    assert select("tied_over_seeds", pool[::-1])["key"] == "2e-05-2"


def test_with_one_seed_there_is_no_interval_to_be_tied_in() -> None:
    pool = [candidate("low", 70.0, rate=1e-5), candidate("high", 70.1, rate=2e-5)]
    assert means_with_intervals(pool)[2e-5].low is None
    assert select("tied_over_seeds", pool)["key"] == "high"


@pytest.mark.parametrize("rule", RULES)
def test_an_incomplete_grid_is_refused_unless_told(rule: str) -> None:
    for pool in (GRID[:-1], [*GRID[:-1], {**GRID[-1], "score": None}]):
        with pytest.raises(StepError, match="no score of learning rate 2e-05 with seed 2"):
            select(rule, pool)
        assert select(rule, pool, incomplete="allow")["score"] is not None


def test_a_mean_over_fewer_seeds_is_no_rival() -> None:
    alone = candidate("alone", 99.0, rate=3e-5, seed=1)
    assert select("mean_over_seeds", [*GRID, alone], incomplete="allow")["key"] == "steadier"


def test_a_grid_without_any_score_chooses_nothing() -> None:
    with pytest.raises(StepError, match="no candidate"):
        select("best_dev", [{**GRID[0], "score": None}], incomplete="allow")


def test_a_trial_that_was_stopped_never_wins_over_one_that_went_further() -> None:
    stopped = {**candidate("a", 90.0), "rung": 25}
    later = {**candidate("b", 80.0, seed=2), "rung": 50}
    whole = candidate("c", 10.0, seed=3)
    assert select("best_dev", [stopped, later, whole])["key"] == "c"
    assert select("best_dev", [stopped, later])["key"] == "b"
