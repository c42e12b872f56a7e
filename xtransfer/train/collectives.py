"""What the workers of one trial tell each other; every worker calls these alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xtransfer.train.context import Context


def add_up(value: Tensor, context: Context) -> float:
    """Return the sum of the values of all workers, each a scalar on its device, which it waits for."""
    if context.world_size > 1:
        torch.distributed.all_reduce(value)
    return float(value)


def gather(value: Any, context: Context) -> list[Any]:
    """Return the values of all workers, in order of rank."""
    if context.world_size == 1:
        return [value]
    values: list[Any] = [None] * context.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def broadcast(value: Any, context: Context) -> Any:
    """Return the value of rank 0."""
    if context.world_size == 1:
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]
