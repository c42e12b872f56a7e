from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.retrieval import neighbours
from xtransfer.retrieval.neighbours import nearest


def by_trying_all(queries: Any, candidates: Any, k: int) -> tuple[Any, Any]:
    """Return scores and indices of the k best, computed with one matrix and a full sort."""
    scores = queries @ candidates.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


@given(
    queries=st.integers(0, 9),
    candidates=st.integers(1, 700),
    k=st.integers(1, 25),
    block=st.tuples(st.integers(1, 8), st.integers(1, 700)),
    largest=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_the_nearest_are_those_of_trying_all_and_ties_go_to_the_lower_index(
    queries: int, candidates: int, k: int, block: tuple[int, int], largest: int, seed: int
) -> None:
    # Small whole numbers: their products are exact in any order of adding, and often equal.
    random = np.random.default_rng(seed)
    one, other = (
        random.integers(-largest, largest + 1, (size, 3)).astype(np.float32)
        for size in (queries, candidates)
    )
    scores, indices = nearest(torch.from_numpy(one), torch.from_numpy(other), k, block=block)
    expected_scores, expected = by_trying_all(one, other, k)
    assert indices.shape == (queries, min(k, candidates))
    assert np.array_equal(indices.numpy(), expected)
    assert np.array_equal(scores.numpy(), expected_scores)


@pytest.mark.parametrize("block", [(64, 1000), (7, 333), (1000, 64)])
def test_real_numbers_of_either_sign_keep_their_order(block: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    one, other = (random.standard_normal((n, 16)).astype(np.float32) for n in (100, 1000))
    other[:500] *= -1e-3
    scores, indices = nearest(torch.from_numpy(one), torch.from_numpy(-other), 1000, block=block)
    expected_scores, _ = by_trying_all(one, -other, 1000)
    assert scores.numpy() == pytest.approx(expected_scores, abs=1e-5)
    found = np.take_along_axis(one @ -other.T, indices.numpy(), axis=1)
    assert found == pytest.approx(scores.numpy(), abs=1e-5)
    assert np.array_equal(np.sort(indices.numpy(), axis=1)[0], np.arange(1000))


def test_zeros_of_either_sign_are_equal() -> None:
    queries = torch.tensor([[1.0, 0.0]])
    candidates = torch.tensor([[-0.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
    assert nearest(queries, candidates, 3)[1].tolist() == [[0, 1, 2]]


def test_no_more_than_a_block_of_scores_is_ever_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    multiply = torch.mm

    def watched(one: torch.Tensor, other: torch.Tensor, **options: Any) -> torch.Tensor:
        scores = multiply(one, other, **options)
        sizes.append(scores.numel())
        return scores

    monkeypatch.setattr(neighbours.torch, "mm", watched)
    nearest(torch.ones(100, 2), torch.ones(90, 2), 3, block=(20, 16))
    assert max(sizes) == 20 * 16
    assert sum(sizes) == 100 * 90


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_vectors_that_are_no_numbers_are_refused(value: float) -> None:
    good, bad = torch.ones(3, 2), torch.tensor([[1.0, value]])
    for queries, candidates in ((good, bad), (bad, good)):
        with pytest.raises(ValueError, match="NaN or infinity"):
            nearest(queries, candidates, 1)
