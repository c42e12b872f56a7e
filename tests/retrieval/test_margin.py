from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.retrieval.made import corpus
from xtransfer.retrieval.margin import best_matches, best_threshold, mine

K = 4


def unit(random: np.random.Generator, count: int, width: int = 6) -> Any:
    # All positive: a ratio of cosines around 0 is noise.
    vectors = random.random((count, width), dtype=np.float32) + np.float32(0.05)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def margins(one: Any, other: Any, scoring: str, k: int) -> Any:
    """Return the score of every pair, by the definitions and one matrix."""
    cosines = one.astype(np.float64) @ other.T.astype(np.float64)
    around_one = np.sort(cosines, axis=1)[:, -k:].mean(1)[:, None]
    around_other = np.sort(cosines, axis=0)[-k:].mean(0)[None]
    if scoring == "ratio":
        return cosines / ((around_one + around_other) / 2)
    if scoring == "csls":
        return 2 * cosines - around_one - around_other
    return cosines


def among_nearest(one: Any, other: Any, scoring: str, k: int) -> Any:
    """Return the scores, minus infinity where the pair is not among a row's k nearest."""
    cosines = one.astype(np.float64) @ other.T.astype(np.float64)
    scores = margins(one, other, scoring, k)
    far = np.argsort(-cosines, axis=1, kind="stable")[:, k:]
    np.put_along_axis(scores, far, -np.inf, axis=1)
    return scores


@pytest.mark.parametrize("scoring", ["cosine", "ratio", "csls"])
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 6), st.integers(0, 2**31))
def test_the_best_match_has_the_highest_score_of_the_nearest(
    scoring: str, queries: int, candidates: int, k: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    one, other = unit(random, queries), unit(random, candidates)
    scores = among_nearest(one, other, scoring, 1 if scoring == "cosine" else k)
    found = best_matches(one, other, scoring=scoring, k=k)
    assert np.take_along_axis(scores, found[:, None], axis=1)[:, 0] == pytest.approx(
        scores.max(1), abs=1e-5
    )


def test_a_margin_prefers_a_neighbour_that_is_near_to_few() -> None:
    # The hub lies nearer to the query than its translation, but near to everything else too.
    queries = np.array([[1, 0, 0], [0.7, 0.7, 0.1], [0.7, 0.1, 0.7]], dtype=np.float32)
    candidates = np.array([[0.9, 0.3, 0.3], [0.87, -0.35, -0.35]], dtype=np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    found = {
        scoring: int(best_matches(queries, candidates, scoring=scoring, k=2)[0])
        for scoring in ("cosine", "ratio", "csls")
    }
    assert found == {"cosine": 0, "ratio": 1, "csls": 1}


def test_equal_margins_go_to_the_lower_index() -> None:
    one = np.eye(2, dtype=np.float32)
    other = np.concatenate([one, one])
    for scoring in ("cosine", "ratio", "csls"):
        assert best_matches(one, other, scoring=scoring, k=2).tolist() == [0, 1]


@pytest.mark.parametrize("scoring", ["cosine", "ratio", "csls"])
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 6), st.integers(0, 2**31))
def test_mining_takes_proposals_by_falling_score(
    scoring: str, first: int, second: int, k: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    one, other = unit(random, first), unit(random, second)
    forward = among_nearest(one, other, scoring, k)
    backward = among_nearest(other, one, scoring, k).T
    proposals = [(i, int(forward[i].argmax())) for i in range(first)]
    proposals += [(int(backward[:, j].argmax()), j) for j in range(second)]
    scores = margins(one, other, scoring, k)
    expected: list[tuple[int, int]] = []
    for i, j in sorted(proposals, key=lambda pair: -scores[pair]):
        if all(i != a and j != b for a, b in expected):
            expected.append((i, j))
    found = mine(one, other, scoring=scoring, k=k)
    # With k = 1 all mutual neighbours have the same CSLS, so that rounding orders them.
    assert sorted(tuple(pair) for pair in found.pairs.tolist()) == sorted(expected)
    assert found.scores == pytest.approx([scores[i, j] for i, j in found.pairs], abs=1e-5)
    assert (np.diff(found.scores) <= 0).all()


def test_identical_sides_are_mined_whole() -> None:
    vectors, _ = corpus(1)
    distinct = np.delete(vectors["foreign"], 20, axis=0)
    found = mine(distinct, distinct.copy(), scoring="ratio", k=K)
    assert sorted(map(tuple, found.pairs.tolist())) == [(at, at) for at in range(29)]


@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30),
    st.integers(0, 5),
)
def test_no_threshold_has_a_better_f1_than_the_best(
    pairs: list[tuple[int, bool]], missed: int
) -> None:
    pairs = sorted(pairs, key=lambda pair: -pair[0])
    scores = [float(value) for value, _ in pairs]
    right = [correct for _, correct in pairs]
    gold = sum(right) + missed

    def f1(threshold: float) -> float:
        taken = [
            correct for value, correct in zip(scores, right, strict=True) if value >= threshold
        ]
        return 2 * sum(taken) / (len(taken) + gold)

    threshold = best_threshold(scores, right, gold)
    assert f1(threshold) == pytest.approx(max(f1(value) for value in scores))
    assert threshold >= scores[-1]


def test_a_threshold_lies_between_what_is_taken_and_what_is_not() -> None:
    assert best_threshold([5.0, 4.0, 3.0, 1.0], [True, True, False, False], 2) == 3.5
    # All are taken: there is no next one (XTREME's own search fails here).
    assert best_threshold([5.0, 4.0], [True, True], 2) == 4.0
    # Equal scores cannot be told apart by any threshold.
    assert best_threshold([5.0, 4.0, 4.0, 1.0], [True, False, True, False], 2) == 2.5
    close = [1.0, float(np.nextafter(1.0, 0.0)), 0.0]
    assert best_threshold(close, [True, False, False], 1) == 1.0


def test_a_threshold_needs_a_pair() -> None:
    with pytest.raises(ValueError, match="no candidate pair"):
        best_threshold([], [], 3)
