from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from xtransfer.statistics.transferability import _max_evidence, leep, logme


def log_evidence(features: Any, target: Any) -> float:
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    return _max_evidence(left, singular, target.astype(np.float64), features.shape[1])


def evidence(features: Any, target: Any, alpha: float, beta: float) -> float:
    """The textbook's log evidence for each example (You et al. 2021, equation 2), by dense algebra."""
    n, d = features.shape
    a = alpha * np.eye(d) + beta * features.T @ features
    m = beta * np.linalg.solve(a, features.T @ target)
    total = (
        n / 2 * math.log(beta)
        + d / 2 * math.log(alpha)
        - n / 2 * math.log(2 * math.pi)
        - beta / 2 * float(np.sum((features @ m - target) ** 2))
        - alpha / 2 * float(m @ m)
        - np.linalg.slogdet(a)[1] / 2
    )
    return total / n


def marginal(features: Any, target: Any, alpha: float, beta: float) -> float:
    """The same as the density of a Gaussian: target ~ N(0, I / beta + F F' / alpha)."""
    n = len(target)
    covariance = np.eye(n) / beta + features @ features.T / alpha
    fit = float(target @ np.linalg.solve(covariance, target))
    log_det = float(np.linalg.slogdet(covariance)[1])
    return -(n * math.log(2 * math.pi) + log_det + fit) / (2 * n)


def maximum(features: Any, target: Any) -> float:
    """The maximum over both precisions, by scipy, from many starts."""
    found = [
        -optimize.minimize(
            lambda at: -marginal(features, target, *np.exp(at)),
            start,
            method="Nelder-Mead",
            bounds=[(-20, 20)] * 2,
            options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 4000},
        ).fun
        for start in ((0, 0), (4, 0), (-4, 0), (0, 4), (4, 4), (-2, 3))
    ]
    return max(found)


def drawn(seed: int, n: int, d: int, *, signal: float) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, d)) + 0.3
    target = signal * features @ random.normal(size=d) + random.normal(size=n)
    return features, target


@pytest.mark.parametrize(("n", "d"), [(30, 3), (12, 5), (8, 20), (40, 1)])
@pytest.mark.parametrize("signal", [0.3, 1.0, 3.0])
def test_the_maximum_is_that_of_a_direct_search(n: int, d: int, signal: float) -> None:
    features, target = drawn(n + d, n, d, signal=signal)
    assert marginal(features, target, 0.7, 1.3) == pytest.approx(
        evidence(features, target, 0.7, 1.3)
    )
    assert log_evidence(features, target) == pytest.approx(maximum(features, target), abs=1e-6)


def test_a_case_by_hand() -> None:
    """One feature that is 1 everywhere: the target is a mean plus noise, and all is in closed form.

    Y ~ N(0, I / beta + 11' / alpha) has the eigenvalues v = 1/beta (n - 1 times) and v + n/alpha. Their
    maximum-likelihood values are the variance around the mean, S / (n - 1), and n * mean^2.
    """
    target = np.array([1.0, 1.0, 1.0, 0.0])
    around = 0.75 / 3
    expected = -(3 * math.log(around) + math.log(4 * 0.75**2) + 4 + 4 * math.log(2 * math.pi)) / 8
    assert log_evidence(np.ones((4, 1)), target) == pytest.approx(expected, abs=1e-9)


def test_logme_is_the_mean_over_the_classes() -> None:
    features, _ = drawn(1, 30, 4, signal=1.0)
    labels = np.array([7, 3, 5] * 10)
    each = [log_evidence(features, labels == value) for value in (3, 5, 7)]
    assert logme(features, labels) == pytest.approx(np.mean(each))


def test_better_features_have_the_higher_logme() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(200) % 2
    noise = random.normal(size=(200, 8))
    scores = [
        logme(noise + strength * labels[:, None], labels) for strength in (0.0, 0.5, 1.0, 3.0)
    ]
    assert scores == sorted(scores)
    assert len(set(scores)) == 4


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_logme_does_not_depend_on_the_scale_of_the_features_nor_on_a_rotation(
    seed: int, scale: float
) -> None:
    features, _ = drawn(seed, 20, 4, signal=1.0)
    labels = np.arange(20) % 3
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(4, 4)))[0]
    assert logme(scale * features @ turn, labels) == pytest.approx(
        logme(features, labels), abs=1e-6
    )


@pytest.mark.parametrize(
    "features", [np.zeros((6, 3)), np.eye(6), np.ones((6, 2)), np.arange(12.0).reshape(6, 2)]
)
def test_features_that_say_nothing_or_all_have_a_finite_logme(features: Any) -> None:
    assert math.isfinite(logme(features, [0, 0, 0, 1, 1, 1]))


@pytest.mark.parametrize(
    ("features", "labels"), [([[1.0]], [0]), ([[1.0], [2.0]], [1, 1]), ([1.0, 2.0], [0, 1])]
)
def test_logme_refuses_what_it_is_not_defined_for(features: Any, labels: Any) -> None:
    with pytest.raises(ValueError, match=r"do not go together|different classes"):
        logme(features, labels)


def leep_by_definition(probabilities: Any, labels: Any) -> float:
    """Nguyen et al. 2020, steps 1 to 3 of section 3, as they stand."""
    n, sources = len(labels), range(len(probabilities[0]))
    total = 0.0
    for i in range(n):
        expected = 0.0
        for z in sources:
            joint = sum(probabilities[j][z] for j in range(n) if labels[j] == labels[i]) / n
            source = sum(probabilities[j][z] for j in range(n)) / n
            expected += joint / source * probabilities[i][z] if source else 0.0
        total += math.log(expected)
    return total / n


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 5), st.integers(1, 4))
def test_leep_is_its_definition(seed: int, n: int, sources: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(sources, 0.5), size=n)
    labels = random.integers(0, classes, n)
    expected = leep_by_definition(probabilities.tolist(), labels.tolist())
    assert leep(probabilities, labels) == pytest.approx(expected, abs=1e-9)
    assert leep(probabilities, labels) <= 1e-12


def test_leep_by_hand() -> None:
    # A source model that tells the classes apart for certain, and one that tells nothing.
    assert leep([[1, 0], [1, 0], [0, 1], [0, 1]], [5, 5, 2, 2]) == pytest.approx(0.0)
    assert leep([[0.5, 0.5]] * 4, [0, 0, 0, 1]) == pytest.approx(
        (3 * math.log(0.75) + math.log(0.25)) / 4
    )


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [([[0.5, 0.5]], [0, 1]), ([[0.5, 0.6]], [0]), ([[1.5, -0.5]], [0]), (np.zeros((0, 2)), [])],
)
def test_leep_refuses_what_is_no_distribution(probabilities: Any, labels: Any) -> None:
    with pytest.raises(ValueError, match=r"do not go together|distribution"):
        leep(probabilities, labels)
