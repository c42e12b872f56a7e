"""How the matrix products of a model are done on this machine's processor: the front of what this package has for them.

On a GPU, or where a processor has nothing to gain, all goes PyTorch's way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from xtransfer.train.kernels.onednn import onednn_products
from xtransfer.train.kernels.packed_weights import packed_weights
from xtransfer.train.kernels.widened import widened_products


@contextmanager
def training_products(model: nn.Module) -> Iterator[None]:
    """Have a model's products done as fast as can be while it trains, under autocast to bf16 where `model.bf16` is true."""
    with onednn_products(model), widened_products(model, bf16=getattr(model, "bf16", False)):
        yield


@contextmanager
def prediction_products(model: nn.Module, *, bf16: bool = False) -> Iterator[None]:
    """Have a model's products done as fast as can be while no gradients are needed.

    Args:
        model: with its weights in fp32. They must not change meanwhile.
        bf16: whether it predicts under autocast to bf16.
    """
    with (
        onednn_products(model),
        widened_products(model, bf16=bf16),
        packed_weights(model, bf16=bf16),
    ):
        yield
