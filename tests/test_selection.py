from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.errors import StepError
from xtransfer.selection import select


def candidate(key: str, score: float, *, rate: float = 1e-5, seed: int = 1) -> dict[str, Any]:
    return {"key": key, "score": score, "learning_rate": rate, "seed": seed}


def test_the_highest_score_wins() -> None:
    found = select("best_dev", [candidate("a", 70.1), candidate("b", 70.2), candidate("c", -1.0)])
    assert found["key"] == "b"


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
    assert select("best_dev", [one, other]) is one
    assert select("best_dev", [other, one]) is one


@given(st.data())
def test_the_order_of_candidates_does_not_matter(data: st.DataObject) -> None:
    scores = st.sampled_from([10.0, 20.0])
    pool = [
        candidate(f"{at}", data.draw(scores), rate=data.draw(scores), seed=at % 2)
        for at in range(data.draw(st.integers(1, 8)))
    ]
    shuffled = data.draw(st.permutations(pool))
    assert select("best_dev", shuffled) == select("best_dev", pool)


def test_an_unknown_rule_and_no_candidates_are_errors() -> None:
    with pytest.raises(StepError, match="no rule 'luck'"):
        select("luck", [candidate("a", 1.0)])
    with pytest.raises(StepError, match="no candidate"):
        select("best_dev", [])
