"""Weights of linear layers in oneDNN's own layout, for as long as a model predicts on a CPU.

For each product PyTorch has oneDNN copy the weights into the layout that it multiplies from, and adds the bias in a
pass of its own. While a model predicts, its weights stay the same: here they are copied once, and the bias is
added within the product, as is the GELU of a layer's feed-forward part taken: in bf16 before the sums are rounded.
All else is the same to the last bit where this was tried (torch 2.13, AVX-512).

PyTorch has operators for it (`torch.ops.mkldnn`), which its compiler uses and which are not of its public
interface. `works` tries them on the processor at hand; where they are missing or found to be inexact, layers stay
as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xtransfer.train.kernels.first_token import LAYERS
from xtransfer.train.kernels.onednn import is_worth_it
from xtransfer.train.kernels.widened import has_bf16_products

ROWS = 1024
"""Rows of a product that the layout is chosen for; with others it is as exact, and was no slower from 1 row on."""
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""Largest error beside that of PyTorch's product of values about 1: of the order of their terms' roundings."""


@contextmanager
def packed_weights(model: nn.Module, *, bf16: bool) -> Iterator[None]:
    """Have a model's linear layers multiply from packed weights, where they can and no gradients are needed.

    Args:
        model: with its weights in fp32. They must not change meanwhile.
        bf16: whether it predicts under autocast to bf16.
    """
    packed = _pack(model, torch.bfloat16 if bf16 else torch.float32)
    try:
        yield
    finally:
        for layer in packed:
            del layer.forward


@cache
def works(dtype: torch.dtype) -> bool:
    """Say whether packed weights multiply as PyTorch does, by trying it once in a process."""
    layer, rows = nn.Linear(96, 160), torch.linspace(-1, 1, 7 * 96).view(7, 96).to(dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(1, -1, 160 * 96).view(160, 96).sin() / 10)
        usual = functional.linear(rows, layer.weight.to(dtype), layer.bias.to(dtype)).float()
        try:
            found = [_packed_forward(layer, dtype, gelu=gelu)(rows) for gelu in (False, True)]
        except (AttributeError, NotImplementedError, RuntimeError):
            return False
        errors = [found[0].float() - usual, found[1].float() - functional.gelu(usual)]
    return all(bool((each.abs() <= TOLERANCE[dtype]).all()) for each in errors)


def _pack(model: nn.Module, dtype: torch.dtype) -> list[nn.Module]:
    """Replace `forward` of all linear layers that can be packed, and return them."""
    if torch.is_grad_enabled() or not is_worth_it(model) or not works(dtype):
        return []
    packed: list[nn.Module] = []
    wide = {part.dense: part for part in _feed_forward_parts(model)}
    for layer in model.modules():
        if type(layer) is nn.Linear and _is_packable(layer):
            replaced = wide.get(layer, layer)
            replaced.forward = _packed_forward(layer, dtype, gelu=layer in wide)
            packed.append(replaced)
    return packed


def _feed_forward_parts(model: nn.Module) -> Iterator[Any]:
    """Yield the modules that are a linear layer, `dense`, with GELU behind it and nothing else."""
    for layer in model.modules():
        part: Any = getattr(layer, "intermediate", None)
        activation = getattr(part, "intermediate_act_fn", None)
        if type(layer).__name__ in LAYERS and type(activation).__name__ == "GELUActivation":
            yield part


def _is_packable(layer: nn.Linear) -> bool:
    weight = layer.weight
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.shape == (layer.out_features, layer.in_features)  # not where ZeRO 3 took it away
        and "forward" not in vars(layer)
    )


def _packed_forward(
    layer: nn.Linear, dtype: torch.dtype, *, gelu: bool = False
) -> Callable[..., Tensor]:
    """Return what does as a layer's `forward` does in a precision, from a packed copy of its weights.

    It is for autocast to that precision, or for fp32 without autocast; else the layer's own weights are used.
    `gelu` has it followed by that.
    """
    operators = torch.ops.mkldnn
    multiplied = dtype if has_bf16_products() else torch.float32  # see `widened`
    weight = layer.weight.detach().to(dtype).to(multiplied)
    weight = operators._reorder_linear_weight(weight, ROWS)
    bias = None if layer.bias is None else layer.bias.detach().to(dtype).to(multiplied)
    then: tuple[str, list[None], str] = ("gelu", [], "none") if gelu else ("none", [], "")

    def forward(input: Tensor) -> Tensor:  # noqa: A002 - a layer's own name
        cast = torch.is_autocast_enabled("cpu")
        if (torch.get_autocast_dtype("cpu") if cast else input.dtype) != dtype:
            sums = functional.linear(input, layer.weight, layer.bias)
            return functional.gelu(sums) if gelu else sums
        rows = input.to(dtype).to(multiplied)
        return operators._linear_pointwise(rows, weight, bias, *then).to(dtype)

    return forward
