"""Products of bf16 matrices on processors that have no instructions for them.

Without such instructions (most laptops, servers before AVX-512), PyTorch multiplies bf16 in plain loops, 10 to 30
times slower than fp32. But every bf16 number is one of fp32: here factors are widened, which is exact, and
multiplied in fp32, and the sums are rounded to bf16, once. That is what instructions for bf16 compute, but for the
order of the sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_PRODUCTS = frozenset(
    (
        torch.ops.aten.addmm.default,
        torch.ops.aten.addmv.default,
        torch.ops.aten.baddbmm.default,
        torch.ops.aten.bmm.default,
        torch.ops.aten.dot.default,
        torch.ops.aten.mm.default,
        torch.ops.aten.mv.default,
    )
)
_MADE_OF_PRODUCTS = frozenset((torch.ops.aten.linear.default, torch.ops.aten.matmul.default))
"""Operators that are taken apart into products, but not by themselves in inference mode."""


@contextmanager
def widened_products(model: nn.Module, *, bf16: bool) -> Iterator[None]:
    """Have bf16 matrices multiplied in fp32 for a model on a processor that does not multiply bf16 itself.

    Args:
        model: what is trained, or predicts.
        bf16: whether it does so under autocast to bf16.
    """
    if not bf16 or has_bf16_products() or _device_of(model) != "cpu":
        yield
        return
    with _Widening():
        yield


@cache
def has_bf16_products() -> bool:
    """Say whether PyTorch multiplies bf16 matrices by instructions of this processor."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and torch.backends.mkldnn.is_available() and supported()


def _device_of(model: nn.Module) -> str:
    return next((each.device.type for each in model.parameters()), "")


class _Widening(TorchDispatchMode):
    """Backward passes are seen too: on CPUs they run in the thread that asks for them."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        more = kwargs or {}
        if func in _PRODUCTS and args[-1].dtype == torch.bfloat16:
            return func(*map(_wide, args), **more).to(torch.bfloat16)
        if func in _MADE_OF_PRODUCTS:
            with self:
                return func.decompose(*args, **more)
        return func(*args, **more)


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value
