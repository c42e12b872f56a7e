"""Exact nearest neighbours by inner product, in blocks: never a score for every pair in memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

QUERIES, CANDIDATES = 2048, 8192
"""Rows of one block of scores, and its columns: 64 MB in all."""
_LOW = 0xFFFFFFFF
_NONE = -0x7F800001 << 32
"""Key of no candidate: the bits of minus infinity, which is below any score."""


def nearest(
    queries: Tensor,
    candidates: Tensor,
    k: int,
    *,
    device: str = "cpu",
    block: tuple[int, int] = (QUERIES, CANDIDATES),
) -> tuple[Tensor, Tensor]:
    """Find the k candidates with the highest inner product for each query.

    Exact, by trying all. Of candidates with equal scores the lower index comes first. Memory beside
    the vectors is that of one block and what the product itself takes; no side is copied whole to the
    device.

    Args:
        queries: [n, width].
        candidates: [m, width], fewer than 2^32.
        k: neighbours wanted; with fewer candidates, all of them.
        device: where the products are taken.
        block: queries and candidates that are compared at once.

    Returns:
        Scores and indices, both [n, min(k, m)], the best first, on the CPU.

    Raises:
        ValueError: where a vector holds NaN or infinity.
    """
    rows, columns = block
    # In small pieces, since each takes several times its memory.
    for part in (*queries.split(1024), *candidates.split(1024)):
        if not bool(torch.isfinite(part).all()):
            raise ValueError("a vector holds NaN or infinity")
    k = min(k, len(candidates))
    keys = torch.empty((len(queries), k), dtype=torch.int64)
    room = torch.empty(min(rows, len(queries)) * min(columns, len(candidates)), device=device)
    for top in range(0, len(queries), rows):
        part = queries[top : top + rows].to(device, torch.float32)
        best = torch.full((len(part), k), _NONE, dtype=torch.int64, device=device)
        for left in range(0, len(candidates), columns):
            other = candidates[left : left + columns].to(device, torch.float32)
            scores = room[: len(part) * len(other)].view(len(part), len(other))
            torch.mm(part, other.T, out=scores)
            _merge(best, scores, left)
        keys[top : top + rows] = best.cpu()
    return _unpack(keys)


def _merge(best: Tensor, scores: Tensor, first: int) -> None:
    """Put what is better in a block of scores, whose first column is `first`, into the best keys.

    The k best of a row lie in the k groups of columns with the highest maxima, ties going to the
    lower group: for an element of another group, each of those groups holds one that comes before
    it. So a block is read once, by a maximum; only those groups are looked at, and only in rows whose
    maximum is above their k-th best so far (an equal score would come behind it).
    """
    k, width = best.shape[1], scores.shape[1]
    size = 1 << max(3, round(math.log2(width / k) / 2))  # least to sort: sqrt(width / k)
    groups = width // size
    places = torch.arange(width, device=scores.device)
    if groups <= 2 * k:
        live = torch.arange(len(best), device=scores.device)
        keys = _pack(scores, first + places)
    else:
        edge = groups * size
        grouped = scores[:, :edge].unflatten(1, (groups, size))
        highest = grouped.amax(-1)
        above = highest.amax(1)
        if edge < width:
            above = torch.maximum(above, scores[:, edge:].amax(1))
        live = torch.nonzero(above > _unpack(best[:, -1])[0]).flatten()
        chosen = _index(_pack(highest[live], places[:groups]).topk(k, dim=1).values)
        inside = grouped[live[:, None], chosen].flatten(1)
        columns = (chosen[..., None] * size + places[:size]).flatten(1)
        keys = _pack(inside, first + columns)
        if edge < width:
            rest = _pack(scores[live, edge:], first + places[edge:])
            keys = torch.cat([keys, rest], dim=1)
    best[live] = torch.cat([best[live], keys], dim=1).topk(k, dim=1).values


def _pack(scores: Tensor, columns: Tensor) -> Tensor:
    """Return whole numbers that order by score, then by the lower column.

    The bits of a float32, those of negative ones turned over, order as the floats do; 0.0 is added
    since -0.0 would come before it.
    """
    bits = (scores + 0.0).contiguous().view(torch.int32)
    ordered = (bits >> 31).bitwise_and_(0x7FFFFFFF).bitwise_xor_(bits)
    return ordered.long().bitwise_left_shift_(32).bitwise_or_(_LOW - columns)


def _index(keys: Tensor) -> Tensor:
    return _LOW - (keys & _LOW)


def _unpack(keys: Tensor) -> tuple[Tensor, Tensor]:
    ordered = (keys >> 32).to(torch.int32)
    bits = ordered ^ ((ordered >> 31) & 0x7FFFFFFF)
    return bits.view(torch.float32), _index(keys)
