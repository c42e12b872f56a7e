"""A model's trained parameters, and their state in AdamW."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

MOMENTS = ("exp_avg", "exp_avg_sq")
"""Names that AdamW gives its moments."""


def trained_parameters(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters that are not frozen, by name."""
    return [(name, p) for name, p in module.named_parameters() if p.requires_grad]


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return AdamW's two groups: no decay on biases and LayerNorm (every one-dimensional weight)."""
    trained = [p for _, p in trained_parameters(module)]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def stored(tensor: Any) -> Tensor:
    """Return a copy of a tensor to save: fp32, on the CPU."""
    return tensor.detach().to(device="cpu", dtype=torch.float32, copy=True).contiguous()


def step_count(steps: int, parameter: Tensor) -> Tensor:
    """Return the count of steps as fused AdamW keeps it: beside the weights."""
    return torch.full((), float(steps), device=parameter.device)
