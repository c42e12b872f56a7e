"""The feed-forward part of encoder layers, which in large batches keeps one wide tensor instead of two.

Training keeps the input and the output of the activation, which are the largest tensors of a layer. Here the output is
computed again in the backward pass: the same numbers, a quarter less memory, and a pass of GELU more, which
takes 1 to 2 % of a step on a CPU. So it is done in fp32 and for batches that are large enough to matter.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from xtransfer.train.kernels.first_token import LAYERS

KEPT = 2_000_000
"""Least values (tokens x inner size) of an activation's output that are computed again: 8 MB in fp32."""


def use_lean_feed_forward(encoder: Any) -> None:
    """Have the layers of an encoder do this, if they are known and their activation is GELU."""
    if getattr(getattr(encoder, "config", None), "hidden_act", None) != "gelu":
        return
    for layer in getattr(getattr(encoder, "encoder", None), "layer", None) or []:
        if type(layer).__name__ in LAYERS and not isinstance(layer, _Lean):
            layer.__class__ = _lean(type(layer))


class _Lean:
    """What is put before a class of layers."""

    intermediate: Any
    output: Any

    def feed_forward_chunk(self, attention_output: Tensor) -> Tensor:
        """Map [batch, length, hidden] to the same shape."""
        wide, narrow = self.intermediate.dense, self.output.dense
        values = attention_output.numel() // attention_output.shape[-1] * narrow.weight.shape[-1]
        if not (
            type(wide) is type(narrow) is nn.Linear
            and attention_output.device.type == "cpu"
            and attention_output.dtype == narrow.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and torch.is_grad_enabled()
            and values >= KEPT
        ):
            return super().feed_forward_chunk(attention_output)  # type: ignore[misc]
        states = _GeluLinear.apply(wide(attention_output), narrow.weight, narrow.bias)
        return self.output.LayerNorm(self.output.dropout(states) + attention_output)


def use_usual_feed_forward(model: nn.Module) -> None:
    """Undo `use_lean_feed_forward`, for DeepSpeed: ZeRO 3 has weights at hand only while their layer runs."""
    for module in model.modules():
        if isinstance(module, _Lean):
            module.__class__ = type(module).__mro__[2]


@cache
def _lean(kind: type[nn.Module]) -> type[nn.Module]:
    """Return a class of layers with the same name that does as `_Lean`."""
    return type(kind.__name__, (_Lean, kind), {})


class _GeluLinear(torch.autograd.Function):
    """GELU and a linear layer: [..., in], [out, in], [out] -> [..., out]."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.biased = bias is not None
        return nn.functional.linear(nn.functional.gelu(rows), weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        needs_rows, needs_weight, needs_bias = ctx.needs_input_grad
        grad = grads[0].flatten(0, -2)
        to_rows, to_weight, to_bias = None, None, None
        if needs_weight:
            to_weight = grad.t() @ nn.functional.gelu(rows).flatten(0, -2)
        if needs_bias and ctx.biased:
            to_bias = grad.sum(0)
        if needs_rows:
            to_rows = (grad @ weight).view(rows.shape)
            torch.ops.aten.gelu_backward(to_rows, rows, grad_input=to_rows)
        return to_rows, to_weight, to_bias
