from __future__ import annotations

import numpy as np
import pytest

from tests.steps.test_scoring import A, B, C, bitext
from tests.tiny import tiny_encoder
from xtransfer.steps.alignment import align, cosines
from xtransfer.train.context import Context


def unit(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, 5)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_means_are_those_over_the_whole_matrix() -> None:
    vectors = unit(14, seed=1)
    english, foreign = np.arange(7), np.array([9, 8, 7, 10, 11, 13, 12])
    matrix = vectors[english].astype(np.float64) @ vectors[7:].astype(np.float64).T
    matched = {(int(one), int(other) - 7) for one, other in zip(english, foreign, strict=True)}
    pairs = [matrix[place] for place in matched]
    others = [matrix[i, j] for i in range(7) for j in range(7) if (i, j) not in matched]
    found = cosines(vectors, english, foreign)
    assert found["pairs"] == pytest.approx(np.mean(pairs))
    assert found["others"] == pytest.approx(np.mean(others))
    assert found["gap"] == pytest.approx(np.mean(pairs) - np.mean(others))


def test_a_sentence_of_several_pairs_counts_once_among_the_others() -> None:
    vectors = unit(5, seed=2)
    english, foreign = np.array([0, 0, 1]), np.array([2, 3, 4])
    matrix = vectors[:2].astype(np.float64) @ vectors[2:].astype(np.float64).T
    found = cosines(vectors, english, foreign)
    assert found["pairs"] == pytest.approx((matrix[0, 0] + matrix[0, 1] + matrix[1, 2]) / 3)
    assert found["others"] == pytest.approx((matrix[0, 2] + matrix[1, 0] + matrix[1, 1]) / 3)


def test_translations_that_are_the_same_text_have_a_cosine_of_one_in_every_layer() -> None:
    data = bitext([A, B, C], [C, A, B], ["f1", "f2", "f0"])
    found = align(tiny_encoder(), ["de"], lambda language: data, Context(pad_id=1))
    (language,) = found["languages"].values()
    assert list(language["layers"]) == ["0", "1", "2"]
    assert language["examples"] == 3
    for layer in language["layers"].values():
        assert layer["pairs"] == pytest.approx(1, abs=1e-6)
        assert layer["others"] < 1
    best = language["layers"][str(language["layer"])]
    assert best == language["metrics"]
    assert best["gap"] == max(each["gap"] for each in language["layers"].values())
