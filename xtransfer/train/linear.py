"""Linear layers that multiply with oneDNN on CPUs, in training and prediction alike.

In fp32 PyTorch multiplies with MKL, which keeps to AVX2 on processors that are not Intel's; oneDNN, which
PyTorch brings along for bf16, uses AVX-512 on all that have it. The mathematics is the same, and the results
agree to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def use_onednn(model: nn.Module) -> None:
    """Have every plain linear layer of a model multiply with oneDNN where that can be.

    Names, weights and what is saved stay as they are.
    """
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = OneDnnLinear


def use_pytorch(model: nn.Module) -> None:
    """Undo `use_onednn`, for engines that reach into gradients.

    Under DeepSpeed's ZeRO 2, losses then left those of one worker by 1e-3 after a dozen steps (unexplained;
    4e-7 without), and ZeRO 3 takes weights away between forward and backward.
    """
    for module in model.modules():
        if type(module) is OneDnnLinear:
            module.__class__ = nn.Linear  # pyright: ignore[reportAttributeAccessIssue]


class OneDnnLinear(nn.Linear):
    """A linear layer; what oneDNN is not for (GPUs, autocast, other types) goes PyTorch's way."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the parent's name
        """Map [..., in] to [..., out]."""
        if not fits(input, self.weight):
            return super().forward(input)
        if torch.is_grad_enabled():
            return _Linear.apply(input, self.weight, self.bias)
        return multiply(input, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.biased = bias is not None
        return multiply(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        needs_rows, needs_weight, needs_bias = ctx.needs_input_grad
        to_rows = multiply(grads[0], weight.t(), None) if needs_rows else None
        return to_rows, *weight_gradients(
            grads[0], rows, weight, needed=needs_weight, bias_needed=needs_bias and ctx.biased
        )


def fits(rows: Tensor, weight: Tensor) -> bool:
    """Say whether the product of these is one for oneDNN."""
    return (
        rows.device.type == "cpu"
        and rows.dtype == weight.dtype == torch.float32
        and rows.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
    )


def multiply(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return rows x weight^T + bias: [..., in], [out, in], [out] -> [..., out]."""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")


def weight_gradients(
    grad: Tensor, rows: Tensor, weight: Tensor, *, needed: bool, bias_needed: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of a layer's weight, [out, in], and bias, [out]; None for what nobody needs.

    Args:
        grad: of the layer's output, [..., out].
        rows: the layer's input, [..., in].
        weight: of the layer.
        needed: whether the weight's gradient is.
        bias_needed: whether the bias's is.
    """
    grad = grad.reshape(-1, weight.shape[0])
    if needed:
        # Takes tensors in oneDNN's keeping, which is a copy of each, and is still the faster way.
        to_weight, to_bias = torch.ops.aten.mkldnn_linear_backward_weights(
            grad.to_mkldnn(), rows.reshape(-1, weight.shape[1]).to_mkldnn(), weight, bias_needed
        )
        return to_weight, to_bias if bias_needed else None
    if bias_needed:
        # As a product: PyTorch's sum over the first dimension is several times slower.
        return None, (grad.new_ones(1, len(grad)) @ grad)[0]
    return None, None
