"""Dropout on CPUs, whose random numbers would otherwise take a fifth of a training step.

PyTorch draws them one by one. Here one 64-bit number of NumPy's SFC64 decides on four values, at 16 bits each,
so the probability is rounded to a multiple of 2^-16 (0.1 to 0.100006); values are scaled by the rounded one.
The generator is seeded from PyTorch's, so that what is drawn still follows from `torch.manual_seed` alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

STEPS = 2**16
"""Values that a random number takes of which one decides whether a value is kept."""


def use_fast_dropout(model: nn.Module) -> None:
    """Have every plain dropout layer of a model draw its numbers fast on CPUs."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = FastDropout


class FastDropout(nn.Dropout):
    """A dropout layer; on other devices than CPUs it goes PyTorch's way."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the parent's name
        """Map any shape to the same shape."""
        if not self.training or not drops(self.p) or input.device.type != "cpu":
            return super().forward(input)
        return _Dropout.apply(input, self.p)


def drops(probability: float) -> bool:
    """Say whether a probability of dropping is neither nothing nor all, once rounded."""
    return 0 < round(probability * STEPS) < STEPS


def kept(shape: Sequence[int], probability: float) -> Tensor:
    """Draw what is kept: booleans of this shape, each false with the given probability, rounded.

    Takes one number from PyTorch's generator.
    """
    count = math.prod(shape)
    seed = int(torch.randint(2**63 - 1, ()))
    numbers = np.random.SFC64(seed).random_raw(-(-count // 4)).view(np.uint16)[:count]
    return torch.from_numpy(numbers >= round(probability * STEPS)).view(*shape)


def masked(values: Tensor, mask: Tensor) -> Tensor:
    """Return a tensor with zeros where `mask` is false; for 16-bit values ten times as fast as a product."""
    if values.element_size() == 2:
        return (values.view(torch.int16) * mask.view(torch.int8)).view(values.dtype)
    return values * mask.view(torch.int8)


def mask_in_place(values: Tensor, mask: Tensor) -> Tensor:
    """Put zeros where `mask` is false, and return the tensor."""
    bits = values.view(torch.int16) if values.element_size() == 2 else values
    bits.mul_(mask.view(torch.int8))
    return values


def scale(probability: float) -> float:
    """Return what kept values are multiplied by, so that their expectation stays."""
    return STEPS / (STEPS - round(probability * STEPS))


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, probability: float) -> Tensor:
        mask = kept(values.shape, probability)
        ctx.save_for_backward(mask)
        ctx.scale = scale(probability)
        return masked(values, mask).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return masked(grads[0], mask).mul_(ctx.scale), None
