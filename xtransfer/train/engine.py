"""What the training loop asks of an optimizer engine, and the choice between the two that there are.

DeepSpeed is for ZeRO and clusters, plain torch is its reference; a test holds them together. Both keep
fp32 master weights and give their state as whole, named tensors, so a checkpoint does not depend on the
number of workers or the ZeRO stage.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from xtransfer.train.deepspeed_engine import DeepSpeedEngine
from xtransfer.train.parameters import parameter_groups
from xtransfer.train.torch_engine import TorchEngine


class Engine(Protocol):
    """Runs one model on all workers of a trial."""

    module: nn.Module

    def forward(self, **batch: Any) -> Tensor:
        """Run the model on this worker's micro-batch."""
        ...

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradient of `loss`; over all micro-batches and workers the losses are summed.

        `last` marks the step's last micro-batch.
        """
        ...

    def step(self, learning_rate: float) -> Tensor:
        """Clip the gradient, update the weights and clear the gradient.

        Where the norm of the whole gradient is not finite, weights and moments stay as they are and the
        answer is False: on all workers alike, since they share that norm. It is a scalar, and reading it may
        mean to wait for the device.
        """
        ...

    def weights(self) -> dict[str, Tensor]:
        """Return every trained parameter whole, fp32, on the CPU. Collective."""
        ...

    def moments(self) -> dict[str, Tensor]:
        """Return both Adam moments as `exp_avg/<name>`, `exp_avg_sq/<name>`. Collective."""
        ...

    def load_moments(self, moments: dict[str, Tensor], *, steps: int) -> None:
        """Set both Adam moments and the number of steps taken. Collective."""
        ...

    def close(self) -> None:
        """Let go of the model's memory; the engine cannot be used afterwards."""
        ...


def make_engine(
    module: nn.Module,
    *,
    kind: str,
    world_size: int,
    weight_decay: float,
    epsilon: float,
    betas: tuple[float, float],
    clip: float,
    zero_stage: int,
    keeps_gradients: bool = False,
) -> Engine:
    """Wrap a module, already on its device, into the engine named `kind`.

    With `keeps_gradients`, which plain torch alone can, a step sets them to zero and does not let go of them.
    """
    optimizer = torch.optim.AdamW(
        parameter_groups(module, weight_decay), lr=0.0, betas=betas, eps=epsilon, fused=True
    )
    if kind == "torch":
        return TorchEngine(
            module,
            optimizer,
            clip=clip,
            world_size=world_size,
            keeps_gradients=keeps_gradients,
        )
    if keeps_gradients:
        raise ValueError(f"{kind} lets go of gradients: CUDA graphs need engine torch")
    return DeepSpeedEngine(
        module, optimizer, clip=clip, world_size=world_size, zero_stage=zero_stage
    )
