"""From neighbours to translations: margins, mining, and the threshold of what is mined.

Sources: Artetxe & Schwenk 2019 (arXiv 1811.01136) for the ratio margin and for mining, Lample et al.
2018 (arXiv 1710.04087) for CSLS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from xtransfer.retrieval.neighbours import nearest

Vectors = npt.NDArray[np.float32]
"""Unit vectors, [sentences, width]."""
Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Mined:
    """Candidate pairs, each sentence in one at most, the highest score first."""

    pairs: Indices
    """[pairs, 2]: index on the one side, index on the other."""
    scores: Numbers


def best_matches(
    queries: Vectors, candidates: Vectors, *, scoring: str, k: int, device: str = "cpu"
) -> Indices:
    """Return for each query the index of the candidate with the highest score.

    A margin ranks the k nearest by cosine anew, as LASER and XTREME have it. Of equal scores the
    higher cosine counts, then the lower index.
    """
    if scoring == "cosine":
        return _neighbours(queries, candidates, 1, device)[1][:, 0]
    forward, backward = _both_ways(queries, candidates, k, device)
    return _choose(forward, backward, scoring)[0]


def mine(one: Vectors, other: Vectors, *, scoring: str, k: int, device: str = "cpu") -> Mined:
    """Return the pairs of sentences that are most likely translations of each other.

    Every sentence of either side proposes its best match among its k nearest. Proposals are taken
    by falling score, unless one of their sentences is in a pair already (retrieval "max" of LASER).
    """
    forward, backward = _both_ways(one, other, k, device)
    to_other, scores = _choose(forward, backward, scoring)
    to_one, back_scores = _choose(backward, forward, scoring)
    firsts = np.concatenate([np.arange(len(one)), to_one])
    seconds = np.concatenate([to_other, np.arange(len(other))])
    every = np.concatenate([scores, back_scores])
    free_one, free_other = np.ones(len(one), bool), np.ones(len(other), bool)
    kept: list[int] = []
    for at in np.argsort(-every, kind="stable"):
        if free_one[firsts[at]] and free_other[seconds[at]]:
            free_one[firsts[at]] = free_other[seconds[at]] = False
            kept.append(int(at))
    return Mined(pairs=np.stack([firsts[kept], seconds[kept]], axis=1), scores=every[kept])


def best_threshold(scores: Sequence[float] | Numbers, right: Any, gold: int) -> float:
    """Return the score from which on pairs are taken so that their F1 is highest.

    Args:
        scores: of the candidate pairs, falling.
        right: whether each of them is a gold pair.
        gold: number of gold pairs, found or not.

    Returns:
        The middle between the last score that is taken and the next one; the last score itself where
        all are taken. Pairs with equal scores are taken together. Of equal F1 the highest threshold.

    Raises:
        ValueError: where there is no pair.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not len(values):
        raise ValueError("no candidate pair to choose a threshold by")
    correct = np.cumsum(np.asarray(right, dtype=np.int64))
    ends = np.flatnonzero(np.append(values[1:] < values[:-1], True))
    f1 = 2 * correct[ends] / (ends + 1 + gold)
    last = ends[int(f1.argmax())]
    after = min(last + 1, len(values) - 1)
    middle = (values[last] + values[after]) / 2
    # Between neighbouring floats there is no middle.
    return float(middle if middle > values[after] else values[last])


Neighbours = tuple[Numbers, Indices]
"""Cosines and indices of the k nearest, [sentences, k]."""


def _both_ways(one: Vectors, other: Vectors, k: int, device: str) -> tuple[Neighbours, Neighbours]:
    return _neighbours(one, other, k, device), _neighbours(other, one, k, device)


def _neighbours(one: Vectors, other: Vectors, k: int, device: str) -> Neighbours:
    scores, indices = nearest(torch.from_numpy(one), torch.from_numpy(other), k, device=device)
    return scores.numpy().astype(np.float64), indices.numpy()


def _choose(near: Neighbours, back: Neighbours, scoring: str) -> tuple[Indices, Numbers]:
    """Return each sentence's best match and its score."""
    cosines, indices = near
    around, around_other = cosines.mean(1)[:, None], back[0].mean(1)[indices]
    if scoring == "ratio":
        scores = cosines / ((around + around_other) / 2)
    elif scoring == "csls":
        scores = 2 * cosines - around - around_other
    else:
        scores = cosines
    best = scores.argmax(1)
    rows = np.arange(len(best))
    return indices[rows, best], scores[rows, best]
