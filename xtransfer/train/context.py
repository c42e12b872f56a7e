"""Where a trial runs, what it tells and what it keeps: all that the loop knows of its surroundings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a running trial tells: step counts, losses, speed."""

    step: int
    total: int
    loss: float
    examples_per_s: float
    dev: float | None = None
    rung: int | None = None
    """Percent of the training at which the trial now waits to hear whether it goes on ..."""
    best: float | None = None
    """... with this, its best dev score so far."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A resumable state: scalars and whole tensors, independent of workers and ZeRO stage."""

    state: dict[str, Any]
    tensors: dict[str, Tensor]
    """`weights/*`, `exp_avg/*`, `exp_avg_sq/*`, `snapshot/<step>/*` and, once there are any and they are none of
    these snapshots, the best weights as `best/*`. No two share memory."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where a trial runs: nothing here changes what it computes, beyond rounding and which masks dropout draws.

    Those are drawn for each micro-batch of each shard, so they follow `shards` and `micro_batch`, which a
    trial's record says; whatever else is here changes none.
    """

    rank: int = 0
    world_size: int = 1
    shards: int = 1
    """Parts that each global batch is cut into, each with its own draws of dropout: the most workers that
    the trial may have, so that it computes the same with fewer. At least `world_size`."""
    device: str = "cpu"
    engine: str = "torch"
    zero_stage: int = 0
    micro_batch: int | None = None
    """Most examples in one forward pass; None: a whole shard."""
    graphs: bool = False
    """Whether passes are captured as CUDA graphs and replayed; needs the engine `torch`."""
    pad_id: int = 0
    longest: int | None = None
    """Tokens that the encoder has positions for, which padding keeps within; None: no bound."""
    report: Callable[[Progress], None] = lambda progress: None
    """Called on every rank after the same steps."""
    alive: Callable[[], None] = lambda: None
    """Called as the work moves, more often than `report`, and by every rank for itself."""
    prediction_tokens: int | None = None
    """Tokens, padding included, in one prediction batch of one worker; None: as the device can take."""
    check_files: Callable[[], None] = lambda: None
    """Raises StoreError where the files that are learnt from were altered. Called on every rank before anything
    that was learnt is kept, and before a rung is ruled."""
    save: Callable[[Checkpoint], None] = lambda checkpoint: None
    """Called on rank 0 with a checkpoint to keep; its tensors are copies that the loop does not touch again,
    so it may be written after the call."""
    saving: Callable[[], bool] = lambda: False
    """Whether a checkpoint is still being written: the next one that is due waits for that, unless this
    process must end."""
    save_every_s: float = float("inf")
    leaving: Callable[[], str] = lambda: ""
    """Why this process must end soon; empty while it need not. Asked after every step."""
    rungs: tuple[int, ...] = ()
    """Percents of the training, rising, at which it is ruled whether the trial goes on."""
    goes_on: Callable[[int, float], bool] = lambda rung, best: True
    """Return whether the trial goes on after a rung with its best dev score so far. Called on rank 0, after
    every rank's report of the rung."""
    skips_in_a_row: int = 3
    """Most optimizer steps left out one after the other, where the specification lets any be ..."""
    skips_in_all: int = 20
    """... and in all."""
    resume: Callable[[], Checkpoint | None] = lambda: None
    """Return what to go on from, None for nothing. Called once; the loop copies what it needs of it, so that its
    tensors last no longer than taking them up."""


def device_name(device: str) -> str:
    """Return what a torch device is, as its maker calls it; `cpu` for the processor."""
    return torch.cuda.get_device_name() if device == "cuda" else device
