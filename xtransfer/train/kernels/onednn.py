"""Products of fp32 matrices on CPUs by oneDNN, in full precision.

PyTorch multiplies fp32 with MKL, which keeps to AVX2 on processors that are not Intel's; oneDNN, which PyTorch
brings along for bf16, uses AVX-512 on all that have it. PyTorch gives fp32 products to oneDNN only under a setting
that lets it round them to bf16, and oneDNN does so only where the processor multiplies bf16 in tiles (AMX).
Elsewhere the setting chooses who multiplies and nothing more. `keep_precision` tries that on the processor at
hand, and where it does not hold, everything goes PyTorch's way.

oneDNN builds a kernel for each new shape of a product, which takes longer than the products of a tiny model do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

ROUNDING = "bf16"
"""The setting."""
ODD = 1 + 2.0**-11
"""A value of fp32 that bf16 and TF32, with 8 and 11 bits, both round to 1."""
SIZES = ((16, 16, 16), (44, 44, 32), (300, 384, 384), (1056, 1536, 384))
"""Rows, columns and terms of the products that are tried: those of attention heads and of layers."""
TOLERANCE = 1e-4
"""Of their relative error: 2^-10 when factors were rounded, below 384 x 2^-24 when not."""


LEAST_WEIGHTS = 100_000
"""Of the largest linear layer of a model that is worth it: on two cores an encoder of 64 units trains 1.2 x faster
without, one of 128 as fast, one of 256 at 0.7 x the speed."""


@contextmanager
def onednn_products(model: nn.Module) -> Iterator[None]:
    """Have oneDNN multiply fp32 matrices for a model, where that is faster and keeps their precision.

    The setting is the process's, not the thread's: other threads' products go the same way meanwhile.
    """
    matmul = _matmul()
    if (
        matmul is None
        or matmul.fp32_precision == ROUNDING
        or not is_worth_it(model)
        or not keep_precision()
    ):
        yield
        return
    before = matmul.fp32_precision
    matmul.fp32_precision = ROUNDING
    try:
        yield
    finally:
        matmul.fp32_precision = before


def is_worth_it(model: nn.Module) -> bool:
    """Say whether a model has layers large enough that kernels for new shapes are soon paid for."""
    sizes = [m.in_features * m.out_features for m in model.modules() if isinstance(m, nn.Linear)]
    return max(sizes, default=0) >= LEAST_WEIGHTS


@cache
def keep_precision() -> bool:
    """Say whether products under the setting are as exact as without it, by trying it once in a process."""
    matmul = _matmul()
    if matmul is None or not torch.backends.mkldnn.is_available():
        return False
    before = matmul.fp32_precision
    matmul.fp32_precision = ROUNDING
    try:
        return all(_is_whole(*size) for size in SIZES)
    finally:
        matmul.fp32_precision = before


def _is_whole(rows: int, columns: int, terms: int) -> bool:
    """Say whether products of this size keep the last bits of their factors: single, batched, transposed."""
    one, other = torch.full((rows, terms), ODD), torch.full((columns, terms), ODD)
    found = (
        one @ other.t(),
        one @ other.t().contiguous(),
        one.t().contiguous().t() @ other.t(),
        torch.bmm(one.expand(2, -1, -1), other.t().expand(2, -1, -1)),
    )
    whole = terms * ODD**2
    return all(float((each / whole - 1).abs().max()) < TOLERANCE for each in found)


def _matmul() -> Any:
    """Return where PyTorch has the setting; None before 2.9, which has none."""
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    return matmul if hasattr(matmul, "fp32_precision") else None
