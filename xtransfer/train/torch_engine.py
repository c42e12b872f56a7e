"""Plain torch as an optimizer engine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xtransfer.train.parameters import MOMENTS, step_count, stored, trained_parameters

BUCKET = 25_000_000
"""Numbers from which on gradients are summed over the workers: 100 MB in fp32."""


class TorchEngine:
    """Plain torch: AdamW on every worker, gradients summed over workers."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        clip: float,
        world_size: int,
        keeps_gradients: bool = False,
    ) -> None:
        self.module = module
        self.optimizer = optimizer
        self.clip = clip
        self.world_size = world_size
        self.keeps_gradients = keeps_gradients

    def forward(self, **batch: Any) -> Tensor:
        """Run the model."""
        return self.module(**batch)

    def backward(self, loss: Tensor, *, last: bool) -> None:  # noqa: ARG002 - see Engine
        """Add the gradient of `loss`."""
        loss.backward()

    def step(self, learning_rate: float) -> Tensor:
        """Sum the gradients over workers, clip, update; nobody waits for the norm."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        if self.world_size > 1:
            _add_up(parameters, in_place=self.keeps_gradients)
        finite = torch.isfinite(nn.utils.clip_grad_norm_(parameters, self.clip))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        # As a GradScaler tells it: the fused update leaves everything as it is where this is 1.
        self.optimizer.found_inf = (~finite).float()  # pyright: ignore[reportAttributeAccessIssue]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=not self.keeps_gradients)
        return finite

    def weights(self) -> dict[str, Tensor]:
        """Return every trained parameter, fp32, on the CPU."""
        return {name: stored(p) for name, p in trained_parameters(self.module)}

    def moments(self) -> dict[str, Tensor]:
        """Return both Adam moments of every parameter."""
        out: dict[str, Tensor] = {}
        for name, parameter in trained_parameters(self.module):
            state = self.optimizer.state.get(parameter, {})
            for moment in MOMENTS:
                out[f"{moment}/{name}"] = stored(state.get(moment, torch.zeros_like(parameter)))
        return out

    def load_moments(self, moments: dict[str, Tensor], *, steps: int) -> None:
        """Set both Adam moments, as copies, and the step count of every parameter."""
        for name, parameter in trained_parameters(self.module):
            self.optimizer.state[parameter] = {
                "step": step_count(steps, parameter),
                **{
                    moment: moments[f"{moment}/{name}"].to(parameter.device, copy=True)
                    for moment in MOMENTS
                },
            }

    def close(self) -> None:
        """Do nothing: nobody else refers to the model."""


def _add_up(parameters: list[nn.Parameter], *, in_place: bool) -> None:
    """Replace each gradient by its sum over the workers, many at once: by a view of one tensor, or in its place."""
    bucket: list[nn.Parameter] = []
    size = 0
    for number, parameter in enumerate(parameters, 1):
        bucket.append(parameter)
        size += parameter.numel()
        if number < len(parameters) and size < BUCKET:
            continue
        whole = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in bucket]
        )
        torch.distributed.all_reduce(whole)
        for each, summed in zip(bucket, whole.split([p.numel() for p in bucket]), strict=True):
            if in_place and each.grad is not None:
                each.grad.copy_(summed.view_as(each))
            else:
                each.grad = summed.view_as(each)
        bucket, size = [], 0
