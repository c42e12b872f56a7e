"""How well a model's features fit a task, told without training: LogME and LEEP.

Both are estimates to rank models by on one task; their values on different tasks do not compare.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_RANGE = 1e10
"""The ratio of precisions is sought within this factor of the features' mean square on either side. Where
features say nothing, or say all, the evidence has its supremum at the end of the range."""
_GRID = 161
"""Points of the first look at that range, eight a decade."""
_NARROWINGS = 60
"""Steps of the golden section afterwards, each of which leaves 0.618 of an interval."""


def logme(features: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the log of maximum evidence of labels given features, for each example.

    The mean over the classes that occur of the evidence of "is of this class or not", 1 or 0.

    Args:
        features: [examples, size].
        labels: [examples], integers; each value is a class.

    Raises:
        ValueError: for shapes that do not go together, fewer than two examples or a single class.

    Source: You et al. 2021, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning"
    (arXiv 2102.11005), algorithm 1 for classification.
    """
    values, classes = np.asarray(features, dtype=np.float64), np.asarray(labels)
    if values.ndim != 2 or classes.shape != values.shape[:1]:
        raise ValueError(f"features {values.shape} and labels {classes.shape} do not go together")
    found = np.unique(classes)
    if len(classes) < 2 or len(found) < 2:
        raise ValueError("needs two examples of different classes")
    left, singular, _ = np.linalg.svd(values, full_matrices=False)
    evidence = [
        _max_evidence(left, singular, (classes == each).astype(np.float64), values.shape[1])
        for each in found
    ]
    return float(np.mean(evidence))


def leep(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the log expected empirical prediction: the mean log likelihood of the labels, at most 0.

    Each label is predicted from the source classes z by sum_z P(label | z) p(z | example), where
    P(label | z) is the empirical share of the label among what the source model gives to z.

    Args:
        probabilities: [examples, source classes], each row a distribution.
        labels: [examples], integers.

    Raises:
        ValueError: for shapes that do not go together, or rows that are no distributions.

    Source: Nguyen et al. 2020, "LEEP: A New Measure to Evaluate Transferability of Learned
    Representations" (arXiv 2002.12224), section 3.
    """
    given, classes = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if given.ndim != 2 or classes.shape != given.shape[:1] or not len(classes):
        raise ValueError(
            f"probabilities {given.shape} and labels {classes.shape} do not go together"
        )
    if (given < 0).any() or not np.allclose(given.sum(1), 1, atol=1e-4):
        raise ValueError("each row of probabilities must be a distribution")
    found, position = np.unique(classes, return_inverse=True)
    joint = np.zeros((len(found), given.shape[1]))
    np.add.at(joint, position, given / len(classes))
    source = joint.sum(0)
    conditional = np.divide(joint, source, out=np.zeros_like(joint), where=source > 0)
    return float(np.log((conditional[position] * given).sum(1)).mean())


def _max_evidence(left: Array, singular: Array, target: Array, size: int) -> float:
    """Return the maximum over alpha and beta of log p(target | features) / examples.

    target = features w + noise, where w has precision alpha and the noise beta, both Gaussian.

    Args:
        left: [examples, rank] of the features, which are left @ diag(singular) @ right.
        singular: [rank].
        target: [examples].
        size: of the features.

    Source: You et al. 2021, equation 2 and its maximum.

    With t = alpha / beta the best beta is n / (residual + t m'm) in closed form, which leaves a function
    of t alone. It may have several maxima, so the range is looked over before the best is closed in on.
    """
    squares = singular**2
    scale = float(squares.sum()) / size
    if not scale > 0:
        scale = 1.0
    width = math.log(_RANGE)
    logs: Array = math.log(scale) + np.linspace(-width, width, _GRID)
    values = _profile(np.exp(logs), left, squares, target, size)
    best = int(np.argmax(values))
    low, high = float(logs[max(best - 1, 0)]), float(logs[min(best + 1, _GRID - 1)])
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(_NARROWINGS):
        one, other = high - golden * (high - low), low + golden * (high - low)
        first, second = _profile(np.exp(np.array([one, other])), left, squares, target, size)
        low, high = (low, other) if first >= second else (one, high)
    last = _profile(np.exp(np.array([(low + high) / 2])), left, squares, target, size)
    return float(max(values[best], last[0]))


def _profile(ratios: Array, left: Array, squares: Array, target: Array, size: int) -> Array:
    """Return the evidence for each example at each alpha / beta, beta being the best one for it."""
    examples = len(target)
    along = left.T @ target
    outside = max(float(target @ target - along @ along), 0.0)
    ratio = ratios[:, None]
    # residual + ratio * m'm, of which each direction adds along^2 * ratio / (ratio + square).
    cost = outside + (along**2 * ratio / (ratio + squares)).sum(1)
    cost = np.maximum(cost, np.finfo(np.float64).tiny)
    # log|A| - size * log(beta) = sum log(ratio + square), with square 0 beyond the rank.
    determinant = np.log(ratio + squares).sum(1) + (size - len(squares)) * np.log(ratios)
    total = (
        examples * np.log(examples / cost)
        + size * np.log(ratios)
        - determinant
        - examples * (1 + np.log(2 * np.pi))
    )
    return total / (2 * examples)
