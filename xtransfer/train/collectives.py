"""What the workers of one trial tell each other; every worker calls these alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xtransfer.errors import StepError, StoreError
from xtransfer.train.context import Context


def add_up(value: Tensor, context: Context) -> Tensor:
    """Return the sum of the values of all workers, each a scalar on its device."""
    if context.world_size > 1:
        torch.distributed.all_reduce(value)
    return value


def gather(value: Any, context: Context) -> list[Any]:
    """Return the values of all workers, in order of rank."""
    if context.world_size == 1:
        return [value]
    values: list[Any] = [None] * context.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def gather_first(value: Any, context: Context) -> list[Any]:
    """Return the values of all workers, in order of rank, to the first of them; [] to the others."""
    if context.world_size == 1:
        return [value]
    values: list[Any] | None = [None] * context.world_size if context.rank == 0 else None
    torch.distributed.gather_object(value, values)
    return values or []


def broadcast(value: Any, context: Context) -> Any:
    """Return the value of rank 0."""
    if context.world_size == 1:
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def check_everywhere(check: Callable[[], None], context: Context) -> None:
    """Call `check` on all workers.

    Raises:
        StoreError: on all of them, where one of them raised it.
    """
    fault: StoreError | None = None
    try:
        check()
    except StoreError as error:
        fault = error
    for found in gather(fault, context):
        if found is not None:
            raise found


def check_same_step(step: int, context: Context) -> None:
    """Check that all workers go on from one step: each looks for a checkpoint itself.

    Raises:
        StepError: on all of them, where one found the newest damaged and took an older one.
    """
    steps = gather(step, context)
    if len(set(steps)) > 1:
        raise StepError(
            "the workers' checkpoints",
            f"are of different optimizer steps: {', '.join(map(str, steps))}",
            "Start again: one of them could not read the newest, as its log says.",
        )
